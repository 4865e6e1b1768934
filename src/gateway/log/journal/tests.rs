use super::*;
use crate::device::{CertificateId, Device};
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
        via: None,
    }
}

#[test]
fn a_bound_that_was_reached_is_logged_with_the_count_since_the_last_line() {
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
                ("upstream.max_connections", 0),
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
fn an_unregistered_certificate_is_logged_once_with_the_lines_for_the_registry() {
    let lines = log_lines::of(|| {
        let mut journal = Journal::default();
        let now = start();
        for _ in 0..3 {
            let peer = unregistered(b"one");
            journal.established(now, &peer);
            journal.ended(&peer, &EndReason::CloseNotify);
        }
        journal.established(now, &unregistered(b"other"));
    });
    let devices = lines.iter().filter(|line| *line == "[[device]]");
    assert_eq!(devices.count(), 2, "{lines:#?}");
    let fingerprint = unregistered(b"one").fingerprint().to_string();
    let pasted = format!("fingerprint = \"{fingerprint}\"");
    assert!(lines.contains(&pasted), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("ended")));
}

#[test]
fn an_expired_certificate_is_logged_once_for_each_address() {
    let refusal = |seconds| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        CertificateError::Expired {
            not_after: UnixTime::since_unix_epoch(Duration::from_secs(1)).into(),
            now: now.into(),
        }
    };
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        for seconds in 100..200 {
            for host in [1, 2] {
                let failure = HandshakeFailure::CertificateRefused {
                    certificate: [7; 32],
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
fn forged_hellos_suppress_no_other_failure_and_write_no_long_line() {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        for address in 0..10_000_u32 {
            let path = Path {
                remote: SocketAddr::new(std::net::Ipv4Addr::from(address).into(), 1),
                local: None,
                via: None,
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
fn unanswered_client_rpcs_and_refused_provisioning_are_not_logged_as_warnings() {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        let peer = unregistered(b"one");
        journal.upstream_failed(
            now,
            &peer,
            ExchangeId(1),
            AnswerKind::RpcReply,
            &Error::Overloaded,
        );
        let refused = Error::Rejected(Rejection::TokenRefused);
        journal.upstream_failed(now, &peer, ExchangeId(1), AnswerKind::Provisioned, &refused);
        for _ in 0..3 {
            journal.upstream_failed(
                now,
                &peer,
                ExchangeId(1),
                AnswerKind::Created,
                &Error::Timeout,
            );
        }
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("did not answer in time"));
}

#[test]
fn failed_polls_are_logged_once_a_minute_with_a_remedy_if_there_is_one() {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        let (requested, lasted) = (Duration::from_secs(60), Duration::from_secs(30));
        journal.polls_cut_off(requested, lasted);
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

#[test]
fn a_changed_registry_is_logged_by_what_it_means_for_the_session() {
    let device = Arc::new(Device {
        name: "meter-17".into(),
        token: crate::device::AccessToken::new("TOKEN".to_owned()).unwrap(),
    });
    let lines = log_lines::of(|| {
        let journal = Journal::default();
        let registered = peer([192, 0, 2, 1], b"one", Some(&device));
        journal.device_changed(&registered, None);
        journal.device_changed(&registered, Some("meter-18"));
        journal.device_changed(&unregistered(b"one"), Some("meter-18"));
    });
    let [removed, assigned, added] = lines.as_slice() else {
        panic!("{lines:#?}");
    };
    assert!(removed.contains("certificate removed from the registry"));
    assert!(removed.contains("meter-17") && !removed.contains("new_device"));
    assert!(assigned.contains("certificate assigned to another device"));
    assert!(assigned.contains("meter-17") && assigned.contains("new_device=\"meter-18\""));
    assert!(added.contains("certificate registered") && added.contains("meter-18"));
}

fn unregistered(certificate: &[u8]) -> Peer {
    peer([192, 0, 2, 1], certificate, None)
}

/// A peer with this certificate, and its device if the certificate is registered.
fn peer(address: [u8; 4], certificate: &[u8], device: Option<&Arc<Device>>) -> Peer {
    let id = CertificateId::of(certificate);
    let path = Path {
        remote: SocketAddr::from((address, 5684)),
        local: None,
        via: None,
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
    // Without the sampler it was 27 GB a day.
    let a_day = bytes(&lines) * 24 * 60;
    eprintln!("a device that reconnects all the time writes {a_day} bytes a day");
    assert!(a_day < 3_000_000, "{a_day}");
}

#[test]
fn a_flood_of_certificates_from_a_few_addresses_suppresses_no_others() {
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
    let entries = |lines: &[String]| lines.iter().filter(|line| *line == "[[device]]").count();
    assert_eq!(entries(&lines), 4 * 256);
    let times = lines.iter().filter(|line| line.contains("times=100"));
    assert_eq!(times.count(), 59, "a line a minute with their number");
    let a_day = bytes(&lines) * 24;
    eprintln!("new certificates from four addresses all the time write {a_day} bytes a day");
    assert!(a_day < 20_000_000, "{a_day}");
    lines = log_lines::of(|| {
        let mut journal = Journal::default();
        flood(&mut journal);
        for host in 10..250 {
            let other = peer([10, host, 0, 1], &[host], None);
            journal.established(start(), &other);
        }
    });
    assert_eq!(entries(&lines), 4 * 256 + 240);
}

#[test]
fn a_device_that_is_parked_repeatedly_is_logged_once_a_minute() {
    let lines = log_lines::of(|| {
        let mut journal = Journal::default();
        let (peer, start) = (unregistered(&[1]), start());
        for second in 0..120 {
            journal.parked(start + Duration::from_secs(second), &peer);
        }
        assert_eq!(journal.suppressed(), 118);
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn what_ends_a_devices_connection_is_one_line_an_hour_for_each_device() {
    let lines = log_lines::of(|| {
        let (mut journal, now) = (Journal::default(), start());
        for second in 0..3600 {
            let now = now + Duration::from_secs(second);
            for device in ["meter-17", "pump-03"] {
                journal.connection_displaced(now, device);
                journal.connection_rate_limited(now, device);
            }
        }
    });
    let of = |device: &str| lines.iter().filter(|line| line.contains(device)).count();
    assert_eq!((of("meter-17"), of("pump-03")), (2, 2), "{lines:#?}");
}
