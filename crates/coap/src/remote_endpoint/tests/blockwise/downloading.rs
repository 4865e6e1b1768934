//! Responses that go out in blocks: RFC 7959 §2.4, §2.7, §3.1, §3.3, §4.

use super::*;
use crate::body::ETag;
use crate::option::number::{CONTENT_FORMAT, MAX_AGE, NO_RESPONSE};

/// Messages for which blocks of 128 bytes are the largest.
const SMALL: usize = 200;

fn talk(length: usize) -> Talk {
    Talk::new(Response::content(50, body(length)).with_max_age(7))
}

/// RFC 7959 §3.1, "Simple Block-Wise GET".
#[test]
fn a_large_response_goes_out_in_blocks_though_none_were_asked_for() {
    let mut talk = talk(300);
    talk.bench.max_message = SMALL;
    assert_eq!(talk.get(""), "2.05 2:0/1/128");
    let tag = etag(&talk.answer).unwrap();
    assert_eq!(tag.len(), 8);
    assert_eq!(value(&talk.answer, SIZE2), Some(300));
    let mut received = talk.answer.payload.to_vec();
    for (ask, answer) in [
        ("2:1/0/128", "2.05 2:1/1/128"),
        ("2:2/0/128", "2.05 2:2/0/128"),
    ] {
        assert_eq!(talk.get(ask), answer);
        assert_eq!(etag(&talk.answer), Some(tag.clone()));
        assert_eq!(value(&talk.answer, CONTENT_FORMAT), Some(50));
        assert_eq!(value(&talk.answer, MAX_AGE), Some(7));
        assert_eq!(value(&talk.answer, SIZE2), None, "not asked for");
        received.extend_from_slice(&talk.answer.payload);
    }
    assert_eq!(received, body(300));
    assert_eq!(
        talk.requests.len(),
        1,
        "the rest is served from what is held"
    );
    assert_eq!(talk.bench.counters.blocks_sent, 3);
}

/// §3.1, "Block-Wise GET with Early Negotiation".
#[test]
fn a_client_that_wishes_smaller_blocks_gets_them() {
    let mut talk = talk(300);
    talk.bench.max_message = SMALL;
    assert_eq!(talk.get("2:0/0/64"), "2.05 2:0/1/64");
    for num in 1..4 {
        assert_eq!(
            talk.get(&format!("2:{num}/0/64")),
            format!("2.05 2:{num}/1/64")
        );
    }
    assert_eq!(talk.get("2:4/0/64"), "2.05 2:4/0/64");
    assert_eq!(talk.answer.payload, body(300).slice(256..));
    assert_eq!(talk.requests.len(), 1);
}

/// §3.1, "Block-Wise GET with Late Negotiation": the second request is for byte 128, as block 2.
#[test]
fn a_client_may_wish_smaller_blocks_midway_or_larger_ones() {
    let mut talk = talk(600);
    talk.bench.max_message = SMALL;
    assert_eq!(talk.get(""), "2.05 2:0/1/128");
    assert_eq!(talk.get("2:2/0/64"), "2.05 2:2/1/64");
    assert_eq!(talk.answer.payload, body(600).slice(128..192));
    assert_eq!(talk.get("2:12/0/16"), "2.05 2:12/1/16");
    assert_eq!(talk.answer.payload, body(600).slice(192..208));
    assert_eq!(talk.get("2:2/0/128"), "2.05 2:2/1/128");
    assert_eq!(talk.answer.payload, body(600).slice(256..384));
    // Larger than can be sent: byte 512 has another number then.
    assert_eq!(talk.get("2:1/0/512"), "2.05 2:4/0/128");
    assert_eq!(talk.answer.payload, body(600).slice(512..));
    assert_eq!(talk.requests.len(), 1);
}

/// §3.1, with a lost request and with a lost acknowledgement.
#[test]
fn a_block_asked_for_twice_is_served_twice_and_not_remembered_for_that() {
    let mut talk = talk(300);
    for blocks in ["2:0/0/64", "2:1/0/64", "2:4/0/64"] {
        let message = talk.request(Code::GET, blocks, &[]);
        let answer = talk.send(&message);
        let first = talk.answer.clone();
        assert_eq!(talk.send(&message), answer, "the same Message ID");
        assert_eq!(talk.answer, first);
        assert_eq!(talk.get(blocks), answer, "another");
    }
    // Later blocks are not remembered at all, so that a download of thousands costs no memory.
    assert_eq!(talk.bench.counters.duplicates, 1);
    assert_eq!(talk.bench.endpoint.remembered(), 2);
    assert_eq!(
        talk.requests.len(),
        2,
        "block 0 is read anew by a new request"
    );
    assert_eq!(talk.bench.endpoint.remembered_bytes(), 0);
}

