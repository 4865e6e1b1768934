//! Hazard: ThingsBoard is down, and up again.

use super::upstream::empty_500;
use super::{Behaviour, Conditions, World};
use crate::upstream::Error;
use coap::option::number::MAX_AGE;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn while_upstream_is_down_devices_get_5_03_with_max_age_and_then_2_01() {
    let mut world = World::new(5, Conditions::GOOD, 1);
    world.connect_all();
    for (behaviour, expected) in [
        (Behaviour::Serves, Code::CREATED),
        (
            Behaviour::Fails(Error::Unreachable),
            Code::SERVICE_UNAVAILABLE,
        ),
        (
            Behaviour::Fails(Error::Overloaded),
            Code::SERVICE_UNAVAILABLE,
        ),
        (Behaviour::Serves, Code::CREATED),
    ] {
        world.upstream.behaviour = behaviour.clone();
        for device in 0..5 {
            let number = world.post(device, Type::Confirmable);
            world.run_for(SECOND);
            let outcome = world.devices[device].outcome(number);
            assert!(outcome.is(expected), "{behaviour:?}: {outcome:?}");
            let answer = &world.devices[device].received.last().unwrap().message;
            let has_max_age = answer.options.iter().any(|(number, _)| *number == MAX_AGE);
            assert_eq!(has_max_age, expected == Code::SERVICE_UNAVAILABLE);
        }
    }
    assert_eq!(world.core.sessions(), 5, "no session ended");
    assert_eq!(world.core.counters().dtls.handshakes_completed, 5);
}

#[test]
fn neither_the_gateway_nor_a_duplicate_retries_a_failed_post() {
    for error in [Error::Unreachable, Error::Timeout, empty_500()] {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.behaviour = Behaviour::Fails(error);
        let number = world.post(0, Type::Confirmable);
        world.run_for(SECOND);
        world.upstream.behaviour = Behaviour::Serves;
        let refused = world.devices[0].messages_for(number);
        for _ in 0..10 {
            world.send_duplicate(0, number);
            world.run_for(10 * SECOND);
        }
        assert_eq!(world.upstream.posts.len(), 1);
        let replies = world.devices[0].messages_for(number);
        assert_eq!(replies.len(), 11);
        assert!(replies.iter().all(|reply| *reply == refused[0]));
    }
}

#[test]
fn handshakes_and_pings_work_while_upstream_is_down() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.upstream.behaviour = Behaviour::Fails(Error::Unreachable);
    world.connect_all();
    world.send(0, &[0x40, 0, 0x12, 0x34]);
    world.run_for(SECOND);
    let pong = &world.devices[0].received.last().unwrap().message;
    assert_eq!((pong.kind, pong.message_id), (Type::Reset, 0x1234));
}
