//! Any way to cut, repeat, overlap and reorder fragments.

use super::*;

/// Class 35: each message is cut otherwise each time that it is sent, with overlaps, and everything comes in any order.
#[test]
fn class_35_any_cuts_repetitions_overlaps_and_orders_yield_the_messages() {
    let mut random = fastrand::Rng::with_seed(35);
    for _ in 0..400 {
        let bodies: Vec<Vec<u8>> = CLIENT_FLIGHT
            .iter()
            .map(|_| {
                let length = random.usize(0..900);
                std::iter::repeat_with(|| random.u8(..))
                    .take(length)
                    .collect()
            })
            .collect();
        let mut sent = Vec::new();
        for ((message_type, seq), body) in CLIENT_FLIGHT.into_iter().zip(1..).zip(&bodies) {
            for _ in 0..random.usize(1..4) {
                let largest = random.usize(1..300);
                let mut start = 0;
                while start < body.len() || body.is_empty() {
                    let end = body.len().min(start + random.usize(1..=largest));
                    sent.push(piece(message_type, seq, body, start, end));
                    if end == body.len() {
                        break;
                    }
                    start = end.saturating_sub(random.usize(0..largest.min(end - start)));
                }
            }
        }
        random.shuffle(&mut sent);
        let mut reassembly = Reassembly::new(1);
        let mut taken = Vec::new();
        for content in &sent {
            assert!(!matches!(
                insert(&mut reassembly, content),
                Insertion::Dropped(_)
            ));
            while let Some(message) = reassembly.take(&CLIENT_FLIGHT) {
                taken.push(message);
            }
        }
        assert_eq!(taken.len(), bodies.len());
        for (message, body) in taken.iter().zip(&bodies) {
            assert_eq!(message.body(), body);
            let as_sent = whole(message.message_type(), message.message_seq(), body).unwrap();
            assert_eq!(message.as_bytes(), as_sent);
        }
        assert_eq!(reassembly.size(), 0);
    }
}

/// Class 35, BoringSSL's Local-Refragment-…: a part is lost, and the repetition is cut otherwise.
#[test]
fn class_35_a_message_that_is_repeated_in_larger_or_smaller_fragments_completes() {
    let sent = body(500);
    for (before, after) in [(100, 300), (300, 100), (100, 500), (7, 11)] {
        let mut reassembly = Reassembly::new(1);
        let cut = |size: usize| {
            let sent = &sent;
            (0..sent.len()).step_by(size).map(move |start| {
                piece(
                    HandshakeType::CERTIFICATE,
                    1,
                    sent,
                    start,
                    sent.len().min(start + size),
                )
            })
        };
        // Every second one is lost.
        for content in cut(before).step_by(2) {
            insert(&mut reassembly, &content);
        }
        assert_eq!(reassembly.take(&CLIENT_FLIGHT), None);
        for content in cut(after) {
            insert(&mut reassembly, &content);
        }
        assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), sent);
    }
}

/// BoringSSL's Local-ManyFragments-…: the largest Certificate in fragments of one byte, in any order.
#[test]
fn fragments_of_one_byte_cost_no_more_than_the_message() {
    let sent = body(MAX_CERTIFICATE);
    let mut order: Vec<usize> = (0..sent.len()).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let mut reassembly = Reassembly::new(1);
    for &start in &order {
        assert_eq!(reassembly.take(&CLIENT_FLIGHT), None);
        let content = piece(HandshakeType::CERTIFICATE, 1, &sent, start, start + 1);
        assert_eq!(insert(&mut reassembly, &content), Insertion::Kept);
        assert!(reassembly.size() <= MAX_CERTIFICATE * 9 / 8 + 20);
    }
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), sent);
}
