//! Registration, notifications and the end of relations (RFC 7641).

use super::*;
use crate::option::number::{CONTENT_FORMAT, NO_RESPONSE, OBSERVE};
use crate::{Notification, ObservationId, Observe};

fn content(text: &str) -> Response {
    Response::content(50, Bytes::from(text.to_owned()))
}

/// The Observe value of a message.
pub(super) fn sequence_number(message: &Message) -> Option<u32> {
    let (_, value) = message.options.iter().find(|(n, _)| *n == OBSERVE)?;
    Some(value.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
}

impl Bench {
    pub(super) fn get(&mut self, kind: Type, message_id: u16, token: u8, options: &[(u16, u8)]) {
        let mut message = Message::empty(kind, message_id);
        message.code = Code::GET;
        message.token = Token::new(&[token]).unwrap();
        let value = |byte: u8| Bytes::from(if byte == 0 { vec![] } else { vec![byte] });
        message.options = options.iter().map(|(n, byte)| (*n, value(*byte))).collect();
        self.receive_bytes(&message.encode(1152).unwrap());
    }

    pub(super) fn respond_registered(
        &mut self,
        id: ExchangeId,
        response: Response,
    ) -> Option<ObservationId> {
        self.with(|endpoint, now, context, out| {
            endpoint.respond_registered(now, id, response, context, out)
        })
    }

    /// Registers, and answers "first" at once. Returns the relation and the response.
    pub(super) fn registered(
        &mut self,
        kind: Type,
        message_id: u16,
        token: u8,
    ) -> (ObservationId, Message) {
        self.get(kind, message_id, token, &[(OBSERVE, 0)]);
        let (exchange, request) = self.request();
        assert_eq!(request.observe, Some(Observe::Register));
        let id = self.respond_registered(exchange, content("first")).unwrap();
        (id, self.sent())
    }

    pub(super) fn notify(&mut self, id: ObservationId, number: u64) {
        let notification = Notification {
            number,
            response: content(&number.to_string()),
        };
        self.with(|endpoint, now, context, out| {
            endpoint.notify(now, id, notification, context, out);
        });
    }

    pub(super) fn end(&mut self, id: ObservationId, last: Option<Response>) {
        self.with(|endpoint, now, context, out| {
            endpoint.end_observation(now, id, last, context, out);
        });
    }

    pub(super) fn settle(&mut self, kind: Type, message: &Message) {
        let settled = Message::empty(kind, message.message_id);
        self.receive_bytes(&settled.encode(4).unwrap());
    }

    /// The notification that was sent; panics if there is none.
    pub(super) fn notified(&mut self, kind: Type, number: u64) -> Message {
        let message = self.sent();
        assert_eq!((message.kind, message.code), (kind, Code::CONTENT));
        assert_eq!(&message.payload[..], number.to_string().as_bytes());
        message
    }
}

#[test]
fn a_registration_is_answered_with_observe_and_notifications_have_its_token() {
    let mut bench = Bench::new();
    let (id, answer) = bench.registered(Type::Confirmable, 7, 0x4a);
    assert_eq!(answer.kind, Type::Acknowledgement);
    assert_eq!(sequence_number(&answer), Some(0));
    for number in 1..=3 {
        bench.notify(id, number);
        let notification = bench.notified(Type::Confirmable, number);
        assert_eq!(notification.token, answer.token);
        assert_eq!(sequence_number(&notification), u32::try_from(number).ok());
        assert_eq!(bench.out, []);
        bench.settle(Type::Acknowledgement, &notification);
        assert_eq!(bench.out.remove(0), Output::Delivered(id, number));
    }
    assert_eq!(bench.counters.notifications_sent, 3);
    assert_eq!(bench.endpoint.pending_notification_bytes(), 0);
    assert_eq!(bench.endpoint.outgoing(), 0);
}

#[test]
fn a_non_confirmable_registration_gets_rate_limited_non_confirmable_notifications() {
    let mut bench = Bench::new();
    let (id, answer) = bench.registered(Type::NonConfirmable, 7, 1);
    assert_eq!(answer.kind, Type::NonConfirmable);
    for number in 1..=4 {
        bench.notify(id, number);
        bench.notified(Type::NonConfirmable, number);
        assert_eq!(bench.out.remove(0), Output::Delivered(id, number));
    }
    for number in 5..=7 {
        bench.notify(id, number);
    }
    assert_eq!(bench.out, []);
    let at = bench.now + Duration::from_secs(3);
    assert_eq!(bench.endpoint.next_timeout(), Some(at));
    bench.pass(2.999);
    assert_eq!(bench.out, []);
    bench.pass(0.001);
    let newest = bench.notified(Type::NonConfirmable, 7);
    assert_eq!(
        sequence_number(&newest),
        Some(5),
        "what was skipped has none"
    );
    assert_eq!(bench.out, [Output::Delivered(id, 7)]);
    assert_eq!(bench.counters.notifications_superseded, 2);
}

#[test]
fn a_reset_of_any_notification_ends_the_relation() {
    for kind in [Type::Confirmable, Type::NonConfirmable] {
        let mut bench = Bench::new();
        let (id, _) = bench.registered(kind, 7, 1);
        bench.notify(id, 1);
        let notification = bench.notified(kind, 1);
        bench.out.clear();
        bench.settle(Type::Reset, &notification);
        assert_eq!(bench.out, [Output::Cancelled(id)]);
        bench.out.clear();
        bench.notify(id, 2);
        bench.settle(Type::Reset, &notification);
        bench.pass(100.0);
        assert_eq!(bench.out, []);
        assert_eq!(bench.endpoint.observations(), 0);
        assert_eq!(bench.counters.observations_cancelled, 1);
        assert_eq!(bench.counters.unmatched, 1);
    }
    let mut bench = Bench::new();
    let (id, answer) = bench.registered(Type::NonConfirmable, 7, 1);
    bench.settle(Type::Reset, &answer);
    assert_eq!(bench.out, [Output::Cancelled(id)]);
}

#[test]
fn registering_again_renews_the_relation_with_a_higher_sequence_number() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.settle(Type::Acknowledgement, &notification);
    bench.out.clear();
    let (again, answer) = bench.registered(Type::NonConfirmable, 8, 1);
    assert_eq!(again, id);
    assert_eq!(sequence_number(&answer), Some(2));
    assert_eq!(bench.endpoint.observations(), 1);
    bench.notify(id, 2);
    let notification = bench.notified(Type::NonConfirmable, 2);
    assert_eq!(sequence_number(&notification), Some(3));
}

