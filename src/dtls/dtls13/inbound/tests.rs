//! The filter without an engine.

use super::*;

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
            Verdict::Certificates(number, body) => message(CERTIFICATE, number, &body),
            other => panic!("{other:?}"),
        });
    }
    records
}

/// A filter after a ClientHello with its cookie.
fn in_flight() -> InboundFilter {
    let mut inbound = InboundFilter::new(1);
    inbound.proven(false);
    inbound
}

/// The client's flight up to its ChangeCipherSpec.
fn flight() -> Vec<Vec<u8>> {
    let certificates = [0, 0, 6, 0, 0, 3, 7, 8, 9];
    let key = [vec![65, 4], vec![1; 64]].concat();
    vec![
        message(CERTIFICATE, 2, &certificates),
        message(CLIENT_KEY_EXCHANGE, 3, &key),
        message(CERTIFICATE_VERIFY, 4, &[4, 3, 0, 2, 1, 1]),
        record(pieces::CHANGE_CIPHER_SPEC, 0, &[1]),
    ]
}

fn established() -> InboundFilter {
    let mut inbound = in_flight();
    assert_eq!(passed(&mut inbound, &flight().concat()), flight());
    inbound.established();
    inbound
}

#[test]
fn messages_of_the_flight_pass_in_order_and_others_are_dropped() {
    for turn in 0..4 {
        let mut inbound = in_flight();
        for done in &flight()[..turn] {
            assert_eq!(passed(&mut inbound, done), std::slice::from_ref(done));
        }
        for (number, later) in flight().iter().enumerate() {
            if number != turn {
                assert!(passed(&mut inbound, later).is_empty(), "{number} at {turn}");
            }
        }
        let finished = record(HANDSHAKE, 1, &[7; 48]);
        assert!(passed(&mut inbound, &finished).is_empty(), "{turn}");
    }
    let mut inbound = in_flight();
    let finished = record(HANDSHAKE, 1, &[7; 48]);
    let all = [flight().concat(), finished.clone(), finished.clone()].concat();
    assert_eq!(
        passed(&mut inbound, &all).len(),
        6,
        "a Finished may be forged"
    );
    let forged = record(HANDSHAKE, 1, &[7; LARGEST_CONTROL + 1]);
    assert!(passed(&mut inbound, &forged).is_empty(), "it is malformed");
    assert!(passed(&mut inbound, &record(APPLICATION_DATA, 1, &[7; 40])).is_empty());
}

#[test]
fn a_repeated_hello_is_passed_as_a_short_record_whatever_its_length() {
    for is_13 in [false, true] {
        let mut inbound = InboundFilter::new(1);
        inbound.proven(is_13);
        let repeated = passed(&mut inbound, &fragment(CLIENT_HELLO, 1, 5000, 0, 4000));
        assert_eq!(repeated, [message(CLIENT_HELLO, 1, &[0])]);
        let rest = fragment(CLIENT_HELLO, 1, 5000, 4000, 1000);
        assert!(passed(&mut inbound, &rest).is_empty());
        assert!(passed(&mut inbound, &fragment(CLIENT_HELLO, 2, 50, 0, 50)).is_empty());
    }
}

#[test]
fn repeated_hellos_of_dtls_13_pass_only_as_often_as_a_client_sends_them() {
    let mut inbound = InboundFilter::new(1);
    inbound.proven(true);
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
        record(record::ALERT, 0, &[2, 40]),
        record(APPLICATION_DATA, 1, &[1; 40]),
        [vec![0x2e, 0, 0, 0, 20], vec![1; 20]].concat(),
    ] {
        assert!(passed(&mut inbound, &nothing).is_empty(), "{nothing:?}");
    }
}

#[test]
fn a_too_large_certificate_message_is_rejected_after_two_datagrams() {
    let large = fragment(CERTIFICATE, 2, LARGEST_CERTIFICATE_MESSAGE + 1, 0, 10);
    let mut inbound = in_flight();
    assert!(
        passed(&mut inbound, &large.repeat(20)).is_empty(),
        "one datagram"
    );
    let verdict = inbound.next(&mut Datagram::of(start(), &large));
    assert!(
        matches!(&verdict, Some(Verdict::Reject(alert::BAD_CERTIFICATE, why)) if why.contains("16 KiB")),
        "{verdict:?}"
    );
    let mut inbound = in_flight();
    assert!(passed(&mut inbound, &large).is_empty());
    assert_eq!(
        passed(&mut inbound, &flight()[0]).len(),
        1,
        "the client's own"
    );
    let largest = fragment(CERTIFICATE, 2, LARGEST_CERTIFICATE_MESSAGE, 0, 10);
    let mut inbound = in_flight();
    assert!(passed(&mut inbound, &largest).is_empty() && passed(&mut inbound, &largest).is_empty());
}

