//! Requests and bounds of sessions on a network without faults.

use super::upstream::Post;
use super::{Conditions, Outcome, World, default_settings};
use crate::gateway::Settings;
use bytes::Bytes;
use coap::{Code, Type};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn telemetry_is_posted_for_the_device_that_the_certificate_belongs_to() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect_all();
    let number = world.post(1, Type::Confirmable);
    world.run_for(MINUTE);
    let expected = Outcome::Response(Code::CREATED, Bytes::new());
    assert_eq!(*world.devices[1].outcome(number), expected);
    let body = Bytes::from_static(br#"{"device":1,"by":1,"message":0}"#);
    assert_eq!(world.upstream.posts, [Post::new("device-1", body)]);
}

#[test]
fn an_unregistered_certificate_gets_4_01_and_nothing_goes_upstream() {
    let mut world = World::new(0, Conditions::GOOD, 1);
    let device = world.add_unregistered();
    world.connect_all();
    let number = world.post(device, Type::Confirmable);
    world.run_for(Duration::from_secs(1));
    let outcome = world.devices[device].outcome(number).clone();
    assert!(
        matches!(outcome, Outcome::Response(Code::UNAUTHORIZED, _)),
        "{outcome:?}"
    );
    assert_eq!(world.upstream.posts, []);
    world.run_for(MINUTE);
    assert!(
        world.devices[device].closed,
        "an unregistered session is closed after a minute"
    );
    assert_eq!(world.core.sessions(), 0);
}

#[test]
fn the_oldest_session_is_closed_above_limits_unregistered_sessions() {
    let mut settings = default_settings();
    settings.limits.unregistered_sessions = 2;
    let mut world = World::with_settings(0, Conditions::GOOD, 1, settings);
    for _ in 0..3 {
        let device = world.add_unregistered();
        world.connect(device);
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.core.sessions(), 2);
    assert!(world.devices[0].closed);
}

#[test]
fn the_longest_idle_session_is_closed_above_limits_sessions_per_device() {
    let mut settings = default_settings();
    settings.limits.sessions_per_device = 2;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    for host in 1..=2 {
        world.add_client_with_certificate_of(0, host);
    }
    for device in 0..2 {
        world.connect(device);
        world.run_for(Duration::from_secs(1));
    }
    world.post(0, Type::Confirmable);
    world.run_for(Duration::from_secs(1));
    world.connect(2);
    world.run_for(Duration::from_secs(1));
    let closed: Vec<bool> = world.devices.iter().map(|device| device.closed).collect();
    assert_eq!(closed, [false, true, false]);
}

#[test]
fn too_many_calls_in_flight_get_5_03_at_once() {
    let mut settings = Settings {
        max_in_flight: 3,
        ..default_settings()
    };
    settings.coap.queue = 0;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.connect_all();
    let numbers: Vec<_> = (0..5)
        .map(|_| world.post(0, Type::NonConfirmable))
        .collect();
    world.run_for(MINUTE);
    let codes: Vec<_> = numbers
        .iter()
        .filter_map(|number| match world.devices[0].outcome(*number) {
            Outcome::Response(code, _) => Some(*code),
            _ => None,
        })
        .collect();
    let (created, busy) = (Code::CREATED, Code::SERVICE_UNAVAILABLE);
    assert_eq!(codes, [created, created, created, busy, busy]);
    assert_eq!(world.upstream.posts.len(), 3);
}
