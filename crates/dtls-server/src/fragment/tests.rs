use super::*;
use crate::message::{HandshakeType, whole};
use crate::reassembly::{Insertion, Reassembly};
use crate::record::{self, DTLS_1_2, TooLong};

/// The header of a plaintext record.
const PLAIN: usize = 13;
const CLIENT_FLIGHT: [HandshakeType; 3] = [
    HandshakeType::CERTIFICATE,
    HandshakeType::CLIENT_KEY_EXCHANGE,
    HandshakeType::CERTIFICATE_VERIFY,
];

/// Writes plaintext records, numbered from `sequence` on.
fn writer(
    sequence: &mut u64,
) -> impl FnMut(ContentType, &[u8], &mut Vec<u8>) -> Result<(), TooLong> {
    move |content_type, content, out| {
        let number = *sequence;
        *sequence += 1;
        record::write_plaintext(out, content_type, DTLS_1_2, number, content)
    }
}

fn limits(content: usize) -> RecordLimits {
    RecordLimits {
        content,
        overhead: PLAIN,
    }
}

/// A flight of messages with these lengths, then a ChangeCipherSpec.
fn flight(
    mut datagrams: Datagrams,
    content: usize,
    lengths: &[usize],
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut sequence = 0;
    let mut messages = Vec::new();
    for ((length, seq), message_type) in lengths.iter().zip(0..).zip(CLIENT_FLIGHT) {
        let body: Vec<u8> = (0..*length)
            .map(|index| u8::try_from(index % 253).unwrap())
            .collect();
        let message = whole(message_type, seq, &body).unwrap();
        datagrams
            .push_message(&message, limits(content), writer(&mut sequence))
            .unwrap();
        messages.push(message);
    }
    let change = ContentType::CHANGE_CIPHER_SPEC;
    datagrams
        .push_record(change, &[1], limits(content), writer(&mut sequence))
        .unwrap();
    (datagrams.finish(), messages)
}

/// Takes the messages out of the datagrams, and checks that the records are numbered and within their limits.
fn received(datagrams: &[Vec<u8>], content: usize) -> Vec<Vec<u8>> {
    let mut reassembly = Reassembly::new(0);
    let mut messages = Vec::new();
    let records = datagrams
        .iter()
        .flat_map(|datagram| record::records(datagram, 0));
    for (record, sequence) in records.zip(0..) {
        assert_eq!(record.sequence, sequence);
        assert!(record.fragment.len() <= content);
        if record.content_type != ContentType::HANDSHAKE {
            continue;
        }
        let mut fragments = fragments(record.fragment);
        let fragment = fragments.next().unwrap().unwrap();
        assert_eq!(reassembly.insert(&fragment, false), Insertion::Kept);
        assert!(fragments.next().is_none(), "one message a record");
        while let Some(message) = reassembly.take(&CLIENT_FLIGHT) {
            messages.push(message.as_bytes().to_vec());
        }
    }
    messages
}

#[test]
fn any_flight_comes_through_any_sizes() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..2000 {
        let mtu = random.usize(64..1500);
        let content = random.usize(64..2000);
        let lengths = [1000, 200, 200].map(|most| random.usize(0..most) * random.usize(0..2));
        let (is_small, size) = match random.bool() {
            true => (true, mtu.min(SMALL_DATAGRAM)),
            false => (false, mtu),
        };
        let datagrams = match is_small {
            true => Datagrams::small(mtu),
            false => Datagrams::new(mtu),
        };
        let (datagrams, messages) = flight(datagrams, content, &lengths);
        assert_eq!(received(&datagrams, content), messages);
        for datagram in &datagrams {
            assert!(datagram.len() <= size && !datagram.is_empty());
            assert!(!is_small || record::records(datagram, 0).count() == 1);
        }
    }
}

#[test]
fn a_flight_that_fits_is_one_datagram() {
    let (datagrams, _) = flight(Datagrams::new(1200), 1 << 14, &[600, 70, 80]);
    assert_eq!(datagrams.len(), 1);
    // One record a message, and the ChangeCipherSpec.
    assert_eq!(record::records(&datagrams[0], 0).count(), 4);
}

#[test]
fn a_message_is_not_cut_if_the_next_datagram_has_room_for_it() {
    let (datagrams, _) = flight(Datagrams::new(800), 1 << 14, &[500, 400, 80]);
    let counts: Vec<_> = datagrams
        .iter()
        .map(|datagram| record::records(datagram, 0).count())
        .collect();
    assert_eq!(counts, [1, 3]);
    // A message that is larger than any datagram begins in the one before.
    let (datagrams, _) = flight(Datagrams::new(800), 1 << 14, &[500, 900, 80]);
    assert_eq!(datagrams.len(), 2);
    assert_eq!(datagrams[0].len(), 800);
}

/// max_fragment_length 512 (RFC 6066 §4), and the smallest record_size_limit (RFC 8449 §4).
#[test]
fn records_are_as_small_as_the_client_needs_them() {
    let (datagrams, messages) = flight(Datagrams::new(1400), 512, &[1100, 170, 80]);
    assert_eq!(received(&datagrams, 512), messages);
    // Several records a datagram nevertheless.
    assert_eq!(datagrams.len(), 2);
    let (datagrams, messages) = flight(Datagrams::new(1400), 64, &[1100, 70, 80]);
    assert_eq!(received(&datagrams, 64), messages);
    assert_eq!(datagrams.len(), 2);
}

#[test]
fn datagrams_that_are_too_small_for_a_header_still_carry_a_byte_each() {
    let (datagrams, messages) = flight(Datagrams::new(10), 10, &[5, 0, 1]);
    assert_eq!(received(&datagrams, 13), messages);
    assert_eq!(datagrams.len(), 5 + 1 + 1 + 1);
}

#[test]
fn an_error_of_the_writer_is_returned() {
    let message = whole(HandshakeType::FINISHED, 0, &[0; 12]).unwrap();
    let mut datagrams = Datagrams::new(1000);
    assert_eq!(
        datagrams.push_message(&message, limits(100), |_, _, _| Err(TooLong)),
        Err(TooLong)
    );
    assert!(datagrams.finish().is_empty());
}
