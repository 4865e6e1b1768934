//! Request bodies in blocks: RFC 7959 §2.3, §2.5, §2.9, §3.2, and Request-Tag of RFC 9175.

use super::*;
use crate::body::LIFETIME;
use crate::option::number::{ACCEPT, CONTENT_FORMAT, NO_RESPONSE, REQUEST_TAG, URI_QUERY};

fn client() -> Client {
    Client::new(Response::new(Code::CREATED))
}

impl Client {
    /// Sends a body in blocks of this size. Returns the response to the last.
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
    let (mut client, body) = (client(), body(300));
    assert_eq!(client.post("1:0/1/128", &body[..128]), "2.31 1:0/1/128");
    assert_eq!(client.post("1:1/1/128", &body[128..256]), "2.31 1:1/1/128");
    assert_eq!(client.requests, []);
    assert_eq!(client.post("1:2/0/128", &body[256..]), "2.01 1:2/0/128");
    let [request] = &client.requests[..] else {
        panic!("{:?}", client.requests)
    };
    let whole = Request {
        path: vec!["status".to_owned()],
        ..Request::new(Method::Post, body)
    };
    assert_eq!(*request, whole);
    let counters = client.bench.counters;
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
            let (mut client, body) = (client(), body(length));
            assert!(client.upload(&body, szx).starts_with("2.01 1:"));
            assert_eq!(client.requests.len(), 1);
            assert_eq!(client.requests[0].payload, body, "{length} by {size}");
        }
    }
}

#[test]
fn a_body_in_more_than_4095_blocks_arrives_intact() {
    let (mut client, body) = (client(), body(300_000));
    client.bench.parameters.max_body = 512 * 1024;
    assert_eq!(client.upload(&body, 2), "2.01 1:4687/0/64");
    assert_eq!(client.requests[0].payload, body);
}

#[test]
fn the_block_size_may_shrink_and_grow_during_an_upload() {
    let (mut client, body) = (client(), body(400));
    for (block, range) in [
        ("1:0/1/128", 0..128),
        ("1:4/1/32", 128..160),
        ("1:10/1/16", 160..176),
        ("1:11/1/16", 176..192),
        ("1:3/1/64", 192..256),
        ("1:2/1/128", 256..384),
    ] {
        assert_eq!(client.post(block, &body[range]), format!("2.31 {block}"));
    }
    // The same NUM with another block size is another offset.
    assert_eq!(client.post("1:3/0/64", &body[384..]), "4.08 1:3/0/64");
    assert_eq!(client.post("1:24/0/16", &body[384..]), "2.01 1:24/0/16");
    assert_eq!(client.requests[0].payload, body);
}

#[test]
fn a_gap_gets_4_08_and_the_upload_can_continue_where_it_was() {
    let (mut client, body) = (client(), body(64));
    assert_eq!(client.post("1:1/1/16", &body[16..32]), "4.08 1:1/0/16");
    assert_eq!(client.post("1:1/0/16", &body[16..32]), "4.08 1:1/0/16");
    client.post("1:0/1/16", &body[..16]);
    for gap in ["1:2/1/16", "1:3/0/16", "1:1/1/32"] {
        let payload = &body[..if gap.ends_with("32") { 32 } else { 16 }];
        assert!(client.post(gap, payload).starts_with("4.08"));
    }
    client.post("1:1/1/16", &body[16..32]);
    client.post("1:2/1/16", &body[32..48]);
    assert_eq!(client.post("1:3/0/16", &body[48..]), "2.01 1:3/0/16");
    assert_eq!(client.requests[0].payload, body);
    assert_eq!(client.bench.counters.uploads_incomplete, 5);
}

#[test]
fn a_new_request_with_a_held_block_gets_2_31_if_its_bytes_are_the_same() {
    let (mut client, body) = (client(), body(48));
    client.post("1:0/1/16", &body[..16]);
    for _ in 0..3 {
        assert_eq!(client.post("1:1/1/16", &body[16..32]), "2.31 1:1/1/16");
    }
    assert_eq!(client.post("1:1/1/16", &[0; 16]), "4.08 1:1/0/16");
    assert_eq!(client.post("1:2/0/16", &body[32..]), "2.01 1:2/0/16");
    assert_eq!(client.requests[0].payload, body);
}

