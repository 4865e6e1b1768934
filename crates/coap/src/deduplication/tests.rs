use super::*;
use crate::{Message, Response};
use bytes::Bytes;

const TOKEN: &[u8] = &[1, 2, 3];

fn token() -> Token {
    Token::new(TOKEN).unwrap()
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn reply(message_id: u16, payload: &'static [u8]) -> (Message, Vec<u8>) {
    let response = Response::content(50, Bytes::from_static(payload));
    let message = response.into_message(Type::Acknowledgement, message_id, token());
    let bytes = message.encode(1152).unwrap();
    (message, bytes)
}

fn key(message_id: u16) -> MessageKey {
    MessageKey {
        message_id,
        hash: 0x5eed,
    }
}

fn classify(dedup: &mut Deduplication, now: Instant, kind: Type, key: MessageKey) -> Arrival {
    dedup.classify(now, kind, key, &token(), &mut Counters::default())
}

fn confirmable(dedup: &mut Deduplication, now: Instant, message_id: u16) -> Arrival {
    classify(dedup, now, Type::Confirmable, key(message_id))
}

#[test]
fn a_duplicate_of_a_request_in_progress_is_ignored() {
    let (mut dedup, now) = (Deduplication::default(), start());
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::New);
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::Ignore);
    assert_eq!(confirmable(&mut dedup, now, 8), Arrival::New);
}

#[test]
fn a_duplicate_after_an_empty_acknowledgement_is_acknowledged_again() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    dedup.record_acknowledgement(key(7));
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::AcknowledgeAgain);
}

#[test]
fn a_duplicate_of_an_answered_request_gets_the_same_bytes() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    let (message, bytes) = reply(7, b"{\"client\":{}}");
    dedup.record_reply(key(7), message.code, &bytes, &token(), false);
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::ReplyAgain(bytes));
}

#[test]
fn another_message_with_the_same_message_id_is_new_and_both_are_recognised() {
    let (mut dedup, now) = (Deduplication::default(), start());
    let (one, other) = (key(0), MessageKey { hash: 1, ..key(0) });
    assert_eq!(
        classify(&mut dedup, now, Type::Confirmable, one),
        Arrival::New
    );
    assert_eq!(
        classify(&mut dedup, now, Type::Confirmable, other),
        Arrival::New
    );
    dedup.record_reply(
        other,
        Code::CREATED,
        &[0x60, 0x41, 0, 0],
        &Token::default(),
        false,
    );
    dedup.record_acknowledgement(one);
    let again = classify(&mut dedup, now, Type::Confirmable, one);
    assert_eq!(again, Arrival::AcknowledgeAgain);
    let again = classify(&mut dedup, now, Type::Confirmable, other);
    assert!(matches!(again, Arrival::ReplyAgain(_)));
}

#[test]
fn a_message_is_forgotten_after_its_lifetime_and_not_before() {
    let (mut dedup, now) = (Deduplication::default(), start());
    let tick = Duration::from_secs(1) / TICKS;
    for (message_id, kind, lifetime) in [
        (1, Type::Confirmable, EXCHANGE_LIFETIME),
        (2, Type::NonConfirmable, NON_LIFETIME),
    ] {
        let begin = now + Duration::from_millis(1003) * u32::from(message_id);
        assert_eq!(
            classify(&mut dedup, begin, kind, key(message_id)),
            Arrival::New
        );
        // Another entry, so that the table is not freed with this one.
        let almost = begin + lifetime - Duration::from_millis(1);
        assert_eq!(
            confirmable(&mut dedup, almost, 1000 + message_id),
            Arrival::New
        );
        assert_eq!(
            classify(&mut dedup, almost, kind, key(message_id)),
            Arrival::Ignore
        );
        let over = begin + lifetime + tick;
        assert_eq!(
            classify(&mut dedup, over, kind, key(message_id)),
            Arrival::New
        );
        dedup = Deduplication::default();
    }
}

