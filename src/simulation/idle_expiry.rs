//! Hazard: sessions are idle.

use super::invariants::assert_idle;
use super::{Conditions, World, default_settings};

use crate::gateway::Settings;
use crate::gateway::sessions::Peer;
use coap::{Code, Type};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn idle_timeout_of_an_hour() -> Settings {
    let mut settings = default_settings();
    settings.dtls.session_idle = HOUR;
    settings
}

#[test]
fn an_idle_session_is_closed_with_close_notify_and_removed() {
    let mut world = World::with_settings(3, Conditions::GOOD, 1, idle_timeout_of_an_hour());
    world.connect_all();
    world.run_for(HOUR - MINUTE);
    assert_eq!(world.core.sessions(), 3);
    assert!(world.devices.iter().all(|device| !device.closed));
    world.run_for(2 * MINUTE);
    assert_eq!(world.core.sessions(), 0);
    assert!(world.devices.iter().all(|device| device.closed));
    assert_eq!(world.core.next_timeout(), None, "no timer is set");
}

#[test]
fn a_session_is_kept_while_its_device_sends() {
    let mut world = World::with_settings(2, Conditions::GOOD, 1, idle_timeout_of_an_hour());
    world.connect_all();
    for _ in 0..10 {
        world.run_for(HOUR / 2);
        world.post(1, Type::NonConfirmable);
        world.run_for(MINUTE);
    }
    assert!(world.devices[0].closed && !world.devices[1].closed);
    assert!(
        world.devices[1]
            .outcomes()
            .all(|outcome| outcome.is(Code::CREATED))
    );
}

#[test]
fn unauthenticated_records_do_not_keep_a_session_alive() {
    let mut world = World::with_settings(1, Conditions::GOOD, 1, idle_timeout_of_an_hour());
    world.connect_all();
    world.post(0, Type::Confirmable);
    world.run_for(MINUTE);
    let device = world.devices[0].path;
    let captured = world.link.captured_since(world.now - HOUR);
    for _ in 0..60 {
        for datagram in &captured {
            let mut forged = datagram.datagram.clone();
            world.inject(device, &forged);
            *forged.last_mut().unwrap() ^= 1;
            world.inject(device, &forged);
        }
        world.run_for(MINUTE);
    }
    assert_eq!(world.core.sessions(), 0);
    assert!(world.devices[0].closed);
    assert!(
        world.core.counters().dtls.without_effect > 60,
        "forged and replayed records are counted"
    );
}

/// One gateway is meant for 100,000 sessions. Apart from the engine's heap, an idle session has only its entries in the
/// tables, which have these sizes: see `assert_idle`.
#[test]
fn an_idle_session_takes_little_memory_beyond_its_keys() {
    // What DTLS adds is tested in `dtls::sessions`.
    let peer = size_of::<Peer>();
    assert!(peer <= 320, "{peer} bytes");
    let mut world = World::new(20, Conditions::GOOD, 1);
    world.connect_all();
    for _ in 0..50 {
        for device in 0..20 {
            world.post(device, Type::Confirmable);
            world.get(device);
        }
        world.run_for(MINUTE / 60);
    }
    world.run_for(10 * MINUTE);
    assert_eq!(world.core.sessions(), 20);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn a_device_can_reconnect_after_its_session_expired() {
    let mut world = World::with_settings(1, Conditions::GOOD, 1, idle_timeout_of_an_hour());
    world.connect_all();
    world.run_for(2 * HOUR);
    let lost = world.post(0, Type::Confirmable);
    world.connect_all();
    let number = world.post(0, Type::Confirmable);
    world.run_for(MINUTE);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert!(!world.devices[0].outcome(lost).is(Code::CREATED));
}
