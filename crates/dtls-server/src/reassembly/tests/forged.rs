//! What others than the client send from its address.

use super::*;

/// Inserts the client's messages from `message_seq` 1 on, and checks that each is taken.
fn completes(reassembly: &mut Reassembly, case: &str) {
    for (expected, seq) in CLIENT_FLIGHT.into_iter().zip(1..) {
        // In two fragments, the second one first.
        let sent = body(700);
        insert(reassembly, &piece(expected, seq, &sent, 300, 700));
        insert(reassembly, &piece(expected, seq, &sent, 0, 300));
        let message = reassembly.take(&[expected]);
        let message = message.unwrap_or_else(|| panic!("{case}: {expected} was not complete"));
        assert_eq!(
            (message.message_type(), message.body()),
            (expected, &sent[..]),
            "{case}"
        );
    }
    reassembly.discard_plaintext();
    let finished = whole(HandshakeType::FINISHED, 4, &[7; 12]).unwrap();
    insert_as(reassembly, &finished, true);
    assert!(
        reassembly.take(&[HandshakeType::FINISHED]).is_some(),
        "{case}"
    );
}

/// Class 34. BoringSSL's Local-Forged-OneFutureFragment-…: of every type, at every distance, whole and in part.
#[test]
fn class_34_one_fragment_of_a_later_message_stops_nothing() {
    for forged_type in (0..=30).map(HandshakeType) {
        for seq in [2, 3, 4, 7, 8, 101, u16::MAX] {
            for (length, start, end) in [
                (0, 0, 0),
                (1, 0, 1),
                (500, 0, 1),
                (500, 499, 500),
                (700, 0, 0),
            ] {
                let is_whole = start == 0 && end == length;
                if is_whole && CLIENT_FLIGHT.get(usize::from(seq) - 1) == Some(&forged_type) {
                    // Only the keys can tell that it is not the client's.
                    continue;
                }
                let mut reassembly = Reassembly::new(1);
                insert(
                    &mut reassembly,
                    &piece(forged_type, seq, &vec![9; length], start, end),
                );
                completes(
                    &mut reassembly,
                    &format!("{forged_type} {seq} {length} {start}"),
                );
            }
        }
    }
}

/// Class 34: a whole message of a type that could come later, but not there.
#[test]
fn class_34_a_whole_message_ahead_of_its_place_stops_nothing() {
    let mut reassembly = Reassembly::new(1);
    let forged = whole(HandshakeType::CERTIFICATE_VERIFY, 2, &[9; 70]).unwrap();
    insert(&mut reassembly, &forged);
    completes(&mut reassembly, "ahead of its place");
    // When its turn has come without the client's own message, it is not taken either.
    let mut reassembly = Reassembly::new(1);
    insert(&mut reassembly, &forged);
    insert(
        &mut reassembly,
        &whole(HandshakeType::CERTIFICATE, 1, &[1]).unwrap(),
    );
    assert!(reassembly.take(&[HandshakeType::CERTIFICATE]).is_some());
    assert_eq!(reassembly.take(&[HandshakeType::CLIENT_KEY_EXCHANGE]), None);
    // But it is when it comes again, in its turn.
    insert(&mut reassembly, &forged);
    assert!(
        reassembly
            .take(&[HandshakeType::CLIENT_KEY_EXCHANGE])
            .is_some()
    );
}

#[test]
fn what_no_client_sends_ahead_is_not_kept() {
    let mut reassembly = Reassembly::new(1);
    for (message_type, seq) in [
        (HandshakeType::CLIENT_HELLO, 2),
        (HandshakeType::FINISHED, 4),
        (HandshakeType(99), 2),
        (HandshakeType::CERTIFICATE, 8),
    ] {
        let forged = piece(message_type, seq, &[9; 20], 0, 10);
        let insertion = insert(&mut reassembly, &forged);
        assert_eq!(insertion, Insertion::Dropped(Reason::Ahead));
    }
    assert_eq!(reassembly.size(), 0);
}

/// Class 34: the queue is full of what is ahead, in as many ways as there are.
#[test]
fn class_34_a_full_queue_stops_nothing() {
    let mut reassembly = Reassembly::new(1);
    for seq in (2..=7).rev() {
        for length in (700..720).chain(16_000..16_020) {
            insert(
                &mut reassembly,
                &piece(
                    HandshakeType::CERTIFICATE,
                    seq,
                    &body(length),
                    0,
                    length - 1,
                ),
            );
        }
    }
    assert!(reassembly.size() > MAX_BYTES / 2);
    completes(&mut reassembly, "a full queue");
}

