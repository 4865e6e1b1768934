//! Hazard: a device that deregisters and registers repeatedly. Each poll costs ThingsBoard milliseconds of CPU and holds a
//! connection for 25 s.

use super::upstream::rejected;
use super::{Behaviour, Conditions, World, default_settings};
use crate::downlink::Kind;
use coap::Type;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;

/// Calls of relays within ten seconds.
struct RelayLoad {
    polls_started: u64,
    most_open_calls: usize,
}

/// Repeats `register` for ten seconds.
fn relay_load(mut world: World, mut register: impl FnMut(&mut World)) -> RelayLoad {
    let before = world.core.counters().relay.downlink.polls;
    let mut most = 0;
    let end = world.now + 10 * SECOND;
    while world.now < end {
        register(&mut world);
        most = most.max(world.upstream.relay_calls());
    }
    RelayLoad {
        polls_started: world.core.counters().relay.downlink.polls - before,
        most_open_calls: most,
    }
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
        let load = relay_load(connected(), |world| {
            let number = *number.get_or_insert_with(|| world.observe(0, CON, kind));
            world.run_for(100 * MS);
            world.send_observe(0, number, 1);
            world.run_for(100 * MS);
            world.send_observe(0, number, 0);
        });
        assert_eq!(load.polls_started, 1, "{kind:?}");
        assert!(
            load.most_open_calls <= 2,
            "a poll and a read: {}",
            load.most_open_calls
        );
    }
}

#[test]
fn an_open_poll_is_reused_after_notifications_are_rejected() {
    let load = relay_load(World::observing(default_settings(), CON), |world| {
        let last = world.devices[0].observations.len() - 1;
        world.devices[0].observations[last].rejects = true;
        world.send_command(0, "1", true);
        world.run_for(200 * MS);
        world.observe(0, CON, Kind::Commands);
        world.run_for(100 * MS);
    });
    // One for each command: a command ends ThingsBoard's poll.
    assert!(load.polls_started <= 35, "{}", load.polls_started);
}

#[test]
fn an_open_poll_is_reused_by_the_devices_next_session() {
    let load = relay_load(connected(), |world| {
        world.observe(0, CON, Kind::Attributes);
        world.observe(0, CON, Kind::Commands);
        world.run_for(300 * MS);
        world.connect(0);
        world.run_for(500 * MS);
    });
    assert_eq!(load.polls_started, 2);
    assert!(load.most_open_calls <= 4, "{}", load.most_open_calls);
}

#[test]
fn a_device_refused_by_thingsboard_is_polled_about_once_a_second() {
    let mut world = connected();
    world.upstream.behaviour = Behaviour::Fails(rejected(401));
    let load = relay_load(world, |world| {
        world.observe(0, CON, Kind::Commands);
        world.run_for(100 * MS);
    });
    // The polls fail, and back off.
    assert!(
        (3..=15).contains(&load.polls_started),
        "{}",
        load.polls_started
    );
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
    let second = world.observe(0, CON, Kind::Commands);
    world.run_for(SECOND);
    assert_eq!(world.devices[0].observations[second].commands.len(), 1);
    world.send_observe(0, second, 1);
    world.run_for(30 * SECOND);
    let accepted = world.observe(1, CON, Kind::Commands);
    world.run_for(SECOND);
    assert!(world.devices[1].observations[accepted].is_active());
}
