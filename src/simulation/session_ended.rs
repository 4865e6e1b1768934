//! Hazard: a call completes after its session has ended.

use super::{Behaviour, Conditions, World, default_settings};
use crate::upstream::Error;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_completion_after_the_session_expired_is_counted_and_not_sent() {
    let mut settings = default_settings();
    settings.dtls.session_idle = 5 * SECOND;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.connect_all();
    world.upstream.delay = 10 * SECOND;
    world.post(0, Type::Confirmable);
    world.run_for(9 * SECOND);
    assert_eq!((world.core.sessions(), world.core.in_flight()), (0, 1));
    let delivered = world.link.delivered();
    world.run_for(2 * SECOND);
    assert_eq!(world.core.in_flight(), 0);
    assert_eq!(world.core.counters().gateway.completions_too_late, 1);
    assert_eq!(world.link.delivered(), delivered, "no datagram was sent");
}

#[test]
fn a_completion_for_a_previous_session_does_not_reach_the_current_one() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 10 * SECOND;
    world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.connect(0);
    world.run_for(SECOND);
    assert!(world.devices[0].is_connected());
    // The gateway numbers exchanges per session: this one has the number of the former session's request.
    world.upstream.delay = 20 * SECOND;
    let number = world.get(0);
    world.run_for(15 * SECOND);
    assert_eq!(world.core.counters().gateway.completions_too_late, 1);
    assert_eq!(world.devices[0].open_requests(), 1);
    world.run_for(15 * SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CONTENT));
}

#[test]
fn a_failed_call_of_an_ended_session_is_counted_and_not_sent() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 3 * SECOND;
    world.upstream.behaviour = Behaviour::Fails(Error::Unreachable);
    world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.core.close_all(world.now);
    world.run_for(5 * SECOND);
    assert!(world.devices[0].closed);
    assert_eq!(world.core.counters().gateway.completions_too_late, 1);
}
