//! What is a copy of a message, and what only has its Message ID (RFC 7252 §4.5).

use super::*;
use crate::Token;

/// A POST of these bytes; `token` may be empty.
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
    /// Receives a request and answers it at once with 2.01, or expects what a copy gets: the payload that reached
    /// the gateway, and the message that came back.
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

fn reached(payload: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(payload.as_bytes()))
}

#[test]
fn another_request_under_a_message_id_used_before_is_a_request_of_its_own() {
    let mut bench = Bench::new();
    let first = message(Type::Confirmable, 3561, &[0x35, 0xb3, 1], "{\"v\":\"A\"}");
    let second = message(Type::Confirmable, 3561, &[0x35, 0xb3, 2], "{\"v\":\"B\"}");
    let (payload, reply_to_first) = bench.exchange(&first);
    assert_eq!(payload, reached("{\"v\":\"A\"}"));
    let (payload, reply_to_second) = bench.exchange(&second);
    assert_eq!(payload, reached("{\"v\":\"B\"}"));
    assert_eq!(reply_to_second.as_ref().unwrap().token, second.token);
    // Both are still recognised.
    assert_eq!(bench.exchange(&first), (None, reply_to_first));
    assert_eq!(bench.exchange(&second), (None, reply_to_second));
    assert_eq!(bench.counters.duplicates, 2);
}

#[test]
fn a_library_that_knows_one_message_id_and_no_token_loses_nothing() {
    let mut bench = Bench::new();
    for payload in ["{\"v\":1}", "{\"v\":2}", "{\"v\":3}"] {
        let post = message(Type::Confirmable, 0, &[], payload);
        assert_eq!(bench.exchange(&post).0, reached(payload));
        assert_eq!(bench.exchange(&post).0, None, "a retransmission");
    }
}

#[test]
fn a_get_under_the_message_id_of_a_post_is_answered_as_a_get() {
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
fn a_non_confirmable_request_under_the_message_id_of_a_confirmable_one_gets_a_response_of_its_kind()
{
    let mut bench = Bench::new();
    bench.exchange(&message(Type::Confirmable, 7, &[1], "{}"));
    let other = message(Type::NonConfirmable, 7, &[1], "{}");
    let (payload, reply) = bench.exchange(&other);
    assert_eq!(payload, reached("{}"));
    assert_eq!(reply.unwrap().kind, Type::NonConfirmable);
}

#[test]
fn two_open_requests_under_one_message_id_are_acknowledged_and_answered_each() {
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
    // The copy of each gets what its own request got.
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
fn a_copy_of_the_first_of_two_thousand_messages_is_recognised() {
    let mut bench = Bench::new();
    for message_id in 0..2048 {
        bench.exchange(&message(Type::Confirmable, message_id, &[1], "{}"));
    }
    let copy = bench.exchange(&message(Type::Confirmable, 0, &[1], "{}"));
    assert!(copy.0.is_none() && copy.1.is_some());
    assert_eq!(bench.counters.messages_forgotten, 0);
    bench.exchange(&message(Type::Confirmable, 2048, &[1], "{}"));
    assert_eq!(bench.counters.messages_forgotten, 1);
}