#[test]
fn the_last_block_in_a_new_message_is_no_second_request() {
    let (mut client, body) = (client(), body(48));
    client.upload(&body, 0);
    assert_eq!(client.post("1:2/0/16", &body[32..]), "4.08 1:2/0/16");
    assert_eq!(client.requests.len(), 1);
}

#[test]
fn while_the_request_is_in_progress_only_a_new_block_0_starts_another_body() {
    let (mut client, body) = (client(), body(48));
    let blocks = [
        client.request(Code::POST, "1:0/1/16", &body[..16]),
        client.request(Code::POST, "1:1/1/16", &body[16..32]),
        client.request(Code::POST, "1:2/0/16", &body[32..]),
    ];
    for block in &blocks[..2] {
        client.send(block);
    }
    client.bench.receive_bytes(&blocks[2].encode(2000).unwrap());
    let (under_way, _) = client.bench.request();
    // Duplicates get the same replies as the blocks, or none while there is none.
    let duplicate = |client: &mut Client, block: &Message| {
        client.bench.receive_bytes(&block.encode(2000).unwrap());
        let sent = client.bench.out.pop();
        sent.map(|sent| match sent {
            Output::Send(bytes) => described(&Message::decode(&bytes).unwrap()),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(duplicate(&mut client, &blocks[0]).unwrap(), "2.31 1:0/1/16");
    assert_eq!(duplicate(&mut client, &blocks[1]).unwrap(), "2.31 1:1/1/16");
    assert_eq!(duplicate(&mut client, &blocks[2]), None);
    // A new block 0 starts another body, and does not affect the request in progress.
    let again = client.request(Code::POST, "1:0/1/16", &body[..16]);
    assert_eq!(duplicate(&mut client, &again).unwrap(), "2.31 1:0/1/16");
    let gap = client.request(Code::POST, "1:2/0/16", &body[32..]);
    assert_eq!(duplicate(&mut client, &gap).unwrap(), "4.08 1:2/0/16");
    client
        .bench
        .respond(under_way, Response::new(Code::CREATED));
    assert_eq!(described(&client.bench.sent()), "2.01 1:2/0/16");
    assert_eq!(duplicate(&mut client, &blocks[2]).unwrap(), "2.01 1:2/0/16");
    assert_eq!(client.bench.counters.requests, 1);
}

#[test]
fn block_0_starts_the_body_again() {
    let (mut client, body) = (client(), body(64));
    client.post("1:0/1/16", &[0; 16]);
    client.post("1:1/1/16", &[0; 16]);
    assert_eq!(client.post("1:0/1/16", &body[..16]), "2.31 1:0/1/16");
    assert_eq!(client.post("1:2/1/16", &body[32..48]), "4.08 1:2/0/16");
    for num in 1..4 {
        let range = num * 16..num * 16 + 16;
        client.post(&format!("1:{num}/{}/16", u8::from(num < 3)), &body[range]);
    }
    assert_eq!(client.requests[0].payload, body);
    // So does a single block with the whole body.
    client.post("1:0/1/16", &body[..16]);
    assert_eq!(client.post("1:0/0/16", b"whole"), "2.01 1:0/0/16");
    assert_eq!(&client.requests[1].payload[..], b"whole");
    assert_eq!(client.post("1:1/0/16", &body[16..32]), "4.08 1:1/0/16");
}

#[test]
fn a_body_above_the_limit_gets_4_13_with_size1_and_one_at_the_limit_does_not() {
    for (length, expected) in [(999, "2.01"), (1000, "2.01"), (1001, "4.13")] {
        let mut client = client();
        client.bench.parameters.max_body = 1000;
        assert!(client.upload(&body(length), 3).starts_with(expected));
        let size1 = (expected == "4.13").then_some(1000);
        assert_eq!(value(&client.answer, SIZE1), size1);
        assert_eq!(
            client.bench.endpoint.body_bytes(),
            if size1.is_some() { 0 } else { length }
        );
    }
    let mut client = client();
    client.bench.parameters.max_body = 10;
    assert_eq!(client.post("1:0/0/16", &[0; 11]), "4.13 1:0/0/16");
}

#[test]
fn a_body_that_is_too_large_by_its_size1_is_refused_at_block_0() {
    let mut client = client();
    for (size1, expected) in [(65_536, "2.31 1:0/1/16"), (65_537, "4.13 1:0/0/16")] {
        let size1 = encode_unsigned(size1);
        let mut message = client.with_option(Code::POST, "1:0/1/16", (SIZE1, &size1));
        message.payload = body(16);
        assert_eq!(client.send(&message), expected);
    }
    assert_eq!(value(&client.answer, SIZE1), Some(65_536));
    assert_eq!(
        client.post("1:1/1/16", &body(16)),
        "4.08 1:1/0/16",
        "nothing is held"
    );
    assert_eq!(client.bench.counters.uploads_too_large, 1);
}

#[test]
fn the_reserved_size_gets_4_00_confirmable_or_not_and_in_either_option() {
    for (number, kind) in [
        (BLOCK1, Type::Confirmable),
        (BLOCK2, Type::Confirmable),
        (BLOCK1, Type::NonConfirmable),
        (BLOCK2, Type::NonConfirmable),
    ] {
        let mut client = client();
        let mut message = client.with_option(Code::POST, "", (number, &[0x17]));
        message.kind = kind;
        assert_eq!(client.send(&message), "4.00");
        assert_eq!(client.requests, []);
    }
}

#[test]
fn a_payload_of_another_length_than_its_block_gets_4_00_and_is_not_added() {
    let (mut client, body) = (client(), body(48));
    client.post("1:0/1/16", &body[..16]);
    for (block, length) in [
        ("1:1/1/16", 15),
        ("1:1/1/16", 17),
        ("1:1/0/16", 17),
        ("1:0/1/16", 3),
    ] {
        let refused = client.post(block, &vec![0; length]);
        assert!(refused.starts_with("4.00 1:"), "{refused}");
    }
    client.post("1:1/1/16", &body[16..32]);
    assert_eq!(client.post("1:2/0/16", &body[32..]), "2.01 1:2/0/16");
    assert_eq!(client.requests[0].payload, body);
    assert_eq!(client.bench.counters.blocks_malformed, 4);
}

/// RFC 9175 §3, and §2.3 of RFC 7959 for the Content-Format.
#[test]
fn blocks_that_differ_in_an_option_belong_to_different_bodies() {
    for (number, values) in [
        (REQUEST_TAG, [&[1][..], &[2]]),
        (REQUEST_TAG, [&[0], &[]]),
        (URI_QUERY, [b"a=1", b"a=2"]),
        (URI_PATH, [b"a", b"b"]),
        (CONTENT_FORMAT, [&[50], &[0]]),
        (ACCEPT, [&[50], &[60]]),
    ] {
        let mut client = client();
        let bodies = [vec![1; 48], vec![2; 48]];
        for num in 0..3 {
            for (value, body) in values.iter().zip(&bodies) {
                let block = format!("1:{num}/{}/16", u8::from(num < 2));
                let mut message = client.with_option(Code::POST, &block, (number, value));
                message.payload = Bytes::copy_from_slice(&body[num * 16..num * 16 + 16]);
                assert!(!client.send(&message).starts_with('4'), "option {number}");
            }
        }
        let arrived: Vec<_> = client
            .requests
            .iter()
            .map(|request| &request.payload)
            .collect();
        assert_eq!(arrived, [&bodies[0], &bodies[1]]);
        // The third follows no block.
        assert_eq!(client.post("1:1/1/16", &[1; 16]), "4.08 1:1/0/16");
    }
}

#[test]
fn two_request_tags_are_not_the_same_as_one() {
    let mut client = client();
    let mut message = client.with_option(Code::POST, "1:0/1/16", (REQUEST_TAG, &[1]));
    message.payload = body(16);
    client.send(&message);
    let mut next = client.with_option(Code::POST, "1:1/1/16", (REQUEST_TAG, &[1]));
    next.options.push((REQUEST_TAG, Bytes::from_static(&[1])));
    next.payload = body(16);
    assert_eq!(client.send(&next), "4.08 1:1/0/16");
}

#[test]
fn an_endpoint_holds_no_more_than_its_limit_and_drops_the_body_that_exceeds_it() {
    let mut client = client();
    client.bench.parameters.max_body = 2048;
    client.bench.parameters.max_response_body = 2048;
    let mut block = |tag: u8, num: usize| {
        let mut message = client.with_option(
            Code::POST,
            &format!("1:{num}/1/1024"),
            (REQUEST_TAG, &[tag]),
        );
        message.payload = body(1024);
        let answer = client.send(&message);
        assert!(client.bench.endpoint.body_bytes() <= 4096);
        (
            answer.split_once(' ').unwrap().0.to_owned(),
            value(&client.answer, 14),
        )
    };
    for tag in 0..4 {
        assert_eq!(block(tag, 0).0, "2.31");
    }
    assert_eq!(block(0, 1), ("5.03".to_owned(), Some(30)));
    assert_eq!(block(1, 1).0, "2.31", "there is memory again");
    assert_eq!(block(0, 1).0, "4.08");
    assert_eq!(client.bench.counters.bodies_over_budget, 1);
}

#[test]
fn endpoints_together_hold_no_more_than_the_limit_and_a_dropped_one_releases_all() {
    let mut first = client();
    first.bench.bodies = Bodies::new(2000, 1);
    first.post("1:0/1/1024", &body(1024));
    let mut second = client();
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
fn a_body_is_charged_as_long_as_the_application_holds_it() {
    let mut client = client();
    client.upload(&body(5000), 6);
    assert_eq!(client.bench.bodies.held(), 5000);
    assert_eq!(client.bench.endpoint.body_bytes(), 5000);
    client.requests.clear();
    assert_eq!(client.bench.bodies.held(), 0);
}

#[test]
fn unused_uploads_expire_after_ten_minutes_and_no_heap_is_left() {
    let (mut client, body) = (client(), body(48));
    client.post("1:0/1/16", &body[..16]);
    client.bench.pass(599.0);
    assert_eq!(client.post("1:1/1/16", &body[16..32]), "2.31 1:1/1/16");
    let touched = client.bench.now;
    client.bench.pass(500.0);
    assert_eq!(
        client.bench.endpoint.next_timeout(),
        Some(touched + LIFETIME)
    );
    client.bench.pass(99.999);
    assert!(client.bench.endpoint.body_bytes() > 0);
    client.bench.pass(0.001);
    assert_eq!(client.bench.endpoint.body_bytes(), 0);
    assert_eq!(client.bench.endpoint.next_timeout(), None);
    assert!(client.bench.endpoint.blockwise.is_none());
    assert_eq!(client.bench.counters.uploads_expired, 1);
    assert_eq!(client.post("1:2/0/16", &body[32..]), "4.08 1:2/0/16");

    client.upload(&body, 0);
    client.requests.clear();
    client.pass_all_timeouts();
    assert!(client.bench.endpoint.blockwise.is_none());
    assert_eq!(client.bench.counters.uploads_expired, 1);
}

/// RFC 7967: the client suppresses 2.xx, but needs the 2.31.
#[test]
fn no_response_does_not_suppress_2_31() {
    let (mut client, body) = (client(), body(32));
    let mut message = client.with_option(Code::POST, "1:0/1/16", (NO_RESPONSE, &[26]));
    message.payload = body.slice(..16);
    assert_eq!(client.send(&message), "2.31 1:0/1/16");
    let mut message = client.with_option(Code::POST, "1:1/0/16", (NO_RESPONSE, &[2]));
    message.payload = body.slice(16..);
    client.bench.receive_bytes(&message.encode(2000).unwrap());
    let (id, request) = client.bench.request();
    assert_eq!(request.payload, body);
    client.bench.respond(id, Response::new(Code::CREATED));
    let empty = Message::empty(Type::Acknowledgement, message.message_id);
    assert_eq!(client.bench.sent(), empty);
}

#[test]
fn non_confirmable_blocks_are_assembled_too() {
    let (mut client, body) = (client(), body(32));
    for (block, range, answer) in [
        ("1:0/1/16", 0..16, "2.31 1:0/1/16"),
        ("1:1/0/16", 16..32, "2.01 1:1/0/16"),
    ] {
        let mut message = client.request(Code::POST, block, &body[range]);
        message.kind = Type::NonConfirmable;
        assert_eq!(client.send(&message), answer);
        assert_eq!(client.answer.kind, Type::NonConfirmable);
    }
    assert_eq!(client.requests[0].payload, body);
}

#[test]
fn with_a_full_queue_the_last_block_gets_5_03_and_the_body_is_kept() {
    let (mut client, body) = (client(), body(32));
    client.bench.parameters.queue = 0;
    for _ in 0..16 {
        let message = client.request(Code::POST, "", b"{}");
        client.bench.receive_bytes(&message.encode(2000).unwrap());
    }
    let open: Vec<_> = (0..16).map(|_| client.bench.request().0).collect();
    let post = |client: &mut Client, block, payload: &[u8]| {
        let message = client.request(Code::POST, block, payload);
        client.bench.receive_bytes(&message.encode(2000).unwrap());
        described(&client.bench.sent())
    };
    assert_eq!(post(&mut client, "1:0/1/16", &body[..16]), "2.31 1:0/1/16");
    assert_eq!(post(&mut client, "1:1/0/16", &body[16..]), "5.03 1:1/0/16");
    for id in open {
        client.bench.respond(id, Response::new(Code::CREATED));
    }
    client.bench.out.clear();
    assert_eq!(client.post("1:1/0/16", &body[16..]), "2.01 1:1/0/16");
    assert_eq!(client.requests[0].payload, body);
}

#[test]
fn blocks_of_methods_that_are_not_served_are_not_assembled() {
    let mut client = Client::new(Response::new(Code::METHOD_NOT_ALLOWED));
    for code in [3, 4, 5, 6, 7, 31].map(Code) {
        let message = client.request(code, "1:0/1/16", &body(16));
        assert_eq!(client.send(&message), "4.05 1:0/0/16");
    }
    assert_eq!(client.requests.len(), 6);
    assert_eq!(client.bench.endpoint.body_bytes(), 0);
}

#[test]
fn get_has_no_body_to_send_in_blocks() {
    let mut client = Client::new(Response::content(0, body(3)));
    let message = client.request(Code::GET, "1:0/1/16", &body(16));
    assert_eq!(client.send(&message), "4.00 1:0/0/16");
    assert_eq!(client.requests, []);
}

/// RFC 9177: Q-Block1 and Q-Block2 are critical and unrecognised.
#[test]
fn the_robust_block_options_get_4_02() {
    for number in [19, 31] {
        let mut client = client();
        let message = client.with_option(Code::POST, "", (number, &[8]));
        assert_eq!(client.send(&message), "4.02");
    }
}

/// Abandoned uploads must not fill the common memory for ten minutes.
#[test]
fn an_unfinished_upload_of_the_largest_holder_is_evicted_and_can_be_started_again() {
    let bodies = Bodies::new(4050, 1);
    let [mut one, mut other] = [client(), client()];
    for (client, device) in [(&mut one, "a"), (&mut other, "b")] {
        client.bench.bodies = bodies.clone();
        client.bench.device = device;
    }
    let whole = body(1500);
    let part = |client: &mut Client, tag: u8, block: &str, payload: &[u8]| {
        let mut message = client.with_option(Code::POST, block, (REQUEST_TAG, &[tag]));
        message.payload = Bytes::copy_from_slice(payload);
        client.send(&message)
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
    // Two holders have about as much now: neither evicts the other's.
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

/// RFC 9175 §3.3: an unknown elective option distinguishes transfers, unless it is NoCacheKey.
#[test]
fn two_uploads_that_differ_in_an_unknown_elective_option_are_not_mixed() {
    let block =
        |bench: &mut Bench, message_id, option, value: &'static [u8], block1, payload: &str| {
            let mut message = Message::empty(Type::Confirmable, message_id);
            message.code = Code::POST;
            message.options = vec![
                (11, Bytes::from_static(b"telemetry")),
                (27, Bytes::from(vec![block1])),
                (option, Bytes::from_static(value)),
            ];
            message.payload = Bytes::copy_from_slice(payload.as_bytes());
            bench.receive_bytes(&message.encode(1152).unwrap());
        };
    let (first, last) = (0x08, 0x10);
    // 65000 & 0x1e is not 0x1c. Of 2044 it is: NoCacheKey. Uri-Host is known.
    for (option, distinguishes) in [(65_000, true), (2_044, false), (3, false)] {
        let mut bench = Bench::new();
        block(&mut bench, 1, option, b"a", first, "AAAAAAAAAAAAAAAA");
        assert_eq!(bench.sent().code, Code::CONTINUE);
        block(&mut bench, 2, option, b"b", first, "BBBBBBBBBBBBBBBB");
        assert_eq!(bench.sent().code, Code::CONTINUE);
        block(&mut bench, 3, option, b"a", last, "aaaa");
        let (_, request) = bench.request();
        let begins = if distinguishes { b'A' } else { b'B' };
        assert_eq!(request.payload[0], begins, "{option}");
        assert_eq!(&request.payload[16..], b"aaaa");
    }
}
