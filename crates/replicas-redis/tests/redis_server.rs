//! The scripts in a real server, compared with the model, reply by reply.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::zombie_processes,
    reason = "a test says by a panic what is wrong, and owns its clock; clippy.toml's exception knows #[test] functions only"
)]

use replicas::model::Model;
use replicas::store::{Call, Reply};
use replicas::{AddressKey, DeviceKey, Instance, Name, Node, Owner, SessionKey};
use replicas_redis::{RedisStore, Server, StoreEvent};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// A server of its own, on the loopback interface.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    fn start(directory: &Path, address: SocketAddr) -> Redis {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new("redis-server");
        let child = command
            .args(["--port", &port, "--bind", &ip, "--save", ""])
            // With `everysec`, a server that is killed has lost what it had replied to: one run in eighteen, with others at once.
            .args(["--appendfsync", "always"])
            .args(["--appendonly", "yes", "--requirepass", "secret", "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, of Debian's package redis-server");
        for _ in 0..600 {
            if TcpStream::connect(address).is_ok() {
                return Redis { child, address };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not listen");
    }

    fn server(&self, prefix: &str) -> Server {
        let mut server = Server::parse(&format!("redis://:secret@{}", self.address)).unwrap();
        server.prefix = prefix.to_owned();
        server.timeout = Duration::from_secs(20);
        server
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A loopback address that no other server has: not one that is free just now, as a server is stopped and started on it while
/// other tests run.
fn own_address() -> SocketAddr {
    let [a, b, c] = [(); 3].map(|()| fastrand::u8(1..255));
    SocketAddr::from(([127, a, b, c], fastrand::u16(20_000..30_000)))
}

struct Client {
    store: RedisStore,
    replies: Receiver<(u64, Reply)>,
    errors: Receiver<String>,
    tickets: u64,
}

impl Client {
    fn new(server: Server) -> Client {
        let (sender, replies) = sync_channel(1_024);
        let (error_sender, errors) = sync_channel(1_024);
        let store = RedisStore::start(
            server,
            1_024,
            move |ticket, reply| sender.send((ticket, reply)).unwrap(),
            move |event| {
                if let StoreEvent::Failed(error) = event {
                    error_sender.send(error.to_string()).unwrap();
                }
            },
        );
        Client {
            store: store.unwrap(),
            replies,
            errors,
            tickets: 0,
        }
    }

    /// Makes calls at once, and returns their replies, which must come in this order.
    fn calls(&mut self, calls: &[Call]) -> Vec<Reply> {
        let first = self.tickets;
        for call in calls {
            self.store.call(self.tickets, call.clone()).unwrap();
            self.tickets += 1;
        }
        (first..self.tickets)
            .map(|expected| {
                let (ticket, reply) = self.replies.recv_timeout(Duration::from_secs(60)).unwrap();
                assert_eq!(ticket, expected);
                reply
            })
            .collect()
    }

    fn call(&mut self, call: &Call) -> Reply {
        self.calls(std::slice::from_ref(call)).pop().unwrap()
    }

    fn lease(&mut self, had: Option<Owner>, instance: u8, seconds: u64) -> (Owner, u64, u64) {
        match self.call(&lease(had, instance, Duration::from_secs(seconds), (0, 0))) {
            Reply::Leased {
                owner, store, time, ..
            } => (owner, store, time),
            other => panic!("{other:?}, {:?}", self.errors.try_recv()),
        }
    }
}

fn lease(had: Option<Owner>, instance: u8, length: Duration, seen: (u64, u64)) -> Call {
    Call::Lease {
        had,
        instance: Instance([instance; 16]),
        address: SocketAddr::from(([127, 0, 0, 1], u16::from(instance))),
        length,
        seen: seen.0,
        superseded_seen: seen.1,
    }
}

fn create(key: SessionKey, owner: Owner, born: u64, row: &[u8]) -> Call {
    Call::Create {
        key,
        owner,
        address: None,
        device: None,
        observes: false,
        start: 5,
        born,
        is_again: false,
        block: 16,
        pace: 64,
        row: row.to_vec(),
    }
}

fn claim(key: SessionKey, owner: Owner) -> Call {
    Call::Claim {
        name: Name::Session(key),
        owner,
        held: None,
        take: true,
        block: 16,
        pace: 64,
    }
}

/// A call at random, by one of four processes, about one of a few sessions and addresses.
fn random_call(
    random: &mut fastrand::Rng,
    owners: &[Option<Owner>; 4],
    seen: (u64, u64),
) -> (usize, Call) {
    let caller = random.usize(..4);
    let hour = Duration::from_secs(3_600);
    let instance = u8::try_from(caller).unwrap();
    let Some(owner) = owners[caller] else {
        return (caller, lease(None, instance, hour, seen));
    };
    let key = SessionKey([random.u8(..12); 8]);
    let address = AddressKey([random.u8(..4); 8]);
    let some_address = random.bool().then_some(address);
    let device = random.bool().then(|| DeviceKey([random.u8(..3); 8]));
    let observes = random.bool();
    let row = vec![random.u8(..); random.usize(..300)];
    let call = match random.u8(..22) {
        0 | 20 => lease(random.bool().then_some(owner), instance, hour, seen),
        1 => Call::Release { owner },
        2..=5 => Call::Create {
            key,
            owner,
            address: some_address,
            device,
            observes,
            start: random.u64(..1 << 40),
            // In the future, so that both clocks say the same about the session's age.
            born: (1 << 40) + random.u64(..9),
            is_again: random.bool(),
            block: 16,
            pace: 64,
            row,
        },
        6..=11 => Call::Claim {
            name: if random.bool() {
                Name::Session(key)
            } else {
                Name::Address(address)
            },
            owner,
            held: random.bool().then(|| random.u64(..4)),
            take: random.u8(..4) > 0,
            block: 16,
            pace: 64,
        },
        12..=18 => Call::Save {
            key,
            version: random.u64(..3),
            owner,
            address: some_address,
            moves: random.bool(),
            observes,
            block: random.bool().then_some(16),
            pace: 64,
            row,
        },
        19 => Call::Orphans { owner, most: 64 },
        _ => Call::Remove {
            key,
            version: random.u64(..3),
            owner,
        },
    };
    (caller, call)
}

/// The reply without what depends on clocks and on which store it is.
fn comparable(reply: Reply) -> Reply {
    match reply {
        Reply::Leased {
            owner,
            is_new,
            members,
            addresses,
            seen,
            superseded,
            superseded_seen,
            has_orphans,
            ..
        } => Reply::Leased {
            owner,
            is_new,
            store: 0,
            run: 0,
            members,
            addresses,
            seen,
            superseded,
            superseded_seen,
            has_orphans,
            time: 0,
        },
        Reply::OwnedBy { key, owner, .. } => Reply::OwnedBy {
            key,
            owner,
            remaining: Duration::ZERO,
        },
        // In no order.
        Reply::Orphans { mut keys } => {
            keys.sort();
            Reply::Orphans { keys }
        }
        other => other,
    }
}

/// The server finds out with the next [`Call::Orphans`] that those that there were have gone.
fn with_former_orphans(mut reply: Reply, other: &Reply) -> Reply {
    if let (
        Reply::Leased { has_orphans, .. },
        Reply::Leased {
            has_orphans: seen, ..
        },
    ) = (&mut reply, other)
    {
        *has_orphans |= seen;
    }
    reply
}

#[test]
fn each_call_does_what_the_model_does() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start(directory.path(), own_address());
    let mut kinds = std::collections::BTreeMap::new();
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut client = Client::new(redis.server(&format!("{{test{seed}}}:")));
        let begin = Instant::now();
        let mut model = Model::new(begin, 1);
        let mut owners = [None; 4];
        let mut seen = (0, 0);
        for step in 0..500 {
            let (caller, call) = random_call(&mut random, &owners, seen);
            let expected = comparable(model.call(begin, &call));
            let reply = comparable(client.call(&call));
            let expected = with_former_orphans(expected, &reply);
            assert!(
                reply == expected,
                "seed {seed}, step {step}: {call:?} gives {reply:?} instead of {expected:?}"
            );
            match &reply {
                Reply::Leased {
                    owner,
                    seen: read,
                    superseded_seen,
                    ..
                } => {
                    owners[caller] = Some(*owner);
                    seen = (*read, *superseded_seen);
                }
                Reply::Released => owners[caller] = None,
                _ => {}
            }
            let rare = match &reply {
                Reply::Created { former, .. } if former.is_some() => Some("a former session"),
                Reply::Orphans { keys } if !keys.is_empty() => Some("orphans"),
                Reply::Leased { superseded, .. } if !superseded.is_empty() => Some("superseded"),
                _ => None,
            };
            if let Some(rare) = rare {
                *kinds.entry(rare.to_owned()).or_insert(0) += 1;
            }
            let kind = format!("{reply:?}")
                .split([' ', '{'])
                .next()
                .unwrap()
                .to_owned();
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    for kind in [
        "Leased",
        "Released",
        "Created",
        "Exists",
        "Claimed",
        "Owned",
        "OwnedBy",
        "Free",
        "Missing",
        "Saved,",
        "NotOwner",
        "Removed",
        "Superseded",
        "Orphans",
        "a former session",
        "orphans",
        "superseded",
    ] {
        assert!(
            kinds.get(kind).copied().unwrap_or(0) > 5,
            "{kind}: {kinds:?}"
        );
    }
}

#[test]
fn many_calls_go_together_and_are_answered_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start(directory.path(), own_address());
    let mut client = Client::new(redis.server("{many}:"));
    let (owner, _, time) = client.lease(None, 1, 3_600);
    let keys: Vec<SessionKey> = (0..900_u64).map(|n| SessionKey(n.to_be_bytes())).collect();
    let calls: Vec<Call> = keys
        .iter()
        .map(|key| create(*key, owner, time, &[7; 350]))
        .collect();
    for reply in client.calls(&calls) {
        assert_eq!(
            reply,
            Reply::Created {
                start: 5,
                end: 21,
                former: None
            }
        );
    }
}

#[test]
fn a_lease_that_ends_is_taken_over_and_its_former_owner_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start(directory.path(), own_address());
    let mut dying = Client::new(redis.server("{lease}:"));
    let mut other = Client::new(redis.server("{lease}:"));
    let length = Duration::from_millis(1_500);
    let Reply::Leased {
        owner: first, time, ..
    } = dying.call(&lease(None, 1, length, (0, 0)))
    else {
        panic!("no lease");
    };
    let (second, _, _) = other.lease(None, 2, 3_600);
    let key = SessionKey([1; 8]);
    assert_eq!(
        dying.call(&create(key, first, time, b"row")),
        Reply::Created {
            start: 5,
            end: 21,
            former: None
        }
    );
    let begin = Instant::now();
    loop {
        match other.call(&claim(key, second)) {
            Reply::OwnedBy {
                owner, remaining, ..
            } => {
                assert_eq!(owner, first);
                assert!(remaining <= length);
                std::thread::sleep(Duration::from_millis(20));
            }
            Reply::Claimed {
                previous,
                version,
                start,
                end,
                row,
                ..
            } => {
                assert_eq!((previous, version), (first, 1));
                assert_eq!((start, end), (21, 37));
                assert_eq!(row, b"row");
                break;
            }
            reply => panic!("{reply:?}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
    let save = Call::Save {
        key,
        version: 0,
        owner: first,
        address: None,
        moves: false,
        observes: false,
        block: Some(16),
        pace: 64,
        row: b"late".to_vec(),
    };
    assert_eq!(dying.call(&save), Reply::NotLeased);
    let (third, _, _) = dying.lease(Some(first), 1, 3_600);
    assert_eq!((third.node, third.fence), (first.node, first.fence + 2));
    // The reply to that was lost, and the lease is renewed: it is still another one than the first.
    match dying.call(&lease(Some(first), 1, Duration::from_secs(3_600), (0, 0))) {
        Reply::Leased { owner, is_new, .. } => assert_eq!((owner, is_new), (third, true)),
        reply => panic!("{reply:?}"),
    }
    assert_eq!(dying.call(&save), Reply::NotLeased);
}

#[test]
fn a_server_that_starts_again_skips_numbers_and_one_that_is_emptied_has_another_id() {
    let directory = tempfile::tempdir().unwrap();
    let address = own_address();
    let redis = Redis::start(directory.path(), address);
    let mut client = Client::new(redis.server("{again}:"));
    let (owner, store, time) = client.lease(None, 1, 3_600);
    let (kept, new) = (SessionKey([1; 8]), SessionKey([2; 8]));
    // It was established a hundred seconds ago.
    let born = time - 100;
    assert_eq!(
        client.call(&create(kept, owner, born, b"row")),
        Reply::Created {
            start: 5,
            end: 21,
            former: None
        }
    );
    drop(redis);
    // Until it is there again, calls fail, and say why.
    assert_eq!(client.call(&claim(kept, owner)), Reply::Failed);
    assert!(client.errors.recv().is_ok());
    let redis = Redis::start(directory.path(), address);
    let (again, same, _) = loop {
        match client.call(&lease(Some(owner), 1, Duration::from_secs(3_600), (0, 0))) {
            Reply::Leased {
                owner, store, time, ..
            } => break (owner, store, time),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert_eq!((again, same), (owner, store));
    match client.call(&claim(kept, owner)) {
        Reply::Claimed { start, end, .. } => {
            assert!(start >= 100 * 64, "{start}");
            assert_eq!(end, start + 16);
        }
        reply => panic!("{reply:?}"),
    }
    drop(redis);
    let empty = tempfile::tempdir().unwrap();
    let _redis = Redis::start(empty.path(), address);
    let (other_owner, other, _) = loop {
        match client.call(&lease(Some(owner), 2, Duration::from_secs(3_600), (0, 0))) {
            Reply::Leased {
                owner, store, time, ..
            } => break (owner, store, time),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert_ne!(other, store);
    assert_eq!(client.call(&claim(kept, other_owner)), Reply::Missing);
    assert_eq!(
        client.call(&create(new, other_owner, born, b"row")),
        Reply::Created {
            start: 5,
            end: 21,
            former: None
        }
    );
}

#[test]
fn a_wrong_password_is_refused_with_a_message_that_does_not_have_it() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start(directory.path(), own_address());
    let mut server = redis.server("{password}:");
    server.password = Some("hunter2".to_owned().into());
    assert!(!format!("{server:?}").contains("hunter2"));
    let mut client = Client::new(server);
    let owner = Owner {
        node: Node(1),
        fence: 1,
    };
    assert_eq!(client.call(&Call::Release { owner }), Reply::Failed);
    let error = client.errors.recv().unwrap();
    assert!(error.contains("password"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}
