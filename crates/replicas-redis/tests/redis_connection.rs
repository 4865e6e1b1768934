//! How a real server is reached: over TLS, as a user with few rights, and what is said when it can't be used.
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

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use replicas::store::{Call, Reply};
use replicas::{AddressKey, DeviceKey, Instance, Name, Owner, SessionKey};
use replicas_redis::{RedisStore, Server, StartError, StoreEvent};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A server of its own, on a loopback address that no other has.
struct Redis {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Redis {
    /// `port`: the option that has it.
    fn start(port: &str, options: &[&str]) -> Redis {
        let directory = tempfile::tempdir().unwrap();
        Redis::start_in(directory, own_address(), port, options)
    }

    fn start_in(
        directory: tempfile::TempDir,
        address: SocketAddr,
        port: &str,
        options: &[&str],
    ) -> Redis {
        // A Sentinel needs a file that it can write.
        let file = directory.path().join("redis.conf");
        std::fs::write(&file, "").unwrap();
        let (ip, number) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new("redis-server");
        command
            .arg(file)
            .args(["--bind", &ip, "--save", "", "--dir"])
            .arg(directory.path());
        if port != "--port" {
            command.args(["--port", "0"]);
        }
        let child = command
            .args([port, &number])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, of Debian's package redis-server");
        let redis = Redis {
            child,
            address,
            directory,
        };
        for _ in 0..600 {
            if TcpStream::connect(address).is_ok() {
                return redis;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not listen");
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Carries a command out, on a connection of its own.
    fn command(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut reply = [0; 16_384];
        let length = stream.read(&mut reply).unwrap();
        String::from_utf8_lossy(&reply[..length]).into_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn own_address() -> SocketAddr {
    let [a, b, c] = [(); 3].map(|()| fastrand::u8(1..255));
    SocketAddr::from(([127, a, b, c], fastrand::u16(20_000..30_000)))
}

struct Client {
    store: RedisStore,
    replies: Receiver<(u64, Reply)>,
    events: Receiver<StoreEvent>,
    tickets: u64,
}

impl Client {
    fn of_url(url: &str) -> Client {
        Client::new(Server::parse(url).unwrap())
    }

    fn new(mut server: Server) -> Client {
        server.timeout = Duration::from_secs(20);
        Client::with_timeout(server)
    }

    fn with_timeout(server: Server) -> Client {
        let (sender, replies) = sync_channel(1_024);
        let (event_sender, events) = sync_channel(1_024);
        let store = RedisStore::start(
            server,
            1_024,
            move |ticket, reply| sender.send((ticket, reply)).unwrap(),
            move |event| event_sender.send(event).unwrap(),
        );
        Client {
            store: store.unwrap(),
            replies,
            events,
            tickets: 0,
        }
    }

    fn call(&mut self, call: Call) -> Reply {
        self.tickets += 1;
        self.store.call(self.tickets, call).unwrap();
        let (ticket, reply) = self.replies.recv_timeout(LONG).unwrap();
        assert_eq!(ticket, self.tickets);
        reply
    }

    fn lease(&mut self) -> Reply {
        self.call(Call::Lease {
            had: None,
            instance: Instance([1; 16]),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            length: Duration::from_secs(3_600),
            seen: 0,
            superseded_seen: 0,
        })
    }

    /// Calls until there is a lease.
    fn lease_again(&mut self) -> Owner {
        let begin = Instant::now();
        while begin.elapsed() < LONG {
            if let Reply::Leased { owner, .. } = self.lease() {
                return owner;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{:?}", self.events.try_iter().collect::<Vec<_>>());
    }

    fn event(&self) -> StoreEvent {
        self.events.recv_timeout(LONG).unwrap()
    }

    /// Why the calls fail.
    fn failure(&mut self) -> String {
        assert_eq!(self.lease(), Reply::Failed);
        match self.event() {
            StoreEvent::Failed(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// One call of each kind.
    fn all_calls(&mut self) {
        let owner = self.lease_again();
        let key = SessionKey([1; 8]);
        let create = Call::Create {
            key,
            owner,
            address: Some(AddressKey([2; 8])),
            device: Some(DeviceKey([4; 8])),
            observes: true,
            start: 5,
            born: 1,
            is_again: false,
            block: 16,
            pace: 64,
            row: vec![7; 350],
        };
        assert!(matches!(self.call(create), Reply::Created { .. }));
        let save = Call::Save {
            key,
            version: 0,
            owner,
            address: Some(AddressKey([3; 8])),
            observes: false,
            moves: true,
            block: Some(16),
            pace: 64,
            row: vec![8; 350],
        };
        assert!(matches!(self.call(save), Reply::Saved { .. }));
        let claim = Call::Claim {
            name: Name::Address(AddressKey([3; 8])),
            owner,
            held: Some(0),
            take: true,
            block: 16,
            pace: 64,
        };
        assert_eq!(self.call(claim), Reply::Owned { key });
        let orphans = Call::Orphans { owner, most: 64 };
        assert_eq!(self.call(orphans), Reply::Orphans { keys: Vec::new() });
        let version = 0;
        let remove = Call::Remove {
            key,
            version,
            owner,
        };
        assert_eq!(self.call(remove), Reply::Removed);
        assert_eq!(self.call(Call::Release { owner }), Reply::Released);
        assert!(matches!(self.event(), StoreEvent::Connected { .. }));
        assert!(self.events.try_recv().is_err());
    }
}

/// A server with a certificate for this address and for localhost, and its CA.
fn with_tls(options: &[&str]) -> (Redis, Vec<u8>) {
    let address = own_address();
    let mut params = CertificateParams::new(vec!["the CA".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec![address.ip().to_string(), "localhost".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca_file, key_file, certificate_file) = (
        file("ca.pem", &ca.pem()),
        file("key.pem", &key.serialize_pem()),
        file("certificate.pem", &certificate.pem()),
    );
    let mut all = vec!["--tls-ca-cert-file", &ca_file];
    all.extend(["--tls-key-file", &key_file]);
    all.extend(["--tls-cert-file", &certificate_file]);
    all.extend(options);
    let redis = Redis::start_in(directory, address, "--tls-port", &all);
    (redis, ca.pem().into_bytes())
}

#[test]
fn a_server_is_reached_over_tls_if_its_certificate_is_trusted() {
    let (redis, ca) = with_tls(&["--tls-auth-clients", "no"]);
    let mut server = Server::parse(&format!("rediss://{}", redis.address)).unwrap();
    server.ca = Some(ca);
    server.check().unwrap();
    Client::new(server.clone()).all_calls();

    // The CA is another one.
    let (_other, other_ca) = with_tls(&[]);
    server.ca = Some(other_ca);
    let failure = Client::new(server.clone()).failure();
    assert!(failure.contains("certificate"), "{failure}");
    assert!(failure.contains("CA file"), "{failure}");
    // No TLS where it is expected.
    let failure = Client::of_url(&redis.url()).failure();
    assert!(
        failure.contains("closed") || failure.contains("reset") || failure.contains("TLS"),
        "{failure}"
    );
    // TLS where it is not.
    let plain = Redis::start("--port", &[]);
    server.host = plain.address.ip().to_string();
    server.port = plain.address.port();
    server.timeout = Duration::from_millis(500);
    let failure = Client::with_timeout(server.clone()).failure();
    assert!(failure.contains("it may not expect TLS"), "{failure}");
    // The file has no certificate.
    server.ca = Some(b"nothing".to_vec());
    assert!(server.check().is_err());
    let started = RedisStore::start(server, 1, |_, _| {}, |_| {});
    assert!(matches!(started, Err(StartError::Tls(_))));
}

#[test]
fn a_certificate_must_have_the_name_of_the_url() {
    let (redis, ca) = with_tls(&["--tls-auth-clients", "no"]);
    let mut server = Server::parse(&format!("rediss://{}", redis.address)).unwrap();
    server.ca = Some(ca);
    // An address that is the same to the system, and not to TLS.
    server.host = format!("::ffff:{}", redis.address.ip());
    let failure = Client::new(server).failure();
    assert!(failure.contains("not valid for name"), "{failure}");
}

#[test]
fn a_server_that_expects_a_client_certificate_says_so() {
    let (redis, ca) = with_tls(&["--tls-auth-clients", "yes"]);
    let mut server = Server::parse(&format!("rediss://{}", redis.address)).unwrap();
    server.ca = Some(ca);
    let failure = Client::new(server).failure();
    // It may close the connection before its alert is read.
    let expected = ["client certificate", "closed", "reset", "Broken pipe"];
    assert!(
        expected.iter().any(|text| failure.contains(text)),
        "{failure}"
    );
}

#[test]
fn a_name_is_resolved_and_each_of_its_addresses_is_tried() {
    let directory = tempfile::tempdir().unwrap();
    let port = fastrand::u16(20_000..30_000);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // localhost is ::1 first on many machines, and nothing listens there.
    let _redis = Redis::start_in(directory, address, "--port", &[]);
    Client::of_url(&format!("redis://localhost:{port}")).all_calls();
    let failure = Client::of_url("redis://no-such-host.invalid").failure();
    assert!(failure.contains("can't be reached"), "{failure}");
}

/// What crates/replicas-redis/src/lib.rs says that a user needs.
const RIGHTS: &str = "~coaps-gateway:* -@all +@read +@write -@dangerous +time +evalsha +script|load +select +info +client|id +client|kill";

#[test]
fn the_documentation_has_the_same_rights() {
    assert!(include_str!("../src/lib.rs").contains(RIGHTS));
}

#[test]
fn a_user_needs_few_rights() {
    let redis = Redis::start("--port", &[]);
    let user = format!("ACL SETUSER gateway on >hunter2 {RIGHTS}");
    assert_eq!(redis.command(&user), "+OK\r\n");
    let user = format!("ACL SETUSER open on nopass {RIGHTS}");
    assert_eq!(redis.command(&user), "+OK\r\n");
    assert_eq!(redis.command("ACL SETUSER default off"), "+OK\r\n");
    let url = |login: &str| format!("redis://{login}@{}", redis.address);
    Client::of_url(&url("gateway:hunter2")).all_calls();
    let failure = Client::of_url(&redis.url()).failure();
    assert!(failure.contains("expects a password"), "{failure}");
    Client::of_url(&url("open")).all_calls();
    for (login, expected) in [
        ("gateway:hunter3", "refuses the user's name or password"),
        ("nobody:hunter2", "refuses the user's name or password"),
        (":hunter2", "refuses the user's name or password"),
        ("gateway", "refuses the user's name or password"),
    ] {
        let failure = Client::of_url(&url(login)).failure();
        assert!(failure.contains(expected), "{login}: {failure}");
        assert!(!failure.contains("hunter"), "{failure}");
    }
}

#[test]
fn a_user_without_the_rights_is_named() {
    let redis = Redis::start("--port", &[]);
    redis.command(&format!("ACL SETUSER few on >hunter2 {RIGHTS} -evalsha"));
    redis.command(&format!(
        "ACL SETUSER other on >hunter2 {RIGHTS} resetkeys ~other:*"
    ));
    for (user, expected) in [
        ("few", "may not call EVALSHA"),
        ("other", "may not call EVALSHA"),
    ] {
        let url = format!("redis://{user}:hunter2@{}", redis.address);
        let failure = Client::of_url(&url).failure();
        assert!(failure.contains(expected), "{user}: {failure}");
    }
}

#[test]
fn servers_that_will_not_do_are_named() {
    let redis = Redis::start("--port", &["--cluster-enabled", "yes"]);
    assert!(Client::of_url(&redis.url()).failure().contains("Cluster"));
    let redis = Redis::start("--port", &["--sentinel"]);
    assert!(Client::of_url(&redis.url()).failure().contains("Sentinel"));
    let primary = Redis::start("--port", &[]);
    let of = format!("{} {}", primary.address.ip(), primary.address.port());
    let redis = Redis::start("--port", &["--replicaof", &of]);
    let mut client = Client::of_url(&redis.url());
    assert!(client.failure().contains("replica"));
    // It becomes the primary.
    assert_eq!(redis.command("REPLICAOF NO ONE"), "+OK\r\n");
    client.lease_again();
    // A second later, as a connection that fails at once is none.
    let begin = Instant::now();
    while client.events.try_recv().is_err() {
        client.lease_again();
        std::thread::sleep(Duration::from_millis(100));
        assert!(begin.elapsed() < LONG);
    }
}

#[test]
fn a_primary_that_becomes_a_replica_is_left_and_said_once() {
    let primary = Redis::start("--port", &[]);
    let redis = Redis::start("--port", &[]);
    let mut client = Client::of_url(&redis.url());
    client.lease_again();
    assert!(matches!(client.event(), StoreEvent::Connected { .. }));
    let of = format!("{} {}", primary.address.ip(), primary.address.port());
    assert_eq!(redis.command(&format!("REPLICAOF {of}")), "+OK\r\n");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert_eq!(client.lease(), Reply::Failed);
        std::thread::sleep(Duration::from_millis(20));
    }
    let events: Vec<StoreEvent> = client.events.try_iter().collect();
    let texts: Vec<String> = events
        .iter()
        .map(|event| match event {
            StoreEvent::Failed(error) => error.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    // The connection may be reset, or the server may be loading, before it says what it is.
    assert!(texts.len() <= 4, "{texts:?}");
    assert!(texts.last().unwrap().contains("replica"), "{texts:?}");
}

#[test]
fn memory_that_is_full_and_a_policy_that_evicts_leases_are_said() {
    let options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let redis = Redis::start("--port", &options);
    let mut client = Client::of_url(&redis.url());
    client.lease_again();
    match client.event() {
        StoreEvent::Warning(warning) => assert!(warning.to_string().contains("allkeys-lru")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.event(), StoreEvent::Connected { .. }));
    redis.command("CONFIG SET maxmemory-policy noeviction");
    redis.command("CONFIG SET maxmemory 1");
    let failure = client.failure();
    assert!(failure.contains("memory is full"), "{failure}");
}

#[test]
fn a_connection_that_is_killed_is_opened_again_and_the_former_one_is_ended() {
    let redis = Redis::start("--port", &[]);
    let mut client = Client::of_url(&redis.url());
    client.all_calls();
    let clients = || {
        let list = redis.command("CLIENT LIST TYPE normal");
        // The one that asks is one of them.
        list.lines().filter(|line| line.contains("addr=")).count() - 1
    };
    assert_eq!(clients(), 1);
    redis.command("CLIENT KILL TYPE normal SKIPME yes");
    client.lease_again();
    assert_eq!(clients(), 1);
    // All scripts are gone.
    assert_eq!(redis.command("SCRIPT FLUSH"), "+OK\r\n");
    client.lease_again();
    assert_eq!(clients(), 1);
    drop(client);
    assert!(Path::new(redis.directory.path()).exists());
}
