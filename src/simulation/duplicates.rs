//! Hazard: messages and datagrams are duplicated.

use super::{Conditions, World};
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// RFC 7252 §4.8.2, with the default transmission parameters.
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
const NON_LIFETIME: Duration = Duration::from_secs(145);

#[test]
fn a_duplicate_within_exchange_lifetime_never_reaches_upstream() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 3 * SECOND;
    let number = world.post(0, Type::Confirmable);
    let end = world.now + EXCHANGE_LIFETIME - SECOND;
    while world.now < end {
        world.send_duplicate(0, number);
        world.run_for(SECOND);
    }
    assert_eq!(world.upstream.posts.len(), 1);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert!(world.core.counters().coap.duplicates > 200);
}

#[test]
fn a_non_confirmable_duplicate_within_non_lifetime_never_reaches_upstream() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    let number = world.post(0, Type::NonConfirmable);
    let end = world.now + NON_LIFETIME - SECOND;
    while world.now < end {
        world.send_duplicate(0, number);
        world.run_for(SECOND);
    }
    assert_eq!(world.upstream.posts.len(), 1);
    let replies = world.devices[0].messages_for(number);
    assert_eq!(replies, [(Type::NonConfirmable, Code::CREATED)]);
}

#[test]
fn a_duplicate_gets_no_reply_before_the_empty_ack_and_only_that_afterwards() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 2 * SECOND;
    let number = world.post(0, Type::Confirmable);
    let replies = |world: &World| world.devices[0].messages_for(number);
    world.run_for(SECOND / 4);
    world.send_duplicate(0, number);
    world.run_for(SECOND / 10);
    assert_eq!(replies(&world), [], "the call is pending");
    world.run_for(SECOND);
    let empty = (Type::Acknowledgement, Code::EMPTY);
    assert_eq!(replies(&world), [empty]);
    world.send_duplicate(0, number);
    world.run_for(SECOND / 10);
    assert_eq!(replies(&world), [empty, empty]);
    world.run_for(2 * SECOND);
    world.send_duplicate(0, number);
    world.run_for(SECOND);
    let separate = (Type::Confirmable, Code::CREATED);
    assert_eq!(replies(&world), [empty, empty, separate, empty]);
}

#[test]
fn duplicated_datagrams_have_no_effect() {
    let doubling = Conditions {
        duplication: 1.0,
        jitter: SECOND / 5,
        ..Conditions::GOOD
    };
    let mut world = World::new(5, doubling, 1);
    world.connect_all();
    for _ in 0..10 {
        for device in 0..5 {
            world.post(device, Type::Confirmable);
        }
        world.run_for(SECOND);
    }
    world.run_for(10 * SECOND);
    for device in &world.devices {
        assert!(device.outcomes().all(|outcome| outcome.is(Code::CREATED)));
    }
    assert_eq!(world.upstream.posts.len(), 50);
    assert_eq!(world.core.counters().dtls.handshakes_completed, 5);
    // DTLS drops replayed records (RFC 6347 §4.1.2.6).
    assert_eq!(world.core.counters().coap.duplicates, 0);
    assert!(world.core.counters().dtls.without_effect >= 50);
}

/// RFC 7252 §4.4 forbids a device to reuse a Message ID, but some libraries do.
#[test]
fn different_requests_with_one_message_id_both_reach_upstream_once() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.devices[0].fixed_message_id = Some(3561);
    let numbers = [0, 1].map(|_| world.post(0, Type::Confirmable));
    world.run_for(SECOND);
    for _ in 0..3 {
        for number in numbers {
            world.send_duplicate(0, number);
            world.run_for(SECOND);
        }
    }
    assert_eq!(world.upstream.posts.len(), 2);
    for number in numbers {
        assert_eq!(world.devices[0].messages_for(number).len(), 4);
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
    }
}
