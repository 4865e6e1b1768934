mod forged;
mod properties;

use super::*;
use crate::message::{fragments, whole};

const CLIENT_FLIGHT: [HandshakeType; 3] = [
    HandshakeType::CERTIFICATE,
    HandshakeType::CLIENT_KEY_EXCHANGE,
    HandshakeType::CERTIFICATE_VERIFY,
];

/// The bytes from `start` to `end` of a message, with a header.
fn piece(
    message_type: HandshakeType,
    message_seq: u16,
    body: &[u8],
    start: usize,
    end: usize,
) -> Vec<u8> {
    let mut content = Vec::new();
    let header = Header {
        message_type,
        length: u32::try_from(body.len()).unwrap(),
        message_seq,
        fragment_offset: u32::try_from(start).unwrap(),
        fragment_length: u32::try_from(end - start).unwrap(),
    };
    header.write(&mut content);
    content.extend_from_slice(&body[start..end]);
    content
}

/// Inserts the one fragment of a record as plaintext.
fn insert(reassembly: &mut Reassembly, content: &[u8]) -> Insertion {
    insert_as(reassembly, content, false)
}

fn insert_as(reassembly: &mut Reassembly, content: &[u8], is_protected: bool) -> Insertion {
    let fragment = fragments(content).next().unwrap().unwrap();
    let insertion = reassembly.insert(&fragment, is_protected);
    assert!(reassembly.size() <= MAX_BYTES);
    insertion
}

/// Bytes that differ from each other.
fn body(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect()
}

fn header(
    message_type: HandshakeType,
    length: u32,
    fragment_offset: u32,
    fragment_length: u32,
) -> Header {
    Header {
        message_type,
        length,
        message_seq: 2,
        fragment_offset,
        fragment_length,
    }
}

#[test]
fn a_message_that_is_not_fragmented_is_taken_at_once() {
    let mut reassembly = Reassembly::new(1);
    let sent = whole(HandshakeType::CERTIFICATE, 1, &[1, 2, 3]).unwrap();
    assert_eq!(insert(&mut reassembly, &sent), Insertion::Kept);
    let message = reassembly.take(&[HandshakeType::CERTIFICATE]).unwrap();
    assert_eq!(message.message_type(), HandshakeType::CERTIFICATE);
    assert_eq!((message.message_seq(), message.body()), (1, &[1, 2, 3][..]));
    assert_eq!(message.as_bytes(), sent);
    assert_eq!(reassembly.take(&CLIENT_FLIGHT), None);
    assert_eq!(reassembly.size(), 0);
    // So is one without a body.
    let empty = whole(HandshakeType::CLIENT_KEY_EXCHANGE, 2, &[]).unwrap();
    assert_eq!(insert(&mut reassembly, &empty), Insertion::Kept);
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), []);
}

#[test]
fn messages_are_taken_in_their_order() {
    let mut reassembly = Reassembly::new(3);
    for place in [2, 1, 0] {
        assert_eq!(reassembly.take(&CLIENT_FLIGHT), None);
        let seq = 3 + u16::try_from(place).unwrap();
        let sent = whole(CLIENT_FLIGHT[place], seq, &[7; 40]).unwrap();
        insert(&mut reassembly, &sent);
    }
    for expected in CLIENT_FLIGHT {
        let message = reassembly.take(&[expected]).unwrap();
        assert_eq!(message.message_type(), expected);
    }
}

#[test]
fn fragments_of_a_message_that_was_taken_are_repetitions() {
    let mut reassembly = Reassembly::new(1);
    let sent = whole(HandshakeType::CERTIFICATE, 1, &[1, 2, 3]).unwrap();
    insert(&mut reassembly, &sent);
    reassembly.take(&CLIENT_FLIGHT).unwrap();
    assert_eq!(insert(&mut reassembly, &sent), Insertion::Repeated);
    let part = piece(HandshakeType::CERTIFICATE, 1, &[1, 2, 3], 1, 2);
    assert_eq!(insert(&mut reassembly, &part), Insertion::Repeated);
    // Even when the keys have changed: the client may have missed the last flight.
    reassembly.discard_plaintext();
    assert_eq!(insert(&mut reassembly, &sent), Insertion::Repeated);
    assert_eq!(reassembly.size(), 0);
}

