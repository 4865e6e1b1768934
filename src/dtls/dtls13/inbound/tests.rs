//! The filter without an engine.

use super::*;
use crate::dtls::record::ALERT;

fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    });
    *START
}

/// A record with a DTLS 1.2 header.
pub(in crate::dtls) fn encoded_record(
    content_type: u8,
    epoch: u8,
    number: u8,
    content: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = [content_type, 254, 253, 0, epoch, 0, 0, 0, 0, 0, number];
    [&header, &length[..], content].concat()
}

/// A fragment of a handshake message, with its header.
pub(in crate::dtls) fn encoded_fragment(
    kind: u8,
    number: u16,
    total: usize,
    offset: usize,
    bytes: &[u8],
) -> Vec<u8> {
    let u24 = |number: usize| u32::try_from(number).unwrap().to_be_bytes()[1..].to_vec();
    let mut fragment = [vec![kind], u24(total), number.to_be_bytes().to_vec()].concat();
    fragment.extend([&u24(offset), &u24(bytes.len()), bytes].concat());
    fragment
}

fn record(content_type: u8, epoch: u8, content: &[u8]) -> Vec<u8> {
    encoded_record(content_type, epoch, 9, content)
}

/// A record with a fragment of a message that is all zeros.
fn fragment(kind: u8, number: u16, total: usize, offset: usize, length: usize) -> Vec<u8> {
    let fragment = encoded_fragment(kind, number, total, offset, &vec![0; length]);
    record(HANDSHAKE, 0, &fragment)
}

/// The records of a datagram that reach the engine.
fn passed(inbound: &mut InboundFilter, datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut datagram = Datagram::of(start(), datagram);
    let mut records = Vec::new();
    while let Some(verdict) = inbound.next(&mut datagram) {
        records.push(match verdict {
            Verdict::Pass(record) => record.to_vec(),
            Verdict::Replace(record) | Verdict::Hello(record) => record,
            other => panic!("{other:?}"),
        });
    }
    records
}

/// A filter after a ClientHello with its cookie.
fn in_flight() -> InboundFilter {
    let mut inbound = InboundFilter::new(1);
    inbound.proven();
    inbound
}

#[test]
fn a_repeated_hello_is_passed_as_a_short_record_whatever_its_length() {
    {
        let mut inbound = in_flight();
        let repeated = passed(&mut inbound, &fragment(CLIENT_HELLO, 1, 5000, 0, 4000));
        assert_eq!(repeated, [message(CLIENT_HELLO, 1, &[0])]);
        let rest = fragment(CLIENT_HELLO, 1, 5000, 4000, 1000);
        assert!(passed(&mut inbound, &rest).is_empty());
        assert!(passed(&mut inbound, &fragment(CLIENT_HELLO, 2, 50, 0, 50)).is_empty());
    }
}

#[test]
fn repeated_hellos_of_dtls_13_pass_only_as_often_as_a_client_sends_them() {
    let mut inbound = in_flight();
    let hello = fragment(CLIENT_HELLO, 0, 50, 0, 50);
    let mut counts = |second: &u64| {
        let now = start() + Duration::from_secs(*second);
        let verdict = inbound.next(&mut Datagram::of(now, &hello));
        verdict.is_some()
    };
    let seconds = (0..60).flat_map(|second| [second; 9]);
    let seconds: Vec<u64> = seconds.filter(|second| counts(second)).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31]);
}

#[test]
fn a_hello_reaches_the_engine_complete_and_in_order() {
    let mut inbound = InboundFilter::new(0);
    let half = |number| fragment(CLIENT_HELLO, number, 100, 0, 50);
    let rest = |number| fragment(CLIENT_HELLO, number, 100, 50, 50);
    assert!(passed(&mut inbound, &half(0)).is_empty() && inbound.buffered() > 0);
    let whole = [message(CLIENT_HELLO, 0, &[0; 100])];
    assert_eq!(passed(&mut inbound, &rest(0)), whole);
    assert_eq!(inbound.buffered(), 0);
    inbound.hello_answered();
    let repeated = [message(CLIENT_HELLO, 0, &[0])];
    assert_eq!(passed(&mut inbound, &half(0)), repeated);
    assert_eq!(passed(&mut inbound, &[half(1), rest(1)].concat()).len(), 1);
    for nothing in [
        fragment(CLIENT_HELLO, 1, LARGEST_CLIENT_HELLO + 1, 0, 10),
        fragment(CERTIFICATE, 1, 10, 0, 10),
        record(ALERT, 0, &[2, 40]),
        record(23, 1, &[1; 40]),
        [vec![0x2e, 0, 0, 0, 20], vec![1; 20]].concat(),
    ] {
        assert!(passed(&mut inbound, &nothing).is_empty(), "{nothing:?}");
    }
}

#[test]
fn only_protected_records_reach_a_handshake_after_its_hello_or_a_session() {
    let protected = [vec![0x2e, 0, 0, 0, 20], vec![1; 20]].concat();
    for is_established in [false, true] {
        let mut inbound = in_flight();
        if is_established {
            inbound.established();
        }
        for forged in [
            record(ALERT, 0, &[2, 40]).repeat(8),
            record(20, 0, &[1]),
            fragment(CERTIFICATE, 2, 10, 0, 10),
            fragment(CERTIFICATE, 2, LARGEST_CERTIFICATE_MESSAGE + 1, 0, 10),
            record(23, 0, &[1; 400]),
            record(23, 1, &[1; 40]),
            record(24, 0, &[1; 16_000]),
        ] {
            assert!(passed(&mut inbound, &forged).is_empty(), "{forged:?}");
        }
        assert_eq!(
            passed(&mut inbound, &protected),
            std::slice::from_ref(&protected)
        );
        assert_eq!(
            passed(&mut inbound, &protected.repeat(1000)).len(),
            MAX_RECORDS
        );
        assert_eq!(inbound.buffered(), 0);
    }
}

#[test]
fn random_bytes_neither_panic_nor_are_buffered_beyond_a_message() {
    let mut rng = fastrand::Rng::with_seed(3);
    let base = [
        fragment(CLIENT_HELLO, 0, 8_000, 40, 90),
        fragment(CLIENT_HELLO, 1, 100, 0, 100),
        vec![0x2e, 0, 0, 0, 20],
        vec![1; 20],
        record(ALERT, 0, &[2, 40]),
    ]
    .concat();
    for round in 0..20_000 {
        let mut datagram = base[rng.usize(..base.len())..].to_vec();
        for _ in 0..rng.usize(..6) {
            let at = rng.usize(..datagram.len());
            datagram[at] = rng.u8(..);
        }
        let mut inbound = match round % 4 {
            0 => InboundFilter::new(0),
            1 => InboundFilter::new(1),
            _ => in_flight(),
        };
        for _ in 0..3 {
            let mut datagram = Datagram::of(start(), &datagram);
            while inbound.next(&mut datagram).is_some() {}
            assert!(inbound.buffered() <= 2 * LARGEST_CLIENT_HELLO + 1024);
        }
    }
}
