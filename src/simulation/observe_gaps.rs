//! Hazard: ThingsBoard's polls miss changes between two polls, repeat unanswered commands, and end early.

use super::{Behaviour, Conditions, World, default_settings};
use crate::downlink::Kind;
use crate::upstream::Error;
use coap::Type;
use serde_json::json;
use std::time::Duration;
use thingsboard_simulator::downlink::Delays;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;

fn observing() -> World {
    World::observing(default_settings(), CON)
}

fn assert_states_agree(world: &World) {
    let device = &world.devices[0];
    let state = &device.observation(Kind::Attributes).unwrap().state;
    assert_eq!(*state, world.upstream.platform.state("device-0"));
}

#[test]
fn the_second_of_two_changes_in_quick_succession_is_not_lost() {
    let mut world = observing();
    // ThingsBoard assigns firmware in this way: it deletes attributes, then sets them.
    world.delete_attribute(0, "a");
    world.set_attribute(0, "fw_title", "\"app\"");
    world.set_attribute(0, "fw_version", "\"2\"");
    world.run_for(SECOND);
    assert_states_agree(&world);
}

#[test]
fn a_change_before_the_subscription_takes_effect_is_not_lost() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.upstream.platform.set_delays(Delays {
        subscription_ms: 150,
        ..Delays::default()
    });
    world.connect_all();
    world.observe(0, CON, Kind::Attributes);
    world.run_for(150 * MS);
    world.set_attribute(0, "a", "1");
    world.run_for(SECOND);
    assert_states_agree(&world);
    assert_eq!(world.core.counters().relay.changes_found_by_reading, 1);
}

#[test]
fn changes_and_commands_at_any_time_of_a_poll_arrive() {
    for moment in 0..60 {
        let mut world = observing();
        // Polls time out every 24 to 25 s. A one-way command between two polls would be lost.
        world.run_for(22 * SECOND + 67 * MS * moment);
        world.set_attribute(0, "moment", &moment.to_string());
        world.send_command(0, &moment.to_string(), true);
        world.run_for(5 * SECOND);
        assert_states_agree(&world);
        let commands = &world.devices[0]
            .observation(Kind::Commands)
            .unwrap()
            .commands;
        assert_eq!(*commands, [json!(moment)], "moment {moment}");
    }
}

#[test]
fn an_unanswered_command_is_executed_once_and_limits_polls_to_20_a_minute() {
    let mut world = observing();
    world.devices[0].replies_to_commands = false;
    world.send_command(0, "7", false);
    let before = world.upstream.platform.subscriptions("device-0").rpc.opened;
    world.run_for(60 * SECOND);
    let polls = world.upstream.platform.subscriptions("device-0").rpc.opened - before;
    assert!((5..=20).contains(&polls), "{polls} polls");
    let observation = world.devices[0].observation(Kind::Commands).unwrap();
    assert_eq!(observation.commands, [json!(7)]);
    // A late and duplicated reply is harmless: the next command arrives at once.
    world.send_command(0, "8", false);
    world.devices[0].replies_to_commands = true;
    world.reply(0, 0);
    world.reply(0, 0);
    world.run_for(SECOND);
    let observation = world.devices[0].observation(Kind::Commands).unwrap();
    assert_eq!(observation.commands, [json!(7), json!(8)]);
}

#[test]
fn an_empty_read_by_a_failing_attribute_store_deletes_nothing() {
    let mut world = observing();
    world.upstream.platform.empty_reads = 1;
    world.set_attribute(0, "b", "2");
    world.run_for(2 * SECOND);
    assert_eq!(world.core.counters().relay.empty_reads_unconfirmed, 1);
    world.run_for(20 * SECOND);
    assert_states_agree(&world);
    let notifications = &world.devices[0]
        .observation(Kind::Attributes)
        .unwrap()
        .notifications;
    assert_eq!(notifications.len(), 1, "{notifications:?}");
}

