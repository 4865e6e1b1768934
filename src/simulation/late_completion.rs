//! Hazard: a call completes when its device has stopped waiting, or has asked again since.

use super::invariants::assert_at_rest;
use super::{Behaviour, Conditions, Outcome, PATIENCE, World};
use crate::upstream::Error;
use coap::deduplication::EXCHANGE_LIFETIME;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_answer_after_the_device_gave_up_is_delivered_once_and_leaves_nothing_behind() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = PATIENCE + 10 * SECOND;
    let number = world.post(0, Type::Confirmable);
    world.run_for(PATIENCE + 5 * SECOND);
    assert_eq!(*world.devices[0].outcome(number), Outcome::Unanswered);
    world.run_for(10 * SECOND);
    let empty = (Type::Acknowledgement, Code::EMPTY);
    let separate = (Type::Confirmable, Code::CREATED);
    assert_eq!(world.devices[0].replies(number), [empty, separate]);
    world.run_for(EXCHANGE_LIFETIME);
    assert_at_rest(&world.core, &world.devices);
}

#[test]
fn an_answer_at_the_very_moment_of_the_piggyback_timer_is_sent_once() {
    for milliseconds in 495..=505 {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.delay = Duration::from_millis(milliseconds);
        let number = world.post(0, Type::Confirmable);
        world.run_for(60 * SECOND);
        let replies = world.devices[0].replies(number);
        let responses = replies.iter().filter(|(_, code)| *code == Code::CREATED);
        assert_eq!(responses.count(), 1, "{milliseconds} ms: {replies:?}");
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
    }
}

#[test]
fn an_error_that_comes_late_is_told_like_any_answer() {
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
fn late_answers_find_the_requests_they_answer_among_newer_ones() {
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
