//! More requests at once than `max_exchanges`: they are queued in order.

use super::*;
use crate::Token;
use crate::option::number::{ETAG, URI_PATH, URI_QUERY};

impl Bench {
    /// Starts all queued requests that may start, as the gateway does.
    fn start_queued(&mut self) {
        while self.with(|endpoint, _, context, _| endpoint.can_start_queued(context)) {
            self.with(|endpoint, _, context, out| endpoint.start_queued(context, out));
        }
    }

    fn post_numbered(&mut self, kind: Type, number: u16) {
        let mut message = Message::empty(kind, number);
        message.code = Code::POST;
        message.token = Token::new(&number.to_be_bytes()).unwrap();
        message.options = vec![(11, Bytes::from_static(b"telemetry"))];
        message.payload = Bytes::from(number.to_string());
        self.receive_bytes(&message.encode(1152).unwrap());
    }
}

#[test]
fn five_hundred_posts_at_once_are_all_served_in_order_sixteen_at_a_time() {
    let mut bench = Bench::new();
    for number in 0..500 {
        bench.post_numbered(Type::Confirmable, number);
    }
    assert_eq!(bench.out.len(), 16);
    assert_eq!(bench.endpoint.open_exchanges(), 500);
    let held = bench.endpoint.body_bytes();
    assert!((484 * 300..512 * 1024).contains(&held), "{held}");
    for number in 0..500_u16 {
        let (id, request) = bench.request();
        assert_eq!(&request.payload[..], number.to_string().as_bytes());
        bench.respond(id, Response::new(Code::CREATED));
        let reply = bench.out.pop().unwrap();
        let Output::Send(bytes) = reply else {
            panic!("{reply:?}")
        };
        let reply = Message::decode(&bytes).unwrap();
        assert_eq!(
            (reply.kind, reply.message_id),
            (Type::Acknowledgement, number)
        );
        bench.start_queued();
    }
    assert_eq!(bench.out, []);
    assert_eq!(bench.endpoint.open_exchanges(), 0);
    assert_eq!((bench.endpoint.body_bytes(), bench.bodies.held()), (0, 0));
    assert!(bench.endpoint.queue.is_none() && bench.endpoint.blockwise.is_none());
    assert_eq!(bench.counters.requests, 500);
    assert_eq!(bench.counters.requests_waited, 484);
    assert_eq!(bench.counters.too_many_exchanges, 0);
}

#[test]
fn a_queued_request_is_acknowledged_in_time_deduplicated_and_answered_separately() {
    let mut bench = Bench::new();
    bench.parameters.max_exchanges = 1;
    bench.post_numbered(Type::Confirmable, 1);
    let (first, _) = bench.request();
    bench.pass(0.3);
    bench.post_numbered(Type::Confirmable, 2);
    bench.post_numbered(Type::Confirmable, 2);
    assert_eq!(bench.out, []);
    bench.pass(0.2);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 1));
    assert_eq!(bench.out, []);
    let at = bench.now + Duration::from_millis(300);
    assert_eq!(bench.endpoint.next_timeout(), Some(at));
    bench.pass(0.3);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 2));
    bench.post_numbered(Type::Confirmable, 2);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 2));
    bench.respond(first, Response::new(Code::CREATED));
    bench.sent();
    bench.start_queued();
    let (second, _) = bench.request();
    bench.respond(second, Response::new(Code::CREATED));
    let response = bench.sent();
    assert_eq!(response.kind, Type::Confirmable);
    assert_eq!(response.token.as_bytes(), [0, 2]);
}

#[test]
fn a_request_is_queued_behind_others_even_if_an_exchange_may_open() {
    let mut bench = Bench::new();
    bench.parameters.max_exchanges = 1;
    for number in 1..=2 {
        bench.post_numbered(Type::NonConfirmable, number);
    }
    let (first, _) = bench.request();
    bench.respond(first, Response::new(Code::CREATED));
    bench.sent();
    bench.post_numbered(Type::NonConfirmable, 3);
    assert_eq!(bench.out, []);
    for number in [b"2", b"3"] {
        bench.start_queued();
        let (id, request) = bench.request();
        assert_eq!(&request.payload[..], number);
        bench.respond(id, Response::new(Code::CREATED));
        bench.sent();
    }
}