#[test]
fn later_blocks_are_not_remembered_either_if_they_are_not_confirmable() {
    let mut talk = talk(300);
    talk.get("2:0/0/64");
    for blocks in ["2:1/0/64", "2:2/0/64"] {
        let mut message = talk.request(Code::GET, blocks, &[]);
        message.kind = Type::NonConfirmable;
        talk.send(&message);
        assert_eq!(talk.answer.payload.len(), 64);
    }
    assert_eq!(talk.bench.endpoint.remembered(), 1, "block 0");
}

#[test]
fn a_duplicate_whose_block_is_not_held_any_more_is_read_anew() {
    let mut talk = talk(300);
    talk.get("2:0/0/64");
    let message = talk.request(Code::GET, "2:1/0/64", &[]);
    talk.send(&message);
    talk.bench.endpoint.blockwise = None;
    assert_eq!(talk.send(&message), "2.05 2:1/1/64");
    assert_eq!(talk.requests.len(), 2);
}

#[test]
fn a_body_of_any_length_in_blocks_of_any_size_is_whole() {
    for szx in 0..=6 {
        let size = 16 << szx;
        for length in [0, 1, size - 1, size, size + 1, 3 * size, 3 * size + 1, 5000] {
            let mut talk = talk(length);
            let mut received = Vec::new();
            for num in 0.. {
                talk.get(&format!("2:{num}/0/{size}"));
                received.extend_from_slice(&talk.answer.payload);
                let block = value(&talk.answer, BLOCK2).and_then(Block::decode);
                assert_eq!(block.is_some(), length > 0, "what is there has its place");
                if !block.is_some_and(Block::more) {
                    break;
                }
            }
            assert_eq!(received, body(length), "{length} by {size}");
            assert_eq!(talk.requests.len(), 1);
        }
    }
}

#[test]
fn a_body_in_more_than_4095_blocks_is_whole() {
    let mut talk = talk(300_000);
    talk.bench.parameters.max_response_body = 512 * 1024;
    talk.get("2:0/0/64");
    let mut received = talk.answer.payload.to_vec();
    for num in 1..=4687 {
        let more = u8::from(num < 4687);
        assert_eq!(
            talk.get(&format!("2:{num}/0/64")),
            format!("2.05 2:{num}/{more}/64")
        );
        received.extend_from_slice(&talk.answer.payload);
    }
    assert_eq!(received, body(300_000));
}

#[test]
fn what_fits_one_block_has_no_block2_unless_the_client_has() {
    let mut talk = talk(1024);
    assert_eq!(talk.get(""), "2.05");
    assert_eq!(
        (etag(&talk.answer), value(&talk.answer, SIZE2)),
        (None, None)
    );
    assert_eq!(talk.get("2:0/0/1024"), "2.05 2:0/0/1024");
    assert_eq!(
        talk.bench.endpoint.body_bytes(),
        0,
        "nothing is left to send"
    );
    talk.response.payload = body(1025);
    assert_eq!(talk.get(""), "2.05 2:0/1/1024");
    talk.response = Response::new(Code::CREATED);
    assert_eq!(talk.post("2:0/0/64", b"{}"), "2.01");
}

