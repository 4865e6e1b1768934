use super::*;
use crate::{Method, Token};
use bytes::Bytes;
use std::time::Duration;

mod rules;

mod observing;

mod superseding;

mod transmitting;

mod blockwise;

mod queueing;

mod duplicates;

mod acknowledging;

mod link;

mod loss;

mod transfers;

mod path;

mod exporting;

/// An endpoint, its clock and its outputs.
struct Bench {
    endpoint: RemoteEndpoint,
    parameters: Parameters,
    counters: Counters,
    bodies: Bodies,
    /// The holder of its bodies.
    device: &'static str,
    max_message: usize,
    now: Instant,
    out: Vec<Output>,
}

const TOKEN: &[u8] = &[0xca, 0xfe];

impl Bench {
    fn new() -> Bench {
        Bench {
            endpoint: RemoteEndpoint::new(1000),
            parameters: Parameters::default(),
            counters: Counters::default(),
            bodies: Bodies::new(Parameters::default().body_bytes, 7),
            device: "a",
            max_message: 1152,
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
            out: Vec::new(),
        }
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut RemoteEndpoint, Instant, &mut Context<'_>, &mut Vec<Output>) -> T,
    ) -> T {
        let mut context = Context {
            parameters: &self.parameters,
            max_message: self.max_message,
            bodies: &self.bodies,
            holder: Holder::Device(self.device),
            random: &mut || 0,
            counters: &mut self.counters,
        };
        act(&mut self.endpoint, self.now, &mut context, &mut self.out)
    }

    fn receive_bytes(&mut self, bytes: &[u8]) {
        let datagram = Bytes::copy_from_slice(bytes);
        self.with(|endpoint, now, context, out| endpoint.receive(now, datagram, context, out));
    }

    fn post(&mut self, kind: Type, message_id: u16) {
        let mut message = Message::empty(kind, message_id);
        message.code = Code::POST;
        message.token = Token::new(TOKEN).unwrap();
        message.options = vec![(11, Bytes::from_static(b"telemetry"))];
        message.payload = Bytes::from_static(b"{}");
        self.receive_bytes(&message.encode(1152).unwrap());
    }

    fn respond(&mut self, id: ExchangeId, response: Response) {
        self.with(|endpoint, now, context, out| endpoint.respond(now, id, response, context, out));
    }

    /// Moves the clock, and handles timeouts.
    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.with(|endpoint, now, context, out| endpoint.handle_timeout(now, context, out));
    }

    /// The request in the next output; panics if it is another output.
    fn request(&mut self) -> (ExchangeId, Request) {
        match self.out.remove(0) {
            Output::Request(id, request) => (id, request),
            other => panic!("{other:?} instead"),
        }
    }

    /// The message in the next output; panics if it is another output.
    fn sent(&mut self) -> Message {
        match self.out.remove(0) {
            Output::Send(bytes) => Message::decode(&bytes).unwrap(),
            other => panic!("{other:?} instead"),
        }
    }
}

#[test]
fn a_quick_response_is_piggybacked() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, request) = bench.request();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.path, ["telemetry"]);
    bench.pass(0.499);
    assert_eq!(bench.out, []);
    bench.respond(id, Response::new(Code::CREATED));
    let reply = bench.sent();
    assert_eq!(reply.kind, Type::Acknowledgement);
    assert_eq!((reply.code, reply.message_id), (Code::CREATED, 7));
    assert_eq!(reply.token.as_bytes(), TOKEN);
}

#[test]
fn a_slow_response_is_separate_and_retransmitted_until_acknowledged() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.pass(0.5);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
    bench.pass(3.0);
    bench.respond(id, Response::new(Code::CREATED));
    let separate = bench.sent();
    assert_eq!(separate.kind, Type::Confirmable);
    assert_eq!(separate.token.as_bytes(), TOKEN);
    assert_ne!(separate.message_id, 7);
    bench.pass(2.0);
    assert_eq!(bench.sent(), separate, "the same Message ID and bytes");
    let acknowledgement = Message::empty(Type::Acknowledgement, separate.message_id);
    bench.receive_bytes(&acknowledgement.encode(4).unwrap());
    bench.pass(100.0);
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.retransmissions, 1);
    assert_eq!(bench.counters.given_up, 0);
}

#[test]
fn a_reset_ends_a_separate_response() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.pass(0.5);
    bench.respond(id, Response::new(Code::CREATED));
    let _empty = bench.sent();
    let separate = bench.sent();
    bench.receive_bytes(
        &Message::empty(Type::Reset, separate.message_id)
            .encode(4)
            .unwrap(),
    );
    bench.pass(100.0);
    assert_eq!(bench.out, []);
}

#[test]
fn a_separate_response_without_acknowledgement_is_given_up() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.pass(0.5);
    bench.respond(id, Response::new(Code::CREATED));
    for wait in [2.0, 4.0, 8.0, 16.0, 32.0, 64.0] {
        bench.pass(wait);
    }
    assert_eq!(bench.out.len(), 1 + 5, "empty ACK, then five transmissions");
    assert_eq!(bench.counters.given_up, 1);
}

#[test]
fn duplicates_never_become_a_second_request() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.post(Type::Confirmable, 7);
    assert_eq!(bench.out, [], "in progress: ignored");
    bench.pass(0.5);
    bench.sent();
    bench.post(Type::Confirmable, 7);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
    bench.respond(id, Response::new(Code::CREATED));
    bench.sent();
    bench.post(Type::Confirmable, 7);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
    assert_eq!(bench.counters.requests, 1);
    assert_eq!(bench.counters.duplicates, 3);
}