#[test]
fn beyond_the_queue_or_the_bytes_of_bodies_requests_get_5_03() {
    let refused = |bench: &mut Bench| {
        let last = bench.out.pop().unwrap();
        let Output::Send(bytes) = last else {
            panic!("{last:?}")
        };
        let message = Message::decode(&bytes).unwrap();
        assert!(
            message.options.iter().any(|(number, _)| *number == 14),
            "Max-Age"
        );
        message.code == Code::SERVICE_UNAVAILABLE
    };
    let mut bench = Bench::new();
    bench.parameters.queue = 4;
    for number in 0..21 {
        bench.post_numbered(Type::Confirmable, number);
    }
    assert!(refused(&mut bench));
    assert_eq!(bench.counters.too_many_exchanges, 1);
    assert_eq!(bench.endpoint.open_exchanges(), 20);

    let mut bench = Bench::new();
    bench.bodies = Bodies::new(2000, 1);
    for number in 0..16 + 10 {
        bench.post_numbered(Type::Confirmable, number);
    }
    assert!(refused(&mut bench));
    assert!(bench.counters.bodies_over_budget > 0);
    let waiting = bench.endpoint.queued();
    assert!((3..6).contains(&waiting), "{waiting}");
}

/// The gateway starts a queued request when the session's turn comes, which is later.
#[test]
fn the_queue_does_not_grow_while_an_exchange_may_open() {
    for queue in [0, 1, 4] {
        let mut bench = Bench::new();
        bench.parameters.max_exchanges = 1;
        bench.parameters.queue = queue;
        for number in 0..=u16::try_from(queue).unwrap() {
            bench.post_numbered(Type::Confirmable, number);
        }
        let (first, _) = bench.request();
        bench.respond(first, Response::new(Code::CREATED));
        bench.sent();
        for number in 100..120 {
            bench.post_numbered(Type::Confirmable, number);
        }
        assert_eq!(bench.endpoint.queued(), queue);
        // Without a queue the first of them starts at once.
        let refused = if queue == 0 { 19 } else { 20 };
        assert_eq!(bench.counters.too_many_exchanges, refused);
    }
}

/// So many bytes that are not charged would fill the memory: a body in a single block, and blocks
/// that are not assembled.
#[test]
fn queued_requests_are_charged_with_their_payload_whatever_block1_they_have() {
    let charged = |code: Code, block1: Option<u8>| {
        let mut bench = Bench::new();
        bench.parameters.max_exchanges = 0;
        let mut message = Message::empty(Type::Confirmable, 1);
        message.code = code;
        message.options = block1
            .map(|value| (27, Bytes::from(vec![value])))
            .into_iter()
            .collect();
        message.payload = Bytes::from(vec![b'x'; 512]);
        bench.receive_bytes(&message.encode(1152).unwrap());
        assert_eq!(bench.endpoint.queued(), 1);
        bench.endpoint.body_bytes()
    };
    let (put, without) = (Code(3), charged(Code::POST, None));
    assert!(without > 512);
    // NUM 0 and NUM 1, both without M and with 512 bytes.
    assert_eq!(charged(Code::POST, Some(0x05)), without);
    assert_eq!(charged(put, Some(0x05)), without);
    assert_eq!(charged(put, Some(0x15)), without);
}

/// Path and query may have more bytes than the payload.
#[test]
fn queued_requests_are_charged_with_their_options() {
    for (length, at_least) in [(255, 62 * 255), (1, 62 * 32), (0, 62 * 32)] {
        for option in [URI_PATH, URI_QUERY] {
            let mut bench = Bench::new();
            bench.parameters.max_exchanges = 0;
            let mut queued = 0;
            for number in 0..1024 {
                let mut message = Message::empty(Type::Confirmable, number);
                message.code = Code::POST;
                message.options = vec![(option, Bytes::from(vec![b'x'; length])); 62];
                bench.receive_bytes(&message.encode(16 * 1024).unwrap());
                queued = bench.endpoint.queued();
                let charged = bench.endpoint.body_bytes();
                assert!(charged >= queued * at_least, "{charged} for {queued}");
            }
            assert!(bench.counters.bodies_over_budget > 0, "{queued}");
        }
    }
}

#[test]
fn queued_requests_are_charged_with_their_etags() {
    let mut bench = Bench::new();
    bench.parameters.max_exchanges = 0;
    let mut message = Message::empty(Type::Confirmable, 1);
    message.code = Code::GET;
    message.options = vec![(ETAG, Bytes::from_static(b"12345678")); 64];
    bench.receive_bytes(&message.encode(1152).unwrap());
    assert_eq!(bench.endpoint.queued(), 1);
    assert!(bench.endpoint.body_bytes() >= 64 * 9);
}
