//! Hazard: one certificate, two sessions: a device that moved, or a copied key.

use super::{Conditions, World, default_settings};
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn with_twin(sessions_per_device: usize) -> World {
    let mut settings = default_settings();
    settings.limits.sessions_per_device = sessions_per_device;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.add_twin(0, 1);
    world
}

#[test]
fn each_of_two_sessions_gets_the_answers_to_its_own_requests() {
    let mut world = with_twin(2);
    world.connect_all();
    // The same Message IDs at the same time: they are told apart by session.
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
    assert_eq!(world.core.counters().1.duplicates, 0);
    let names: Vec<_> = world.upstream.posts.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["device-0"; 10]);
}

#[test]
fn where_one_session_is_allowed_the_newer_stays() {
    let mut world = with_twin(1);
    world.connect(0);
    world.run_for(SECOND);
    world.connect(1);
    world.run_for(SECOND);
    assert!(world.devices[0].closed && world.devices[1].is_connected());
    assert_eq!(world.core.counters().2.sessions_displaced, 1);
    let number = world.post(1, Type::Confirmable);
    world.run_for(SECOND);
    assert!(world.devices[1].outcome(number).is(Code::CREATED));
}

#[test]
fn a_displaced_sessions_answer_goes_to_nobody() {
    let mut world = with_twin(1);
    world.connect(0);
    world.run_for(SECOND);
    world.upstream.delay = 5 * SECOND;
    world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.connect(1);
    world.run_for(10 * SECOND);
    assert_eq!(world.core.counters().2.completions_too_late, 1);
    assert_eq!(world.devices[1].received.len(), 0);
}
