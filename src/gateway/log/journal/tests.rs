use super::*;
use crate::device::Device;
use crate::dtls::SessionId;
use crate::logging::log_lines;
use coap::RemoteEndpoint;
use rustls_pki_types::UnixTime;
use std::net::SocketAddr;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn path(host: u8) -> Path {
    Path {
        remote: SocketAddr::from(([192, 0, 2, host], 5684)),
        local: None,
    }
}

fn stranger(certificate: &[u8]) -> Peer {
    let id = CertificateId::of(certificate);
    let endpoint = RemoteEndpoint::new(1);
    Peer::new(SessionId(1), path(1), id, None, endpoint, "1.2", start())
}

#[test]
fn a_bound_that_was_reached_is_told_once_with_how_often_since_the_last_time() {
    let lines = log_lines::of(|| {
        let mut journal = Journal::default();
        let mut minute = |hellos| {
            journal.bounds_reached([
                ("limits.hellos", hellos),
                ("limits.handshakes_per_address", 0),
                ("limits.handshakes", 0),
                ("upstream.max_in_flight", 0),
                ("upstream.max_in_flight_per_device", 0),
                ("upstream.max_client_rpc", 0),
                ("relay.max_polls", 0),
                ("relay.bytes", 0),
                ("coap.body_bytes", 0),
                ("the socket's send buffer", 0),
            ]);
        };
        minute(0);
        minute(7);
        minute(7);
        minute(9);
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("limits.hellos") && lines[0].contains("times=7"));
    assert!(lines[1].contains("times=2"));
}

#[test]
fn an_unregistered_certificate_is_told_once_with_the_lines_to_paste() {
    let lines = log_lines::of(|| {
        let mut journal = Journal::default();
        let now = start();
        for _ in 0..3 {
            let peer = stranger(b"one");
            journal.established(now, &peer);
            journal.ended(&peer, &EndReason::CloseNotify);
        }
        journal.established(now, &stranger(b"other"));
    });
    let devices = lines.iter().filter(|line| *line == "[[device]]");
    assert_eq!(devices.count(), 2, "{lines:#?}");
    let fingerprint = stranger(b"one").fingerprint().to_string();
    let pasted = format!("fingerprint = \"{fingerprint}\"");
    assert!(lines.contains(&pasted), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("ended")));
}

#[test]
fn an_expired_certificate_is_told_once_an_address_however_often_its_device_tries() {
    let refusal = |seconds| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        Refusal::Expired {
            not_after: UnixTime::since_unix_epoch(Duration::from_secs(1)).into(),
            now: now.into(),
        }
    };
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        for seconds in 100..200 {
            for host in [1, 2] {
                let failure = HandshakeFailure::CertificateRefused {
                    certificate: b"expired".to_vec(),
                    refusal: refusal(seconds),
                };
                journal.handshake_failed(now, path(host), &failure);
            }
        }
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("client certificate refused") && lines[0].contains("192.0.2.1"));
}

#[test]
fn forged_hellos_hide_no_refused_certificate_and_make_no_long_line() {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        for address in 0..10_000_u32 {
            let path = Path {
                remote: SocketAddr::new(std::net::Ipv4Addr::from(address).into(), 1),
                local: None,
            };
            let failure = HandshakeFailure::NoCommonCipherSuite {
                offered: vec![0xc0ae; 16],
                more: 32_000,
            };
            journal.handshake_failed(now, path, &failure);
        }
        let failure = HandshakeFailure::Engine("certificate error".to_owned());
        journal.handshake_failed(now, path(1), &failure);
    });
    assert!(lines.len() <= 4097, "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 1000));
    let last = lines.last().unwrap();
    assert!(last.contains("certificate error"), "{last}");
}

#[test]
fn a_silent_rule_chain_and_a_refused_provisioning_are_not_ours_to_warn_of() {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        let peer = stranger(b"one");
        journal.upstream_failed(
            now,
            &peer,
            ExchangeId(1),
            Expect::RpcReply,
            &Error::Overloaded,
        );
        let refused = Error::Rejected(crate::upstream::Status {
            code: 401,
            has_text: false,
        });
        journal.upstream_failed(now, &peer, ExchangeId(1), Expect::Provisioned, &refused);
        for _ in 0..3 {
            journal.upstream_failed(now, &peer, ExchangeId(1), Expect::Created, &Error::Timeout);
        }
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("did not answer in time"));
}

