use super::*;
use crate::device::{AccessToken, CertificateId};
use coap::RemoteEndpoint;
use std::net::SocketAddr;
use std::time::Duration;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn path(host: u8, port: u16) -> Path {
    Path {
        remote: SocketAddr::from(([10, 0, 0, host], port)),
        local: None,
    }
}

fn device(name: &str) -> Option<Arc<Device>> {
    let token = AccessToken::new("TOKEN").unwrap();
    let name = name.into();
    Some(Arc::new(Device { name, token }))
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
            sessions: Sessions::new(limits),
            now: start(),
            last: 0,
        }
    }

    fn admit(&mut self, path: Path, device: Option<Arc<Device>>) -> (SessionId, Admission) {
        self.last += 1;
        self.now += Duration::from_secs(1);
        let session = SessionId(self.last);
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

/// Otherwise whoever has made sessions from one address, and moves them, would be seen as many.
#[test]
fn an_unregistered_session_counts_for_its_new_address() {
    let mut bench = Bench::new(3);
    let (moving, _) = bench.admit(path(1, 1), None);
    let (other, _) = bench.admit(path(2, 1), None);
    let (registered, _) = bench.admit(path(3, 1), device("meter"));
    for port in [1, 2] {
        bench.sessions.moved(moving, path(2, port));
        bench.sessions.moved(registered, path(2, port));
    }
    assert_eq!(
        bench.sessions.get(moving).unwrap().remote,
        path(2, 2).remote
    );
    let (_, admission) = bench.admit(path(3, 1), None);
    assert_eq!(
        (admission, bench.sessions.unregistered()),
        (Admission::Alone, 3)
    );
    let (_, admission) = bench.admit(path(4, 1), None);
    assert_eq!(
        admission,
        Admission::DisplacesUnregistered(other),
        "the largest source's oldest"
    );
    bench.sessions.remove(other).unwrap();
    bench.sessions.remove(moving).unwrap();
    bench.sessions.moved(moving, path(5, 1));
    assert_eq!(
        (bench.sessions.unregistered(), bench.sessions.load().all),
        (2, 3)
    );
}
