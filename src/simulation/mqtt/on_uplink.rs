//! Hazard: in the mode `on-uplink` commands for a sleeping device leave ThingsBoard before it wakes, or not when it does.

use super::super::{World, default_settings};
use crate::downlink::{Kind, Mode};
use coap::Type::{Confirmable as CON, NonConfirmable as NON};
use serde_json::json;
use std::time::Duration;
use thingsboard_simulator::RpcStatus;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn sleeping(kind: coap::Type) -> World {
    let mut settings = default_settings();
    settings.relay.rpc = Mode::OnUplink;
    settings.relay.attributes = Mode::OnUplink;
    let mut world = World::observing_over_mqtt(settings, kind);
    world.run_for(5 * SECOND);
    let counts = world.counts(0);
    assert!(!counts.rpc_subscribed && !counts.attributes_subscribed);
    world
}

#[test]
fn commands_for_a_sleeping_device_wait_in_thingsboard_and_come_with_its_next_message() {
    for kind in [CON, NON] {
        let mut world = sleeping(kind);
        for round in 0..3 {
            let numbers = [2 * round, 2 * round + 1];
            let commands = numbers.map(|number| world.persistent_command(0, number, false, HOUR));
            // The device hears nothing meanwhile.
            world.link.conditions.loss = 1.0;
            world.run_for(10 * MINUTE);
            assert_eq!(
                commands.map(|command| world.status(command)),
                [RpcStatus::Queued; 2]
            );
            world.link.conditions.loss = 0.0;
            world.post(0, CON);
            world.run_for(2 * SECOND);
            assert_eq!(
                commands.map(|command| world.status(command)),
                [RpcStatus::Successful; 2]
            );
            world.run_for(5 * SECOND);
            assert!(!world.counts(0).rpc_subscribed);
        }
        assert!(world.executions().values().all(|times| *times == 1));
        assert_eq!(world.executions().len(), 6);
    }
}

#[test]
fn attributes_are_read_after_each_message_and_have_no_subscription() {
    let mut world = sleeping(CON);
    world.set_shared(0, "a", &json!(1));
    world.run_for(MINUTE);
    let state = |world: &World| {
        let observation = world.devices[0].observation(Kind::Attributes);
        observation.unwrap().state.clone()
    };
    assert_eq!(state(&world).len(), 0);
    world.post(0, CON);
    world.run_for(2 * SECOND);
    assert_eq!(state(&world), world.shared(0));
}

/// The gateway holds no connection for a device that sleeps longer than `relay.alive_for`.
#[test]
fn a_device_that_sleeps_for_long_has_no_connection() {
    let mut world = sleeping(CON);
    world.link.conditions.loss = 1.0;
    world.run_for(16 * MINUTE);
    assert_eq!(world.counts(0).connections, 0);
    let command = world.persistent_command(0, 1, false, 24 * HOUR);
    world.run_for(10 * HOUR);
    assert_eq!(world.status(command), RpcStatus::Queued);
    world.link.conditions.loss = 0.0;
    world.post(0, CON);
    world.run_for(2 * SECOND);
    assert_eq!(world.status(command), RpcStatus::Successful);
}