#[test]
fn a_duplicate_of_a_piggybacked_exchange_gets_the_same_reply() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.respond(id, Response::content(50, Bytes::from_static(b"{\"a\":1}")));
    let reply = bench.sent();
    bench.post(Type::Confirmable, 7);
    assert_eq!(bench.sent(), reply);
    bench.pass(246.0);
    bench.post(Type::Confirmable, 7);
    assert_eq!(bench.sent(), reply);
    bench.pass(2.0);
    bench.post(Type::Confirmable, 7);
    bench.request();
}

#[test]
fn a_non_confirmable_request_gets_a_non_confirmable_response_and_no_acknowledgement() {
    let mut bench = Bench::new();
    bench.post(Type::NonConfirmable, 7);
    let (id, _) = bench.request();
    bench.pass(10.0);
    assert_eq!(bench.out, []);
    bench.respond(id, Response::new(Code::CREATED));
    let response = bench.sent();
    assert_eq!(response.kind, Type::NonConfirmable);
    assert_eq!(response.token.as_bytes(), TOKEN);
    bench.post(Type::NonConfirmable, 7);
    assert_eq!(bench.out, [], "a duplicate is ignored");
}

#[test]
fn pings_and_malformed_confirmable_messages_are_reset() {
    let mut bench = Bench::new();
    bench.receive_bytes(&[0x40, 0, 0, 9]);
    assert_eq!(bench.sent(), Message::empty(Type::Reset, 9));
    bench.receive_bytes(&[0x49, 1, 0, 10]);
    assert_eq!(bench.sent(), Message::empty(Type::Reset, 10));
    bench.receive_bytes(&[0x59, 1, 0, 11]);
    bench.receive_bytes(&[0x80, 1, 0, 12]);
    bench.receive_bytes(&[]);
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.malformed_ignored, 3);
}

#[test]
fn unmatched_responses_and_acknowledgements_are_ignored() {
    let mut bench = Bench::new();
    bench.receive_bytes(&[0x60, 0, 0, 9]);
    bench.receive_bytes(&[0x70, 0, 0, 9]);
    bench.receive_bytes(&[0x60, 0x45, 0, 9]);
    bench.receive_bytes(&[0x50, 0x45, 0, 9]);
    assert_eq!(bench.out, []);
    bench.receive_bytes(&[0x40, 0x45, 0, 9]);
    assert_eq!(bench.sent(), Message::empty(Type::Reset, 9));
    assert_eq!(bench.counters.unmatched, 5);
}

#[test]
fn critical_options_get_4_02_when_confirmable_and_silence_otherwise() {
    let mut bench = Bench::new();
    let request = |first: u8| [first, 1, 0, 9, 0x91, b'x']; // option 9 (OSCORE)
    bench.receive_bytes(&request(0x40));
    assert_eq!(bench.sent().code, Code::BAD_OPTION);
    bench.receive_bytes(&[0x50, 1, 0, 10, 0x91, b'x']);
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.bad_options_ignored, 1);
}

#[test]
fn a_suppressed_response_is_not_sent_but_a_confirmable_request_is_acknowledged() {
    let mut bench = Bench::new();
    // Option 258 (delta 258 = 13 + 245), one byte: 2, "no interest in 2.xx".
    bench.receive_bytes(&[0x40, 2, 0, 9, 0xd1, 245, 2]);
    let (id, request) = bench.request();
    assert_eq!(request.no_response, 2);
    bench.respond(id, Response::new(Code::CREATED));
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 9));
    bench.receive_bytes(&[0x50, 2, 0, 10, 0xd1, 245, 2]);
    let (id, _) = bench.request();
    bench.respond(id, Response::new(Code::CREATED));
    assert_eq!(bench.out, []);
    bench.receive_bytes(&[0x50, 2, 0, 11, 0xd1, 245, 2]);
    let (id, _) = bench.request();
    bench.respond(id, Response::new(Code::NOT_FOUND));
    assert_eq!(bench.sent().code, Code::NOT_FOUND);
}

#[test]
fn requests_beyond_max_exchanges_and_queue_get_5_03() {
    let mut bench = Bench::new();
    bench.parameters.queue = 0;
    for message_id in 0..20 {
        bench.post(Type::Confirmable, message_id);
    }
    let (requests, responses): (Vec<_>, Vec<_>) = bench
        .out
        .drain(..)
        .partition(|output| matches!(output, Output::Request(..)));
    assert_eq!((requests.len(), responses.len()), (16, 4));
    for response in responses {
        let Output::Send(bytes) = response else {
            unreachable!()
        };
        assert_eq!(
            Message::decode(&bytes).unwrap().code,
            Code::SERVICE_UNAVAILABLE
        );
    }
    assert_eq!(bench.endpoint.open_exchanges(), 16);
}

#[test]
fn a_response_that_is_too_large_becomes_an_error() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    let too_large = vec![b'x'; bench.parameters.max_response_body + 1];
    bench.respond(id, Response::content(50, Bytes::from(too_large)));
    assert_eq!(bench.sent().code, Code::INTERNAL_SERVER_ERROR);
    assert_eq!(bench.counters.response_too_large, 1);
    bench.post(Type::Confirmable, 7);
    assert_eq!(bench.sent().code, Code::INTERNAL_SERVER_ERROR);
}

#[test]
fn an_idle_endpoint_has_no_timeout() {
    let mut bench = Bench::new();
    assert_eq!(bench.endpoint.next_timeout(), None);
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.respond(id, Response::new(Code::CREATED));
    while let Some(at) = bench.endpoint.next_timeout() {
        let wait = at - bench.now;
        bench.pass(wait.as_secs_f64());
    }
    assert!(bench.endpoint.deduplication.holds_no_heap());
}
