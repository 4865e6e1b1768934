//! Rules of RFC 7252 and RFC 7967 that concern the whole endpoint, and its bounds.

use super::*;
use crate::option::number::{ECHO, NO_RESPONSE, PROXY_SCHEME, PROXY_URI, REQUEST_TAG};

fn request_with(kind: Type, message_id: u16, option: u16, value: &'static [u8]) -> Vec<u8> {
    let mut message = Message::empty(kind, message_id);
    message.code = Code::POST;
    message.token = Token::new(TOKEN).unwrap();
    message.options = vec![(option, Bytes::from_static(value))];
    message.encode(1152).unwrap()
}

#[test]
fn both_proxy_options_are_refused_with_5_05() {
    for (option, kind) in [PROXY_URI, PROXY_SCHEME]
        .into_iter()
        .flat_map(|option| [(option, Type::Confirmable), (option, Type::NonConfirmable)])
    {
        let mut bench = Bench::new();
        bench.receive_bytes(&request_with(kind, 7, option, b"coap"));
        let response = bench.sent();
        assert_eq!(response.code, Code::PROXYING_NOT_SUPPORTED);
        assert_eq!(response.token.as_bytes(), TOKEN);
        assert_eq!(bench.endpoint.open_exchanges(), 0);
    }
}

#[test]
fn a_path_that_is_not_utf8_gets_4_00() {
    let mut bench = Bench::new();
    bench.receive_bytes(&request_with(Type::Confirmable, 7, 11, &[0xff, 0xfe]));
    assert_eq!(bench.sent().code, Code::BAD_REQUEST);
}

#[test]
fn an_error_is_remembered_like_any_response() {
    let mut bench = Bench::new();
    let bad = request_with(Type::Confirmable, 7, 9, b"x");
    bench.receive_bytes(&bad);
    let response = bench.sent();
    assert_eq!(response.code, Code::BAD_OPTION);
    bench.pass(100.0);
    bench.receive_bytes(&bad);
    assert_eq!(bench.sent(), response);
    assert_eq!(bench.counters.duplicates, 1);
}

#[test]
fn echo_and_request_tag_change_nothing() {
    for option in [ECHO, REQUEST_TAG] {
        let mut bench = Bench::new();
        bench.receive_bytes(&request_with(Type::Confirmable, 7, option, b"1"));
        let (_, request) = bench.request();
        let mut plain = Bench::new();
        plain.receive_bytes(&[0x40, 2, 0, 7]);
        assert_eq!(request, plain.request().1);
    }
}

#[test]
fn no_response_applies_to_piggybacked_and_separate_responses_and_duplicates_are_acknowledged() {
    let uninterested = request_with(Type::Confirmable, 7, NO_RESPONSE, &[26]);
    for slow in [false, true] {
        let mut bench = Bench::new();
        bench.receive_bytes(&uninterested);
        let (id, _) = bench.request();
        if slow {
            bench.pass(0.5);
        }
        bench.respond(id, Response::new(Code::CREATED));
        assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
        assert_eq!(bench.out, [], "slow: {slow}");
        bench.receive_bytes(&uninterested);
        assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
        assert_eq!(bench.endpoint.outgoing.len(), 0);
    }
}

#[test]
fn without_a_free_message_id_a_non_confirmable_request_gets_no_response() {
    let mut bench = Bench::new();
    let mut used = std::collections::HashSet::new();
    for number in 0..=u16::MAX {
        bench.post(Type::NonConfirmable, number);
        let (id, _) = bench.request();
        bench.respond(id, Response::new(Code::CREATED));
        if !bench.out.is_empty() {
            assert!(used.insert(bench.sent().message_id));
        }
    }
    assert!(used.len() >= 57_344, "{}", used.len());
    assert_eq!(
        u64::try_from(used.len()).unwrap() + bench.counters.out_of_message_ids,
        65_536
    );
    assert_eq!(bench.endpoint.open_exchanges(), 0);
}

#[test]
fn messages_of_other_versions_are_ignored_whatever_they_are() {
    let mut bench = Bench::new();
    for first in (0..=u8::MAX).filter(|first| first >> 6 != 1) {
        for code in [0, 1, 2, 0x45, 0xff] {
            bench.receive_bytes(&[first, code, 0, 9]);
        }
    }
    assert_eq!(bench.out, []);
    assert_eq!(bench.endpoint.remembered(), 0);
}

/// A gateway may have 100,000 sessions, and each idle one has an endpoint.
#[test]
fn an_idle_endpoint_is_small_and_holds_no_heap_after_any_history() {
    assert!(
        size_of::<RemoteEndpoint>() <= 320,
        "{}",
        size_of::<RemoteEndpoint>()
    );
    let mut bench = Bench::new();
    for message_id in 0..2_000 {
        bench.post(Type::Confirmable, message_id);
        let (id, _) = bench.request();
        if message_id % 100 == 0 {
            bench.pass(0.5);
        }
        bench.respond(id, Response::content(50, Bytes::from(vec![b'x'; 900])));
        assert!(bench.endpoint.remembered() <= 4096);
        assert!(bench.endpoint.remembered_bytes() <= 8 * 1024);
        assert!(
            bench.endpoint.outgoing() <= 80,
            "{}",
            bench.endpoint.outgoing()
        );
        bench.out.clear();
    }
    while let Some(at) = bench.endpoint.next_timeout() {
        bench.now = at;
        bench.pass(0.0);
    }
    let endpoint = &bench.endpoint;
    assert!(endpoint.exchanges.is_empty());
    assert!(endpoint.deduplication.holds_no_heap());
    assert!(endpoint.outgoing.is_empty());
    assert_eq!(endpoint.remembered_bytes(), 0);
}

/// Uri-Path 0xff, Proxy-Scheme or Block2 with SZX 7; then an option that is critical and unknown, or too long.
#[test]
fn a_critical_option_hides_milder_errors() {
    let options: [&[u8]; 3] = [
        &[0xb1, 0xff, 0x80],
        &[0xd4, 0x1a, b'c', b'o', b'a', b'p', 0xe0, 0x21, 0xf5],
        &[0xd1, 10, 7, 0x44, 0, 0, 0, 0],
    ];
    for options in options {
        let mut bench = Bench::new();
        bench.receive_bytes(&[&[0x41, 1, 0, 1, 1], options].concat());
        assert_eq!(bench.sent().code, Code::BAD_OPTION);
        bench.receive_bytes(&[&[0x51, 1, 0, 2, 1], options].concat());
        assert_eq!(bench.out, []);
        assert_eq!(bench.counters.bad_options_ignored, 1);
    }
}
