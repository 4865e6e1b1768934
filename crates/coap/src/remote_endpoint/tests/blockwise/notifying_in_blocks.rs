//! Notifications larger than a block: RFC 7959 §2.6, §3.4.

use super::*;
use crate::{Notification, ObservationId};

impl Talk {
    /// Registers with this block2; returns the relation and the first block of its state.
    fn register(&mut self, blocks: &str) -> (ObservationId, Message) {
        let message = self.with_option(Code::GET, blocks, (OBSERVE, &[]));
        self.bench.receive_bytes(&message.encode(2000).unwrap());
        let (exchange, _) = self.bench.request();
        let response = self.response.clone();
        let id = self.bench.respond_registered(exchange, response).unwrap();
        (id, self.bench.sent())
    }

    fn notify_of(&mut self, id: ObservationId, number: u64, payload: Bytes) {
        let notification = Notification {
            number,
            response: Response::content(50, payload),
        };
        self.bench.with(|endpoint, now, context, out| {
            endpoint.notify(now, id, notification, context, out);
        });
    }

    /// The blocks after the first, by GET under a token of their own.
    fn rest_of(&mut self, first: &Message) -> Bytes {
        let block = value(first, BLOCK2).and_then(Block::decode).unwrap();
        let mut received = first.payload.to_vec();
        for num in 1.. {
            self.get(&format!("2:{num}/0/{}", block.size()));
            assert_eq!(etag(&self.answer), etag(first), "block {num}");
            assert_eq!(value(&self.answer, OBSERVE), None);
            received.extend_from_slice(&self.answer.payload);
            if !described(&self.answer).contains("/1/") {
                break;
            }
        }
        received.into()
    }
}

fn talk() -> Talk {
    Talk::new(Response::content(50, body(3000)))
}

fn other_body() -> Bytes {
    body(4000).slice(500..)
}

#[test]
fn a_notification_carries_block_0_and_the_rest_is_asked_for() {
    let mut talk = talk();
    let (id, state) = talk.register("");
    assert_eq!(described(&state), "2.05 2:0/1/1024");
    assert_eq!(value(&state, OBSERVE), Some(0));
    assert_eq!(talk.rest_of(&state), body(3000));

    talk.notify_of(id, 1, other_body());
    let notification = talk.bench.sent();
    assert_eq!(notification.token, state.token);
    assert_eq!(described(&notification), "2.05 2:0/1/1024");
    assert_eq!(value(&notification, OBSERVE), Some(1));
    assert_eq!(value(&notification, SIZE2), Some(3500));
    assert_ne!(etag(&notification), etag(&state));
    talk.bench.settle(Type::Acknowledgement, &notification);
    assert_eq!(talk.bench.out.remove(0), Output::Delivered(id, 1));
    assert_eq!(talk.rest_of(&notification), other_body());
    assert_eq!(talk.requests, [], "all from what was notified");
}

#[test]
fn a_client_reads_a_notification_to_its_end_though_a_newer_one_has_come() {
    let mut talk = talk();
    let (id, state) = talk.register("");
    talk.get("2:1/0/1024");
    talk.notify_of(id, 1, other_body());
    let notification = talk.bench.sent();
    assert_eq!(talk.get("2:2/0/1024"), "2.05 2:2/0/1024");
    assert_eq!(etag(&talk.answer), etag(&state));
    assert_eq!(talk.answer.payload, body(3000).slice(2048..));
    assert_eq!(talk.rest_of(&notification), other_body());
}

/// RFC 7959 §2.6: the size wished for in the registration holds for all notifications.
#[test]
fn the_size_wished_for_with_the_registration_holds_until_it_is_renewed() {
    let mut talk = talk();
    let (id, state) = talk.register("2:0/0/64");
    assert_eq!(described(&state), "2.05 2:0/1/64");
    talk.notify_of(id, 1, body(100));
    let notification = talk.bench.sent();
    assert_eq!(described(&notification), "2.05 2:0/1/64");
    assert_eq!(talk.rest_of(&notification), body(100));
    talk.bench.settle(Type::Acknowledgement, &notification);
    talk.bench.out.clear();
    talk.notify_of(id, 2, body(64));
    assert_eq!(described(&talk.bench.sent()), "2.05 2:0/0/64");
}

#[test]
fn a_small_notification_is_as_without_blocks() {
    let mut talk = talk();
    talk.response.payload = body(5);
    let (id, _) = talk.register("");
    talk.notify_of(id, 1, body(1024));
    let notification = talk.bench.sent();
    assert_eq!(
        (described(&notification), etag(&notification)),
        ("2.05".to_owned(), None)
    );
    assert_eq!(talk.bench.endpoint.body_bytes(), 0);
}

#[test]
fn what_is_pending_and_what_is_in_flight_counts_once_however_often_it_is_held() {
    let mut talk = talk();
    talk.response.payload = body(5);
    let (id, _) = talk.register("");
    talk.notify_of(id, 1, body(3000));
    let first = talk.bench.sent();
    assert_eq!(
        talk.bench.bodies.held(),
        3000,
        "in flight, and to be asked for"
    );
    talk.notify_of(id, 2, body(3100));
    talk.notify_of(id, 3, body(3200));
    assert_eq!(talk.bench.bodies.held(), 6200, "and the newest, pending");
    talk.bench.settle(Type::Acknowledgement, &first);
    assert_eq!(talk.bench.out.remove(0), Output::Delivered(id, 1));
    let newest = talk.bench.sent();
    assert_eq!(talk.rest_of(&newest), body(3200));
    talk.bench.end(id, None);
    talk.rest();
    assert_eq!(talk.bench.bodies.held(), 0);
    assert!(talk.bench.endpoint.blockwise.is_none());
}

