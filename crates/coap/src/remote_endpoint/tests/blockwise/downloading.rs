//! Responses in blocks: RFC 7959 §2.4, §2.7, §3.1, §3.3, §4.

use super::*;
use crate::body::ETag;
use crate::option::number::{CONTENT_FORMAT, MAX_AGE, NO_RESPONSE};

/// Messages that fit blocks of 128 bytes at most.
const SMALL: usize = 200;

fn client(length: usize) -> Client {
    Client::new(Response::content(50, body(length)).with_max_age(7))
}

/// RFC 7959 §3.1, "Simple Block-Wise GET".
#[test]
fn a_large_response_is_sent_in_blocks_without_block2_in_the_request() {
    let mut client = client(300);
    client.bench.max_message = SMALL;
    assert_eq!(client.get(""), "2.05 2:0/1/128");
    let tag = etag(&client.answer).unwrap();
    assert_eq!(tag.len(), 8);
    assert_eq!(value(&client.answer, SIZE2), Some(300));
    let mut received = client.answer.payload.to_vec();
    for (request, response) in [
        ("2:1/0/128", "2.05 2:1/1/128"),
        ("2:2/0/128", "2.05 2:2/0/128"),
    ] {
        assert_eq!(client.get(request), response);
        assert_eq!(etag(&client.answer), Some(tag.clone()));
        assert_eq!(value(&client.answer, CONTENT_FORMAT), Some(50));
        assert_eq!(value(&client.answer, MAX_AGE), Some(7));
        assert_eq!(value(&client.answer, SIZE2), None, "not requested");
        received.extend_from_slice(&client.answer.payload);
    }
    assert_eq!(received, body(300));
    assert_eq!(
        client.requests.len(),
        1,
        "the rest is served from what is held"
    );
    assert_eq!(client.bench.counters.blocks_sent, 3);
}

/// §3.1, "Block-Wise GET with Early Negotiation".
#[test]
fn a_client_that_requests_smaller_blocks_gets_them() {
    let mut client = client(300);
    client.bench.max_message = SMALL;
    assert_eq!(client.get("2:0/0/64"), "2.05 2:0/1/64");
    for num in 1..4 {
        assert_eq!(
            client.get(&format!("2:{num}/0/64")),
            format!("2.05 2:{num}/1/64")
        );
    }
    assert_eq!(client.get("2:4/0/64"), "2.05 2:4/0/64");
    assert_eq!(client.answer.payload, body(300).slice(256..));
    assert_eq!(client.requests.len(), 1);
}

/// §3.1, "Block-Wise GET with Late Negotiation": the second request is for byte 128, as block 2.
#[test]
fn a_client_may_change_the_block_size_during_a_download() {
    let mut client = client(600);
    client.bench.max_message = SMALL;
    assert_eq!(client.get(""), "2.05 2:0/1/128");
    assert_eq!(client.get("2:2/0/64"), "2.05 2:2/1/64");
    assert_eq!(client.answer.payload, body(600).slice(128..192));
    assert_eq!(client.get("2:12/0/16"), "2.05 2:12/1/16");
    assert_eq!(client.answer.payload, body(600).slice(192..208));
    assert_eq!(client.get("2:2/0/128"), "2.05 2:2/1/128");
    assert_eq!(client.answer.payload, body(600).slice(256..384));
    // A larger size than can be sent: then byte 512 has another NUM.
    assert_eq!(client.get("2:1/0/512"), "2.05 2:4/0/128");
    assert_eq!(client.answer.payload, body(600).slice(512..));
    assert_eq!(client.requests.len(), 1);
}

/// §3.1, with a lost request and with a lost acknowledgement.
#[test]
fn a_block_requested_twice_is_served_twice_and_its_messages_are_not_remembered() {
    let mut client = client(300);
    for blocks in ["2:0/0/64", "2:1/0/64", "2:4/0/64"] {
        let message = client.request(Code::GET, blocks, &[]);
        let answer = client.send(&message);
        let first = client.answer.clone();
        assert_eq!(client.send(&message), answer, "the same Message ID");
        assert_eq!(client.answer, first);
        assert_eq!(client.get(blocks), answer, "another");
    }
    // Later blocks are not remembered at all, so that a download of thousands costs no memory.
    assert_eq!(client.bench.counters.duplicates, 1);
    assert_eq!(client.bench.endpoint.remembered(), 2);
    assert_eq!(
        client.requests.len(),
        2,
        "a new request for block 0 is read again"
    );
    assert_eq!(client.bench.endpoint.remembered_bytes(), 0);
}

