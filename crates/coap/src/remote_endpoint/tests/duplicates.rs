//! Duplicates of messages, and other messages with the same Message ID (RFC 7252 §4.5).

use super::*;
use crate::Token;

/// A POST of this payload; `token` may be empty.
fn message(kind: Type, message_id: u16, token: &[u8], payload: &'static str) -> Message {
    Message {
        code: Code::POST,
        token: Token::new(token).unwrap(),
        options: vec![(11, Bytes::from_static(b"telemetry"))],
        payload: Bytes::from_static(payload.as_bytes()),
        ..Message::empty(kind, message_id)
    }
}

impl Bench {
    /// Receives a request, and answers it at once with 2.01 unless it is a duplicate. Returns the
    /// payload that the application received, and the reply.
    fn exchange(&mut self, message: &Message) -> (Option<Bytes>, Option<Message>) {
        self.receive_bytes(&message.encode(1152).unwrap());
        let payload = match self.out.first() {
            Some(Output::Request(..)) => {
                let (id, request) = self.request();
                self.respond(id, Response::new(Code::CREATED));
                Some(request.payload)
            }
            _ => None,
        };
        let reply = (!self.out.is_empty()).then(|| self.sent());
        assert_eq!(self.out, []);
        (payload, reply)
    }
}

fn received(payload: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(payload.as_bytes()))
}

#[test]
fn another_request_with_the_same_message_id_is_a_new_request() {
    let mut bench = Bench::new();
    let first = message(Type::Confirmable, 3561, &[0x35, 0xb3, 1], "{\"v\":\"A\"}");
    let second = message(Type::Confirmable, 3561, &[0x35, 0xb3, 2], "{\"v\":\"B\"}");
    let (payload, reply_to_first) = bench.exchange(&first);
    assert_eq!(payload, received("{\"v\":\"A\"}"));
    let (payload, reply_to_second) = bench.exchange(&second);
    assert_eq!(payload, received("{\"v\":\"B\"}"));
    assert_eq!(reply_to_second.as_ref().unwrap().token, second.token);
    // Both are still recognised.
    assert_eq!(bench.exchange(&first), (None, reply_to_first));
    assert_eq!(bench.exchange(&second), (None, reply_to_second));
    assert_eq!(bench.counters.duplicates, 2);
}

#[test]
fn a_client_with_a_constant_message_id_and_no_token_loses_nothing() {
    let mut bench = Bench::new();
    for payload in ["{\"v\":1}", "{\"v\":2}", "{\"v\":3}"] {
        let post = message(Type::Confirmable, 0, &[], payload);
        assert_eq!(bench.exchange(&post).0, received(payload));
        assert_eq!(bench.exchange(&post).0, None, "a retransmission");
    }
}

#[test]
fn a_get_with_the_message_id_of_a_post_is_a_new_request() {
    let mut bench = Bench::new();
    let post = message(Type::Confirmable, 7, &[1], "{}");
    bench.exchange(&post);
    let get = Message {
        code: Code::GET,
        ..message(Type::Confirmable, 7, &[1], "")
    };
    bench.receive_bytes(&get.encode(1152).unwrap());
    let (id, request) = bench.request();
    assert_eq!(request.method, Method::Get);
    bench.respond(id, Response::content(50, Bytes::from_static(b"{}")));
    assert_eq!(bench.sent().code, Code::CONTENT);
}

#[test]
fn a_non_confirmable_request_with_the_message_id_of_a_confirmable_one_is_a_new_request() {
    let mut bench = Bench::new();
    bench.exchange(&message(Type::Confirmable, 7, &[1], "{}"));
    let other = message(Type::NonConfirmable, 7, &[1], "{}");
    let (payload, reply) = bench.exchange(&other);
    assert_eq!(payload, received("{}"));
    assert_eq!(reply.unwrap().kind, Type::NonConfirmable);
}

