//! Hazard: ThingsBoard takes for delivered what the device does not have, or a command that it keeps is lost or executed twice.

use super::super::{World, default_settings};
use super::Dialing;
use coap::Type::{Confirmable as CON, NonConfirmable as NON};
use std::collections::BTreeMap;
use std::time::Duration;
use thingsboard_simulator::{CommandOutcome, RpcStatus};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn once(numbers: impl IntoIterator<Item = u64>) -> BTreeMap<u64, usize> {
    numbers.into_iter().map(|number| (number, 1)).collect()
}

#[test]
fn a_persistent_command_is_delivered_when_the_device_has_acknowledged_it() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    world.devices[0].observations[1].withholds_acks = true;
    world.devices[0].replies_to_commands = false;
    let command = world.persistent_command(0, 1, true, HOUR);
    world.run_for(SECOND);
    assert_eq!(world.executions(), once([1]));
    assert_eq!(world.status(command), RpcStatus::Sent);
    world.devices[0].observations[1].withholds_acks = false;
    // Its next retransmission is acknowledged.
    world.run_for(5 * SECOND);
    assert_eq!(world.status(command), RpcStatus::Delivered);
    assert_eq!(world.executions(), once([1]));
}

#[test]
fn a_reply_makes_a_command_successful_and_delivered_commands_are_not_sent_again() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    let commands: Vec<_> = (0..10)
        .map(|number| world.persistent_command(0, number, false, HOUR))
        .collect();
    world.run_for(10 * SECOND);
    for command in commands {
        assert_eq!(world.status(command), RpcStatus::Successful);
    }
    world.restart_thingsboard(SECOND);
    world.run_for(MINUTE);
    assert_eq!(world.executions(), once(0..10));
}

#[test]
fn non_confirmable_observers_have_a_command_delivered_at_once() {
    let mut world = World::observing_over_mqtt(default_settings(), NON);
    world.devices[0].replies_to_commands = false;
    let command = world.persistent_command(0, 1, true, HOUR);
    world.run_for(SECOND / 10);
    assert_eq!(world.status(command), RpcStatus::Delivered);
    assert_eq!(world.executions(), once([1]));
}

/// It was SENT, and is TIMEOUT after ThingsBoard's ten seconds. It stays in ThingsBoard until the device is back.
#[test]
fn a_persistent_command_to_a_device_that_is_away_waits_and_is_delivered_once() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    world.link.conditions.loss = 1.0;
    let first = world.persistent_command(0, 1, false, 24 * HOUR);
    world.run_for(SECOND);
    assert_eq!(world.status(first), RpcStatus::Sent);
    world.run_for(20 * SECOND);
    assert_eq!(world.status(first), RpcStatus::Timeout);
    // The notification is given up.
    world.run_for(3 * MINUTE);
    assert!(!world.counts(0).rpc_subscribed);
    let later = world.persistent_command(0, 2, false, 24 * HOUR);
    world.run_for(HOUR);
    assert_eq!(world.status(later), RpcStatus::Queued);
    assert_eq!(world.counts(0).connections, 0, "the device is gone");

    world.link.conditions.loss = 0.0;
    world.post(0, CON);
    world.run_for(10 * SECOND);
    assert_eq!(world.status(first), RpcStatus::Successful);
    assert_eq!(world.status(later), RpcStatus::Successful);
    assert_eq!(world.executions(), once([1, 2]));
}

/// The device acknowledges after more than the ten seconds that ThingsBoard waits for a PUBACK: ThingsBoard has the command as
/// TIMEOUT, and would send it again at the next subscription, whenever that is.
#[test]
fn a_command_that_is_acknowledged_late_becomes_delivered() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    world.devices[0].replies_to_commands = false;
    world.link.conditions.loss = 1.0;
    let command = world.persistent_command(0, 1, true, HOUR);
    world.run_for(12 * SECOND);
    assert_eq!(world.status(command), RpcStatus::Timeout);
    world.link.conditions.loss = 0.0;
    world.run_for(30 * SECOND);
    assert_eq!(world.executions(), once([1]));
    assert_eq!(world.status(command), RpcStatus::Delivered);
    let before = world.counts(0).subscribes;
    world.run_for(4 * MINUTE);
    assert_eq!(world.counts(0).subscribes, before, "that was all");
}