#[test]
fn polls_that_are_cut_off_or_brought_nonsense_are_told_with_what_to_change_and_the_others_once_a_minute()
 {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        let (asked, lasted) = (Duration::from_secs(60), Duration::from_secs(30));
        journal.polls_cut_off(asked, lasted);
        let poll = RelayCall::Poll(Kind::Commands, 1);
        for device in ["one", "two"] {
            journal.unparsable(now, device, Kind::Commands);
            journal.relay_call_failed(now, device, poll, &Error::Overloaded);
            journal.relay_call_failed(now, device, poll, &Error::Elapsed);
            journal.relay_call_failed(now, device, poll, &Error::Unreachable);
        }
    });
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("SPRING_MVC_ASYNC_REQUEST_TIMEOUT") && lines[0].contains("30 s"));
    assert!(lines[0].contains("relay.poll_timeout"));
    assert!(lines[1].contains("upstream.url") && lines[1].contains("one"));
    assert!(lines[2].contains("trying again"));
}

/// A peer of a certificate, and of a device if that is registered.
fn peer(address: [u8; 4], certificate: &[u8], device: Option<&Arc<Device>>) -> Peer {
    let id = CertificateId::of(certificate);
    let path = Path {
        remote: SocketAddr::from((address, 5684)),
        local: None,
    };
    let endpoint = RemoteEndpoint::new(1);
    let session = SessionId(1);
    Peer::new(session, path, id, device.cloned(), endpoint, "1.2", start())
}

fn bytes(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

const QUIET: [(&str, u64); BOUNDS] = [("none", 0); BOUNDS];

#[test]
fn a_device_that_connects_a_thousand_times_a_second_writes_a_few_lines_a_minute() {
    let device = Arc::new(Device {
        name: "meter-17".into(),
        token: crate::device::AccessToken::new("TOKEN".to_owned()).unwrap(),
    });
    let lines = log_lines::of(|| {
        let mut journal = Journal::default();
        for number in 0..4 * 256 * 60_u32 {
            let host = u8::try_from(number % 4).unwrap();
            let peer = peer([192, 0, 2, host], b"one", Some(&device));
            journal.established(start(), &peer);
            journal.ended(&peer, &EndReason::Replaced);
        }
        journal.bounds_reached(QUIET);
    });
    let of = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((of("session established"), of("session ended")), (4, 4));
    let more = "more sessions of this device";
    assert_eq!((of(more), of("times=61436")), (2, 2), "{lines:#?}");
    // 27 GB a day, once.
    let a_day = bytes(&lines) * 24 * 60;
    eprintln!("a device that churns writes {a_day} bytes a day");
    assert!(a_day < 3_000_000, "{a_day}");
}

#[test]
fn throwaway_certificates_of_one_source_hide_no_others_and_write_little() {
    let of = |host: u8, numbers: std::ops::Range<u32>| {
        move |journal: &mut Journal| {
            for number in numbers.clone() {
                let certificate = [&[host][..], &number.to_be_bytes()].concat();
                let peer = peer([192, 0, 2, host], &certificate, None);
                journal.established(start(), &peer);
            }
        }
    };
    let flood = |journal: &mut Journal| {
        for host in 1..=4 {
            of(host, 0..4_300)(journal);
        }
    };
    let mut lines = log_lines::of(|| {
        let mut journal = Journal::default();
        flood(&mut journal);
        for minute in 0..60 {
            of(1, 4_300..4_400)(&mut journal);
            journal.bounds_reached(QUIET);
            assert!(minute > 0 || journal.suppressed() > 16_000);
        }
    });
    let told = |lines: &[String]| lines.iter().filter(|line| *line == "[[device]]").count();
    assert_eq!(told(&lines), 4 * 256);
    let times = lines.iter().filter(|line| line.contains("times=100"));
    assert_eq!(times.count(), 59, "a line a minute with their number");
    let a_day = bytes(&lines) * 24;
    eprintln!("throwaway certificates from four addresses write {a_day} bytes a day");
    assert!(a_day < 20_000_000, "{a_day}");
    lines = log_lines::of(|| {
        let mut journal = Journal::default();
        flood(&mut journal);
        for host in 10..250 {
            let other = peer([10, host, 0, 1], &[host], None);
            journal.established(start(), &other);
        }
    });
    assert_eq!(told(&lines), 4 * 256 + 240);
}

#[test]
fn a_device_that_is_parked_again_and_again_is_told_once_a_minute() {
    let lines = log_lines::of(|| {
        let mut journal = Journal::default();
        let (peer, start) = (stranger(&[1]), start());
        for second in 0..120 {
            journal.parked(start + Duration::from_secs(second), &peer);
        }
        assert_eq!(journal.suppressed(), 118);
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
}
