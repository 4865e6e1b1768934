//! Hazard: upstream takes longer than `piggyback_timeout`, so the response travels alone.

use super::{Conditions, Outcome, World};
use crate::coap::option::number::NO_RESPONSE;
use crate::coap::{Code, Message, Type};
use bytes::Bytes;
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
fn a_slow_answer_is_announced_by_an_empty_acknowledgement_and_comes_confirmable() {
    let mut world = slow(1);
    let number = world.post(0, Type::Confirmable);
    world.run_for(10 * SECOND);
    assert_eq!(world.devices[0].replies(number), [EMPTY_ACK, SEPARATE]);
    assert_eq!(world.devices[0].retransmissions(number), 0);
    assert_eq!(world.core.counters().1.retransmissions, 0);
}

#[test]
fn a_separate_response_is_retransmitted_until_its_acknowledgement_comes_through() {
    let mut world = slow(1);
    let number = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    // Twice the response is lost, then twice its acknowledgement.
    world.link.lose_next(false, 2);
    world.run_for(8 * SECOND);
    world.link.lose_next(true, 2);
    world.run_for(100 * SECOND);
    let device = &world.devices[0];
    assert_eq!(
        device.replies(number),
        [EMPTY_ACK, SEPARATE, SEPARATE, SEPARATE]
    );
    let ids: Vec<_> = device
        .received
        .iter()
        .filter(|(_, _, message)| message.kind == Type::Confirmable)
        .map(|(_, _, message)| message.message_id)
        .collect();
    assert!(
        ids.iter().all(|id| *id == ids[0]),
        "one Message ID: {ids:?}"
    );
    assert_eq!(world.core.counters().1.retransmissions, 4);
    assert_eq!(world.core.counters().1.given_up, 0);
}

#[test]
fn a_reset_ends_a_separate_response() {
    let mut world = slow(1);
    world.post(0, Type::Confirmable);
    world.link.lose_next(true, 1);
    world.run_for(3 * SECOND);
    // Its acknowledgement was lost; a Reset does as well.
    let response = world.devices[0].received.last().unwrap().2.clone();
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
    assert_eq!(world.devices[0].replies(number), [EMPTY_ACK, SEPARATE]);
    assert_eq!(world.devices[0].retransmissions(number), 1);
    assert_eq!(world.upstream.posts.len(), 1);
}

#[test]
fn of_several_slow_answers_one_is_outstanding_at_a_time() {
    let mut world = slow(1);
    let numbers: Vec<_> = (0..5).map(|_| world.post(0, Type::Confirmable)).collect();
    world.run_for(SECOND);
    world.link.lose_next(true, 1);
    world.run_for(Duration::from_millis(1500));
    let separate = |world: &World| {
        let messages = world.devices[0].received.iter();
        messages
            .filter(|(_, _, m)| m.kind == Type::Confirmable)
            .count()
    };
    // NSTART is 1 (RFC 7252 §4.7): the acknowledgement of the first was lost.
    assert_eq!(separate(&world), 1);
    world.run_for(10 * SECOND);
    for number in numbers {
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
    }
}

#[test]
fn a_slow_answer_of_no_interest_is_not_sent() {
    let mut world = slow(1);
    let no_success = vec![(NO_RESPONSE, Bytes::from_static(&[2]))];
    let number = world.post_with(0, Type::Confirmable, no_success);
    world.run_for(200 * SECOND);
    assert_eq!(world.devices[0].replies(number), [EMPTY_ACK]);
    assert_eq!(*world.devices[0].outcome(number), Outcome::Unanswered);
    assert_eq!(world.upstream.posts.len(), 1);
    assert_eq!(world.core.load().peers.most_outgoing, 0);
}