/// A SUBSCRIBE over ThingsBoard's rate limit is granted, and nothing is ever delivered.
#[test]
fn a_subscription_that_is_granted_but_dead_is_replaced() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    world
        .mqtt()
        .at_thingsboard(|control| control.deaden_subscriptions(2));
    world.mqtt().network.cut(|| true);
    world.run_for(10 * SECOND);
    assert!(!world.counts(0).rpc_subscribed);
    let command = world.persistent_command(0, 1, false, HOUR);
    world.run_for(6 * MINUTE);
    assert_eq!(world.status(command), RpcStatus::Successful);
    assert_eq!(world.executions(), once([1]));
}

/// The device replies, and is then off for good: nothing shows that but its silence.
#[test]
fn a_gone_device_has_no_connection_and_no_ping() {
    let mut settings = default_settings();
    settings.relay.alive_for = 10 * MINUTE;
    let mut world = World::observing_over_mqtt(settings, CON);
    world.devices[0].switch_off();
    // Silent for alive_for, and then a ping has been given up.
    world.run_for(12 * MINUTE);
    let counts = world.counts(0);
    assert_eq!(
        (counts.connections, world.mqtt().connections()),
        (0, (0, 0))
    );
    world.run_for(2 * HOUR);
    assert_eq!(world.counts(0), counts, "nothing more is sent");
}

#[test]
fn after_a_restart_of_thingsboard_its_new_commands_of_known_ids_are_delivered() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    for number in 0..3 {
        world.command(0, number, false);
    }
    world.run_for(5 * SECOND);
    world.restart_thingsboard(5 * SECOND);
    world.run_for(10 * SECOND);
    for number in 10..13 {
        world.command(0, number, false);
    }
    world.run_for(5 * SECOND);
    for number in (0..3).chain(10..13) {
        let outcome = world.outcome(number);
        assert!(
            matches!(outcome, Some(CommandOutcome::Reply(_))),
            "{number}: {outcome:?}"
        );
    }
    assert_eq!(world.executions(), once((0..3).chain(10..13)));
}

/// Packet ids of ThingsBoard's end at 65,535, and then comes 0.
#[test]
fn commands_are_delivered_beyond_the_last_packet_id() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    for first_packet_id in [59_990, 65_520] {
        let set_first = |world: &World, first| {
            world.mqtt().at_thingsboard(|control| {
                let mut settings = control.mqtt_settings();
                settings.first_packet_id = first;
                control.set_mqtt_settings(settings);
            });
        };
        set_first(&world, first_packet_id);
        world.mqtt().network.cut(|| true);
        world.run_for(5 * SECOND);
        set_first(&world, 1);
        let number = u64::from(first_packet_id);
        let commands: Vec<_> = (number..number + 60)
            .map(|number| world.persistent_command(0, number, false, HOUR))
            .collect();
        world.run_for(2 * MINUTE);
        for command in commands {
            // Replies in flight when the id 0 ends the connection get 5.03, and this device does not send them again.
            let status = world.status(command);
            let is_delivered = status == RpcStatus::Delivered && first_packet_id > 60_000;
            assert!(
                status == RpcStatus::Successful || is_delivered,
                "{status:?}"
            );
        }
    }
    let executions = world.executions();
    assert_eq!(executions.len(), 120);
    assert!(executions.values().all(|times| *times == 1));
}

#[test]
fn a_command_in_flight_at_the_gateways_restart_is_sent_again_by_thingsboard() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    world.link.conditions.loss = 1.0;
    let command = world.persistent_command(0, 1, false, HOUR);
    world.run_for(SECOND);
    assert_eq!(world.status(command), RpcStatus::Sent);
    world.restart_gateway(2);
    world.link.conditions.loss = 0.0;
    world.run_for(15 * SECOND);
    world.connect_all();
    world.observe(0, CON, crate::downlink::Kind::Commands);
    world.run_for(5 * SECOND);
    assert_eq!(world.status(command), RpcStatus::Successful);
    assert_eq!(world.executions(), once([1]));
}

#[test]
fn while_thingsboard_cannot_be_reached_a_device_gets_an_error_at_once_and_later_its_command() {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    world.mqtt().network.set_dialing(Dialing::Refused);
    world.mqtt().network.cut(|| true);
    world.run_for(10 * SECOND);
    let post = world.post(0, CON);
    world.run_for(SECOND);
    assert!(
        world.devices[0]
            .outcome(post)
            .is(coap::Code::SERVICE_UNAVAILABLE)
    );
    let command = world.persistent_command(0, 1, false, HOUR);
    world.run_for(10 * MINUTE);
    world.mqtt().network.set_dialing(Dialing::Opens);
    world.run_for(10 * SECOND);
    assert_eq!(world.status(command), RpcStatus::Successful);
    assert_eq!(world.executions(), once([1]));
}
