//! Bodies that come in blocks: RFC 7959 §2.3, §2.5, §2.9, §3.2, and Request-Tag of RFC 9175.

use super::*;
use crate::body::LIFETIME;
use crate::option::number::{ACCEPT, CONTENT_FORMAT, NO_RESPONSE, REQUEST_TAG, URI_QUERY};

fn talk() -> Talk {
    Talk::new(Response::new(Code::CREATED))
}

impl Talk {
    /// Sends a body in blocks of this size; what the last was answered.
    fn upload(&mut self, body: &[u8], szx: u8) -> String {
        let size = 16 << szx;
        let last = body.len().saturating_sub(1) / size;
        for num in 0..last {
            let block = format!("1:{num}/1/{size}");
            let payload = &body[num * size..(num + 1) * size];
            assert_eq!(self.post(&block, payload), format!("2.31 {block}"));
        }
        self.post(&format!("1:{last}/0/{size}"), &body[last * size..])
    }
}

/// RFC 7959 §3.2, "Simple Atomic Block-Wise PUT", with the method that is served here.
#[test]
fn the_blocks_of_the_rfcs_example_become_one_request() {
    let (mut talk, body) = (talk(), body(300));
    assert_eq!(talk.post("1:0/1/128", &body[..128]), "2.31 1:0/1/128");
    assert_eq!(talk.post("1:1/1/128", &body[128..256]), "2.31 1:1/1/128");
    assert_eq!(talk.requests, []);
    assert_eq!(talk.post("1:2/0/128", &body[256..]), "2.01 1:2/0/128");
    let [request] = &talk.requests[..] else {
        panic!("{:?}", talk.requests)
    };
    let whole = Request {
        path: vec!["status".to_owned()],
        ..Request::new(Method::Post, body)
    };
    assert_eq!(*request, whole);
    let counters = talk.bench.counters;
    assert_eq!(
        (counters.blocks_received, counters.uploads_completed),
        (3, 1)
    );
}

#[test]
fn a_body_of_any_length_in_blocks_of_any_size_arrives_whole_and_once() {
    for szx in 0..=6 {
        let size = 16 << szx;
        for length in [0, 1, size - 1, size, size + 1, 3 * size, 3 * size + 1, 5000] {
            let (mut talk, body) = (talk(), body(length));
            assert!(talk.upload(&body, szx).starts_with("2.01 1:"));
            assert_eq!(talk.requests.len(), 1);
            assert_eq!(talk.requests[0].payload, body, "{length} by {size}");
        }
    }
}

#[test]
fn a_body_in_more_than_4095_blocks_arrives_intact() {
    let (mut talk, body) = (talk(), body(300_000));
    talk.bench.parameters.max_body = 512 * 1024;
    assert_eq!(talk.upload(&body, 2), "2.01 1:4687/0/64");
    assert_eq!(talk.requests[0].payload, body);
}

#[test]
fn the_size_of_blocks_may_shrink_and_grow_on_the_way() {
    let (mut talk, body) = (talk(), body(400));
    for (block, range) in [
        ("1:0/1/128", 0..128),
        ("1:4/1/32", 128..160),
        ("1:10/1/16", 160..176),
        ("1:11/1/16", 176..192),
        ("1:3/1/64", 192..256),
        ("1:2/1/128", 256..384),
    ] {
        assert_eq!(talk.post(block, &body[range]), format!("2.31 {block}"));
    }
    // The same number in other sizes is another place.
    assert_eq!(talk.post("1:3/0/64", &body[384..]), "4.08 1:3/0/64");
    assert_eq!(talk.post("1:24/0/16", &body[384..]), "2.01 1:24/0/16");
    assert_eq!(talk.requests[0].payload, body);
}

