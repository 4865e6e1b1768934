//! Hazard: the link of a device is down, for any time, while there are attribute changes and commands for it.

use super::{World, default_settings, scaled};
use crate::downlink::Kind;
use coap::{Code, Type};
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;

/// What happens at ThingsBoard while the link is down.
#[derive(Debug, Clone, Copy)]
enum Scenario {
    ChangeThenCommand,
    CommandThenChange,
    TwoCommandsAndTwoChanges,
}

/// Takes the link down for a time, and checks that all commands and changes arrive once it is up again. With `uplink`, the
/// device sends a message at that time.
fn outage(ack_timeout: Duration, down_for: Duration, scenario: Scenario, uplink: bool) {
    let mut settings = default_settings();
    settings.coap.ack_timeout = ack_timeout;
    let mut world = World::observing(settings, CON);
    world.link.conditions.loss = 1.0;
    let mut expected = vec![json!(1)];
    match scenario {
        Scenario::ChangeThenCommand => {
            world.set_attribute(0, "a", "2");
            world.run_for(50 * MS);
            world.send_command(0, "1", true);
        }
        Scenario::CommandThenChange => {
            world.send_command(0, "1", true);
            world.run_for(50 * MS);
            world.set_attribute(0, "a", "2");
        }
        Scenario::TwoCommandsAndTwoChanges => {
            for (number, key) in [(1, "a"), (2, "b")] {
                world.set_attribute(0, key, "2");
                world.run_for(50 * MS);
                world.send_command(0, &number.to_string(), true);
                world.run_for(50 * MS);
            }
            expected.push(json!(2));
        }
    }
    world.run_for(down_for);
    world.link.conditions.loss = 0.0;
    if uplink {
        world.post(0, CON);
    }
    world.run_for(200 * SECOND);
    if !uplink {
        // After a transmission timed out, delivery waits for an uplink.
        world.post(0, CON);
        world.run_for(10 * SECOND);
    }
    let device = &world.devices[0];
    let commands = &device.observation(Kind::Commands).unwrap().commands;
    assert_eq!(
        *commands, expected,
        "{scenario:?}, down for {down_for:?}, uplink: {uplink}"
    );
    let state = &device.observation(Kind::Attributes).unwrap().state;
    assert_eq!(*state, world.upstream.platform.state("device-0"));
}

const SCENARIOS: [Scenario; 3] = [
    Scenario::ChangeThenCommand,
    Scenario::CommandThenChange,
    Scenario::TwoCommandsAndTwoChanges,
];

#[test]
fn each_command_is_delivered_once_after_a_link_outage_of_any_length() {
    for seconds in (0..130).step_by(scaled(5, 1)) {
        for (scenario, number) in SCENARIOS.into_iter().zip(0..) {
            let uplink = (seconds + number) % 2 == 0;
            outage(2 * SECOND, seconds * SECOND, scenario, uplink);
        }
    }
}

#[test]
fn each_command_is_delivered_once_with_a_short_ack_timeout() {
    for tenths in (0..130).step_by(scaled(5, 1)) {
        for (scenario, number) in SCENARIOS.into_iter().zip(0..) {
            let uplink = (tenths + number) % 2 == 1;
            outage(200 * MS, tenths * 100 * MS, scenario, uplink);
        }
    }
}

#[test]
fn a_stuck_notification_does_not_block_the_devices_other_observation() {
    // All transmissions of the change are lost, and the device sends nothing.
    let mut settings = default_settings();
    settings.coap.nstart = 2;
    let mut world = World::observing(settings, CON);
    world.link.lose_next(false, 5);
    world.set_attribute(0, "a", "2");
    for _ in 0..20 {
        world.run_for(5 * SECOND);
    }
    assert_eq!(world.core.counters().relay.parked, 2, "no uplink");
    // Now the device sends replies while the change is not acknowledged.
    let mut world = World::observing(settings, CON);
    world.set_attribute(0, "a", "2");
    world.run_for(15 * MS);
    world.devices[0].observations[0].withholds_acks = true;
    world.run_for(SECOND);
    for second in 0..100 {
        world.run_for(SECOND);
        if second == 0 || second == 40 {
            world.send_command(0, &second.to_string(), false);
        }
    }
    let parked = world.core.counters().relay.parked;
    assert_eq!(parked, 1, "only the observation of attributes");
    let commands = &world.devices[0]
        .observation(Kind::Commands)
        .unwrap()
        .commands;
    assert_eq!(*commands, [json!(0), json!(40)]);
}

#[test]
fn a_command_in_transit_to_a_replaced_observation_is_delivered_once() {
    // The registration under another token reaches the gateway before the command is sent, while it is in transit, or
    // after its acknowledgement.
    for milliseconds in (0..120).step_by(5) {
        let mut world = World::observing(default_settings(), CON);
        world.send_command(0, "1", true);
        world.run_for(milliseconds * MS);
        world.observe(0, CON, Kind::Commands);
        world.run_for(10 * SECOND);
        world.send_command(0, "2", true);
        world.run_for(10 * SECOND);
        let observations = &world.devices[0].observations;
        let both = [&observations[1], &observations[2]].map(|o| o.commands.clone());
        assert_eq!(both.concat(), [json!(1), json!(2)], "{milliseconds} ms");
        assert_eq!(observations[1].ended, Some(Code::DELETED));
        assert_eq!(world.core.load().peers.most_observations, 2);
    }
}

#[test]
fn a_replied_command_is_not_sent_again_without_its_acknowledgement() {
    let mut world = World::observing(default_settings(), CON);
    world.devices[0].replies_to_commands = false;
    world.devices[0].observations[1].withholds_acks = true;
    world.send_command(0, "1", false);
    world.run_for(100 * SECOND);
    assert!(
        world.core.counters().relay.parked > 0,
        "the notification timed out"
    );
    world.reply(0, 0);
    world.run_for(100 * SECOND);
    assert_eq!(world.upstream.replies.len(), 1);
    assert_eq!(world.devices[0].observations[1].notifications.len(), 1);
}