/// Class 34: empty fragments of the next message, before and between its own.
#[test]
fn class_34_an_empty_fragment_stops_nothing() {
    let sent = body(64);
    let mut reassembly = Reassembly::new(1);
    let empty = |start| piece(HandshakeType::CERTIFICATE, 1, &sent, start, start);
    for start in [0, 32, 64] {
        let insertion = insert(&mut reassembly, &empty(start));
        assert_eq!(insertion, Insertion::Dropped(Reason::Empty));
    }
    assert_eq!(reassembly.size(), 0);
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &sent, 0, 32),
    );
    insert(&mut reassembly, &empty(32));
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &sent, 32, 64),
    );
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), sent);
    assert_eq!(
        insert(&mut reassembly, &empty(0)),
        Insertion::Dropped(Reason::Empty)
    );
}

/// Class 25: a forger that does not know the length of the client's message neither replaces nor blocks it.
#[test]
fn class_25_a_fragment_with_another_total_length_or_type_touches_nothing() {
    let sent = body(600);
    let own = [
        piece(HandshakeType::CERTIFICATE, 1, &sent, 0, 300),
        piece(HandshakeType::CERTIFICATE, 1, &sent, 300, 600),
    ];
    let forged = [
        piece(HandshakeType::CERTIFICATE, 1, &[9; 601], 0, 600),
        piece(HandshakeType::CERTIFICATE, 1, &[9; 599], 0, 10),
        piece(HandshakeType::CLIENT_KEY_EXCHANGE, 1, &[9; 600], 0, 599),
    ];
    // Before, between and after the two fragments of the client.
    for place in 0..=own.len() {
        let mut reassembly = Reassembly::new(1);
        let (before, after) = own.split_at(place);
        for content in before.iter().chain(&forged).chain(after) {
            assert_eq!(insert(&mut reassembly, content), Insertion::Kept);
        }
        let message = reassembly.take(&[HandshakeType::CERTIFICATE]).unwrap();
        assert_eq!(message.body(), sent, "{place}");
        assert_eq!(reassembly.size(), 0);
    }
}

/// Class 25: as many as there is room for give way to the client's.
#[test]
fn class_25_fragments_with_other_lengths_do_not_add_up_to_a_full_queue() {
    let sent = body(600);
    let mut reassembly = Reassembly::new(1);
    for length in (601..700).chain([16_000; 3]) {
        let forged = piece(HandshakeType::CERTIFICATE, 1, &vec![9; length], 0, 600);
        insert(&mut reassembly, &forged);
    }
    for start in [0, 200, 400] {
        let content = piece(HandshakeType::CERTIFICATE, 1, &sent, start, start + 200);
        insert(&mut reassembly, &content);
    }
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), sent);
}

/// Class 25: a total length that is too large for any message does not end one that has begun.
#[test]
fn class_25_a_forged_length_that_is_too_large_is_ignored_once_the_message_has_begun() {
    let sent = body(600);
    let mut reassembly = Reassembly::new(1);
    let forged = piece(HandshakeType::CERTIFICATE, 1, &body(20_000), 0, 600);
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &sent, 0, 300),
    );
    let mismatch = Insertion::Dropped(Reason::Mismatch);
    assert_eq!(insert(&mut reassembly, &forged), mismatch);
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &sent, 300, 600),
    );
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), sent);
}

/// The buffer to which nothing was added for longest gives way, so that the client's outlives what comes between.
#[test]
fn class_25_a_message_that_goes_on_is_not_pushed_out() {
    let sent = body(900);
    let mut reassembly = Reassembly::new(1);
    let mut lengths = 1..;
    for start in (0..900).step_by(100) {
        let own = piece(HandshakeType::CERTIFICATE, 1, &sent, start, start + 100);
        insert(&mut reassembly, &own);
        for length in lengths.by_ref().take(MAX_VARIANTS - 1) {
            let forged = piece(HandshakeType::CERTIFICATE, 1, &vec![9; length + 900], 0, 1);
            insert(&mut reassembly, &forged);
        }
    }
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), sent);
}