#[test]
fn non_confirmable_requests_for_later_blocks_are_not_remembered() {
    let mut client = client(300);
    client.get("2:0/0/64");
    for blocks in ["2:1/0/64", "2:2/0/64"] {
        let mut message = client.request(Code::GET, blocks, &[]);
        message.kind = Type::NonConfirmable;
        client.send(&message);
        assert_eq!(client.answer.payload.len(), 64);
    }
    assert_eq!(client.bench.endpoint.remembered(), 1, "block 0");
}

#[test]
fn a_duplicate_of_a_request_whose_snapshot_is_gone_is_read_again() {
    let mut client = client(300);
    client.get("2:0/0/64");
    let message = client.request(Code::GET, "2:1/0/64", &[]);
    client.send(&message);
    client.bench.endpoint.blockwise = None;
    assert_eq!(client.send(&message), "2.05 2:1/1/64");
    assert_eq!(client.requests.len(), 2);
}

#[test]
fn a_body_of_any_length_in_blocks_of_any_size_is_whole() {
    for szx in 0..=6 {
        let size = 16 << szx;
        for length in [0, 1, size - 1, size, size + 1, 3 * size, 3 * size + 1, 5000] {
            let mut client = client(length);
            let mut received = Vec::new();
            for num in 0.. {
                client.get(&format!("2:{num}/0/{size}"));
                received.extend_from_slice(&client.answer.payload);
                let block = value(&client.answer, BLOCK2).and_then(Block::decode);
                assert_eq!(block.is_some(), length > 0, "what is there has its place");
                if !block.is_some_and(Block::more) {
                    break;
                }
            }
            assert_eq!(received, body(length), "{length} by {size}");
            assert_eq!(client.requests.len(), 1);
        }
    }
}

#[test]
fn a_body_in_more_than_4095_blocks_is_whole() {
    let mut client = client(300_000);
    client.bench.parameters.max_response_body = 512 * 1024;
    client.get("2:0/0/64");
    let mut received = client.answer.payload.to_vec();
    for num in 1..=4687 {
        let more = u8::from(num < 4687);
        assert_eq!(
            client.get(&format!("2:{num}/0/64")),
            format!("2.05 2:{num}/{more}/64")
        );
        received.extend_from_slice(&client.answer.payload);
    }
    assert_eq!(received, body(300_000));
}

#[test]
fn a_response_of_one_block_has_block2_only_if_the_request_has() {
    let mut client = client(1024);
    assert_eq!(client.get(""), "2.05");
    assert_eq!(
        (etag(&client.answer), value(&client.answer, SIZE2)),
        (None, None)
    );
    assert_eq!(client.get("2:0/0/1024"), "2.05 2:0/0/1024");
    assert_eq!(
        client.bench.endpoint.body_bytes(),
        0,
        "nothing is left to send"
    );
    client.response.payload = body(1025);
    assert_eq!(client.get(""), "2.05 2:0/1/1024");
    client.response = Response::new(Code::CREATED);
    assert_eq!(client.post("2:0/0/64", b"{}"), "2.01");
}

#[test]
fn small_responses_are_remembered_for_duplicates_whatever_block_was_requested() {
    let mut client = client(30);
    let message = client.request(Code::GET, "2:0/0/64", &[]);
    assert_eq!(client.send(&message), "2.05 2:0/0/64");
    assert_eq!(client.send(&message), "2.05 2:0/0/64");
    assert_eq!(client.requests.len(), 1);
}

#[test]
fn a_block_past_the_end_gets_4_00() {
    let mut client = client(256);
    client.get("2:0/0/64");
    for past in ["2:4/0/64", "2:1/0/256", "2:1048575/0/1024"] {
        assert_eq!(client.get(past), "4.00");
    }
    assert_eq!(client.get("2:3/0/64"), "2.05 2:3/0/64");
    // The same without a snapshot.
    client.bench.endpoint.blockwise = None;
    assert_eq!(client.get("2:4/0/64"), "4.00");
}