#[test]
fn deletion_of_all_attributes_takes_effect_after_a_second_empty_read() {
    let mut world = observing();
    world.upstream.platform.set_delays(Delays {
        subscription_ms: 400,
        ..Delays::default()
    });
    // The open poll gets the first change; the others come between two polls.
    world.set_attribute(0, "b", "2");
    world.run_for(100 * MS);
    world.delete_attribute(0, "a");
    world.delete_attribute(0, "b");
    world.run_for(10 * SECOND);
    assert_states_agree(&world);
    assert!(
        world.devices[0]
            .observation(Kind::Attributes)
            .unwrap()
            .state
            .is_empty()
    );
}

#[test]
fn polls_that_thingsboard_ends_early_are_shortened() {
    let mut settings = default_settings();
    settings.relay.poll_timeout = 60 * SECOND;
    let mut world = World::observing(settings, CON);
    world.run_for(45 * SECOND);
    let failed = world.core.counters().relay.downlink.polls_failed;
    assert_eq!(failed, 2, "each poll failed once");
    world.run_for(300 * SECOND);
    assert_eq!(world.core.counters().relay.downlink.polls_failed, failed);
    world.set_attribute(0, "a", "2");
    world.run_for(SECOND);
    assert_states_agree(&world);
}

#[test]
fn changes_during_an_upstream_outage_are_notified_afterwards() {
    let mut world = observing();
    world.upstream.restart(world.now, 90 * SECOND);
    world.run_for(30 * SECOND);
    world.set_attribute(0, "a", "2");
    world.set_attribute(0, "b", "3");
    world.run_for(180 * SECOND);
    assert_states_agree(&world);
    world.send_command(0, "7", false);
    world.run_for(5 * SECOND);
    assert_eq!(
        world.devices[0]
            .observation(Kind::Commands)
            .unwrap()
            .commands,
        [json!(7)]
    );
}

#[test]
fn a_command_after_a_restart_is_delivered_although_its_id_repeats() {
    let mut world = observing();
    world.send_command(0, "\"before\"", false);
    world.run_for(5 * SECOND);
    world.upstream.restart(world.now, 3 * SECOND);
    world.run_for(30 * SECOND);
    world.send_command(0, "\"after\"", false);
    world.run_for(5 * SECOND);
    let commands = &world.devices[0]
        .observation(Kind::Commands)
        .unwrap()
        .commands;
    assert_eq!(*commands, [json!("before"), json!("after")]);
}

#[test]
fn polls_resume_at_a_limited_rate_after_a_restart() {
    // Fifty devices suffice: the rate limit of polls has a burst of fifty, and 200 a second.
    const DEVICES: usize = 50;
    let mut world = World::new(DEVICES, Conditions::GOOD, 1);
    world.connect_all();
    for device in 0..DEVICES {
        world.observe(device, CON, Kind::Attributes);
        world.observe(device, CON, Kind::Commands);
    }
    world.run_for(5 * SECOND);
    world.upstream.restart(world.now, 20 * SECOND);
    world.run_for(19 * SECOND);
    let during = world.upstream.platform.polls_opened;
    let mut most = 0;
    for _ in 0..2000 {
        let before = world.upstream.platform.polls_opened;
        world.run_for(50 * MS);
        most = most.max(world.upstream.platform.polls_opened - before);
    }
    assert!(world.upstream.platform.polls_opened - during >= 2 * DEVICES);
    assert!(most <= 20, "{most} polls within 50 ms");
}

#[test]
fn unexpected_upstream_errors_end_no_observation() {
    let mut world = observing();
    for error in [
        Error::Timeout,
        Error::Unintelligible("its body is too large"),
        Error::Unintelligible("it is not HTTP"),
        super::upstream::rejected(400),
        super::upstream::rejected(404),
        super::upstream::rejected(500),
    ] {
        world.upstream.behaviour = Behaviour::Fails(error);
        world.run_for(60 * SECOND);
        world.upstream.behaviour = Behaviour::Serves;
        world.run_for(90 * SECOND);
        world.set_attribute(0, "a", &world.upstream.platform.attribute_reads.to_string());
        world.send_command(0, "1", true);
        world.run_for(5 * SECOND);
        assert_states_agree(&world);
    }
    let commands = &world.devices[0]
        .observation(Kind::Commands)
        .unwrap()
        .commands;
    assert_eq!(commands.len(), 6);
    assert_eq!(world.core.sessions(), 1);
}
