//! How much memory one session holds, whatever its client sends: counted by an allocator, with the engine as it is.
//!
//! One test in this file: what another allocates meanwhile would be counted as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use coaps_gateway::dtls::engine::{Effect, Engine, Settings};
use coaps_gateway::dtls::{
    ClientPolicy, Demux, Event, Parameters, Path, ServerCredentials, Validity, Versions,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What any one session may hold.
const MOST: usize = 64 * 1024;

/// Bytes allocated and not freed.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A certificate of about so many bytes, which an extension has.
fn credentials(size: usize) -> ServerCredentials {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["device".to_owned()]).unwrap();
    if size > 0 {
        let extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![4; size]);
        parameters.custom_extensions.push(extension);
    }
    let made = parameters.self_signed(&key).unwrap();
    ServerCredentials {
        certificate: made.der().to_vec(),
        private_key: Zeroizing::new(key.serialize_der()),
    }
}

/// One whose certificate is exactly so long. Signatures vary by some bytes.
fn sized(length: usize) -> ServerCredentials {
    let overhead = credentials(length).certificate.len() - length;
    (0..200)
        .map(|attempt| credentials(length + 4 - overhead - attempt % 9))
        .find(|made| made.certificate.len() == length)
        .expect("one in nine is")
}

/// A gateway and one client of it.
struct Pair {
    demux: Demux,
    client: Engine,
    now: Instant,
    path: Path,
    outbox: Vec<Vec<u8>>,
    established: bool,
    closed: bool,
    log: Vec<String>,
}

fn parameters(versions: Versions, mtu: usize) -> Parameters {
    Parameters {
        versions,
        mtu,
        ..Parameters::default()
    }
}

impl Pair {
    fn new(versions: Versions, mtu: usize, own: &ServerCredentials) -> Pair {
        let server = Settings::new(&credentials(0), &parameters(versions, 1200)).unwrap();
        let settings = Settings::new(own, &parameters(versions, mtu)).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let (client, effects) = Engine::client(&settings, now).unwrap();
        let mut pair = Pair {
            demux: Demux::new(parameters(versions, 1200), server, policy),
            client,
            now,
            path: Path {
                remote: SocketAddr::from(([192, 0, 2, 1], 1)),
                local: None,
            },
            outbox: Vec::new(),
            established: false,
            closed: false,
            log: Vec::new(),
        };
        pair.take(effects);
        pair
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Transmit(datagram) = effect {
                self.outbox.push(datagram);
            }
        }
    }

    fn give(&mut self, datagram: &[u8]) {
        self.demux.receive(self.now, self.path, datagram);
        self.demux.handle_timeout(self.now);
        while let Some(event) = self.demux.poll_event() {
            match event {
                Event::Established { .. } => self.established = true,
                Event::Ended { reason, .. } => {
                    self.log.push(reason.to_string());
                    self.closed = true;
                }
                Event::HandshakeFailed { failure, .. } => {
                    self.log
                        .push(format!("{failure:?}").chars().take(120).collect());
                    self.closed = true;
                }
                Event::Plaintext { .. } => {}
            }
        }
    }

    /// Sends what the client has to say, and hears what comes of it.
    fn step(&mut self) {
        for datagram in std::mem::take(&mut self.outbox) {
            self.give(&datagram);
        }
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(transmit) = self.demux.poll_transmit() {
            let effects = self.client.receive(self.now, &transmit.datagram);
            self.take(effects.unwrap_or_default());
        }
    }
}

#[test]
fn measure() {
    for versions in [Versions::Only12, Versions::Only13] {
        for (size, mtu) in [
            (500, 1200),
            (4000, 1200),
            (6000, 1200),
            (8000, 1200),
            (12_000, 1200),
            (16_384, 1200),
            (16_384, 15_000),
        ] {
            let own = if size == 500 {
                credentials(0)
            } else {
                sized(size)
            };
            let mut pair = Pair::new(versions, mtu, &own);
            pair.step();
            let (mut now, mut most) = (0, 0);
            for _ in 0..5 {
                for datagram in std::mem::take(&mut pair.outbox) {
                    let before = held();
                    pair.give(&datagram);
                    let transmits: Vec<_> =
                        std::iter::from_fn(|| pair.demux.poll_transmit()).collect();
                    let sent: usize = transmits
                        .iter()
                        .map(|it| it.datagram.capacity())
                        .sum::<usize>()
                        + transmits.capacity() * 64;
                    now += held() as isize - before as isize - sent as isize;
                    most = most.max(now);
                    for transmit in transmits {
                        let effects = pair.client.receive(pair.now, &transmit.datagram);
                        pair.take(effects.unwrap_or_default());
                    }
                }
            }
            let stand = pair.demux;
            let all = held();
            drop(stand);
            let demux = all - held();
            eprintln!(
                "{versions:?} certificate {size} mtu {mtu}: established {} most {most} now {now} demux {demux} {:?}",
                pair.established, pair.log
            );
        }
    }
}
