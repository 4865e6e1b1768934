use super::*;
use crate::credentials::{ClientPolicy, ServerCredentials, Validity};
use crate::device::{AccessToken, CertificateId};
use crate::dtls;
use coap::RemoteEndpoint;
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn path(host: u8, port: u16) -> Path {
    Path {
        remote: SocketAddr::from(([10, 0, 0, host], port)),
        local: None,
        via: None,
    }
}

fn device(name: &str) -> Option<Arc<Device>> {
    let token = AccessToken::new("TOKEN").unwrap();
    let name = name.into();
    Some(Arc::new(Device { name, token }))
}

fn endpoint() -> Endpoint<Peer> {
    let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
    let key = Zeroizing::new(made.signing_key.serialize_der());
    let credentials = ServerCredentials::of_certificate(made.cert.der().to_vec(), key);
    let parameters = dtls::Parameters::default();
    let settings = dtls::Settings::new(&credentials, &parameters).unwrap();
    let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
    Endpoint::new(parameters, settings, policy)
}

struct Bench {
    sessions: Sessions,
    now: Instant,
    last: u64,
}

impl Bench {
    fn new(unregistered_sessions: usize) -> Bench {
        let limits = Limits {
            unregistered_sessions,
            sessions_per_device: 2,
        };
        Bench {
            sessions: Sessions::new(limits, endpoint()),
            now: start(),
            last: 0,
        }
    }

    fn admit(&mut self, path: Path, device: Option<Arc<Device>>) -> (SessionId, Admission) {
        self.last += 1;
        self.now += Duration::from_secs(1);
        let session = self.sessions.dtls.add_session();
        let certificate = CertificateId::of(&self.last.to_be_bytes());
        let endpoint = RemoteEndpoint::new(1);
        let peer = Peer::new(
            session,
            path,
            certificate,
            device,
            endpoint,
            "1.2",
            self.now,
        );
        (session, self.sessions.admit(peer, 0))
    }
}

#[test]
fn the_longest_silent_session_of_a_device_gives_way() {
    let mut bench = Bench::new(9);
    let device = device("meter");
    let (first, admission) = bench.admit(path(1, 1), device.clone());
    assert_eq!(admission, Admission::Alone);
    let (second, admission) = bench.admit(path(1, 2), device.clone());
    assert_eq!(admission, Admission::Alone);
    bench.sessions.received(bench.now, first);
    bench.now += Duration::from_secs(1);
    bench.sessions.received(bench.now, first);
    let (third, admission) = bench.admit(path(1, 3), device.clone());
    assert_eq!(admission, Admission::Displaces(second));
    bench.sessions.remove(second).unwrap();
    bench.sessions.remove(first).unwrap();
    bench.sessions.remove(third).unwrap();
    assert_eq!(bench.admit(path(1, 4), device).1, Admission::Alone);
    assert_eq!(bench.sessions.without_device(), 0);
}

/// A new address is not proven. Otherwise a few sessions from one address, moved in the name of others, would be seen as of
/// many, and those of a source with two devices would give way first.
#[test]
fn an_unregistered_session_counts_for_the_address_of_its_handshake() {
    let mut bench = Bench::new(4);
    let (honest, _) = bench.admit(path(1, 1), None);
    bench.admit(path(1, 2), None);
    let (registered, _) = bench.admit(path(3, 1), device("meter"));
    bench.sessions.moved(registered, path(1, 3));
    let mut moving = Vec::new();
    for port in 1..=2 {
        let (session, admission) = bench.admit(path(2, port), None);
        assert_eq!(admission, Admission::Alone);
        // Twice, and once in the name of the honest source.
        bench.sessions.moved(session, path(10, port));
        bench.sessions.moved(session, path(1, 9 + port));
        moving.push(session);
    }
    let last = bench.sessions.get(moving[1]).unwrap();
    assert_eq!(last.remote(), path(1, 11).remote);
    let (third, admission) = bench.admit(path(2, 3), None);
    assert_eq!(
        admission,
        Admission::DisplacesUnregistered(moving[0]),
        "the largest source's oldest"
    );
    for session in [moving[0], moving[1], third] {
        bench.sessions.remove(session).unwrap();
    }
    assert!(bench.sessions.handshaken_from.is_empty());
    assert_eq!(bench.sessions.unregistered(), 2);
    // What has ended does not move.
    bench.sessions.moved(third, path(5, 1));
    bench.sessions.remove(honest).unwrap();
    assert_eq!(
        (bench.sessions.unregistered(), bench.sessions.load().all),
        (1, 2)
    );
}

/// A handshake and a close_notify may come in one datagram.
#[test]
fn a_session_that_has_ended_gets_no_peer() {
    let mut bench = Bench::new(1);
    let ended = bench.sessions.dtls.add_session();
    bench.sessions.dtls.close(ended, "a test");
    for device in [None, device("meter")] {
        let certificate = CertificateId::of(b"ended");
        let endpoint = RemoteEndpoint::new(1);
        let peer = Peer::new(
            ended,
            path(1, 1),
            certificate,
            device,
            endpoint,
            "1.2",
            bench.now,
        );
        assert_eq!(bench.sessions.admit(peer, 0), Admission::Alone);
    }
    let load = bench.sessions.load();
    assert_eq!(
        (load.all, load.unregistered, load.most_of_one_device),
        (0, 0, 0)
    );
    assert_eq!((load.timers, bench.sessions.without_device()), (0, 0));
    assert!(bench.sessions.ids().is_empty());
}
