//! Hazard: a device that deregisters and registers repeatedly. Each poll costs ThingsBoard milliseconds of CPU and holds a
//! connection for 25 s.

use super::upstream::rejected;
use super::{Behaviour, Conditions, World, default_settings};
use crate::relay::Kind;
use coap::Type;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;

/// Repeats `again` for ten seconds. Returns how many polls began, and the most calls that were open at once.
fn polls(mut world: World, mut again: impl FnMut(&mut World)) -> (u64, usize) {
    let before = world.core.counters().relay.polls;
    let mut most = 0;
    let end = world.now + 10 * SECOND;
    while world.now < end {
        again(&mut world);
        most = most.max(world.upstream.relay_calls());
    }
    (world.core.counters().relay.polls - before, most)
}

fn connected() -> World {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world
}

#[test]
fn an_open_poll_is_reused_after_deregistration_and_registration() {
    for kind in [Kind::Attributes, Kind::Commands] {
        let mut number = None;
        let (polls, most) = polls(connected(), |world| {
            let number = *number.get_or_insert_with(|| world.observe(0, CON, kind));
            world.run_for(100 * MS);
            world.send_observe(0, number, 1);
            world.run_for(100 * MS);
            world.send_observe(0, number, 0);
        });
        assert_eq!(polls, 1, "{kind:?}");
        assert!(most <= 2, "a poll and a read: {most}");
    }
}

#[test]
fn an_open_poll_is_reused_after_notifications_are_rejected() {
    let (polls, _) = polls(World::observing(default_settings(), CON), |world| {
        let last = world.devices[0].observations.len() - 1;
        world.devices[0].observations[last].rejects = true;
        world.send_command(0, "1", true);
        world.run_for(200 * MS);
        world.observe(0, CON, Kind::Commands);
        world.run_for(100 * MS);
    });
    // One for each command: a command ends ThingsBoard's poll.
    assert!(polls <= 35, "{polls}");
}

#[test]
fn an_open_poll_is_reused_by_the_devices_next_session() {
    let (polls, most) = polls(connected(), |world| {
        world.observe(0, CON, Kind::Attributes);
        world.observe(0, CON, Kind::Commands);
        world.run_for(300 * MS);
        world.connect(0);
        world.run_for(500 * MS);
    });
    assert_eq!(polls, 2);
    assert!(most <= 4, "{most}");
}

#[test]
fn a_device_refused_by_thingsboard_is_polled_about_once_a_second() {
    let mut world = connected();
    world.upstream.behaviour = Behaviour::Fails(rejected(401));
    let (polls, _) = polls(world, |world| {
        world.observe(0, CON, Kind::Commands);
        world.run_for(100 * MS);
    });
    // The polls fail, and back off.
    assert!((3..=15).contains(&polls), "{polls}");
}

#[test]
fn a_poll_left_open_counts_for_max_polls_and_its_command_is_kept() {
    let mut settings = default_settings();
    settings.relay.max_polls = 1;
    let mut world = World::with_settings(2, Conditions::GOOD, 1, settings);
    world.connect_all();
    let number = world.observe(0, CON, Kind::Commands);
    world.run_for(SECOND);
    world.send_observe(0, number, 1);
    world.run_for(SECOND);
    // The poll is still open, and counts for max_polls.
    let refused = world.observe(1, CON, Kind::Commands);
    world.run_for(SECOND);
    assert!(!world.devices[1].observations[refused].is_active());
    world.send_command(0, "7", true);
    world.run_for(SECOND);
    let again = world.observe(0, CON, Kind::Commands);
    world.run_for(SECOND);
    assert_eq!(world.devices[0].observations[again].commands.len(), 1);
    world.send_observe(0, again, 1);
    world.run_for(30 * SECOND);
    let free = world.observe(1, CON, Kind::Commands);
    world.run_for(SECOND);
    assert!(world.devices[1].observations[free].is_active());
}