#[test]
fn news_takes_the_place_of_what_is_in_flight_block_by_block() {
    let mut talk = talk();
    let (id, _) = talk.register("");
    talk.notify_of(id, 1, body(2000));
    let older = talk.bench.sent();
    talk.notify_of(id, 2, other_body());
    talk.bench.pass(2.0);
    let newer = talk.bench.sent();
    assert_ne!(newer.message_id, older.message_id);
    assert_eq!(value(&newer, OBSERVE), Some(2));
    assert_eq!(talk.rest_of(&newer), other_body());
    talk.bench.settle(Type::Acknowledgement, &newer);
    assert_eq!(talk.bench.out, [Output::Delivered(id, 2)]);
}

#[test]
fn a_notification_that_finds_no_room_is_undelivered() {
    let mut talk = talk();
    talk.bench.bodies = Bodies::new(4000, 1);
    let (id, _) = talk.register("");
    talk.notify_of(id, 1, body(3500));
    let notification = talk.bench.sent();
    assert_eq!(
        described(&notification),
        "2.05 2:0/1/1024",
        "at the cost of the state"
    );
    talk.notify_of(id, 2, body(3600));
    assert_eq!(talk.bench.out, [Output::Undelivered(id)]);
    assert_eq!(talk.bench.counters.bodies_over_budget, 1);
    assert_eq!(talk.bench.endpoint.pending_notification_bytes(), 0);
    assert_eq!(talk.bench.endpoint.outgoing(), 0);
    assert_eq!(talk.bench.endpoint.observations(), 1);
    talk.bench.out.clear();
    talk.notify_of(id, 3, body(3600));
    assert_eq!(described(&talk.bench.sent()), "2.05 2:0/1/1024");
}

#[test]
fn what_finds_no_room_leaves_no_heap_and_lets_others_go() {
    let mut talk = talk();
    talk.response.payload = body(5);
    talk.bench.bodies = Bodies::new(1500, 1);
    let (id, _) = talk.register("");
    let (other, _) = talk.register("");
    talk.bench.pass(300.0);
    talk.notify_of(id, 1, body(5));
    talk.bench.sent();
    talk.notify_of(other, 1, body(6));
    assert_eq!(talk.bench.sent().payload, body(6));
    talk.notify_of(id, 2, body(1600));
    assert_eq!(talk.bench.out.remove(0), Output::Undelivered(id));
    assert!(talk.bench.endpoint.blockwise.is_none());
}

#[test]
fn a_registration_whose_state_finds_no_room_is_refused() {
    let mut talk = talk();
    talk.bench.bodies = Bodies::new(2000, 1);
    let message = talk.with_option(Code::GET, "", (OBSERVE, &[]));
    talk.bench.receive_bytes(&message.encode(2000).unwrap());
    let (exchange, _) = talk.bench.request();
    let response = talk.response.clone();
    assert_eq!(talk.bench.respond_registered(exchange, response), None);
    let refusal = talk.bench.sent();
    assert_eq!(refusal.code, Code::SERVICE_UNAVAILABLE);
    assert_eq!(value(&refusal, OBSERVE), None);
    assert_eq!(talk.bench.endpoint.observations(), 0);
}

/// A pending one that was small enough in the size of before.
#[test]
fn a_client_that_registers_again_for_smaller_blocks_gets_what_is_pending_in_those() {
    for (limit, expected) in [(10_000, "2.05 2:0/1/64"), (0, "")] {
        let mut talk = talk();
        talk.response.payload = body(5);
        talk.bench.bodies = Bodies::new(limit, 1);
        let (id, state) = talk.register("");
        talk.notify_of(id, 1, body(800));
        let in_flight = talk.bench.sent();
        talk.notify_of(id, 2, body(900));
        let mut again = talk.with_option(Code::GET, "2:0/0/64", (OBSERVE, &[]));
        again.token = state.token;
        talk.bench.receive_bytes(&again.encode(2000).unwrap());
        let (exchange, _) = talk.bench.request();
        let response = talk.response.clone();
        talk.bench.respond_registered(exchange, response).unwrap();
        talk.bench.sent();
        talk.bench.settle(Type::Acknowledgement, &in_flight);
        assert_eq!(talk.bench.out.remove(0), Output::Delivered(id, 1));
        if expected.is_empty() {
            assert_eq!(talk.bench.out, [Output::TooLarge(id, 2)]);
        } else {
            let notification = talk.bench.sent();
            assert_eq!(described(&notification), expected);
            assert_eq!(talk.rest_of(&notification), body(900));
        }
    }
}

#[test]
fn a_request_for_a_later_block_registers_nothing() {
    let mut talk = talk();
    let (_, state) = talk.register("");
    let message = talk.with_option(Code::GET, "2:1/0/1024", (OBSERVE, &[]));
    assert_eq!(talk.send(&message), "2.05 2:1/1/1024");
    assert_eq!(etag(&talk.answer), etag(&state));
    talk.bench.endpoint.blockwise = None;
    let message = talk.with_option(Code::GET, "2:1/0/1024", (OBSERVE, &[]));
    talk.send(&message);
    assert_eq!(talk.requests[0].observe, None);
    assert_eq!(talk.bench.counters.observe_ignored, 2);
}

#[test]
fn a_duplicate_of_a_registration_is_answered_with_the_same_sequence_number() {
    let mut talk = talk();
    let message = talk.with_option(Code::GET, "", (OBSERVE, &[]));
    talk.bench.receive_bytes(&message.encode(2000).unwrap());
    let (exchange, _) = talk.bench.request();
    let response = talk.response.clone();
    talk.bench.respond_registered(exchange, response).unwrap();
    let state = talk.bench.sent();
    talk.bench.receive_bytes(&message.encode(2000).unwrap());
    assert_eq!(talk.bench.sent(), state);
}
