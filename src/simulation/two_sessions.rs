//! Hazard: one certificate has two sessions: the device has moved, or its key was copied.

use super::{Conditions, World, default_settings};
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn two_clients(sessions_per_device: usize) -> World {
    let mut settings = default_settings();
    settings.limits.sessions_per_device = sessions_per_device;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.add_client_with_certificate_of(0, 1);
    world
}

#[test]
fn two_sessions_with_one_certificate_get_their_own_responses() {
    let mut world = two_clients(2);
    world.connect_all();
    // Both sessions use the same Message IDs at the same time.
    for device in 0..2 {
        world.devices[device].restart_message_ids();
    }
    world.upstream.delay = SECOND;
    for _ in 0..5 {
        for device in 0..2 {
            world.post(device, Type::Confirmable);
            world.get(device);
        }
    }
    world.run_for(60 * SECOND);
    for device in &world.devices {
        assert_eq!(device.outcomes().filter(|o| o.is(Code::CREATED)).count(), 5);
        assert_eq!(device.outcomes().filter(|o| o.is(Code::CONTENT)).count(), 5);
    }
    assert_eq!(world.core.counters().coap.duplicates, 0);
    let posts = world.upstream.posts.iter();
    let names: Vec<_> = posts.map(|post| &post.device).collect();
    assert_eq!(names, ["device-0"; 10]);
}

#[test]
fn with_one_session_per_device_the_newer_replaces_the_older() {
    let mut world = two_clients(1);
    world.connect(0);
    world.run_for(SECOND);
    world.connect(1);
    world.run_for(SECOND);
    assert!(world.devices[0].closed && world.devices[1].is_connected());
    assert_eq!(world.core.counters().gateway.sessions_displaced, 1);
    let number = world.post(1, Type::Confirmable);
    world.run_for(SECOND);
    assert!(world.devices[1].outcome(number).is(Code::CREATED));
}

#[test]
fn a_completion_for_a_displaced_session_is_not_sent() {
    let mut world = two_clients(1);
    world.connect(0);
    world.run_for(SECOND);
    world.upstream.delay = 5 * SECOND;
    world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.connect(1);
    world.run_for(10 * SECOND);
    assert_eq!(world.core.counters().gateway.completions_too_late, 1);
    assert_eq!(world.devices[1].received.len(), 0);
}
