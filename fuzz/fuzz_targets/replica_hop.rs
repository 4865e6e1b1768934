//! Any bytes, and any authentic frames, at the socket for other gateways: no panic, a bound on memory, and one small answer to a
//! frame at most. A store that is away at times, and forgets; a member that comes and goes.
//!
//! The input is steps: a kind, a length, and so many bytes.

#![no_main]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use libfuzzer_sys::fuzz_target;
use replicas::model::Model;
use replicas::store::{Call, Reply};
use replicas::{
    AddressKey, GroupSecret, Instance, Output, Path, Replica, Route, SessionKey, Settings,
};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const SECRET: [u8; 32] = [7; 32];
const GATEWAY: Instance = Instance([1; 16]);
const MEMBER: Instance = Instance([2; 16]);
const KEPT: usize = 32;

/// Their shared time: it need not be that of today.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
static KEY: LazyLock<LessSafeKey> = LazyLock::new(|| {
    let pair = [MEMBER.0, GATEWAY.0].concat();
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &pair).extract(&SECRET);
    let info = [&b"coaps-gateway replica hop"[..]];
    let key = secret.expand(&info, &AES_256_GCM).expect("a key");
    LessSafeKey::new(UnboundKey::from(key))
});

struct World {
    now: Instant,
    model: Model,
    is_away: bool,
    gateway: Replica,
    counter: u64,
}

impl World {
    fn new() -> World {
        let now = *BEGIN;
        let settings = Settings {
            max_kept: KEPT,
            max_addresses: 64,
            max_routes: 16,
            max_calls: 64,
            ..Settings::default()
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let secret = GroupSecret::new(SECRET);
        World {
            now,
            model: Model::new(now, 1),
            is_away: false,
            gateway: Replica::new(now, settings, secret, GATEWAY, address).expect("a node"),
            counter: 0,
        }
    }

    fn lease(&mut self, length: Duration) {
        let call = Call::Lease {
            had: None,
            instance: MEMBER,
            address: SocketAddr::from(([127, 0, 0, 1], 2)),
            length,
            seen: 0,
            superseded_seen: 0,
        };
        self.model.call(self.now, &call);
    }

    fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        let counter = self.counter.to_be_bytes();
        self.counter += 1;
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&counter);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut text = frame.to_vec();
        KEY.seal_in_place_append_tag(nonce, Aad::from([1]), &mut text)
            .expect("it is short");
        [&[1][..], &MEMBER.0, &counter, &text].concat()
    }

    /// Carries out what the gateway wants. Returns how many frames it sends, and their longest.
    fn run(&mut self) -> (usize, usize) {
        let (mut count, mut longest) = (0, 0);
        self.gateway.handle_timeout(self.now);
        let mut turns = 0;
        while let Some(output) = self.gateway.poll() {
            turns += 1;
            assert!(turns < 10_000, "it never ends");
            match output {
                Output::Call { ticket, call } => {
                    let reply = if self.is_away {
                        Reply::Failed
                    } else {
                        self.model.call(self.now, &call)
                    };
                    self.gateway.handle_reply(self.now, ticket, reply);
                }
                Output::Write { key } => {
                    self.gateway.store(self.now, key, b"row");
                }
                Output::Deliver { route, .. } => self.gateway.send(route, vec![1]),
                Output::Hop { bytes, .. } => {
                    count += 1;
                    longest = longest.max(bytes.len());
                }
                _ => {}
            }
        }
        let [_, waiting, calls] = self.gateway.sizes();
        assert!(waiting <= KEPT && calls <= 65, "{waiting}, {calls}");
        (count, longest)
    }
}

fn session(bytes: &[u8]) -> SessionKey {
    // Of this node, of the member, and of a node that there is not.
    let [node, number] = [0, 1].map(|at| bytes.get(at).copied().unwrap_or_default());
    SessionKey([node % 3, number % 8, 0, 0, 0, 0, 0, 0])
}

fn address(bytes: &[u8]) -> AddressKey {
    AddressKey([bytes.first().copied().unwrap_or_default() % 8; 8])
}

fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    world.run();
    world.lease(Duration::from_secs(60));
    let path = Path {
        remote: SocketAddr::from(([192, 0, 2, 1], 5_684)),
        local: None,
    };
    let mut rest = input;
    while let [kind, length, following @ ..] = rest {
        let (bytes, after) = following.split_at(following.len().min(usize::from(*length)));
        rest = after;
        match kind % 12 {
            0 => {
                world.gateway.handle_hop(world.now, bytes);
                assert!(world.gateway.poll().is_none(), "it is not authentic");
            }
            1..=4 => {
                let sealed = world.seal(bytes);
                world.run();
                let bad = world.gateway.counters().bad_frames;
                world.gateway.handle_hop(world.now, &sealed);
                let is_bad = world.gateway.counters().bad_frames > bad;
                let (count, longest) = world.run();
                // An answer to it, and one to the datagram that it had.
                assert!(count <= if is_bad { 0 } else { 2 + KEPT }, "{count}");
                assert!(longest <= 160 + bytes.len(), "{longest}");
                let bad = world.gateway.counters().bad_frames;
                world.gateway.handle_hop(world.now, &sealed);
                assert_eq!(world.gateway.counters().bad_frames, bad + 1);
                assert!(world.gateway.poll().is_none(), "it was received before");
            }
            5 => {
                let datagram = bytes.to_vec();
                world
                    .gateway
                    .received_for_session(world.now, session(bytes), path, datagram);
            }
            6 => {
                let datagram = bytes.to_vec();
                world
                    .gateway
                    .received_from_address(world.now, address(bytes), path, datagram);
            }
            7 => {
                let steps = bytes.first().map_or(1, |step| step % 64);
                for _ in 0..steps {
                    world.now += Duration::from_millis(100);
                    world.run();
                }
            }
            8 => world.is_away = !world.is_away,
            9 => {
                let seconds = bytes.first().map_or(0, |byte| byte % 8);
                world.lease(Duration::from_secs(u64::from(seconds)));
            }
            10 => {
                let address = (bytes.len() > 2).then(|| address(bytes));
                world
                    .gateway
                    .establish(world.now, session(bytes), 10, address, None);
            }
            _ => {
                let route = Route {
                    via: (bytes.len() > 1).then_some(MEMBER),
                    path,
                };
                world.gateway.send(route, bytes.to_vec());
            }
        }
        world.run();
    }
});