/// The clock of the entries has 16 bits, and wraps around every two hours.
#[test]
fn messages_are_remembered_as_long_in_a_session_of_several_days() {
    let (mut dedup, mut now) = (Deduplication::default(), start());
    for round in 0..3_000_u16 {
        assert_eq!(confirmable(&mut dedup, now, round), Arrival::New);
        dedup.record_acknowledgement(key(round));
        let later = now + Duration::from_secs(140);
        assert_eq!(
            confirmable(&mut dedup, later, round),
            Arrival::AcknowledgeAgain
        );
        assert!(dedup.len() <= 3, "{} after {round}", dedup.len());
        now = later;
    }
}

#[test]
fn eight_messages_a_second_are_all_recognised_until_their_lifetime_ends() {
    let (mut dedup, begin) = (Deduplication::default(), start());
    let mut counters = Counters::default();
    let at = |number: u16| begin + Duration::from_secs(1) * u32::from(number) / 8;
    for number in 0..10_000 {
        let now = at(number);
        assert_eq!(confirmable(&mut dedup, now, number), Arrival::New);
        dedup.record_reply(
            key(number),
            Code::CREATED,
            &[0x60, 0x41, 0, 0],
            &Token::default(),
            false,
        );
        let oldest = number.saturating_sub(8 * 246);
        let copy = dedup.classify(now, Type::Confirmable, key(oldest), &token(), &mut counters);
        assert!(
            matches!(copy, Arrival::ReplyAgain(_)),
            "{oldest} at {number}"
        );
    }
    assert_eq!(counters.messages_forgotten, 0);
    let Messages::Table(known) = &dedup.messages else {
        panic!("two thousand messages take a table");
    };
    let bytes = known.entries.capacity() * size_of::<Entry>()
        + known.message_ids.capacity() * size_of::<u16>()
        + known.replies.capacity();
    assert!(bytes <= 24 * 1024, "{bytes}");
}

#[test]
fn an_expired_endpoint_holds_nothing() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    let (message, bytes) = reply(7, b"{}");
    dedup.record_reply(key(7), message.code, &bytes, &token(), false);
    let at = dedup.empty_at().unwrap();
    assert_eq!(at, now + EXCHANGE_LIFETIME);
    dedup.expire(at - Duration::from_millis(1));
    assert_eq!(dedup.len(), 1);
    dedup.expire(at);
    assert!(dedup.holds_no_heap() && dedup.empty_at().is_none());
}

/// All that a device leaves behind that posts now and then.
#[test]
fn a_single_message_takes_no_heap_and_no_timer() {
    let now = start();
    let lifetimes = [
        (Type::Confirmable, EXCHANGE_LIFETIME),
        (Type::NonConfirmable, NON_LIFETIME),
    ];
    for (kind, lifetime) in lifetimes {
        let (mut dedup, mut counters) = (Deduplication::default(), Counters::default());
        let mut classify = |dedup: &mut Deduplication, now| {
            dedup.classify(now, kind, key(7), &token(), &mut counters)
        };
        for begin in [now, now + lifetime, now + 2 * lifetime] {
            assert_eq!(classify(&mut dedup, begin), Arrival::New);
            dedup.record_acknowledgement(key(8));
            dedup.record_reply(
                key(7),
                Code::CREATED,
                &[0x60, 0x41, 0, 7],
                &Token::default(),
                false,
            );
            assert!(dedup.holds_no_heap() && dedup.empty_at().is_none());
            assert_eq!(dedup.len(), 1);
        }
        dedup.forget(key(8));
        assert_eq!(dedup.len(), 1, "another message");
        dedup.forget(key(7));
        assert_eq!(dedup.len(), 0);
    }
}