#[test]
fn small_responses_are_remembered_for_duplicates_whatever_was_wished() {
    let mut talk = talk(30);
    let message = talk.request(Code::GET, "2:0/0/64", &[]);
    assert_eq!(talk.send(&message), "2.05 2:0/0/64");
    assert_eq!(talk.send(&message), "2.05 2:0/0/64");
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn nothing_lies_past_the_end() {
    let mut talk = talk(256);
    talk.get("2:0/0/64");
    for past in ["2:4/0/64", "2:1/0/256", "2:1048575/0/1024"] {
        assert_eq!(talk.get(past), "4.00");
    }
    assert_eq!(talk.get("2:3/0/64"), "2.05 2:3/0/64");
    // The same for what is not held.
    talk.bench.endpoint.blockwise = None;
    assert_eq!(talk.get("2:4/0/64"), "4.00");
}

#[test]
fn the_size_of_the_body_is_told_to_who_asks() {
    let mut talk = talk(300);
    for (blocks, size) in [("2:0/0/1024", 300), ("2:0/0/64", 300), ("2:2/0/64", 300)] {
        let message = talk.with_option(Code::GET, blocks, (SIZE2, &[]));
        talk.send(&message);
        assert_eq!(value(&talk.answer, SIZE2), Some(size), "{blocks}");
    }
    assert!(talk.requests[0].size2_wanted);
}

#[test]
fn a_later_block_of_what_is_not_held_is_read_anew_and_cut_at_its_place() {
    let mut talk = talk(300);
    assert_eq!(talk.get("2:2/0/64"), "2.05 2:2/1/64");
    assert_eq!(talk.answer.payload, body(300).slice(128..192));
    assert_eq!(talk.requests[0].block2, Block::new(2, false, 2));
    assert_eq!(talk.get("2:3/0/64"), "2.05 2:3/1/64");
    assert_eq!(talk.requests.len(), 1, "now it is held");
    assert_eq!(talk.bench.counters.blocks_not_held, 1);

    let tag = etag(&talk.answer);
    talk.bench.endpoint.blockwise = None;
    talk.get("2:4/0/64");
    assert_eq!(etag(&talk.answer), tag, "the body is the same");
    talk.bench.endpoint.blockwise = None;
    talk.response.payload = body(301);
    talk.get("2:4/0/64");
    assert_ne!(etag(&talk.answer), tag, "it is another");
    talk.bench.endpoint.blockwise = None;
    talk.response = Response::error(Code::NOT_FOUND, "gone");
    assert_eq!(talk.get("2:4/0/64"), "4.04");
}

#[test]
fn a_client_that_reads_one_body_is_not_given_a_piece_of_the_next() {
    let mut talk = talk(300);
    talk.get("2:0/0/64");
    let old = etag(&talk.answer);
    talk.get("2:1/0/64");
    talk.response.payload = Bytes::from(vec![b'x'; 300]);
    talk.get("2:0/0/64");
    let new = etag(&talk.answer);
    assert_ne!(old, new);
    assert_eq!(talk.get("2:2/0/64"), "2.05 2:2/1/64");
    assert_eq!(
        (etag(&talk.answer), &talk.answer.payload),
        (old.clone(), &body(300).slice(128..192))
    );
    talk.get("2:1/0/64");
    assert_eq!((etag(&talk.answer), talk.answer.payload[0]), (new, b'x'));
    let named = talk.with_option(Code::GET, "2:1/0/64", (ETAG, &old.clone().unwrap()));
    talk.send(&named);
    assert_eq!(etag(&talk.answer), old);
}

#[test]
fn what_the_gateway_has_cut_is_sent_as_it_is() {
    let tag = ETag::new(b"v1.2").unwrap();
    let mut talk = Talk::new(Response {
        etag: Some(tag),
        block2: Block::new(7, true, 6),
        size2: Some(1_000_000),
        ..Response::content(42, body(1024))
    });
    let message = talk.with_option(Code::GET, "2:7/0/1024", (ETAG, b"v1.2"));
    assert_eq!(talk.send(&message), "2.05 2:7/1/1024");
    assert_eq!(talk.answer.payload, body(1024));
    assert_eq!(etag(&talk.answer).unwrap(), tag.as_bytes());
    assert_eq!(value(&talk.answer, SIZE2), Some(1_000_000));
    assert_eq!(talk.requests[0].etags, [tag]);
    assert_eq!(talk.bench.endpoint.body_bytes(), 0);
    assert_eq!(talk.send(&message), "2.05 2:7/1/1024");
    assert_eq!(talk.requests.len(), 2, "a duplicate is asked for again");
    assert_eq!(talk.bench.endpoint.remembered_bytes(), 0);
}

#[test]
fn a_tag_of_the_gateways_own_stays() {
    let tag = ETag::new(b"v1").unwrap();
    let mut talk = talk(300);
    talk.response.etag = Some(tag);
    for blocks in ["2:0/0/64", "2:1/0/64", "2:0/0/1024"] {
        talk.get(blocks);
        assert_eq!(etag(&talk.answer).unwrap(), tag.as_bytes(), "{blocks}");
    }
}

/// RFC 7959 §3.3, "Atomic Block-Wise POST with Block-Wise Response".
#[test]
fn a_response_to_a_body_in_blocks_comes_in_blocks_and_nothing_is_posted_twice() {
    let (mut talk, upload) = (talk(400), body(300));
    talk.bench.max_message = SMALL;
    talk.response.code = Code::CREATED;
    assert_eq!(talk.post("1:0/1/128", &upload[..128]), "2.31 1:0/1/128");
    assert_eq!(talk.post("1:1/1/128", &upload[128..256]), "2.31 1:1/1/128");
    assert_eq!(
        talk.post("1:2/0/128", &upload[256..]),
        "2.01 2:0/1/128 1:2/0/128"
    );
    assert_eq!(talk.post("2:1/0/128", &[]), "2.01 2:1/1/128");
    assert_eq!(talk.post("2:2/0/128", &[]), "2.01 2:2/1/128");
    assert_eq!(talk.post("2:3/0/128", &[]), "2.01 2:3/0/128");
    assert_eq!(talk.answer.payload, body(400).slice(384..));
    // Nor by a client that says again what it has sent.
    assert_eq!(
        talk.post("2:3/0/128 1:2/0/128", &upload[256..]),
        "2.01 2:3/0/128"
    );
    assert_eq!(talk.post("2:3/0/128", &upload[..100]), "2.01 2:3/0/128");
    assert_eq!(talk.requests.len(), 1);
    talk.bench.endpoint.blockwise = None;
    assert_eq!(talk.post("2:2/0/128", &[]), "4.08");
    assert_eq!(talk.post("2:2/0/128", b"{}"), "4.08");
    assert_eq!(talk.requests.len(), 1);
}

/// §3.3, "Atomic Block-Wise POST with Block-Wise Response, Early Negotiation".
#[test]
fn the_last_block_of_a_body_may_wish_a_size_for_the_response() {
    let (mut talk, upload) = (talk(200), body(300));
    talk.post("1:0/1/128", &upload[..128]);
    // What tells to go on has no Block2 (§2.3).
    assert_eq!(
        talk.post("2:0/0/64 1:1/1/128", &upload[128..256]),
        "2.31 1:1/1/128"
    );
    let last = talk.post("2:0/0/64 1:2/0/128", &upload[256..]);
    assert_eq!(last, "2.05 2:0/1/64 1:2/0/128");
    assert_eq!(talk.post("2:3/0/64", &[]), "2.05 2:3/0/64");
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn the_first_block_of_what_a_post_brought_is_remembered_for_its_duplicates() {
    let mut talk = talk(300);
    let message = talk.request(Code::POST, "2:0/0/64", b"{}");
    assert_eq!(talk.send(&message), "2.05 2:0/1/64");
    talk.bench.endpoint.blockwise = None;
    assert_eq!(talk.send(&message), "2.05 2:0/1/64");
    assert_eq!(talk.requests.len(), 1);
    // A later one is not, and is not posted either.
    let message = talk.request(Code::POST, "2:1/0/64", &[]);
    assert_eq!(talk.send(&message), "4.08");
    assert_eq!(talk.requests.len(), 1);
}

#[test]
fn errors_are_sent_in_one_piece() {
    let mut talk = talk(0);
    talk.response = Response::error(Code::NOT_FOUND, "x".repeat(100));
    assert_eq!(talk.get("2:0/0/16"), "4.04");
    assert_eq!(talk.answer.payload.len(), 100);
}

#[test]
fn a_response_beyond_the_bound_is_an_error_and_one_just_as_large_is_not() {
    let mut talk = talk(0);
    talk.bench.parameters.max_response_body = 5000;
    for (length, answer) in [(5000, "2.05 2:0/1/1024"), (5001, "5.00")] {
        talk.response.payload = body(length);
        assert_eq!(talk.get(""), answer);
    }
    assert_eq!(talk.bench.counters.response_too_large, 1);
}

#[test]
fn responses_that_find_no_room_cost_the_oldest_that_is_kept_or_else_are_refused() {
    let mut talk = talk(3000);
    talk.bench.bodies = Bodies::new(5000, 1);
    let other = talk.with_option(Code::GET, "", (URI_PATH, b"other"));
    talk.send(&other);
    assert_eq!(talk.get(""), "2.05 2:0/1/1024");
    assert_eq!(talk.bench.endpoint.body_bytes(), 3000);
    let rest = talk.with_option(Code::GET, "2:1/0/1024", (URI_PATH, b"other"));
    talk.send(&rest);
    assert_eq!(talk.requests.len(), 3, "it had made room");

    talk.rest();
    assert_eq!(talk.bench.bodies.held(), 0);
    let mut elsewhere = Talk::new(talk.response.clone());
    elsewhere.bench.bodies = talk.bench.bodies.clone();
    elsewhere.get("");
    assert_eq!(
        talk.get(""),
        "2.05 2:0/1/1024",
        "what is kept elsewhere gives way"
    );
    assert!(talk.bench.counters.bodies_evicted > 0);
    // What a POST has brought about can't be read again, and stays.
    elsewhere.post("", b"{}");
    assert_eq!(talk.bench.bodies.held(), 3000);
    assert_eq!(talk.get(""), "5.03");
    assert_eq!(value(&talk.answer, MAX_AGE), Some(30));
    // It was carried out, and must not be repeated.
    assert_eq!(talk.post("", b"{}"), "5.00");
    assert_eq!(talk.bench.counters.bodies_over_budget, 2);
    drop(elsewhere);
    assert_eq!(talk.get(""), "2.05 2:0/1/1024");
}

#[test]
fn what_nobody_asks_for_any_more_is_forgotten_after_ten_minutes() {
    let mut talk = talk(3000);
    talk.get("");
    talk.bench.pass(599.0);
    assert_eq!(talk.get("2:2/0/1024"), "2.05 2:2/0/1024");
    talk.bench.pass(599.999);
    assert_eq!(
        talk.bench.endpoint.body_bytes(),
        3000,
        "also after the last block"
    );
    talk.bench.pass(0.001);
    assert_eq!(talk.bench.endpoint.body_bytes(), 0);
    assert!(talk.bench.endpoint.blockwise.is_none());
}

#[test]
fn nothing_is_held_of_a_response_the_client_does_not_want() {
    let mut talk = talk(3000);
    let message = talk.with_option(Code::GET, "", (NO_RESPONSE, &[2]));
    talk.bench.receive_bytes(&message.encode(2000).unwrap());
    let (id, _) = talk.bench.request();
    talk.bench.respond(id, talk.response.clone());
    assert_eq!(talk.bench.endpoint.body_bytes(), 0);
}

#[test]
fn a_block_may_be_separate_and_is_then_retransmitted_like_any_response() {
    let mut talk = talk(3000);
    let message = talk.request(Code::GET, "", &[]);
    talk.bench.receive_bytes(&message.encode(2000).unwrap());
    let (id, _) = talk.bench.request();
    talk.bench.pass(0.5);
    talk.bench.sent();
    talk.bench.respond(id, talk.response.clone());
    let separate = talk.bench.sent();
    assert_eq!(described(&separate), "2.05 2:0/1/1024");
    talk.bench.pass(2.0);
    assert_eq!(talk.bench.sent(), separate);
}

/// One device fills the room that all share, by little requests for large answers in four sessions; then it is another's
/// turn, and another's, and none of them is refused.
#[test]
fn the_device_that_keeps_most_gives_way_and_goes_on_where_it_was() {
    let mut greedy: Vec<Talk> = (0..4).map(|_| talk(3000)).collect();
    let bodies = Bodies::new(24_000, 1);
    for talk in &mut greedy {
        talk.bench.bodies = bodies.clone();
        for resource in [b"a", b"b"] {
            let get = talk.with_option(Code::GET, "", (URI_PATH, resource));
            talk.send(&get);
        }
    }
    assert_eq!(bodies.held(), 24_000);
    let mut others: Vec<Talk> = ["b", "c", "d"]
        .map(|device| {
            let mut talk = talk(3000);
            talk.bench.bodies = bodies.clone();
            talk.bench.device = device;
            talk
        })
        .into();
    for other in &mut others {
        assert_eq!(other.get(""), "2.05 2:0/1/1024");
        assert_eq!(bodies.held(), 24_000);
    }
    for other in &mut others {
        assert_eq!(other.get("2:1/0/1024"), "2.05 2:1/1/1024");
        assert_eq!(other.requests.len(), 1, "it is still kept");
    }
    // The oldest of the first device is read anew, under the same tag, as its content is.
    let first = &mut greedy[0];
    let get = first.with_option(Code::GET, "2:1/0/1024", (URI_PATH, b"a"));
    first.send(&get);
    assert_eq!(
        (first.requests.len(), described(&first.answer)),
        (3, "2.05 2:1/1/1024".to_owned())
    );
}