#[test]
fn a_request_with_size2_gets_the_size_of_the_body() {
    let mut client = client(300);
    for (blocks, size) in [("2:0/0/1024", 300), ("2:0/0/64", 300), ("2:2/0/64", 300)] {
        let message = client.with_option(Code::GET, blocks, (SIZE2, &[]));
        client.send(&message);
        assert_eq!(value(&client.answer, SIZE2), Some(size), "{blocks}");
    }
    assert!(client.requests[0].size2_wanted);
}

#[test]
fn a_later_block_without_a_snapshot_is_taken_from_a_new_response() {
    let mut client = client(300);
    assert_eq!(client.get("2:2/0/64"), "2.05 2:2/1/64");
    assert_eq!(client.answer.payload, body(300).slice(128..192));
    assert_eq!(client.requests[0].block2, Block::new(2, false, 2));
    assert_eq!(client.get("2:3/0/64"), "2.05 2:3/1/64");
    assert_eq!(client.requests.len(), 1, "now it is held");
    assert_eq!(client.bench.counters.blocks_not_held, 1);

    let tag = etag(&client.answer);
    client.bench.endpoint.blockwise = None;
    client.get("2:4/0/64");
    assert_eq!(etag(&client.answer), tag, "the body is the same");
    client.bench.endpoint.blockwise = None;
    client.response.payload = body(301);
    client.get("2:4/0/64");
    assert_ne!(etag(&client.answer), tag, "it is another");
    client.bench.endpoint.blockwise = None;
    client.response = Response::error(Code::NOT_FOUND, "gone");
    assert_eq!(client.get("2:4/0/64"), "4.04");
}

#[test]
fn a_client_that_reads_one_body_gets_no_block_of_the_next() {
    let mut client = client(300);
    client.get("2:0/0/64");
    let old = etag(&client.answer);
    client.get("2:1/0/64");
    client.response.payload = Bytes::from(vec![b'x'; 300]);
    client.get("2:0/0/64");
    let new = etag(&client.answer);
    assert_ne!(old, new);
    assert_eq!(client.get("2:2/0/64"), "2.05 2:2/1/64");
    assert_eq!(
        (etag(&client.answer), &client.answer.payload),
        (old.clone(), &body(300).slice(128..192))
    );
    client.get("2:1/0/64");
    assert_eq!(
        (etag(&client.answer), client.answer.payload[0]),
        (new, b'x')
    );
    let named = client.with_option(Code::GET, "2:1/0/64", (ETAG, &old.clone().unwrap()));
    client.send(&named);
    assert_eq!(etag(&client.answer), old);
}

#[test]
fn a_response_with_block2_of_the_application_is_sent_as_it_is() {
    let tag = ETag::new(b"v1.2").unwrap();
    let mut client = Client::new(Response {
        etag: Some(tag),
        block2: Block::new(7, true, 6),
        size2: Some(1_000_000),
        ..Response::content(42, body(1024))
    });
    let message = client.with_option(Code::GET, "2:7/0/1024", (ETAG, b"v1.2"));
    assert_eq!(client.send(&message), "2.05 2:7/1/1024");
    assert_eq!(client.answer.payload, body(1024));
    assert_eq!(etag(&client.answer).unwrap(), tag.as_bytes());
    assert_eq!(value(&client.answer, SIZE2), Some(1_000_000));
    assert_eq!(client.requests[0].etags, [tag]);
    assert_eq!(client.bench.endpoint.body_bytes(), 0);
    assert_eq!(client.send(&message), "2.05 2:7/1/1024");
    assert_eq!(client.requests.len(), 2, "a duplicate is read again");
    assert_eq!(client.bench.endpoint.remembered_bytes(), 0);
}

#[test]
fn an_etag_of_the_application_stays() {
    let tag = ETag::new(b"v1").unwrap();
    let mut client = client(300);
    client.response.etag = Some(tag);
    for blocks in ["2:0/0/64", "2:1/0/64", "2:0/0/1024"] {
        client.get(blocks);
        assert_eq!(etag(&client.answer).unwrap(), tag.as_bytes(), "{blocks}");
    }
}

