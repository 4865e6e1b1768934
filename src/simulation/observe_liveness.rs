//! Hazard: a device with observations fails, sleeps, or loses its network.

use super::{World, default_settings};
use crate::downlink::Kind;
use crate::downlink::Mode;
use coap::Type;
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const CON: Type = Type::Confirmable;

fn observing() -> World {
    World::observing(default_settings(), CON)
}

fn polls(world: &World) -> usize {
    world.upstream.platform.polls_opened
}

#[test]
fn polls_for_an_unreachable_device_stop_after_15_minutes() {
    let mut world = observing();
    world.link.conditions.loss = 1.0;
    world.run_for(17 * MINUTE);
    let polls_until_parked = polls(&world);
    assert!(
        polls_until_parked >= 2 * 15 * 60 / 25,
        "{polls_until_parked}"
    );
    assert_eq!(world.core.counters().relay.parked, 2);
    let reads = world.upstream.platform.attribute_reads;
    world.run_for(300 * MINUTE);
    assert_eq!(
        polls(&world),
        polls_until_parked,
        "polls would make it look active in ThingsBoard"
    );
    assert_eq!(world.upstream.platform.attribute_reads, reads);
    assert_eq!(world.core.sessions(), 1);
}

#[test]
fn a_device_that_answers_pings_keeps_its_polls_and_observations() {
    let mut world = observing();
    world.run_for(300 * MINUTE);
    assert!(world.core.counters().coap.pings_sent >= 19);
    assert_eq!(world.core.counters().relay.parked, 0);
    world.set_attribute(0, "a", "2");
    world.send_command(0, "7", false);
    world.run_for(SECOND);
    assert_eq!(
        world.devices[0]
            .observation(Kind::Attributes)
            .unwrap()
            .state["a"],
        "2"
    );
    assert_eq!(
        world.devices[0]
            .observation(Kind::Commands)
            .unwrap()
            .commands,
        [7]
    );
}

#[test]
fn a_notification_timeout_parks_observations_and_an_uplink_resumes_them() {
    let mut world = observing();
    world.link.conditions.loss = 1.0;
    world.set_attribute(0, "a", "2");
    world.send_command(0, "1", false);
    world.run_for(3 * MINUTE);
    assert_eq!(world.core.counters().relay.parked, 2);
    world.set_attribute(0, "b", "3");
    world.delete_attribute(0, "a");
    let polled = polls(&world);
    world.run_for(5 * MINUTE);
    assert_eq!(polls(&world), polled);
    // After a long sleep, the device sends a message.
    world.link.conditions.loss = 0.0;
    world.post(0, CON);
    world.run_for(SECOND);
    let device = &world.devices[0];
    let state = &device.observation(Kind::Attributes).unwrap().state;
    assert_eq!(*state, world.upstream.platform.state("device-0"));
    let commands = &device.observation(Kind::Commands).unwrap().commands;
    assert_eq!(
        *commands,
        [json!(1)],
        "sent again, since it had not arrived"
    );
}

#[test]
fn an_uplink_triggers_pending_retransmissions_at_once() {
    let mut world = observing();
    world.link.conditions.loss = 1.0;
    world.set_attribute(0, "a", "2");
    // Transmissions at about 0, 2.5, 7.5 and 17.5 s; the next one would be at 37.5 s.
    world.run_for(25 * SECOND);
    world.link.conditions.loss = 0.0;
    world.post(0, CON);
    world.run_for(SECOND);
    let state = &world.devices[0]
        .observation(Kind::Attributes)
        .unwrap()
        .state;
    assert_eq!(state["a"], "2", "the device may sleep again in a second");
}

#[test]
fn an_unanswered_ping_does_not_delay_commands_after_an_uplink() {
    let mut world = observing();
    world.devices[0].answers_pings = false;
    world.run_for(15 * MINUTE);
    assert_eq!(world.core.counters().coap.pings_sent, 1);
    world.send_command(0, "1", true);
    let commands = |world: &World| world.devices[0].observations[1].commands.clone();
    world.post(0, CON);
    world.run_for(SECOND);
    assert_eq!(commands(&world), [json!(1)]);
    assert_eq!(world.core.counters().relay.parked, 0);
    // A ping that waits for the acknowledgement of a command is dropped at the next uplink.
    world.run_for(14 * MINUTE + 50 * SECOND);
    world.link.conditions.loss = 1.0;
    world.send_command(0, "2", true);
    world.run_for(30 * SECOND);
    world.link.conditions.loss = 0.0;
    world.post(0, CON);
    world.run_for(MINUTE);
    assert_eq!(commands(&world), [json!(1), json!(2)]);
    assert_eq!(world.core.counters().coap.pings_sent, 1);
}

#[test]
fn a_rebooted_device_gets_missed_changes_and_commands_at_registration() {
    let mut world = observing();
    world.devices[0].switch_off();
    world.send_command(0, "1", true);
    world.set_attribute(0, "a", "2");
    world.run_for(3 * MINUTE);
    world.connect(0);
    world.run_for(SECOND);
    world.observe(0, CON, Kind::Attributes);
    world.observe(0, CON, Kind::Commands);
    world.run_for(2 * SECOND);
    let device = &world.devices[0];
    assert_eq!(
        device.observation(Kind::Attributes).unwrap().state["a"],
        "2"
    );
    // The open poll returned the command while there was no session. It was kept.
    assert_eq!(
        device.observation(Kind::Commands).unwrap().commands,
        [json!(1)]
    );
    assert_eq!(world.core.load().relays.relays, 1);
}

#[test]
fn in_mode_on_uplink_polls_run_only_after_the_devices_own_messages() {
    let mut settings = default_settings();
    settings.relay.attributes = Mode::OnUplink;
    settings.relay.rpc = Mode::OnUplink;
    let mut world = World::observing(settings, CON);
    for round in 0..5 {
        // The device sleeps for two hours: no datagram reaches it.
        world.link.conditions.loss = 1.0;
        world.set_attribute(0, "round", &round.to_string());
        let command = world.send_command(0, &format!("{round}"), false);
        world.run_for(MINUTE);
        world.run_for(5 * MINUTE);
        let polled = polls(&world);
        world.run_for(114 * MINUTE);
        assert_eq!(polls(&world), polled);
        assert_eq!(world.core.counters().coap.pings_sent, 0);
        world.link.conditions.loss = 0.0;
        let second = world.send_command(0, &format!("{}", 100 + round), false);
        world.post(0, CON);
        world.run_for(2 * SECOND);
        let device = &world.devices[0];
        let state = &device.observation(Kind::Attributes).unwrap().state;
        assert_eq!(state["round"], round.to_string());
        let commands = &device.observation(Kind::Commands).unwrap().commands;
        assert_eq!(commands.last(), Some(&json!(100 + round)));
        let outcome = |id| format!("{:?}", world.upstream.platform.command_outcomes[&id]);
        assert!(outcome(second).starts_with("Reply"));
        let expired = outcome(command);
        assert!(
            !expired.starts_with("Reply"),
            "it had expired after ten minutes"
        );
    }
}

#[test]
fn in_mode_on_uplink_attributes_are_read_periodically_while_the_device_lives() {
    let mut settings = default_settings();
    settings.relay.attributes = Mode::OnUplink;
    let mut world = World::observing(settings, CON);
    world.set_attribute(0, "a", "2");
    world.run_for(6 * MINUTE);
    assert_eq!(
        world.devices[0]
            .observation(Kind::Attributes)
            .unwrap()
            .state["a"],
        "2"
    );
}
