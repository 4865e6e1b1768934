//! Hazard: upstream takes longer than `piggyback_timeout`, so the response is a separate one.

use super::device::ReceivedMessage;
use super::{Conditions, Outcome, World};
use bytes::Bytes;
use coap::option::number::{NO_RESPONSE, OBSERVE};
use coap::{Code, Message, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

const EMPTY_ACK: (Type, Code) = (Type::Acknowledgement, Code::EMPTY);
const SEPARATE: (Type, Code) = (Type::Confirmable, Code::CREATED);

fn slow(devices: usize) -> World {
    let mut world = World::new(devices, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 2 * SECOND;
    world
}

#[test]
fn a_late_response_follows_an_empty_ack_and_is_confirmable() {
    let mut world = slow(1);
    let number = world.post(0, Type::Confirmable);
    world.run_for(10 * SECOND);
    assert_eq!(world.devices[0].messages_for(number), [EMPTY_ACK, SEPARATE]);
    assert_eq!(world.devices[0].retransmissions(number), 0);
    assert_eq!(world.core.counters().coap.retransmissions, 0);
}

#[test]
fn a_separate_response_is_retransmitted_until_it_is_acknowledged() {
    let mut world = slow(1);
    let number = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    // The response is lost twice, then its acknowledgement is.
    world.link.lose_next(false, 2);
    world.run_for(8 * SECOND);
    world.link.lose_next(true, 2);
    world.run_for(100 * SECOND);
    let device = &world.devices[0];
    assert_eq!(
        device.messages_for(number),
        [EMPTY_ACK, SEPARATE, SEPARATE, SEPARATE]
    );
    let ids: Vec<_> = device
        .received
        .iter()
        .map(|received| &received.message)
        .filter(|message| message.kind == Type::Confirmable)
        .map(|message| message.message_id)
        .collect();
    assert!(
        ids.iter().all(|id| *id == ids[0]),
        "one Message ID: {ids:?}"
    );
    assert_eq!(world.core.counters().coap.retransmissions, 4);
    assert_eq!(world.core.counters().coap.given_up, 0);
}

#[test]
fn a_reset_ends_a_separate_response() {
    let mut world = slow(1);
    world.post(0, Type::Confirmable);
    world.link.lose_next(true, 1);
    world.run_for(3 * SECOND);
    // The acknowledgement was lost. A Reset stops retransmission, too.
    let response = world.devices[0].received.last().unwrap().message.clone();
    assert_eq!((response.kind, response.code), SEPARATE);
    let reset = Message::empty(Type::Reset, response.message_id);
    world.send(0, &reset.encode(4).unwrap());
    world.link.conditions.loss = 1.0;
    world.run_for(SECOND);
    assert_eq!(world.core.load().peers.most_outgoing, 0);
}

#[test]
fn a_lost_empty_acknowledgement_costs_a_retransmission_and_nothing_else() {
    let mut world = slow(1);
    world.upstream.delay = 4 * SECOND;
    let number = world.post(0, Type::Confirmable);
    world.link.lose_next(false, 1);
    world.run_for(10 * SECOND);
    assert_eq!(world.devices[0].messages_for(number), [EMPTY_ACK, SEPARATE]);
    assert_eq!(world.devices[0].retransmissions(number), 1);
    assert_eq!(world.upstream.posts.len(), 1);
}

/// NSTART limits requests and notifications, not responses (RFC 7252 §4.7).
#[test]
fn separate_responses_do_not_wait_for_unacknowledged_ones() {
    let mut world = slow(1);
    world.upstream.delay = Duration::from_millis(800);
    world.devices[0].ignores_separate_responses = true;
    let begin = world.now;
    for _ in 0..20 {
        world.post(0, Type::Confirmable);
        world.run_for(3 * SECOND);
    }
    let device = &world.devices[0];
    for number in 0..20 {
        let token = device.token(number);
        let mut times = device
            .received
            .iter()
            .filter(|ReceivedMessage { message, .. }| {
                message.kind == Type::Confirmable && message.token == token
            })
            .map(|received| received.at);
        let first = times.next().unwrap();
        let posted = begin + 3 * SECOND * u32::try_from(number).unwrap();
        assert!(first - posted < SECOND, "{number}: {:?}", first - posted);
        assert!(
            times.count() < 3,
            "retransmission goes on after later requests"
        );
    }
    // Only the last few responses are still retransmitted.
    assert!(world.core.load().peers.most_outgoing <= 4);
}

#[test]
fn a_notification_does_not_wait_for_unacknowledged_responses() {
    let mut world = World::observing(super::default_settings(), Type::Confirmable);
    world.upstream.delay = Duration::from_millis(800);
    world.devices[0].ignores_separate_responses = true;
    for _ in 0..3 {
        world.post(0, Type::Confirmable);
    }
    world.run_for(2 * SECOND);
    let seen = world.devices[0].received.len();
    world.set_attribute(0, "a", "2");
    world.run_for(2 * SECOND);
    let mut received = world.devices[0].received.iter().skip(seen);
    let is_notification =
        |message: &Message| message.options.iter().any(|(number, _)| *number == OBSERVE);
    assert!(received.any(|received| is_notification(&received.message)));
}

#[test]
fn a_late_response_suppressed_by_no_response_is_not_sent() {
    let mut world = slow(1);
    let no_success = vec![(NO_RESPONSE, Bytes::from_static(&[2]))];
    let number = world.post_with(0, Type::Confirmable, no_success);
    world.run_for(200 * SECOND);
    assert_eq!(world.devices[0].messages_for(number), [EMPTY_ACK]);
    assert_eq!(*world.devices[0].outcome(number), Outcome::ResponseTimeout);
    assert_eq!(world.upstream.posts.len(), 1);
    assert_eq!(world.core.load().peers.most_outgoing, 0);
}
