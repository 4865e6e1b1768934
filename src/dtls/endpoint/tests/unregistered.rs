//! Handshakes of unregistered clients beside those of devices.

use super::*;
use crate::dtls::dtls13::inbound::tests::{encoded_fragment, encoded_record};

fn settings(parameters: &Parameters) -> Settings {
    Settings::new(&credentials(), parameters).unwrap()
}

/// A path with an address of its own for each port.
fn path(port: u16) -> Path {
    let [_, last] = port.to_be_bytes();
    Path {
        remote: SocketAddr::from(([192, 0, 2, last], port)),
        local: None,
        via: None,
    }
}

/// A fragment of a Certificate message of 16,000 bytes.
fn fragment(number: u8) -> Vec<u8> {
    let offset = usize::from(number) * 500;
    let fragment = encoded_fragment(11, 2, 16_000, offset, &[9; 500]);
    encoded_record(22, 0, number, &fragment)
}

/// A gateway's sessions, and the settings of devices.
struct Bench {
    endpoint: Endpoint,
    client: ClientConfig,
    now: Instant,
}

impl Bench {
    fn new(handshakes: usize) -> Bench {
        let parameters = Parameters {
            handshakes,
            versions: Versions::Only12,
            ..Parameters::default()
        };
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        Bench {
            endpoint: Endpoint::new(parameters, settings(&parameters), policy),
            client: client_config(&credentials(), parameters.versions, parameters.mtu),
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
        }
    }

    fn hello(&self) -> (client::Client, Vec<Vec<u8>>) {
        let (dtls, outputs) = client::Client::connect(&self.client, self.now);
        (dtls, datagrams(outputs))
    }

    /// Delivers datagrams to the gateway and its replies to the client. Returns the client's replies to those.
    fn exchange(
        &mut self,
        port: u16,
        client: &mut client::Client,
        to_server: &[Vec<u8>],
    ) -> Vec<Vec<u8>> {
        for datagram in to_server {
            self.endpoint.receive(self.now, path(port), datagram);
        }
        self.endpoint.handle_timeout(self.now);
        let cookie_replies: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_transmit()).collect();
        let said = cookie_replies.into_iter().flat_map(|answer| {
            let outputs = client.receive(self.now, &answer.datagram);
            datagrams(outputs.unwrap_or_default())
        });
        said.collect()
    }
}

#[test]
fn handshakes_that_buffer_most_fragments_are_evicted_and_a_progressing_one_is_not() {
    let mut bench = Bench::new(200);
    let (mut device, hello) = bench.hello();
    let hello_with_cookie = bench.exchange(1, &mut device, &hello);
    let last_flight = bench.exchange(1, &mut device, &hello_with_cookie);
    for port in 2..=200 {
        let (mut client, hello) = bench.hello();
        let hello_with_cookie = bench.exchange(port, &mut client, &hello);
        bench.exchange(port, &mut client, &hello_with_cookie);
        // All fragments but the last.
        for number in 0..31 {
            let now = bench.now;
            bench.endpoint.receive(now, path(port), &fragment(number));
        }
    }
    let displaced = bench.endpoint.counters().buffers_evicted;
    assert!(displaced > 20, "{:?}", bench.endpoint.counters());
    bench.exchange(1, &mut device, &last_flight);
    assert_eq!(bench.endpoint.counters().handshakes_completed, 1);
}

#[test]
fn forged_hellos_on_a_clients_address_do_not_prevent_its_handshake() {
    let mut bench = Bench::new(100);
    for _ in 0..3 {
        let (_, forged) = bench.hello();
        for datagram in forged {
            bench.endpoint.receive(bench.now, path(1), &datagram);
        }
    }
    while bench.endpoint.poll_transmit().is_some() {}
    let (mut device, mut said) = bench.hello();
    for _ in 0..3 {
        // Also during the handshake.
        let (_, forged) = bench.hello();
        said.extend(forged);
        said = bench.exchange(1, &mut device, &said);
    }
    assert_eq!(bench.endpoint.counters().handshakes_completed, 1);
    bench
        .endpoint
        .handle_timeout(bench.now + Parameters::default().unproven_timeout);
    assert_eq!(
        (bench.endpoint.half_open(), bench.endpoint.load().hellos),
        (0, 0)
    );
}