/// RFC 7641 §4.4: sequence numbers increase for the same client and token.
#[test]
fn a_new_relation_with_the_token_of_an_ended_one_continues_its_sequence_numbers() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::NonConfirmable, 7, 1);
    bench.notify(id, 1);
    bench.end(id, None);
    bench.out.clear();
    let (another, answer) = bench.registered(Type::NonConfirmable, 8, 1);
    assert_ne!(another, id);
    assert_eq!(sequence_number(&answer), Some(2));
}

#[test]
fn a_request_finds_the_relation_of_its_token() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    for (message_id, token, expected) in [(8, 1, Some(id)), (9, 2, None)] {
        bench.get(Type::Confirmable, message_id, token, &[(OBSERVE, 1)]);
        let (exchange, request) = bench.request();
        assert_eq!(request.observe, Some(Observe::Deregister));
        assert_eq!(bench.endpoint.observation_of(exchange), expected);
        bench.respond(exchange, content("last"));
        assert_eq!(sequence_number(&bench.sent()), None);
        assert_eq!(bench.endpoint.observation_of(exchange), None, "answered");
    }
}

#[test]
fn observe_with_another_value_is_ignored() {
    let mut bench = Bench::new();
    bench.get(Type::Confirmable, 7, 1, &[(OBSERVE, 2)]);
    assert_eq!(bench.request().1.observe, None);
}

#[test]
fn too_many_relations_are_answered_without_observe() {
    let mut bench = Bench::new();
    for number in 0..4 {
        bench.registered(Type::Confirmable, number.into(), number);
    }
    bench.get(Type::Confirmable, 9, 9, &[(OBSERVE, 0)]);
    let (exchange, _) = bench.request();
    assert_eq!(bench.respond_registered(exchange, content("first")), None);
    let answer = bench.sent();
    assert_eq!(sequence_number(&answer), None);
    assert_eq!(&answer.payload[..], b"first");
    assert_eq!(bench.endpoint.observations(), 4);
    assert_eq!(bench.counters.too_many_observations, 1);
}