/// RFC 7959 §3.3, "Atomic Block-Wise POST with Block-Wise Response".
#[test]
fn a_body_in_blocks_may_get_a_response_in_blocks_and_is_posted_once() {
    let (mut client, upload) = (client(400), body(300));
    client.bench.max_message = SMALL;
    client.response.code = Code::CREATED;
    assert_eq!(client.post("1:0/1/128", &upload[..128]), "2.31 1:0/1/128");
    assert_eq!(
        client.post("1:1/1/128", &upload[128..256]),
        "2.31 1:1/1/128"
    );
    assert_eq!(
        client.post("1:2/0/128", &upload[256..]),
        "2.01 2:0/1/128 1:2/0/128"
    );
    assert_eq!(client.post("2:1/0/128", &[]), "2.01 2:1/1/128");
    assert_eq!(client.post("2:2/0/128", &[]), "2.01 2:2/1/128");
    assert_eq!(client.post("2:3/0/128", &[]), "2.01 2:3/0/128");
    assert_eq!(client.answer.payload, body(400).slice(384..));
    // Nor by a client that repeats its Block1.
    assert_eq!(
        client.post("2:3/0/128 1:2/0/128", &upload[256..]),
        "2.01 2:3/0/128"
    );
    assert_eq!(client.post("2:3/0/128", &upload[..100]), "2.01 2:3/0/128");
    assert_eq!(client.requests.len(), 1);
    client.bench.endpoint.blockwise = None;
    assert_eq!(client.post("2:2/0/128", &[]), "4.08");
    assert_eq!(client.post("2:2/0/128", b"{}"), "4.08");
    assert_eq!(client.requests.len(), 1);
}

/// §3.3, "Atomic Block-Wise POST with Block-Wise Response, Early Negotiation".
#[test]
fn the_last_block_of_a_body_may_request_a_block_size_for_the_response() {
    let (mut client, upload) = (client(200), body(300));
    client.post("1:0/1/128", &upload[..128]);
    // A 2.31 has no Block2 (§2.3).
    assert_eq!(
        client.post("2:0/0/64 1:1/1/128", &upload[128..256]),
        "2.31 1:1/1/128"
    );
    let last = client.post("2:0/0/64 1:2/0/128", &upload[256..]);
    assert_eq!(last, "2.05 2:0/1/64 1:2/0/128");
    assert_eq!(client.post("2:3/0/64", &[]), "2.05 2:3/0/64");
    assert_eq!(client.requests.len(), 1);
}

#[test]
fn the_first_block_of_the_response_to_a_post_is_remembered_for_duplicates() {
    let mut client = client(300);
    let message = client.request(Code::POST, "2:0/0/64", b"{}");
    assert_eq!(client.send(&message), "2.05 2:0/1/64");
    client.bench.endpoint.blockwise = None;
    assert_eq!(client.send(&message), "2.05 2:0/1/64");
    assert_eq!(client.requests.len(), 1);
    // A later block is not remembered, and is not posted either.
    let message = client.request(Code::POST, "2:1/0/64", &[]);
    assert_eq!(client.send(&message), "4.08");
    assert_eq!(client.requests.len(), 1);
}

#[test]
fn errors_are_not_sent_in_blocks() {
    let mut client = client(0);
    client.response = Response::error(Code::NOT_FOUND, "x".repeat(100));
    assert_eq!(client.get("2:0/0/16"), "4.04");
    assert_eq!(client.answer.payload.len(), 100);
}

#[test]
fn a_response_above_the_limit_is_an_error_and_one_at_the_limit_is_not() {
    let mut client = client(0);
    client.bench.parameters.max_response_body = 5000;
    for (length, answer) in [(5000, "2.05 2:0/1/1024"), (5001, "5.00")] {
        client.response.payload = body(length);
        assert_eq!(client.get(""), answer);
    }
    assert_eq!(client.bench.counters.response_too_large, 1);
}