#[test]
fn a_gap_gets_4_08_and_the_body_can_go_on_where_it_was() {
    let (mut talk, body) = (talk(), body(64));
    assert_eq!(talk.post("1:1/1/16", &body[16..32]), "4.08 1:1/0/16");
    assert_eq!(talk.post("1:1/0/16", &body[16..32]), "4.08 1:1/0/16");
    talk.post("1:0/1/16", &body[..16]);
    for gap in ["1:2/1/16", "1:3/0/16", "1:1/1/32"] {
        let payload = &body[..if gap.ends_with("32") { 32 } else { 16 }];
        assert!(talk.post(gap, payload).starts_with("4.08"));
    }
    talk.post("1:1/1/16", &body[16..32]);
    talk.post("1:2/1/16", &body[32..48]);
    assert_eq!(talk.post("1:3/0/16", &body[48..]), "2.01 1:3/0/16");
    assert_eq!(talk.requests[0].payload, body);
    assert_eq!(talk.bench.counters.uploads_incomplete, 5);
}

#[test]
fn a_new_request_for_a_block_that_is_held_is_told_to_go_on_if_its_bytes_are_the_same() {
    let (mut talk, body) = (talk(), body(48));
    talk.post("1:0/1/16", &body[..16]);
    for _ in 0..3 {
        assert_eq!(talk.post("1:1/1/16", &body[16..32]), "2.31 1:1/1/16");
    }
    assert_eq!(talk.post("1:1/1/16", &[0; 16]), "4.08 1:1/0/16");
    assert_eq!(talk.post("1:2/0/16", &body[32..]), "2.01 1:2/0/16");
    assert_eq!(talk.requests[0].payload, body);
}

