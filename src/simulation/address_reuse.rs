//! Hazard: an address passes from one device to another, as behind a NAT or after a DHCP lease.

use super::{Conditions, World, path};
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_device_at_a_reused_address_gets_none_of_the_former_session() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect(0);
    world.run_for(SECOND);
    world.upstream.delay = 10 * SECOND;
    world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.devices[0].switch_off();
    world.devices[1].path = world.devices[0].path;
    world.connect(1);
    world.run_for(SECOND);
    assert!(world.devices[1].is_connected());
    assert_eq!(world.core.sessions(), 1, "the former session has ended");
    world.upstream.delay = SECOND / 10;
    let number = world.post(1, Type::Confirmable);
    // The first device's request is answered now: its response must not reach the second.
    world.run_for(20 * SECOND);
    assert_eq!(world.core.counters().gateway.completions_too_late, 1);
    assert!(world.devices[1].outcome(number).is(Code::CREATED));
    assert_eq!(world.upstream.posts[1].device, "device-1");
    assert_eq!(world.devices[1].received.len(), 1);
}

#[test]
fn records_from_another_devices_address_do_not_authenticate() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect_all();
    // Device 0's records arrive from device 1's address: they do not authenticate in the session of that address.
    let (own, other) = (world.devices[0].path, world.devices[1].path);
    world.devices[0].path = other;
    let number = world.post(0, Type::Confirmable);
    world.run_for(200 * SECOND);
    assert!(!world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(world.upstream.posts, []);
    assert_eq!(world.core.sessions(), 2);
    world.devices[0].path = own;
    for device in 0..2 {
        let number = world.post(device, Type::Confirmable);
        world.run_for(SECOND);
        assert!(world.devices[device].outcome(number).is(Code::CREATED));
    }
}

#[test]
fn a_device_reconnects_at_a_new_address_and_its_old_session_expires() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.devices[0].path = path(77);
    let unanswered = world.post(0, Type::Confirmable);
    world.run_for(100 * SECOND);
    assert!(!world.devices[0].outcome(unanswered).is(Code::CREATED));
    assert!(world.core.counters().dtls.no_session >= 5);
    world.connect_all();
    let number = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(world.core.sessions(), 2);
    world.run_for(25 * 3600 * SECOND);
    assert_eq!(world.core.sessions(), 0);
}
