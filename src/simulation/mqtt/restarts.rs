//! Hazard: the gateway's process ends, and what it had from ThingsBoard by its connections, and not acknowledged, is lost or
//! executed twice.

use super::super::{Conditions, World, default_settings};
use crate::downlink::Kind;
use crate::dtls::Versions;
use coap::Type::Confirmable as CON;
use serde_json::json;
use std::time::Duration;
use thingsboard_simulator::{CommandId, RpcStatus};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A device that observes both, and a gateway with a disk.
fn observing() -> World {
    let mut settings = default_settings();
    settings.dtls.versions = Versions::Only12;
    let mut world = World::over_mqtt(1, Conditions::GOOD, 1, settings);
    world.add_disk();
    world.connect_all();
    world.set_shared(0, "a", &json!(1));
    for observed in [Kind::Attributes, Kind::Commands] {
        world.observe(0, CON, observed);
        world.run_for(SECOND);
    }
    world
}

/// The process is killed, or stops in an orderly way.
fn end(world: &mut World, is_killed: bool) {
    match is_killed {
        true => world.kill_gateway(),
        false => world.stop_gateway(MINUTE),
    }
}

/// There is no gateway for a while.
fn down(world: &mut World, duration: Duration) {
    let until = world.now + duration;
    while world.now < until {
        let arrived = world.mqtt_mut().run_until(until);
        assert!(arrived.pushed.is_empty());
        world.now = world.mqtt().now();
    }
}

/// Whether ThingsBoard knows that the device has the command. The device replies to all of them.
fn is_done(world: &World, command: CommandId) -> bool {
    let status = world.status(command);
    [RpcStatus::Delivered, RpcStatus::Successful].contains(&status)
}

fn assert_states_agree(world: &World) {
    let device = &world.devices[0];
    let observed = device.observation(Kind::Attributes).unwrap();
    assert_eq!(observed.state, world.shared(0));
    assert_eq!(device.sessions, 1, "no handshake");
}

#[test]
fn what_happens_while_there_is_no_gateway_reaches_the_device() {
    for is_killed in [true, false] {
        let mut world = observing();
        end(&mut world, is_killed);
        world.set_shared(0, "a", &json!(2));
        world.set_shared(0, "b", &json!(3));
        let commands =
            [true, false].map(|oneway| world.persistent_command(0, oneway.into(), oneway, HOUR));
        down(&mut world, 20 * SECOND);
        world.start_gateway();
        world.run_for(MINUTE);
        assert_states_agree(&world);
        assert_eq!(world.executions().into_values().collect::<Vec<_>>(), [1, 1]);
        assert!(commands.iter().all(|command| is_done(&world, *command)));
    }
}

#[test]
fn a_command_that_waits_for_a_sleeping_device_waits_in_the_next_process_too() {
    for is_killed in [true, false] {
        let mut world = observing();
        world.link.conditions.loss = 1.0;
        let command = world.persistent_command(0, 1, true, 10 * HOUR);
        world.run_for(3 * MINUTE);
        for _ in 0..3 {
            end(&mut world, is_killed);
            down(&mut world, 10 * MINUTE);
            world.start_gateway();
            world.run_for(10 * MINUTE);
            assert_eq!(world.mqtt().connections(), (0, 0), "it sleeps");
        }
        world.set_shared(0, "a", &json!(2));
        world.link.conditions.loss = 0.0;
        world.post(0, CON);
        world.run_for(5 * MINUTE);
        assert_states_agree(&world);
        assert_eq!(world.executions().into_values().collect::<Vec<_>>(), [1]);
        assert!(is_done(&world, command));
    }
}

#[test]
fn a_process_that_ends_at_any_moment_of_a_command_and_a_change_loses_neither() {
    for is_killed in [true, false] {
        for moment in (0..1500).step_by(50) {
            let mut world = observing();
            world.run_for(10 * SECOND);
            world.set_shared(0, "b", &json!(moment));
            let commands = [false, true].map(|oneway| {
                world.persistent_command(0, u64::from(moment) + u64::from(oneway), oneway, HOUR)
            });
            world.run_for(MS * moment);
            end(&mut world, is_killed);
            down(&mut world, 2 * SECOND);
            world.start_gateway();
            world.run_for(3 * MINUTE);
            assert_states_agree(&world);
            let executions: Vec<usize> = world.executions().into_values().collect();
            assert_eq!(executions.len(), 2, "{moment} ms");
            // What was not acknowledged, or not stored as such, is notified again.
            let most = if is_killed { 2 } else { 1 };
            assert!(
                executions.iter().all(|times| *times <= most),
                "{moment} ms: {executions:?}"
            );
            let is_done = commands.map(|command| is_done(&world, command));
            assert_eq!(is_done, [true; 2], "{moment} ms");
        }
    }
}
