//! Hazard: more devices than `limits.sessions`, more handshakes than `limits.handshakes`.

use super::{Conditions, World, default_settings};
use crate::gateway::Settings;
use crate::logging::log_lines;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn limits(sessions: usize, handshakes: usize) -> Settings {
    let mut settings = default_settings();
    settings.dtls.sessions = sessions;
    settings.dtls.handshakes = handshakes;
    settings
}

#[test]
fn above_limits_sessions_handshakes_are_refused_and_sessions_are_served() {
    let mut world = World::with_settings(5, Conditions::GOOD, 1, limits(3, 100));
    for device in 0..5 {
        world.connect(device);
        world.run_for(SECOND);
    }
    let connected: Vec<_> = world.devices.iter().map(|d| d.is_connected()).collect();
    assert_eq!(connected, [true, true, true, false, false]);
    assert!(world.core.counters().dtls.sessions_full >= 2);
    assert_eq!(
        world.core.load().half_open,
        0,
        "a refused handshake keeps no state"
    );
    for device in 0..3 {
        let number = world.post(device, Type::Confirmable);
        world.run_for(SECOND);
        assert!(world.devices[device].outcome(number).is(Code::CREATED));
    }
}

#[test]
fn the_log_says_once_a_minute_that_new_handshakes_are_refused() {
    let refuse = |times: u64| {
        let mut world = World::with_settings(2, Conditions::GOOD, 1, limits(1, 100));
        world.connect(0);
        world.run_for(SECOND);
        for _ in 0..times {
            world.connect(1);
            world.run_for(SECOND);
        }
        assert_eq!(world.core.counters().dtls.sessions_full, times);
    };
    let log = log_lines::of(|| refuse(150));
    let lines = log
        .iter()
        .filter(|line| line.contains("refusing new handshakes"));
    assert_eq!(lines.count(), 3, "{log:#?}");
}

#[test]
fn a_device_with_a_session_can_reconnect_at_the_session_limit() {
    let mut world = World::with_settings(2, Conditions::GOOD, 1, limits(2, 100));
    world.connect_all();
    world.connect(1);
    assert!(world.run_until(SECOND, |world| world.devices[1].is_connected()));
    assert_eq!(world.core.sessions(), 2);
}

#[test]
fn concurrent_handshakes_for_the_last_session_do_not_exceed_the_limit() {
    let mut world = World::with_settings(4, Conditions::GOOD, 1, limits(1, 100));
    for device in 0..4 {
        world.connect(device);
    }
    world.run_for(5 * SECOND);
    assert_eq!(world.core.sessions(), 1);
    assert_eq!(world.core.load().half_open, 0);
    let served: Vec<_> = (0..4)
        .map(|device| (device, world.post(device, Type::Confirmable)))
        .collect();
    world.run_for(200 * SECOND);
    let created = |(device, number): &&(usize, usize)| {
        world.devices[*device].outcome(*number).is(Code::CREATED)
    };
    assert_eq!(served.iter().filter(created).count(), 1);
}

#[test]
fn a_freed_session_slot_is_used() {
    let mut settings = limits(1, 100);
    settings.dtls.session_idle = 60 * SECOND;
    let mut world = World::with_settings(2, Conditions::GOOD, 1, settings);
    world.connect(0);
    world.run_for(SECOND);
    world.connect(1);
    world.run_for(50 * SECOND);
    assert!(!world.devices[1].is_connected());
    world.run_for(20 * SECOND);
    world.connect(1);
    assert!(world.run_until(SECOND, |world| world.devices[1].is_connected()));
}

#[test]
fn handshakes_above_limits_handshakes_all_complete_eventually() {
    let mut world = World::with_settings(30, Conditions::GOOD, 1, limits(100, 4));
    for device in 0..30 {
        world.connect(device);
    }
    world.connect_again_until(world.now + 120 * SECOND);
    let unconnected = world.devices.iter().filter(|d| !d.is_connected()).count();
    assert_eq!(unconnected, 0, "of 30 devices never connected");
}