/// A message that was alone is recognised until its lifetime ends, whatever follows it.
#[test]
fn a_single_message_moves_into_the_table() {
    let replied = [0x60, 0x41, 0, 7];
    for begin in [0, 1, 3_000_000] {
        let (mut dedup, now) = (
            Deduplication::default(),
            start() + Duration::from_millis(begin),
        );
        confirmable(&mut dedup, now, 7);
        dedup.record_reply(key(7), Code::CREATED, &replied, &Token::default(), false);
        let later = now + EXCHANGE_LIFETIME - Duration::from_millis(1);
        assert_eq!(confirmable(&mut dedup, later, 8), Arrival::New);
        let copy = confirmable(&mut dedup, later, 7);
        assert!(matches!(copy, Arrival::ReplyAgain(_)), "{copy:?}");
        assert_eq!(dedup.empty_at(), Some(later + EXCHANGE_LIFETIME));
        let expired = later + Duration::from_millis(300);
        assert_eq!(confirmable(&mut dedup, expired, 7), Arrival::New);
    }
}

#[test]
fn memory_is_bounded_and_requests_in_progress_stay() {
    let (mut dedup, now) = (Deduplication::default(), start());
    let mut counters = Counters::default();
    confirmable(&mut dedup, now, 0);
    for message_id in 1..5_000 {
        let kind = Type::Confirmable;
        let arrival = dedup.classify(now, kind, key(message_id), &token(), &mut counters);
        assert_eq!(arrival, Arrival::New);
        let (message, bytes) = reply(message_id, &[b'x'; 1000]);
        dedup.record_reply(key(message_id), message.code, &bytes, &token(), false);
        assert!(dedup.len() <= MAX_MESSAGES);
        assert!(dedup.reply_bytes() <= MAX_REPLY_BYTES);
    }
    assert_eq!(confirmable(&mut dedup, now, 0), Arrival::Ignore);
    assert!(matches!(
        confirmable(&mut dedup, now, 4_999),
        Arrival::ReplyAgain(_)
    ));
    assert_eq!(
        confirmable(&mut dedup, now, 4_900),
        Arrival::Ignore,
        "a message is remembered longer than its reply"
    );
    assert_eq!(counters.messages_forgotten, 5_000 - 2048);
}

/// A device at one message in ten seconds has 25 of these at any time.
#[test]
fn a_remembered_telemetry_message_takes_one_small_entry() {
    assert_eq!(size_of::<Entry>(), 8);
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    let created = Response::new(Code::CREATED);
    let message = created.into_message(Type::Acknowledgement, 7, token());
    let bytes = message.encode(1152).unwrap();
    dedup.record_reply(key(7), message.code, &bytes, &token(), false);
    assert_eq!(dedup.reply_bytes(), 0);
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::ReplyAgain(bytes));
}

#[test]
fn a_repeatable_request_is_processed_again_once_its_reply_was_evicted() {
    let (mut dedup, now) = (Deduplication::default(), start());
    for message_id in 0..6 {
        confirmable(&mut dedup, now, message_id);
        let (message, bytes) = reply(message_id, &[b'x'; 1000]);
        let repeatable = message_id != 1;
        dedup.record_reply(key(message_id), message.code, &bytes, &token(), repeatable);
        assert!(dedup.reply_bytes() <= MAX_REPLY_BYTES);
    }
    assert_eq!(confirmable(&mut dedup, now, 0), Arrival::ProcessAgain);
    assert_eq!(
        confirmable(&mut dedup, now, 0),
        Arrival::Ignore,
        "in progress"
    );
    assert_eq!(confirmable(&mut dedup, now, 1), Arrival::Ignore);
    let (message, bytes) = reply(0, b"{}");
    dedup.record_reply(key(0), message.code, &bytes, &token(), true);
    assert_eq!(confirmable(&mut dedup, now, 0), Arrival::ReplyAgain(bytes));
    assert_eq!(dedup.len(), 6);
}

#[test]
fn a_reply_too_large_to_be_kept_is_generated_again() {
    let (mut dedup, now) = (Deduplication::default(), start());
    let reply = vec![b'x'; 5 * 1024];
    for (message_id, again) in [(0, Arrival::ProcessAgain), (1, Arrival::Ignore)] {
        confirmable(&mut dedup, now, message_id);
        let repeatable = message_id == 0;
        dedup.record_reply(key(message_id), Code::CONTENT, &reply, &token(), repeatable);
        assert_eq!(confirmable(&mut dedup, now, message_id), again);
    }
}