#[test]
fn what_is_farthest_ahead_gives_way_first() {
    let (large, small) = (body(16_000), body(600));
    let mut reassembly = Reassembly::new(1);
    let half = |seq, body: &[u8]| piece(HandshakeType::CERTIFICATE, seq, body, 0, body.len() / 2);
    let rest = |seq, body: &[u8]| {
        piece(
            HandshakeType::CERTIFICATE,
            seq,
            body,
            body.len() / 2,
            body.len(),
        )
    };
    insert(&mut reassembly, &half(2, &small));
    insert(&mut reassembly, &half(3, &large));
    insert(&mut reassembly, &half(1, &large));
    // There is no room for the third one now, nor can it get it from those before.
    let no_room = Insertion::Dropped(Reason::NoRoom);
    assert_eq!(insert(&mut reassembly, &half(3, &large)), no_room);
    for (seq, body) in [(1, &large), (2, &small)] {
        insert(&mut reassembly, &rest(seq, body));
        assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), *body);
    }
    assert_eq!(reassembly.size(), 0);
}

/// Class 25: the forger knows the length too, as that of each ClientKeyExchange is the same.
#[test]
fn class_25_bytes_that_are_not_the_clients_do_not_get_among_the_clients() {
    let sent = body(66);
    for distance in [0, 1] {
        for (start, end) in [(0, 1), (30, 31), (65, 66), (0, 65), (1, 66), (20, 60)] {
            for cut in [66, 40, 25] {
                let mut reassembly = Reassembly::new(2 - distance);
                let kind = HandshakeType::CLIENT_KEY_EXCHANGE;
                insert(&mut reassembly, &piece(kind, 2, &[9; 66], start, end));
                if distance > 0 {
                    let before = whole(HandshakeType::CERTIFICATE, 1, &[1]).unwrap();
                    insert(&mut reassembly, &before);
                    assert!(reassembly.take(&[HandshakeType::CERTIFICATE]).is_some());
                }
                // The second time, it is a repetition.
                let taken = (0..2).find_map(|_| {
                    insert(&mut reassembly, &piece(kind, 2, &sent, 0, cut));
                    insert(&mut reassembly, &piece(kind, 2, &sent, cut.min(65), 66));
                    reassembly.take(&[kind])
                });
                assert_eq!(taken.unwrap().body(), sent, "{start} {end} {cut}");
            }
        }
    }
}

/// Class 34: a whole message that was forged before its turn does not stand in for the client's, which comes in its turn.
#[test]
fn class_34_what_comes_in_its_turn_is_taken_before_what_came_ahead() {
    let mut reassembly = Reassembly::new(1);
    let kind = HandshakeType::CLIENT_KEY_EXCHANGE;
    insert(&mut reassembly, &whole(kind, 2, &[9; 66]).unwrap());
    let certificate = whole(HandshakeType::CERTIFICATE, 1, &[1]).unwrap();
    insert(&mut reassembly, &certificate);
    assert!(reassembly.take(&[HandshakeType::CERTIFICATE]).is_some());
    // In one record with the message before it: nothing is taken in between.
    insert(&mut reassembly, &whole(kind, 2, &body(66)).unwrap());
    assert_eq!(reassembly.take(&[kind]).unwrap().body(), body(66));
}

#[test]
fn bytes_that_are_there_are_not_replaced() {
    let mut reassembly = Reassembly::new(1);
    let (own, forged) = (body(20), [9; 20]);
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &own, 0, 15),
    );
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &forged, 0, 15),
    );
    insert(
        &mut reassembly,
        &piece(HandshakeType::CERTIFICATE, 1, &own, 10, 20),
    );
    assert_eq!(reassembly.take(&CLIENT_FLIGHT).unwrap().body(), own);
}

/// Class 23: fragments without end, of every kind, and what they cost.
#[test]
fn class_23_memory_is_bounded_whatever_comes() {
    let mut random = fastrand::Rng::with_seed(23);
    let mut reassembly = Reassembly::new(1);
    for round in 0..200_000 {
        let message_type = HandshakeType(random.u8(0..24));
        let length = [0, 1, 12, 130, 1000, 16_384, 0x00ff_ffff][random.usize(..7)];
        let offset = random.u32(0..=length);
        let fragment_length = random.u32(0..=(length - offset).min(1400));
        let header = Header {
            message_type,
            length: length + random.u32(0..2),
            message_seq: random.u16(0..12),
            fragment_offset: offset,
            fragment_length,
        };
        let body = vec![5; usize::try_from(fragment_length).unwrap()];
        reassembly.insert(
            &Fragment {
                header,
                body: &body,
            },
            false,
        );
        assert!(reassembly.size() <= MAX_BYTES);
        assert!(reassembly.buffers.len() <= MAX_VARIANTS * 7);
        if round % 1000 == 0 {
            reassembly = Reassembly::new(1);
        }
    }
}
