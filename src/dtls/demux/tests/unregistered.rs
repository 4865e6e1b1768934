//! Strangers' handshakes beside those of devices.

use super::*;
use crate::credentials::{ServerCredentials, Validity};
use crate::dtls::Versions;
use crate::dtls::engine::Engine;
use crate::dtls::hello::tests::packets;
use std::net::SocketAddr;
use zeroize::Zeroizing;

fn settings(parameters: &Parameters) -> Settings {
    let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
    let credentials = ServerCredentials {
        certificate: made.cert.der().to_vec(),
        private_key: Zeroizing::new(made.signing_key.serialize_der()),
    };
    Settings::new(&credentials, parameters).unwrap()
}

/// Each from an address of its own.
fn path(port: u16) -> Path {
    let [_, last] = port.to_be_bytes();
    Path {
        remote: SocketAddr::from(([192, 0, 2, last], port)),
        local: None,
    }
}

/// A piece of a Certificate message of 16,000 bytes.
fn fragment(number: u8) -> Vec<u8> {
    let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, number];
    record.extend(512u16.to_be_bytes());
    let [high, low] = (u16::from(number) * 500).to_be_bytes();
    record.extend([11, 0, 0x3e, 0x80, 0, 2, 0, high, low, 0, 1, 0xf4]);
    record.extend([9; 500]);
    record
}

/// A gateway's sessions, and what devices are set up with.
struct Bench {
    demux: Demux,
    client: Settings,
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
            demux: Demux::new(parameters, settings(&parameters), policy),
            client: settings(&parameters),
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
        }
    }

    fn hello(&self) -> (Engine, Vec<Vec<u8>>) {
        let (engine, outputs) = Engine::client(&self.client, self.now).unwrap();
        (engine, packets(outputs))
    }

    /// Delivers datagrams, and what the gateway says to them, and gives what the client says to that.
    fn exchange(&mut self, port: u16, engine: &mut Engine, datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        for datagram in datagrams {
            self.demux.receive(self.now, path(port), datagram);
        }
        self.demux.handle_timeout(self.now);
        let cookie_replies: Vec<_> = std::iter::from_fn(|| self.demux.poll_transmit()).collect();
        let said = cookie_replies.into_iter().flat_map(|answer| {
            packets(
                engine
                    .receive(self.now, &answer.datagram)
                    .unwrap_or_default(),
            )
        });
        said.collect()
    }
}

#[test]
fn handshakes_that_pile_up_fragments_give_way_and_one_that_goes_on_does_not() {
    let mut bench = Bench::new(200);
    let (mut device, hello) = bench.hello();
    let hello_with_cookie = bench.exchange(1, &mut device, &hello);
    let last_flight = bench.exchange(1, &mut device, &hello_with_cookie);
    for port in 2..=200 {
        let (mut stranger, hello) = bench.hello();
        let hello_with_cookie = bench.exchange(port, &mut stranger, &hello);
        bench.exchange(port, &mut stranger, &hello_with_cookie);
        // All but the last.
        for number in 0..31 {
            let now = bench.now;
            bench.demux.receive(now, path(port), &fragment(number));
        }
    }
    let displaced = bench.demux.counters().buffers_evicted;
    assert!(displaced > 20, "{:?}", bench.demux.counters());
    bench.exchange(1, &mut device, &last_flight);
    assert_eq!(bench.demux.counters().handshakes_completed, 1);
}

#[test]
fn a_forgers_hello_on_a_newcomers_address_does_not_keep_it_out() {
    let mut bench = Bench::new(100);
    for _ in 0..3 {
        let (_, forged) = bench.hello();
        for datagram in forged {
            bench.demux.receive(bench.now, path(1), &datagram);
        }
    }
    while bench.demux.poll_transmit().is_some() {}
    let (mut device, mut said) = bench.hello();
    for _ in 0..3 {
        // And in the midst of it.
        let (_, forged) = bench.hello();
        said.extend(forged);
        said = bench.exchange(1, &mut device, &said);
    }
    assert_eq!(bench.demux.counters().handshakes_completed, 1);
    bench
        .demux
        .handle_timeout(bench.now + Parameters::default().unproven_timeout);
    assert_eq!((bench.demux.half_open(), bench.demux.hellos.len()), (0, 0));
}
