//! Hazard: two gateways have a connection under one access token, and throw each other out; or what was not acknowledged on a
//! connection that is closed is lost.

use super::super::{World, default_settings};
use crate::device::{AccessToken, Device};
use crate::downlink::Kind;
use crate::relay::table::Subscriptions;
use crate::upstream::Kinds;
use coap::Type::Confirmable as CON;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use thingsboard_simulator::RpcStatus;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const BOTH: Subscriptions = Subscriptions {
    attributes: 1,
    commands: 1,
};

fn observing() -> World {
    World::observing_over_mqtt(default_settings(), CON)
}

fn assert_states_agree(world: &World, what: &str) {
    let observed = world.devices[0].observation(Kind::Attributes).unwrap();
    assert_eq!(observed.state, world.shared(0), "{what}");
}

#[test]
fn the_connection_is_closed_in_a_pause_so_that_another_gateway_can_follow_the_device() {
    let mut world = observing();
    world.run_for(MINUTE);
    for _ in 0..2 {
        world.pause(0);
        world.run_for(SECOND);
        assert_eq!(world.mqtt().connections(), (0, 0));
    }
    let device = Arc::new(Device {
        name: "device-0".into(),
        token: AccessToken::new("TOKEN-0".to_owned()).unwrap(),
    });
    let both = Kinds {
        attributes: true,
        commands: true,
    };
    let mqtt = world.mqtt();
    let clock = mqtt.runtime.enter();
    let mut other = mqtt.another_gateway();
    let upstream = other.upstream.clone();
    mqtt.runtime
        .spawn(async move { while other.pushed.recv().await.is_some() {} });
    upstream.subscribe(&device, both, 1).unwrap();
    drop(clock);
    let before = world.counts(0).connects;
    world.run_for(10 * MINUTE);
    assert_eq!(world.counts(0).connects, before + 1, "the other one's");
    world.set_shared(0, "a", &json!(2));
    // The other one closes its connection, and this one follows.
    let clock = world.mqtt().runtime.enter();
    upstream.close(&device);
    drop(clock);
    world.run_for(SECOND);
    for _ in 0..2 {
        world.resume(0);
        world.run_for(5 * SECOND);
    }
    assert_eq!(world.counts(0).connects, before + 2);
    assert_states_agree(&world, "after the pause");
    assert_eq!(world.core.load().relays.counts.working_subscriptions, BOTH);
    world.set_shared(0, "a", &json!(3));
    world.run_for(SECOND);
    assert_states_agree(&world, "by the subscription");
}

#[test]
fn a_forgotten_device_has_no_connection() {
    let mut world = observing();
    world.run_for(MINUTE);
    world.forget(0);
    world.run_for(SECOND);
    assert_eq!(world.mqtt().connections(), (0, 0));
    let load = world.core.load();
    assert_eq!((load.relays.relays, load.relays.timers), (0, 0));
    assert_eq!(
        load.relays.counts,
        crate::relay::ObservationCounts::default()
    );
    world.run_for(HOUR);
    assert_eq!(world.mqtt().connections(), (0, 0));
}

#[test]
fn a_device_without_a_relay_has_no_connection_in_a_pause_either() {
    let mut world = World::over_mqtt(1, super::super::Conditions::GOOD, 1, default_settings());
    world.connect_all();
    world.post(0, CON);
    world.run_for(SECOND);
    assert_eq!(world.mqtt().connections(), (1, 0));
    world.pause(0);
    world.run_for(SECOND);
    assert_eq!(world.mqtt().connections(), (0, 0));
    let post = world.post(0, CON);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(post).is(coap::Code::CREATED));
}

#[test]
fn a_pause_at_any_moment_of_a_command_and_a_change_loses_and_repeats_nothing() {
    for pause in [0, 20, 500, 15_000] {
        for moment in (0..300).step_by(10) {
            let what = format!("{moment} ms, {pause} ms long");
            let mut world = observing();
            world.run_for(10 * SECOND);
            world.set_shared(0, "b", &json!(moment));
            let commands = [false, true].map(|oneway| {
                let number = u64::from(moment) + u64::from(oneway);
                world.persistent_command(0, number, oneway, HOUR)
            });
            world.run_for(MS * moment);
            world.pause(0);
            world.run_for(MS * pause);
            world.resume(0);
            world.run_for(3 * MINUTE);
            assert_states_agree(&world, &what);
            let working = world.core.load().relays.counts.working_subscriptions;
            assert_eq!(working, BOTH, "{what}");
            let executions: Vec<usize> = world.executions().into_values().collect();
            assert_eq!(executions, [1, 1], "{what}");
            for command in commands {
                let status = world.status(command);
                let is_done = [RpcStatus::Delivered, RpcStatus::Successful].contains(&status);
                assert!(is_done, "{what}: {status:?}");
            }
        }
    }
}