/// RFC 7641 §4.1, §4.2: an error has no Observe and no relation.
#[test]
fn a_registration_answered_with_an_error_leaves_no_relation() {
    let too_large = content(&"x".repeat(256 * 1024 + 1));
    for bad in [Response::error(Code::NOT_FOUND, "no such"), too_large] {
        let mut bench = Bench::new();
        let (id, _) = bench.registered(Type::Confirmable, 7, 1);
        bench.notify(id, 1);
        bench.out.clear();
        bench.get(Type::Confirmable, 8, 1, &[(OBSERVE, 0)]);
        let (exchange, _) = bench.request();
        assert_eq!(bench.respond_registered(exchange, bad), None);
        let answer = bench.sent();
        assert!(!answer.code.is_success());
        assert_eq!(sequence_number(&answer), None);
        assert_eq!(bench.endpoint.observations(), 0);
        assert_eq!(bench.endpoint.outgoing(), 0, "nor the one in flight");
    }
}

/// RFC 7967: a client that suppresses 2.xx would get no notifications.
#[test]
fn a_registration_that_suppresses_its_response_leaves_no_relation() {
    let mut bench = Bench::new();
    bench.get(Type::Confirmable, 7, 1, &[(OBSERVE, 0), (NO_RESPONSE, 2)]);
    let (exchange, _) = bench.request();
    assert_eq!(bench.respond_registered(exchange, content("first")), None);
    assert_eq!(bench.sent(), Message::empty(Type::Acknowledgement, 7));
    assert_eq!(bench.endpoint.observations(), 0);
}

#[test]
fn a_separate_response_to_a_registration_that_is_given_up_is_reported() {
    let mut bench = Bench::new();
    bench.get(Type::Confirmable, 7, 1, &[(OBSERVE, 0)]);
    let (exchange, _) = bench.request();
    bench.pass(0.5);
    let _empty = bench.sent();
    let id = bench
        .respond_registered(exchange, content("first"))
        .unwrap();
    let answer = bench.sent();
    assert_eq!(answer.kind, Type::Confirmable);
    assert_eq!(sequence_number(&answer), Some(0));
    bench.notify(id, 1);
    for wait in [2.0, 4.0, 8.0, 16.0] {
        bench.pass(wait);
        assert_eq!(bench.sent(), answer, "it is not superseded");
    }
    bench.pass(32.0);
    assert_eq!(bench.out, [Output::Undelivered(id)]);
    assert_eq!(bench.endpoint.pending_notification_bytes(), 0);
    assert_eq!(bench.endpoint.observations(), 1);
}

#[test]
fn a_duplicate_of_a_registration_is_reported_if_notifications_were_sent_since() {
    let mut bench = Bench::new();
    let (id, answer) = bench.registered(Type::Confirmable, 7, 1);
    bench.get(Type::Confirmable, 7, 1, &[(OBSERVE, 0)]);
    assert_eq!(bench.sent(), answer);
    assert_eq!(bench.out, [], "nothing newer was sent");
    bench.notify(id, 1);
    bench.notified(Type::Confirmable, 1);
    bench.get(Type::Confirmable, 7, 1, &[(OBSERVE, 0)]);
    assert_eq!(bench.sent(), answer);
    assert_eq!(bench.out, [Output::RegistrationRepeated(id)]);
    assert_eq!(bench.counters.registrations_repeated, 1);

    // After EXCHANGE_LIFETIME the Message ID belongs to another request.
    bench.out.clear();
    bench.pass(248.0);
    bench.out.clear();
    bench.get(Type::Confirmable, 7, 2, &[(CONTENT_FORMAT, 50)]);
    let (exchange, _) = bench.request();
    bench.respond(exchange, content("other"));
    let other = bench.sent();
    bench.get(Type::Confirmable, 7, 2, &[(CONTENT_FORMAT, 50)]);
    assert_eq!(bench.sent(), other);
    assert_eq!(bench.out, []);
}

#[test]
fn a_notification_that_is_too_large_is_reported_at_once_and_one_that_just_fits_is_sent() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    let largest = bench.parameters.max_response_body;
    let notify = |bench: &mut Bench, length| {
        let notification = Notification {
            number: 1,
            response: content(&"x".repeat(length)).with_max_age(u32::MAX),
        };
        bench.with(|endpoint, now, context, out| {
            endpoint.notify(now, id, notification, context, out);
        });
    };
    notify(&mut bench, largest + 1);
    assert_eq!(bench.out.remove(0), Output::TooLarge(id, 1));
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.notifications_too_large, 1);
    notify(&mut bench, largest);
    assert_eq!(bench.sent().payload.len(), 1024, "the first block");
}

