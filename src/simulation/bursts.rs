//! Hazard: a device sends many requests at once.

use super::actions::RegistryEntry;
use super::{Conditions, World, default_settings};
use bytes::Bytes;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn all_created(world: &World, device: usize) -> bool {
    let mut outcomes = world.devices[device].outcomes();
    outcomes.all(|outcome| outcome.is(Code::CREATED))
}

/// Californium and node-coap by default send as many requests at once as the application makes.
#[test]
fn five_hundred_posts_at_once_all_reach_thingsboard_and_are_answered() {
    for delay in [SECOND / 20, SECOND] {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.delay = delay;
        for _ in 0..500 {
            world.post(0, Type::Confirmable);
        }
        world.run_for(SECOND / 25);
        assert_eq!(world.upstream.in_flight(), 16, "coap.max_exchanges");
        world.run_for(60 * SECOND);
        assert_eq!(world.upstream.posts.len(), 500);
        assert!(all_created(&world, 0));
        let load = world.core.load();
        assert_eq!((load.body_bytes, load.peers.most_open_exchanges), (0, 0));
    }
}

#[test]
fn a_burst_of_one_device_does_not_delay_another() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = SECOND;
    for _ in 0..500 {
        world.post(0, Type::NonConfirmable);
    }
    let number = world.post(1, Type::Confirmable);
    world.run_for(2 * SECOND);
    assert!(world.devices[1].outcome(number).is(Code::CREATED));
}

/// They wait behind sixteen slow requests, and each is then answered without a call.
#[test]
fn queued_requests_that_need_no_call_start_a_few_at_a_time() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = SECOND;
    for _ in 0..16 {
        world.post(0, Type::Confirmable);
    }
    for _ in 0..300 {
        let (code, payload) = (Code::GET, Bytes::new());
        world.devices[0].request(world.now, code, "nowhere", Vec::new(), payload);
        world.flush();
    }
    world.run_for(SECOND / 4);
    assert_eq!(world.core.counters().coap.requests_waited, 300);
    world.run_for(10 * SECOND);
    assert_eq!(world.core.load().peers.most_open_exchanges, 0);
    assert_eq!(world.devices[0].open_requests(), 0);
}

/// Requests queued before the reload must not be posted with the token of the device that has the certificate now.
#[test]
fn queued_requests_are_refused_when_their_certificate_is_reassigned() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = SECOND;
    for _ in 0..20 {
        world.post(0, Type::Confirmable);
    }
    world.run_for(SECOND / 4);
    world.reload_registry(&[RegistryEntry::new(7, "token-7", 0)]);
    world.run_for(10 * SECOND);
    assert_eq!(world.upstream.posts.len(), 16);
    for number in 16..20 {
        assert!(
            world.devices[0]
                .outcome(number)
                .is(Code::SERVICE_UNAVAILABLE)
        );
    }
}

#[test]
fn requests_above_coap_queue_get_5_03() {
    let mut settings = default_settings();
    settings.coap.queue = 10;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.connect_all();
    world.upstream.delay = SECOND;
    for _ in 0..30 {
        world.post(0, Type::Confirmable);
    }
    world.run_for(10 * SECOND);
    assert_eq!(world.upstream.posts.len(), 26);
    let refused = world.devices[0]
        .outcomes()
        .filter(|outcome| outcome.is(Code::SERVICE_UNAVAILABLE));
    assert_eq!(refused.count(), 4);
}

/// Devices that report on the hour together have more requests than may be in flight: none is lost.
#[test]
fn requests_above_a_devices_share_of_calls_in_flight_are_queued() {
    let mut settings = default_settings();
    settings.max_in_flight = 24;
    let mut world = World::with_settings(4, Conditions::GOOD, 1, settings);
    world.connect_all();
    world.upstream.delay = SECOND / 2;
    for _ in 0..20 {
        for device in 0..4 {
            world.post(device, Type::Confirmable);
        }
    }
    world.run_for(30 * SECOND);
    assert_eq!(world.upstream.posts.len(), 80);
    for device in 0..4 {
        assert!(all_created(&world, device));
    }
    assert_eq!(world.core.counters().gateway.calls_refused, 0);
}