#[test]
fn more_than_ten_certificates_are_rejected() {
    for (count, is_refused) in [(1, false), (10, false), (11, true), (40, true)] {
        let list = [0, 0, 1, 7].repeat(count);
        let length = u8::try_from(list.len()).unwrap();
        let body = [&[0, 0, length], &list[..]].concat();
        let datagram = message(CERTIFICATE, 2, &body);
        let verdict = in_flight().next(&mut Datagram::of(start(), &datagram));
        assert_eq!(
            matches!(verdict, Some(Verdict::Reject(42, _))),
            is_refused,
            "{verdict:?}"
        );
    }
}

#[test]
fn plaintext_reaches_an_established_session_only_as_a_repeated_flight() {
    let mut inbound = established();
    let repeat = |number| vec![message(CLIENT_KEY_EXCHANGE, number, &[])];
    for (message, number) in flight().iter().zip(2..5) {
        assert_eq!(passed(&mut inbound, message), repeat(number));
    }
    let forged = [
        record(record::ALERT, 0, &[2, 40]).repeat(8),
        record(pieces::CHANGE_CIPHER_SPEC, 0, &[1]),
        fragment(CERTIFICATE, 5, 10, 0, 10),
        fragment(CERTIFICATE, 1, 10, 0, 10),
        fragment(CLIENT_KEY_EXCHANGE, 3, 60, 1, 10),
        message(CLIENT_HELLO, 0, &[0; 100]),
        record(APPLICATION_DATA, 0, &[1; 400]),
        record(24, 0, &[1; 16_000]),
    ];
    for forged in &forged {
        assert!(passed(&mut inbound, forged).is_empty(), "{forged:?}");
    }
    inbound.confirmed();
    assert!(passed(&mut inbound, &flight().concat()).is_empty());
}

#[test]
fn an_established_session_gets_records_of_its_epoch_with_valid_types_and_lengths() {
    let mut inbound = established();
    let verdict = |inbound: &mut InboundFilter, content_type, epoch, length| {
        passed(inbound, &record(content_type, epoch, &vec![7; length])).len()
    };
    for content_type in 0..=255 {
        let is_taken = matches!(content_type, 21..=23);
        assert_eq!(
            verdict(&mut inbound, content_type, 1, 40),
            usize::from(is_taken),
            "{content_type}"
        );
        assert_eq!(verdict(&mut inbound, content_type, 2, 40), 0);
    }
    assert_eq!(
        verdict(&mut inbound, APPLICATION_DATA, 1, (1 << 14) + 24),
        1
    );
    assert_eq!(
        verdict(&mut inbound, APPLICATION_DATA, 1, (1 << 14) + 257),
        0
    );
    assert_eq!(verdict(&mut inbound, HANDSHAKE, 1, LARGEST_CONTROL + 1), 0);
    let many = record(APPLICATION_DATA, 1, &[7; 30]).repeat(1000);
    assert_eq!(passed(&mut inbound, &many).len(), MAX_RECORDS);
}

#[test]
fn random_bytes_neither_panic_nor_are_buffered_beyond_a_message() {
    let mut rng = fastrand::Rng::with_seed(3);
    let base = [flight().concat(), fragment(CERTIFICATE, 2, 16_000, 40, 90)].concat();
    for round in 0..20_000 {
        let mut datagram = base[rng.usize(..base.len())..].to_vec();
        for _ in 0..rng.usize(..6) {
            let at = rng.usize(..datagram.len());
            datagram[at] = rng.u8(..);
        }
        let mut inbound = match round % 4 {
            0 => InboundFilter::new(0),
            1 => established(),
            _ => in_flight(),
        };
        for _ in 0..3 {
            let mut datagram = Datagram::of(start(), &datagram);
            while inbound.next(&mut datagram).is_some() {}
            assert!(inbound.buffered() <= 2 * LARGEST_CERTIFICATE_MESSAGE + 1024);
        }
    }
}
