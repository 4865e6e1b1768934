//! Notifications larger than a block: RFC 7959 §2.6, §3.4.

use super::*;
use crate::{Notification, ObservationId};

impl Client {
    /// Registers with these Block options. Returns the relation and the first block of the
    /// response.
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

    /// Reads the blocks after the first by GET, with another token.
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

fn client() -> Client {
    Client::new(Response::content(50, body(3000)))
}

fn other_body() -> Bytes {
    body(4000).slice(500..)
}

#[test]
fn a_notification_carries_block_0_and_the_client_requests_the_others() {
    let mut client = client();
    let (id, state) = client.register("");
    assert_eq!(described(&state), "2.05 2:0/1/1024");
    assert_eq!(value(&state, OBSERVE), Some(0));
    assert_eq!(client.rest_of(&state), body(3000));

    client.notify_of(id, 1, other_body());
    let notification = client.bench.sent();
    assert_eq!(notification.token, state.token);
    assert_eq!(described(&notification), "2.05 2:0/1/1024");
    assert_eq!(value(&notification, OBSERVE), Some(1));
    assert_eq!(value(&notification, SIZE2), Some(3500));
    assert_ne!(etag(&notification), etag(&state));
    client.bench.settle(Type::Acknowledgement, &notification);
    assert_eq!(client.bench.out.remove(0), Output::Delivered(id, 1));
    assert_eq!(client.rest_of(&notification), other_body());
    assert_eq!(
        client.requests,
        [],
        "all from the snapshot of the notification"
    );
}

#[test]
fn a_client_reads_a_notification_to_its_end_after_a_newer_one_has_arrived() {
    let mut client = client();
    let (id, state) = client.register("");
    client.get("2:1/0/1024");
    client.notify_of(id, 1, other_body());
    let notification = client.bench.sent();
    assert_eq!(client.get("2:2/0/1024"), "2.05 2:2/0/1024");
    assert_eq!(etag(&client.answer), etag(&state));
    assert_eq!(client.answer.payload, body(3000).slice(2048..));
    assert_eq!(client.rest_of(&notification), other_body());
}

/// RFC 7959 §2.6: the block size in the registration holds for all notifications.
#[test]
fn the_block_size_of_the_registration_holds_until_it_is_renewed() {
    let mut client = client();
    let (id, state) = client.register("2:0/0/64");
    assert_eq!(described(&state), "2.05 2:0/1/64");
    client.notify_of(id, 1, body(100));
    let notification = client.bench.sent();
    assert_eq!(described(&notification), "2.05 2:0/1/64");
    assert_eq!(client.rest_of(&notification), body(100));
    client.bench.settle(Type::Acknowledgement, &notification);
    client.bench.out.clear();
    client.notify_of(id, 2, body(64));
    assert_eq!(described(&client.bench.sent()), "2.05 2:0/0/64");
}

#[test]
fn a_small_notification_has_no_block2() {
    let mut client = client();
    client.response.payload = body(5);
    let (id, _) = client.register("");
    client.notify_of(id, 1, body(1024));
    let notification = client.bench.sent();
    assert_eq!(
        (described(&notification), etag(&notification)),
        ("2.05".to_owned(), None)
    );
    assert_eq!(client.bench.endpoint.body_bytes(), 0);
}

#[test]
fn a_pending_notification_and_one_in_flight_are_charged_once_each() {
    let mut client = client();
    client.response.payload = body(5);
    let (id, _) = client.register("");
    client.notify_of(id, 1, body(3000));
    let first = client.bench.sent();
    assert_eq!(
        client.bench.bodies.held(),
        3000,
        "in flight, and its other blocks"
    );
    client.notify_of(id, 2, body(3100));
    client.notify_of(id, 3, body(3200));
    assert_eq!(client.bench.bodies.held(), 6200, "and the newest, pending");
    client.bench.settle(Type::Acknowledgement, &first);
    assert_eq!(client.bench.out.remove(0), Output::Delivered(id, 1));
    let newest = client.bench.sent();
    assert_eq!(client.rest_of(&newest), body(3200));
    client.bench.end(id, None);
    client.pass_all_timeouts();
    assert_eq!(client.bench.bodies.held(), 0);
    assert!(client.bench.endpoint.blockwise.is_none());
}

#[test]
fn newer_content_supersedes_a_notification_in_flight_that_has_blocks() {
    let mut client = client();
    let (id, _) = client.register("");
    client.notify_of(id, 1, body(2000));
    let older = client.bench.sent();
    client.notify_of(id, 2, other_body());
    client.bench.pass(2.0);
    let newer = client.bench.sent();
    assert_ne!(newer.message_id, older.message_id);
    assert_eq!(value(&newer, OBSERVE), Some(2));
    assert_eq!(client.rest_of(&newer), other_body());
    client.bench.settle(Type::Acknowledgement, &newer);
    assert_eq!(client.bench.out, [Output::Delivered(id, 2)]);
}

#[test]
fn a_notification_without_memory_is_undelivered() {
    let mut client = client();
    client.bench.bodies = Bodies::new(4000, 1);
    let (id, _) = client.register("");
    client.notify_of(id, 1, body(3500));
    let notification = client.bench.sent();
    assert_eq!(
        described(&notification),
        "2.05 2:0/1/1024",
        "at the cost of the state"
    );
    client.notify_of(id, 2, body(3600));
    assert_eq!(client.bench.out, [Output::Undelivered(id)]);
    assert_eq!(client.bench.counters.bodies_over_budget, 1);
    assert_eq!(client.bench.endpoint.pending_notification_bytes(), 0);
    assert_eq!(client.bench.endpoint.outgoing(), 0);
    assert_eq!(client.bench.endpoint.observations(), 1);
    client.bench.out.clear();
    client.notify_of(id, 3, body(3600));
    assert_eq!(described(&client.bench.sent()), "2.05 2:0/1/1024");
}

#[test]
fn a_notification_without_memory_leaves_no_heap_and_delays_no_others() {
    let mut client = client();
    client.response.payload = body(5);
    client.bench.bodies = Bodies::new(1500, 1);
    let (id, _) = client.register("");
    let (other, _) = client.register("");
    client.bench.pass(300.0);
    client.notify_of(id, 1, body(5));
    client.bench.sent();
    client.notify_of(other, 1, body(6));
    assert_eq!(client.bench.sent().payload, body(6));
    client.notify_of(id, 2, body(1600));
    assert_eq!(client.bench.out.remove(0), Output::Undelivered(id));
    assert!(client.bench.endpoint.blockwise.is_none());
}

#[test]
fn a_registration_without_memory_for_its_response_is_refused() {
    let mut client = client();
    client.bench.bodies = Bodies::new(2000, 1);
    let message = client.with_option(Code::GET, "", (OBSERVE, &[]));
    client.bench.receive_bytes(&message.encode(2000).unwrap());
    let (exchange, _) = client.bench.request();
    let response = client.response.clone();
    assert_eq!(client.bench.respond_registered(exchange, response), None);
    let response = client.bench.sent();
    assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
    assert_eq!(value(&response, OBSERVE), None);
    assert_eq!(client.bench.endpoint.observations(), 0);
}

/// The pending notification fitted one block of the earlier size.
#[test]
fn a_client_that_registers_again_with_smaller_blocks_gets_the_pending_notification_in_those() {
    for (limit, expected) in [(10_000, "2.05 2:0/1/64"), (0, "")] {
        let mut client = client();
        client.response.payload = body(5);
        client.bench.bodies = Bodies::new(limit, 1);
        let (id, state) = client.register("");
        client.notify_of(id, 1, body(800));
        let in_flight = client.bench.sent();
        client.notify_of(id, 2, body(900));
        let mut again = client.with_option(Code::GET, "2:0/0/64", (OBSERVE, &[]));
        again.token = state.token;
        client.bench.receive_bytes(&again.encode(2000).unwrap());
        let (exchange, _) = client.bench.request();
        let response = client.response.clone();
        client.bench.respond_registered(exchange, response).unwrap();
        client.bench.sent();
        client.bench.settle(Type::Acknowledgement, &in_flight);
        assert_eq!(client.bench.out.remove(0), Output::Delivered(id, 1));
        if expected.is_empty() {
            assert_eq!(client.bench.out, [Output::TooLarge(id, 2)]);
        } else {
            let notification = client.bench.sent();
            assert_eq!(described(&notification), expected);
            assert_eq!(client.rest_of(&notification), body(900));
        }
    }
}

#[test]
fn a_request_for_a_later_block_registers_nothing() {
    let mut client = client();
    let (_, state) = client.register("");
    let message = client.with_option(Code::GET, "2:1/0/1024", (OBSERVE, &[]));
    assert_eq!(client.send(&message), "2.05 2:1/1/1024");
    assert_eq!(etag(&client.answer), etag(&state));
    client.bench.endpoint.blockwise = None;
    let message = client.with_option(Code::GET, "2:1/0/1024", (OBSERVE, &[]));
    client.send(&message);
    assert_eq!(client.requests[0].observe, None);
    assert_eq!(client.bench.counters.observe_ignored, 2);
}

#[test]
fn a_duplicate_of_a_registration_is_answered_with_the_same_sequence_number() {
    let mut client = client();
    let message = client.with_option(Code::GET, "", (OBSERVE, &[]));
    client.bench.receive_bytes(&message.encode(2000).unwrap());
    let (exchange, _) = client.bench.request();
    let response = client.response.clone();
    client.bench.respond_registered(exchange, response).unwrap();
    let state = client.bench.sent();
    client.bench.receive_bytes(&message.encode(2000).unwrap());
    assert_eq!(client.bench.sent(), state);
}
