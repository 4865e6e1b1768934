//! Hazard: unauthenticated peers begin thousands of handshakes a second and complete none.

use super::{Conditions, Device, World, certificate, default_settings, path};
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// ClientHellos in each tenth of a second.
const RATE: usize = 500;

/// A ClientHello of a handshake that is abandoned.
fn hello(world: &World) -> Vec<u8> {
    let mut client = Device::new(999, path(9), certificate(), world.settings.dtls);
    client.connect(world.now);
    client.poll_transmit().remove(0)
}

/// A ClientHello that needs an engine before its address is verified: it is large, and not because of its padding.
fn large_hello(world: &World) -> Vec<u8> {
    let mut hello = hello(world);
    let is_padding = |at: &usize| {
        let rest = hello.len() - at - 4;
        hello[*at..*at + 2] == [0, 21]
            && hello[*at + 2..*at + 4] == u16::try_from(rest).unwrap().to_be_bytes()
    };
    let at = (0..hello.len() - 4).find(is_padding).unwrap();
    hello[at] = 99;
    hello
}

/// Runs for `seconds` with 5,000 ClientHellos a second, each from another address, and calls `every_second` each second.
fn flood(
    world: &mut World,
    seconds: usize,
    hello: &[u8],
    mut every_second: impl FnMut(&mut World, usize),
) {
    for tenth in 0..seconds * 10 {
        for number in 0..RATE {
            world.inject(path(2000 + (tenth * RATE + number) % 60_000), hello);
        }
        if tenth % 10 == 0 {
            every_second(world, tenth / 10);
        }
        world.run_for(SECOND / 10);
    }
}

#[test]
fn a_client_hello_flood_does_not_delay_established_sessions() {
    for is_small in [true, false] {
        let mut settings = default_settings();
        settings.dtls.hellos = 200;
        settings.dtls.handshakes = 100;
        let mut world = World::with_settings(3, Conditions::GOOD, 1, settings);
        world.connect_all();
        let hello = if is_small {
            hello(&world)
        } else {
            large_hello(&world)
        };
        flood(&mut world, 5, &hello, |world, _| {
            for device in 0..3 {
                world.post(device, Type::Confirmable);
            }
        });
        assert_sessions_were_served(&mut world, if is_small { 0 } else { 100 });
    }
}

fn assert_sessions_were_served(world: &mut World, half_open: usize) {
    for device in &world.devices {
        assert_eq!(device.requests(), 5);
        assert!(device.outcomes().all(|outcome| outcome.is(Code::CREATED)));
        assert!((0..5).all(|number| device.retransmissions(number) == 0));
    }
    let counters = world.core.counters().dtls;
    assert!(counters.over_hello_budget > 10_000, "{counters:?}");
    assert_eq!(world.core.load().half_open, half_open);
    world.run_for(11 * SECOND);
    let load = world.core.load();
    assert_eq!(
        (load.half_open, load.demux.routes, load.demux.timers),
        (0, 3, 3)
    );
}

#[test]
fn a_handshake_with_a_verified_address_is_not_evicted_for_unverified_ones() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect(0);
    // ClientHello, HelloVerifyRequest, ClientHello; the gateway's flight is in transit, and the device's next one is lost.
    world.run_for(Duration::from_millis(70));
    world.link.lose_next(true, 3);
    let hello = large_hello(&world);
    flood(&mut world, 3, &hello, |_, _| {});
    assert_eq!(world.core.sessions(), 0);
    assert!(world.core.counters().dtls.unproven_evicted > 0);
    assert!(world.run_until(30 * SECOND, |world| world.core.sessions() == 1));
    assert_eq!(world.core.counters().dtls.handshakes_completed, 1);
}

#[test]
fn a_device_connects_during_a_flood_below_the_hello_limit() {
    let mut settings = default_settings();
    settings.dtls.hellos = 6_000;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    let hello = hello(&world);
    flood(&mut world, 5, &hello, |world, second| {
        if second == 1 {
            world.connect(0);
        }
    });
    assert!(world.devices[0].is_connected());
}

#[test]
fn a_device_connects_once_a_flood_is_over() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let hello = hello(&world);
    flood(&mut world, 3, &hello, |world, second| {
        if second == 1 {
            world.connect(0);
        }
    });
    assert!(world.run_until(10 * SECOND, |world| world.devices[0].is_connected()));
}

#[test]
fn an_abandoned_client_hello_does_not_delay_another_device() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let hello = hello(&world);
    world.inject(path(9), &hello);
    world.connect(0);
    assert!(world.run_until(SECOND / 5, |world| world.devices[0].is_connected()));
}

#[test]
fn handshakes_of_registered_devices_do_not_count_for_the_address_limit() {
    let mut settings = default_settings();
    settings.dtls.handshakes_per_address = 2;
    let mut world = World::with_settings(4, Conditions::GOOD, 1, settings);
    let unregistered: Vec<_> = (0..4).map(|_| world.add_unregistered()).collect();
    let connects_in_time = |world: &mut World, device: usize, host: usize| {
        world.devices[device]
            .path
            .remote
            .set_ip(path(host).remote.ip());
        let port = 7000 + u16::try_from(device).unwrap();
        world.devices[device].path.remote.set_port(port);
        world.connect(device);
        world.run_until(SECOND / 5, |world| world.devices[device].is_connected())
    };
    let in_time = [0, 1, 2, 3].map(|device| connects_in_time(&mut world, device, 5000));
    assert_eq!(in_time, [true; 4]);
    // With unregistered certificates the limit applies.
    let in_time: Vec<_> = (unregistered.into_iter())
        .map(|device| connects_in_time(&mut world, device, 6000))
        .collect();
    assert_eq!(in_time, [true, true, false, false]);
}
