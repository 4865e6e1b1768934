//! Hazard: a call completes when its device has timed out, or has sent other requests meanwhile.

use super::invariants::assert_idle;
use super::{Behaviour, Conditions, Outcome, RESPONSE_TIMEOUT, World};
use crate::upstream::Error;
use coap::EXCHANGE_LIFETIME;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_response_after_the_client_timed_out_is_sent_once_and_leaves_no_state() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = RESPONSE_TIMEOUT + 10 * SECOND;
    let number = world.post(0, Type::Confirmable);
    world.run_for(RESPONSE_TIMEOUT + 5 * SECOND);
    assert_eq!(*world.devices[0].outcome(number), Outcome::ResponseTimeout);
    world.run_for(10 * SECOND);
    let empty = (Type::Acknowledgement, Code::EMPTY);
    let separate = (Type::Confirmable, Code::CREATED);
    assert_eq!(world.devices[0].messages_for(number), [empty, separate]);
    world.run_for(EXCHANGE_LIFETIME);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn a_response_at_the_time_of_the_piggyback_timeout_is_sent_once() {
    for milliseconds in 495..=505 {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.delay = Duration::from_millis(milliseconds);
        let number = world.post(0, Type::Confirmable);
        world.run_for(60 * SECOND);
        let replies = world.devices[0].messages_for(number);
        let responses = replies.iter().filter(|(_, code)| *code == Code::CREATED);
        assert_eq!(responses.count(), 1, "{milliseconds} ms: {replies:?}");
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
    }
}

#[test]
fn a_late_error_is_sent_as_a_response() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 10 * SECOND;
    world.upstream.behaviour = Behaviour::Fails(Error::Timeout);
    let number = world.post(0, Type::Confirmable);
    world.run_for(20 * SECOND);
    let outcome = world.devices[0].outcome(number);
    assert!(outcome.is(Code::GATEWAY_TIMEOUT), "{outcome:?}");
}

#[test]
fn late_responses_match_their_requests_among_newer_ones() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 30 * SECOND;
    let late = world.get(0);
    world.run_for(SECOND);
    world.upstream.delay = SECOND / 10;
    let quick = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(quick).is(Code::CREATED));
    assert_eq!(*world.devices[0].outcome(late), Outcome::Open);
    world.run_for(40 * SECOND);
    assert!(world.devices[0].outcome(late).is(Code::CONTENT));
}