#[test]
fn a_fragment_that_ends_behind_its_message_is_malformed() {
    let mut reassembly = Reassembly::new(2);
    for (length, offset, fragment_length) in
        [(2, 0, 3), (2, 2, 1), (2, 3, 0), (0, 0, 1), (9, u32::MAX, 1)]
    {
        let header = header(HandshakeType::CERTIFICATE, length, offset, fragment_length);
        let body = &[0; 3][..usize::try_from(fragment_length).unwrap()];
        let insertion = reassembly.insert(&Fragment { header, body }, false);
        assert_eq!(insertion, Insertion::Dropped(Reason::Malformed));
    }
    assert_eq!(reassembly.size(), 0);
}

#[test]
fn a_message_that_is_too_large_for_its_type_is_dropped() {
    for (message_type, largest) in [
        (HandshakeType::CERTIFICATE, MAX_CERTIFICATE),
        (HandshakeType::CERTIFICATE_VERIFY, MAX_SIGNATURE),
        (HandshakeType::CLIENT_KEY_EXCHANGE, MAX_OTHER),
        (HandshakeType(77), MAX_OTHER),
    ] {
        let mut reassembly = Reassembly::new(2);
        let too_large = piece(message_type, 2, &body(largest + 1), 0, 1);
        let reason = Reason::TooLarge(message_type);
        assert_eq!(
            insert(&mut reassembly, &too_large),
            Insertion::Dropped(reason)
        );
        assert_eq!(reassembly.size(), 0);
        let largest = body(largest);
        let half = largest.len() / 2;
        insert(
            &mut reassembly,
            &piece(message_type, 2, &largest, half, largest.len()),
        );
        insert(&mut reassembly, &piece(message_type, 2, &largest, 0, half));
        assert_eq!(reassembly.take(&[]).unwrap().body(), largest);
    }
    // 2^24 - 1 bytes are promised, of which one comes.
    let header = header(HandshakeType::CERTIFICATE, 0x00ff_ffff, 0, 1);
    let insertion = Reassembly::new(2).insert(&Fragment { header, body: &[0] }, false);
    assert_eq!(
        insertion,
        Insertion::Dropped(Reason::TooLarge(HandshakeType::CERTIFICATE))
    );
}

#[test]
fn what_was_plaintext_does_not_outlive_the_change_of_keys() {
    let mut reassembly = Reassembly::new(4);
    let finished = body(12);
    // BoringSSL's FragmentAcrossChangeCipherSpec: half of Finished in plaintext, half protected.
    insert(
        &mut reassembly,
        &piece(HandshakeType::FINISHED, 4, &finished, 0, 6),
    );
    reassembly.discard_plaintext();
    insert_as(
        &mut reassembly,
        &piece(HandshakeType::FINISHED, 4, &finished, 6, 12),
        true,
    );
    assert_eq!(reassembly.take(&[HandshakeType::FINISHED]), None);
    let plain = whole(HandshakeType::FINISHED, 4, &finished).unwrap();
    let dropped = Insertion::Dropped(Reason::Plaintext);
    assert_eq!(insert(&mut reassembly, &plain), dropped);
    assert_eq!(reassembly.take(&[HandshakeType::FINISHED]), None);
    insert_as(&mut reassembly, &plain, true);
    assert_eq!(
        reassembly.take(&[HandshakeType::FINISHED]).unwrap().body(),
        finished
    );
}

/// BoringSSL's WrongMessageType-…: the handshake can then end with unexpected_message.
#[test]
fn a_message_of_an_unexpected_type_is_taken_in_its_turn() {
    let mut reassembly = Reassembly::new(1);
    let wrong = whole(HandshakeType(42), 1, &[1]).unwrap();
    insert(&mut reassembly, &wrong);
    let message = reassembly.take(&[HandshakeType::CERTIFICATE]).unwrap();
    assert_eq!(message.message_type(), HandshakeType(42));
}

#[test]
fn message_numbers_end_at_65535() {
    let mut reassembly = Reassembly::new(u16::MAX);
    let last = whole(HandshakeType::CERTIFICATE, u16::MAX, &[1]).unwrap();
    insert(&mut reassembly, &last);
    assert!(reassembly.take(&CLIENT_FLIGHT).is_some());
    assert_eq!(insert(&mut reassembly, &last), Insertion::Repeated);
    let first = whole(HandshakeType::CERTIFICATE, 0, &[1]).unwrap();
    assert_eq!(insert(&mut reassembly, &first), Insertion::Repeated);
    assert_eq!(reassembly.take(&CLIENT_FLIGHT), None);
}