#[test]
fn responses_without_memory_evict_the_oldest_snapshot_or_are_refused() {
    let mut client = client(3000);
    client.bench.bodies = Bodies::new(5000, 1);
    let other = client.with_option(Code::GET, "", (URI_PATH, b"other"));
    client.send(&other);
    assert_eq!(client.get(""), "2.05 2:0/1/1024");
    assert_eq!(client.bench.endpoint.body_bytes(), 3000);
    let rest = client.with_option(Code::GET, "2:1/0/1024", (URI_PATH, b"other"));
    client.send(&rest);
    assert_eq!(client.requests.len(), 3, "its snapshot was evicted");

    client.pass_all_timeouts();
    assert_eq!(client.bench.bodies.held(), 0);
    let mut elsewhere = Client::new(client.response.clone());
    elsewhere.bench.bodies = client.bench.bodies.clone();
    elsewhere.get("");
    assert_eq!(
        client.get(""),
        "2.05 2:0/1/1024",
        "what is kept elsewhere gives way"
    );
    assert!(client.bench.counters.bodies_evicted > 0);
    // The response to a POST can't be read again, and is not evicted.
    elsewhere.post("", b"{}");
    assert_eq!(client.bench.bodies.held(), 3000);
    assert_eq!(client.get(""), "5.03");
    assert_eq!(value(&client.answer, MAX_AGE), Some(30));
    // The request was carried out, and must not be repeated.
    assert_eq!(client.post("", b"{}"), "5.00");
    assert_eq!(client.bench.counters.bodies_over_budget, 2);
    drop(elsewhere);
    assert_eq!(client.get(""), "2.05 2:0/1/1024");
}

#[test]
fn unused_snapshots_expire_after_ten_minutes() {
    let mut client = client(3000);
    client.get("");
    client.bench.pass(599.0);
    assert_eq!(client.get("2:2/0/1024"), "2.05 2:2/0/1024");
    client.bench.pass(599.999);
    assert_eq!(
        client.bench.endpoint.body_bytes(),
        3000,
        "also after the last block"
    );
    client.bench.pass(0.001);
    assert_eq!(client.bench.endpoint.body_bytes(), 0);
    assert!(client.bench.endpoint.blockwise.is_none());
}

#[test]
fn a_suppressed_response_is_not_kept() {
    let mut client = client(3000);
    let message = client.with_option(Code::GET, "", (NO_RESPONSE, &[2]));
    client.bench.receive_bytes(&message.encode(2000).unwrap());
    let (id, _) = client.bench.request();
    client.bench.respond(id, client.response.clone());
    assert_eq!(client.bench.endpoint.body_bytes(), 0);
}

#[test]
fn a_block_in_a_separate_response_is_retransmitted_like_any_response() {
    let mut client = client(3000);
    let message = client.request(Code::GET, "", &[]);
    client.bench.receive_bytes(&message.encode(2000).unwrap());
    let (id, _) = client.bench.request();
    client.bench.pass(0.5);
    client.bench.sent();
    client.bench.respond(id, client.response.clone());
    let separate = client.bench.sent();
    assert_eq!(described(&separate), "2.05 2:0/1/1024");
    client.bench.pass(2.0);
    assert_eq!(client.bench.sent(), separate);
}

/// One device fills the common memory by small requests for large responses in four sessions; then
/// other devices follow, and are not refused.
#[test]
fn the_largest_holder_is_evicted_and_continues_where_it_was() {
    let mut greedy: Vec<Client> = (0..4).map(|_| client(3000)).collect();
    let bodies = Bodies::new(24_000, 1);
    for client in &mut greedy {
        client.bench.bodies = bodies.clone();
        for resource in [b"a", b"b"] {
            let get = client.with_option(Code::GET, "", (URI_PATH, resource));
            client.send(&get);
        }
    }
    assert_eq!(bodies.held(), 24_000);
    let mut others: Vec<Client> = ["b", "c", "d"]
        .map(|device| {
            let mut client = client(3000);
            client.bench.bodies = bodies.clone();
            client.bench.device = device;
            client
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
    // The oldest of the first device is read again, and has the same ETag, as its content is the
    // same.
    let first = &mut greedy[0];
    let get = first.with_option(Code::GET, "2:1/0/1024", (URI_PATH, b"a"));
    first.send(&get);
    assert_eq!(
        (first.requests.len(), described(&first.answer)),
        (3, "2.05 2:1/1/1024".to_owned())
    );
}