#[test]
fn two_open_requests_with_one_message_id_are_acknowledged_and_answered_separately() {
    let mut bench = Bench::new();
    let both = [1, 2].map(|token| message(Type::Confirmable, 7, &[token], "{}"));
    let ids = both.each_ref().map(|message| {
        bench.receive_bytes(&message.encode(1152).unwrap());
        bench.request().0
    });
    bench.respond(ids[1], Response::new(Code::CREATED));
    let reply = bench.sent();
    assert_eq!(reply.token, both[1].token);
    bench.pass(0.5);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
    // The duplicate of each gets the reply to its own request.
    assert_eq!(bench.exchange(&both[1]).1, Some(reply));
    let empty = Message::empty(Type::Acknowledgement, 7);
    assert_eq!(bench.exchange(&both[0]).1, Some(empty));
    bench.respond(ids[0], Response::new(Code::CREATED));
    let separate = bench.sent();
    assert_eq!(
        (separate.kind, separate.token),
        (Type::Confirmable, both[0].token)
    );
}

#[test]
fn a_duplicate_of_the_first_of_two_thousand_messages_is_recognised() {
    let mut bench = Bench::new();
    for message_id in 0..2048 {
        bench.exchange(&message(Type::Confirmable, message_id, &[1], "{}"));
    }
    let duplicate = bench.exchange(&message(Type::Confirmable, 0, &[1], "{}"));
    assert!(duplicate.0.is_none() && duplicate.1.is_some());
    assert_eq!(bench.counters.messages_forgotten, 0);
    bench.exchange(&message(Type::Confirmable, 2048, &[1], "{}"));
    assert_eq!(bench.counters.messages_forgotten, 1);
}

/// RFC 7252 §4.5: a GET may be processed again, and a POST may not.
#[test]
fn a_duplicate_of_a_get_whose_reply_was_evicted_is_processed_again() {
    let request = |code, message_id, observe: bool| Message {
        code,
        options: observe.then(|| (6, Bytes::new())).into_iter().collect(),
        ..message(Type::Confirmable, message_id, &[1], "")
    };
    for (code, observe) in [(Code::GET, false), (Code::GET, true), (Code::POST, false)] {
        let mut bench = Bench::new();
        for message_id in 0..6 {
            let message = request(code, message_id, observe);
            bench.receive_bytes(&message.encode(1152).unwrap());
            let (id, _) = bench.request();
            bench.respond(id, Response::content(50, Bytes::from(vec![b'x'; 1000])));
            bench.sent();
        }
        let duplicate = request(code, 0, observe).encode(1152).unwrap();
        bench.receive_bytes(&duplicate);
        if code == Code::GET && !observe {
            bench.receive_bytes(&duplicate);
            assert_eq!(bench.out.len(), 1, "one request while it is in progress");
            let (id, _) = bench.request();
            bench.respond(id, Response::content(50, Bytes::from(vec![b'x'; 1000])));
            let again = bench.sent();
            assert_eq!((again.kind, again.message_id), (Type::Acknowledgement, 0));
            bench.receive_bytes(&duplicate);
            assert_eq!(bench.sent(), again);
        }
        assert_eq!(bench.out, []);
        assert!(bench.endpoint.remembered_bytes() <= 4096);
    }
}

/// As many requests upstream as the device has exchanges, however often it repeats its GETs.
#[test]
fn repeated_gets_count_as_exchanges() {
    let mut bench = Bench::new();
    let get = |message_id| {
        let post = message(Type::Confirmable, message_id, &[1], "");
        let get = Message {
            code: Code::GET,
            ..post
        };
        get.encode(1152).unwrap()
    };
    for message_id in 0..100 {
        bench.receive_bytes(&get(message_id));
        let (id, _) = bench.request();
        bench.respond(id, Response::content(50, Bytes::from(vec![b'x'; 1000])));
        bench.sent();
    }
    bench.parameters.max_exchanges = 2;
    bench.parameters.queue = 3;
    for _ in 0..3 {
        (0..50).for_each(|message_id| bench.receive_bytes(&get(message_id)));
    }
    let requests = |output: &&Output| matches!(output, Output::Request(..));
    assert_eq!(bench.out.iter().filter(requests).count(), 2);
    assert_eq!(bench.endpoint.queued(), 3);
}