#[test]
fn the_last_response_has_no_observe_and_the_type_of_the_registration() {
    for kind in [Type::Confirmable, Type::NonConfirmable] {
        let mut bench = Bench::new();
        let (id, answer) = bench.registered(kind, 7, 1);
        bench.end(id, Some(Response::error(Code::FORBIDDEN, "no longer")));
        assert_eq!(bench.endpoint.observations(), 0);
        let last = bench.sent();
        assert_eq!((last.kind, last.code), (kind, Code::FORBIDDEN));
        assert_eq!(last.token, answer.token);
        assert_eq!(sequence_number(&last), None);
        bench.settle(Type::Acknowledgement, &last);
        bench.end(id, Some(content("twice")));
        bench.pass(100.0);
        assert_eq!(bench.out, []);
    }
}

/// RFC 7641 §4.5: a whole day of Non-confirmable ones, then one that must be acknowledged.
#[test]
fn the_daily_confirmable_notification_is_retransmitted_like_any() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::NonConfirmable, 7, 1);
    bench.pass(24.0 * 3600.0);
    bench.notify(id, 1);
    let confirmable = bench.notified(Type::Confirmable, 1);
    assert_eq!(bench.out, []);
    bench.notify(id, 2);
    assert_eq!(bench.out, [], "one in flight");
    bench.settle(Type::Acknowledgement, &confirmable);
    assert_eq!(bench.out.remove(0), Output::Delivered(id, 1));
    bench.notified(Type::NonConfirmable, 2);
    assert_eq!(bench.out, [Output::Delivered(id, 2)]);
}

#[test]
fn a_notification_waits_while_no_message_id_is_free() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    while bench.endpoint.message_ids.allocate(bench.now).is_some() {}
    bench.notify(id, 1);
    assert_eq!(bench.out, []);
    let at = bench.now + Duration::from_secs(1);
    assert_eq!(bench.endpoint.next_timeout(), Some(at));
    for _ in 0..248 {
        bench.pass(1.0);
    }
    bench.notified(Type::Confirmable, 1);
    assert_eq!(bench.out, []);
}

/// RFC 7641 §4.1: to the client, a response without Observe ends the observation.
#[test]
fn a_registration_refused_by_the_endpoint_ends_the_relation_with_its_token() {
    let reserved_size = 7;
    let cases: [(&[(u16, u8)], Code); 5] = [
        (&[(OBSERVE, 0)], Code::SERVICE_UNAVAILABLE),
        (&[(OBSERVE, 0), (9, 1)], Code::BAD_OPTION),
        (&[(OBSERVE, 0), (11, 0xff)], Code::BAD_REQUEST),
        (&[(OBSERVE, 0), (23, reserved_size)], Code::BAD_REQUEST),
        (&[(OBSERVE, 0), (27, 0x18)], Code::BAD_REQUEST),
    ];
    for (options, code) in cases {
        let mut bench = Bench::new();
        let (id, _) = bench.registered(Type::Confirmable, 7, 1);
        let (other, _) = bench.registered(Type::Confirmable, 8, 2);
        bench.notify(id, 1);
        bench.notified(Type::Confirmable, 1);
        if code == Code::SERVICE_UNAVAILABLE {
            (bench.parameters.max_exchanges, bench.parameters.queue) = (0, 0);
        }
        bench.get(Type::Confirmable, 9, 1, options);
        assert_eq!(bench.out.remove(0), Output::Cancelled(id), "{code:?}");
        let refusal = bench.sent();
        assert_eq!((refusal.code, sequence_number(&refusal)), (code, None));
        bench.notify(id, 2);
        bench.notify(other, 2);
        bench.notified(Type::Confirmable, 2);
        bench.pass(1.0);
        assert_eq!(
            (bench.endpoint.observations(), &bench.out[..]),
            (1, &[][..])
        );
        assert_eq!(bench.counters.observations_cancelled, 0, "by a Reset");
    }
}

#[test]
fn a_refused_request_that_does_not_register_ends_no_relation() {
    let others: [&[(u16, u8)]; 4] = [
        &[(9, 1)],
        &[(OBSERVE, 1), (9, 1)],
        &[(OBSERVE, 2), (9, 1)],
        // A later block.
        &[(OBSERVE, 0), (9, 1), (23, 0x10)],
    ];
    for options in others {
        let mut bench = Bench::new();
        bench.registered(Type::Confirmable, 7, 1);
        bench.get(Type::Confirmable, 9, 1, options);
        assert_eq!(bench.sent().code, Code::BAD_OPTION);
        assert_eq!(bench.endpoint.observations(), 1);
        // Rejected in silence.
        bench.get(Type::NonConfirmable, 10, 1, &[(OBSERVE, 0), (9, 1)]);
        assert_eq!(bench.out, []);
        assert_eq!(bench.endpoint.observations(), 1);
    }
}
