use super::*;
use crate::coap::{Message, Response};
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

fn confirmable(dedup: &mut Deduplication, now: Instant, message_id: u16) -> Arrival {
    dedup.arrive(now, Type::Confirmable, message_id, &token())
}

#[test]
fn a_duplicate_under_way_changes_nothing() {
    let (mut dedup, now) = (Deduplication::default(), start());
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::New);
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::Ignore);
    assert_eq!(confirmable(&mut dedup, now, 8), Arrival::New);
}

#[test]
fn a_duplicate_after_an_empty_acknowledgement_is_acknowledged_again() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    dedup.acknowledged(7);
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::AcknowledgeAgain);
}

#[test]
fn a_duplicate_of_what_was_answered_gets_the_same_bytes() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    let (message, bytes) = reply(7, b"{\"client\":{}}");
    dedup.replied(7, message.code, &bytes, &token());
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::Repeat(bytes));
}

#[test]
fn a_message_id_is_free_again_after_its_lifetime() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    dedup.acknowledged(7);
    let almost = now + EXCHANGE_LIFETIME - Duration::from_secs(1);
    assert_eq!(
        confirmable(&mut dedup, almost, 7),
        Arrival::AcknowledgeAgain
    );
    assert_eq!(
        confirmable(&mut dedup, now + EXCHANGE_LIFETIME, 7),
        Arrival::New
    );

    dedup.arrive(now, Type::NonConfirmable, 9, &token());
    let again = |dedup: &mut Deduplication, at| dedup.arrive(at, Type::NonConfirmable, 9, &token());
    assert_eq!(again(&mut dedup, now), Arrival::Ignore);
    assert_eq!(again(&mut dedup, now + NON_LIFETIME), Arrival::New);
}

#[test]
fn an_expired_endpoint_holds_nothing() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    let (message, bytes) = reply(7, b"{}");
    dedup.replied(7, message.code, &bytes, &token());
    let at = dedup.empty_at().unwrap();
    assert_eq!(at, now + EXCHANGE_LIFETIME);
    dedup.expire(at - Duration::from_millis(1));
    assert_eq!(dedup.len(), 1);
    dedup.expire(at);
    assert!(dedup.is_empty() && dedup.empty_at().is_none());
    assert_eq!(dedup.entries.capacity(), 0);
}

#[test]
fn memory_is_bounded_and_what_is_in_progress_stays() {
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 0);
    for message_id in 1..5_000 {
        assert_eq!(confirmable(&mut dedup, now, message_id), Arrival::New);
        let (message, bytes) = reply(message_id, &[b'x'; 1000]);
        dedup.replied(message_id, message.code, &bytes, &token());
        assert!(dedup.len() <= MAX_MESSAGES);
        assert!(dedup.reply_bytes <= MAX_REPLY_BYTES);
    }
    assert_eq!(confirmable(&mut dedup, now, 0), Arrival::Ignore);
    assert!(matches!(
        confirmable(&mut dedup, now, 4_999),
        Arrival::Repeat(_)
    ));
    assert_eq!(
        confirmable(&mut dedup, now, 4_900),
        Arrival::Ignore,
        "its Message ID is remembered longer than its reply"
    );
}

/// A device at one message in ten seconds has 25 of these at any time.
#[test]
fn a_remembered_telemetry_message_is_one_small_entry_and_no_heap() {
    assert!(size_of::<Entry>() <= 48, "{}", size_of::<Entry>());
    let (mut dedup, now) = (Deduplication::default(), start());
    confirmable(&mut dedup, now, 7);
    let created = Response::new(Code::CREATED);
    let message = created.into_message(Type::Acknowledgement, 7, token());
    let bytes = message.encode(1152).unwrap();
    dedup.replied(7, message.code, &bytes, &token());
    assert_eq!(dedup.reply_bytes(), 0);
    assert_eq!(confirmable(&mut dedup, now, 7), Arrival::Repeat(bytes));
}