#[test]
fn the_last_block_sent_again_is_no_second_request() {
    let (mut talk, body) = (talk(), body(48));
    talk.upload(&body, 0);
    assert_eq!(talk.post("1:2/0/16", &body[32..]), "4.08 1:2/0/16");
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn while_the_request_is_under_way_its_blocks_start_nothing_but_another_body() {
    let (mut talk, body) = (talk(), body(48));
    let blocks = [
        talk.request(Code::POST, "1:0/1/16", &body[..16]),
        talk.request(Code::POST, "1:1/1/16", &body[16..32]),
        talk.request(Code::POST, "1:2/0/16", &body[32..]),
    ];
    for block in &blocks[..2] {
        talk.send(block);
    }
    talk.bench.receive_bytes(&blocks[2].encode(2000).unwrap());
    let (under_way, _) = talk.bench.request();
    // Duplicates get what the blocks got, or nothing as long as there is nothing.
    let duplicate = |talk: &mut Talk, block: &Message| {
        talk.bench.receive_bytes(&block.encode(2000).unwrap());
        let sent = talk.bench.out.pop();
        sent.map(|sent| match sent {
            Output::Send(bytes) => described(&Message::decode(&bytes).unwrap()),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(duplicate(&mut talk, &blocks[0]).unwrap(), "2.31 1:0/1/16");
    assert_eq!(duplicate(&mut talk, &blocks[1]).unwrap(), "2.31 1:1/1/16");
    assert_eq!(duplicate(&mut talk, &blocks[2]), None);
    // A new block 0 is another body; it is not what is under way.
    let again = talk.request(Code::POST, "1:0/1/16", &body[..16]);
    assert_eq!(duplicate(&mut talk, &again).unwrap(), "2.31 1:0/1/16");
    let gap = talk.request(Code::POST, "1:2/0/16", &body[32..]);
    assert_eq!(duplicate(&mut talk, &gap).unwrap(), "4.08 1:2/0/16");
    talk.bench.respond(under_way, Response::new(Code::CREATED));
    assert_eq!(described(&talk.bench.sent()), "2.01 1:2/0/16");
    assert_eq!(duplicate(&mut talk, &blocks[2]).unwrap(), "2.01 1:2/0/16");
    assert_eq!(talk.bench.counters.requests, 1);
}

#[test]
fn block_0_begins_anew() {
    let (mut talk, body) = (talk(), body(64));
    talk.post("1:0/1/16", &[0; 16]);
    talk.post("1:1/1/16", &[0; 16]);
    assert_eq!(talk.post("1:0/1/16", &body[..16]), "2.31 1:0/1/16");
    assert_eq!(talk.post("1:2/1/16", &body[32..48]), "4.08 1:2/0/16");
    for num in 1..4 {
        let range = num * 16..num * 16 + 16;
        talk.post(&format!("1:{num}/{}/16", u8::from(num < 3)), &body[range]);
    }
    assert_eq!(talk.requests[0].payload, body);
    // So does one that is all of a body.
    talk.post("1:0/1/16", &body[..16]);
    assert_eq!(talk.post("1:0/0/16", b"whole"), "2.01 1:0/0/16");
    assert_eq!(&talk.requests[1].payload[..], b"whole");
    assert_eq!(talk.post("1:1/0/16", &body[16..32]), "4.08 1:1/0/16");
}

#[test]
fn a_body_beyond_the_bound_gets_4_13_with_size1_and_one_just_as_large_does_not() {
    for (length, expected) in [(999, "2.01"), (1000, "2.01"), (1001, "4.13")] {
        let mut talk = talk();
        talk.bench.parameters.max_body = 1000;
        assert!(talk.upload(&body(length), 3).starts_with(expected));
        let told = (expected == "4.13").then_some(1000);
        assert_eq!(value(&talk.answer, SIZE1), told);
        assert_eq!(
            talk.bench.endpoint.body_bytes(),
            if told.is_some() { 0 } else { length }
        );
    }
    let mut talk = talk();
    talk.bench.parameters.max_body = 10;
    assert_eq!(talk.post("1:0/0/16", &[0; 11]), "4.13 1:0/0/16");
}

#[test]
fn a_body_that_will_be_too_large_is_refused_at_block_0_if_it_says_so() {
    let mut talk = talk();
    for (size1, expected) in [(65_536, "2.31 1:0/1/16"), (65_537, "4.13 1:0/0/16")] {
        let size1 = encode_unsigned(size1);
        let mut message = talk.with_option(Code::POST, "1:0/1/16", (SIZE1, &size1));
        message.payload = body(16);
        assert_eq!(talk.send(&message), expected);
    }
    assert_eq!(value(&talk.answer, SIZE1), Some(65_536));
    assert_eq!(
        talk.post("1:1/1/16", &body(16)),
        "4.08 1:1/0/16",
        "nothing is held"
    );
    assert_eq!(talk.bench.counters.uploads_too_large, 1);
}

#[test]
fn the_reserved_size_gets_4_00_confirmable_or_not_and_in_either_option() {
    for (number, kind) in [
        (BLOCK1, Type::Confirmable),
        (BLOCK2, Type::Confirmable),
        (BLOCK1, Type::NonConfirmable),
        (BLOCK2, Type::NonConfirmable),
    ] {
        let mut talk = talk();
        let mut message = talk.with_option(Code::POST, "", (number, &[0x17]));
        message.kind = kind;
        assert_eq!(talk.send(&message), "4.00");
        assert_eq!(talk.requests, []);
    }
}

#[test]
fn a_payload_that_is_not_as_long_as_its_block_gets_4_00_and_changes_nothing() {
    let (mut talk, body) = (talk(), body(48));
    talk.post("1:0/1/16", &body[..16]);
    for (block, length) in [
        ("1:1/1/16", 15),
        ("1:1/1/16", 17),
        ("1:1/0/16", 17),
        ("1:0/1/16", 3),
    ] {
        let refused = talk.post(block, &vec![0; length]);
        assert!(refused.starts_with("4.00 1:"), "{refused}");
    }
    talk.post("1:1/1/16", &body[16..32]);
    assert_eq!(talk.post("1:2/0/16", &body[32..]), "2.01 1:2/0/16");
    assert_eq!(talk.requests[0].payload, body);
    assert_eq!(talk.bench.counters.blocks_malformed, 4);
}

/// RFC 9175 §3, and §2.3 of RFC 7959 for the Content-Format.
#[test]
fn bodies_that_differ_in_an_option_are_put_together_apart() {
    for (number, values) in [
        (REQUEST_TAG, [&[1][..], &[2]]),
        (REQUEST_TAG, [&[0], &[]]),
        (URI_QUERY, [b"a=1", b"a=2"]),
        (URI_PATH, [b"a", b"b"]),
        (CONTENT_FORMAT, [&[50], &[0]]),
        (ACCEPT, [&[50], &[60]]),
    ] {
        let mut talk = talk();
        let bodies = [vec![1; 48], vec![2; 48]];
        for num in 0..3 {
            for (value, body) in values.iter().zip(&bodies) {
                let block = format!("1:{num}/{}/16", u8::from(num < 2));
                let mut message = talk.with_option(Code::POST, &block, (number, value));
                message.payload = Bytes::copy_from_slice(&body[num * 16..num * 16 + 16]);
                assert!(!talk.send(&message).starts_with('4'), "option {number}");
            }
        }
        let arrived: Vec<_> = talk
            .requests
            .iter()
            .map(|request| &request.payload)
            .collect();
        assert_eq!(arrived, [&bodies[0], &bodies[1]]);
        // The third has nothing to follow.
        assert_eq!(talk.post("1:1/1/16", &[1; 16]), "4.08 1:1/0/16");
    }
}

#[test]
fn a_request_tag_that_comes_twice_is_not_the_same_as_one() {
    let mut talk = talk();
    let mut message = talk.with_option(Code::POST, "1:0/1/16", (REQUEST_TAG, &[1]));
    message.payload = body(16);
    talk.send(&message);
    let mut next = talk.with_option(Code::POST, "1:1/1/16", (REQUEST_TAG, &[1]));
    next.options.push((REQUEST_TAG, Bytes::from_static(&[1])));
    next.payload = body(16);
    assert_eq!(talk.send(&next), "4.08 1:1/0/16");
}

#[test]
fn an_endpoint_holds_no_more_than_its_share_and_gives_up_what_it_could_not_hold() {
    let mut talk = talk();
    talk.bench.parameters.max_body = 2048;
    talk.bench.parameters.max_response_body = 2048;
    let mut block = |tag: u8, num: usize| {
        let mut message = talk.with_option(
            Code::POST,
            &format!("1:{num}/1/1024"),
            (REQUEST_TAG, &[tag]),
        );
        message.payload = body(1024);
        let answer = talk.send(&message);
        assert!(talk.bench.endpoint.body_bytes() <= 4096);
        (
            answer.split_once(' ').unwrap().0.to_owned(),
            value(&talk.answer, 14),
        )
    };
    for tag in 0..4 {
        assert_eq!(block(tag, 0).0, "2.31");
    }
    assert_eq!(block(0, 1), ("5.03".to_owned(), Some(30)));
    assert_eq!(block(1, 1).0, "2.31", "there is room again");
    assert_eq!(block(0, 1).0, "4.08");
    assert_eq!(talk.bench.counters.bodies_over_budget, 1);
}

#[test]
fn endpoints_together_hold_no_more_than_the_bound_and_one_that_is_dropped_gives_all_back() {
    let mut first = talk();
    first.bench.bodies = Bodies::new(2000, 1);
    first.post("1:0/1/1024", &body(1024));
    let mut second = talk();
    second.bench.bodies = first.bench.bodies.clone();
    assert_eq!(second.post("1:0/1/1024", &body(1024)), "5.03 1:0/0/1024");
    assert_eq!(second.post("1:0/1/512", &body(512)), "2.31 1:0/1/512");
    let bodies = first.bench.bodies.clone();
    drop(first);
    assert_eq!(second.post("1:1/1/512", &body(512)), "2.31 1:1/1/512");
    drop(second);
    assert_eq!(bodies.held(), 0);
}

#[test]
fn a_body_counts_as_long_as_the_gateway_has_it() {
    let mut talk = talk();
    talk.upload(&body(5000), 6);
    assert_eq!(talk.bench.bodies.held(), 5000);
    assert_eq!(talk.bench.endpoint.body_bytes(), 5000);
    talk.requests.clear();
    assert_eq!(talk.bench.bodies.held(), 0);
}

#[test]
fn what_nobody_goes_on_with_is_forgotten_after_ten_minutes_and_no_heap_is_left() {
    let (mut talk, body) = (talk(), body(48));
    talk.post("1:0/1/16", &body[..16]);
    talk.bench.pass(599.0);
    assert_eq!(talk.post("1:1/1/16", &body[16..32]), "2.31 1:1/1/16");
    let touched = talk.bench.now;
    talk.bench.pass(500.0);
    assert_eq!(talk.bench.endpoint.next_timeout(), Some(touched + LIFETIME));
    talk.bench.pass(99.999);
    assert!(talk.bench.endpoint.body_bytes() > 0);
    talk.bench.pass(0.001);
    assert_eq!(talk.bench.endpoint.body_bytes(), 0);
    assert_eq!(talk.bench.endpoint.next_timeout(), None);
    assert!(talk.bench.endpoint.blockwise.is_none());
    assert_eq!(talk.bench.counters.uploads_expired, 1);
    assert_eq!(talk.post("1:2/0/16", &body[32..]), "4.08 1:2/0/16");

    talk.upload(&body, 0);
    talk.requests.clear();
    talk.rest();
    assert!(talk.bench.endpoint.blockwise.is_none());
    assert_eq!(talk.bench.counters.uploads_expired, 1);
}

/// RFC 7967: the client wants no 2.xx, but the word to go on it needs.
#[test]
fn a_client_without_interest_in_the_response_is_told_to_go_on_all_the_same() {
    let (mut talk, body) = (talk(), body(32));
    let mut message = talk.with_option(Code::POST, "1:0/1/16", (NO_RESPONSE, &[26]));
    message.payload = body.slice(..16);
    assert_eq!(talk.send(&message), "2.31 1:0/1/16");
    let mut message = talk.with_option(Code::POST, "1:1/0/16", (NO_RESPONSE, &[2]));
    message.payload = body.slice(16..);
    talk.bench.receive_bytes(&message.encode(2000).unwrap());
    let (id, request) = talk.bench.request();
    assert_eq!(request.payload, body);
    talk.bench.respond(id, Response::new(Code::CREATED));
    let empty = Message::empty(Type::Acknowledgement, message.message_id);
    assert_eq!(talk.bench.sent(), empty);
}

#[test]
fn blocks_that_are_not_confirmable_are_put_together_too() {
    let (mut talk, body) = (talk(), body(32));
    for (block, range, answer) in [
        ("1:0/1/16", 0..16, "2.31 1:0/1/16"),
        ("1:1/0/16", 16..32, "2.01 1:1/0/16"),
    ] {
        let mut message = talk.request(Code::POST, block, &body[range]);
        message.kind = Type::NonConfirmable;
        assert_eq!(talk.send(&message), answer);
        assert_eq!(talk.answer.kind, Type::NonConfirmable);
    }
    assert_eq!(talk.requests[0].payload, body);
}

#[test]
fn with_too_many_exchanges_open_the_last_block_is_told_to_wait_and_the_body_is_kept() {
    let (mut talk, body) = (talk(), body(32));
    talk.bench.parameters.queue = 0;
    for _ in 0..16 {
        let message = talk.request(Code::POST, "", b"{}");
        talk.bench.receive_bytes(&message.encode(2000).unwrap());
    }
    let open: Vec<_> = (0..16).map(|_| talk.bench.request().0).collect();
    let ask = |talk: &mut Talk, block, payload: &[u8]| {
        let message = talk.request(Code::POST, block, payload);
        talk.bench.receive_bytes(&message.encode(2000).unwrap());
        described(&talk.bench.sent())
    };
    assert_eq!(ask(&mut talk, "1:0/1/16", &body[..16]), "2.31 1:0/1/16");
    assert_eq!(ask(&mut talk, "1:1/0/16", &body[16..]), "5.03 1:1/0/16");
    for id in open {
        talk.bench.respond(id, Response::new(Code::CREATED));
    }
    talk.bench.out.clear();
    assert_eq!(talk.post("1:1/0/16", &body[16..]), "2.01 1:1/0/16");
    assert_eq!(talk.requests[0].payload, body);
}

#[test]
fn methods_that_are_not_served_are_not_gathered_for() {
    let mut talk = Talk::new(Response::new(Code::METHOD_NOT_ALLOWED));
    for code in [3, 4, 5, 6, 7, 31].map(Code) {
        let message = talk.request(code, "1:0/1/16", &body(16));
        assert_eq!(talk.send(&message), "4.05 1:0/0/16");
    }
    assert_eq!(talk.requests.len(), 6);
    assert_eq!(talk.bench.endpoint.body_bytes(), 0);
}

#[test]
fn get_has_no_body_to_send_in_blocks() {
    let mut talk = Talk::new(Response::content(0, body(3)));
    let message = talk.request(Code::GET, "1:0/1/16", &body(16));
    assert_eq!(talk.send(&message), "4.00 1:0/0/16");
    assert_eq!(talk.requests, []);
}

/// RFC 9177: Q-Block1 and Q-Block2 are critical, and not understood here.
#[test]
fn the_robust_block_options_get_4_02() {
    for number in [19, 31] {
        let mut talk = talk();
        let message = talk.with_option(Code::POST, "", (number, &[8]));
        assert_eq!(talk.send(&message), "4.02");
    }
}

/// What is unfinished and never will be must not fill the room of all for ten minutes.
#[test]
fn an_unfinished_upload_of_the_device_that_keeps_most_gives_way_and_can_be_begun_again() {
    let bodies = Bodies::new(4050, 1);
    let [mut one, mut other] = [talk(), talk()];
    for (talk, device) in [(&mut one, "a"), (&mut other, "b")] {
        talk.bench.bodies = bodies.clone();
        talk.bench.device = device;
    }
    let whole = body(1500);
    let part = |talk: &mut Talk, tag: u8, block: &str, payload: &[u8]| {
        let mut message = talk.with_option(Code::POST, block, (REQUEST_TAG, &[tag]));
        message.payload = Bytes::copy_from_slice(payload);
        talk.send(&message)
    };
    for tag in 1..=3 {
        assert_eq!(
            part(&mut one, tag, "1:0/1/1024", &whole[..1024]),
            "2.31 1:0/1/1024"
        );
    }
    assert_eq!(bodies.held(), 3 * 1024);
    assert_eq!(
        part(&mut other, 9, "1:0/1/1024", &whole[..1024]),
        "2.31 1:0/1/1024"
    );
    assert_eq!(
        (bodies.held(), other.bench.counters.bodies_evicted),
        (3 * 1024, 1)
    );
    // Two have as much as each other now, or nearly: neither ends the other's.
    assert_eq!(
        part(&mut one, 1, "1:1/0/1024", &whole[1024..]),
        "4.08 1:1/0/1024"
    );
    assert_eq!(
        part(&mut one, 1, "1:0/1/1024", &whole[..1024]),
        "5.03 1:0/0/1024"
    );
    assert_eq!(
        part(&mut one, 2, "1:1/0/1024", &whole[1024..]),
        "2.01 1:1/0/1024"
    );
    assert_eq!(
        part(&mut other, 9, "1:1/0/1024", &whole[1024..]),
        "2.01 1:1/0/1024"
    );
}
