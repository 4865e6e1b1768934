//! More requests at once than are worked on: they wait, in order.

use super::*;
use crate::Token;

impl Bench {
    /// Begins all that may begin, as the gateway does.
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
fn one_that_waits_is_acknowledged_in_time_recognised_when_it_comes_again_and_answered_separately() {
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
fn what_comes_while_others_wait_waits_behind_them_though_there_is_room() {
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
