//! Hazard: an off-path attacker sends datagrams from the address and port of a device.

use super::{Conditions, World};
use crate::dtls::Versions;
use crate::dtls::record::fatal_alert;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A ChangeCipherSpec, an epoch-1 alert and epoch-1 application data, none of them authenticated; and
/// a DTLS 1.3 record.
fn forged_records() -> [Vec<u8>; 5] {
    [
        fatal_alert(7, 40),
        vec![20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 1],
        [
            vec![21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 26],
            vec![7; 26],
        ]
        .concat(),
        [
            vec![23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40],
            vec![7; 40],
        ]
        .concat(),
        [vec![0b0010_1110, 0, 9, 0, 40], vec![7; 40]].concat(),
    ]
}

/// A ClientHello from the address of device 0.
fn forged_hello(world: &World, versions: Versions) -> Vec<u8> {
    let mut client = world.devices[0].with_same_certificate(999, world.devices[0].path);
    client.set_versions(versions);
    client.connect(world.now);
    client.poll_transmit().remove(0)
}

#[test]
fn spoofed_records_end_no_session_and_delay_no_message() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.devices[0].set_versions(versions);
        world.connect_all();
        let path = world.devices[0].path;
        for _ in 0..50 {
            for version in [Versions::Only12, Versions::Only13, Versions::Both] {
                let hello = forged_hello(&world, version);
                world.inject(path, &hello);
            }
            for record in forged_records() {
                world.inject(path, &record);
            }
            let number = world.post(0, Type::Confirmable);
            world.run_for(SECOND);
            let outcome = world.devices[0].outcome(number);
            assert!(outcome.is(Code::CREATED), "{versions:?}: {outcome:?}");
            assert_eq!(world.devices[0].retransmissions(number), 0);
        }
        assert_eq!(world.core.counters().dtls.handshakes_completed, 1);
        world.run_for(20 * SECOND);
        assert_eq!(world.core.load().half_open, 0);
    }
}

#[test]
fn a_rebooted_device_reconnects_while_its_address_is_spoofed() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        for forged in [Versions::Only12, Versions::Only13, Versions::Both] {
            let mut world = World::new(1, Conditions::GOOD, 1);
            world.connect_all();
            world.devices[0].set_versions(versions);
            let path = world.devices[0].path;
            let hello = forged_hello(&world, forged);
            world.inject(path, &hello);
            world.run_for(SECOND / 3);
            world.connect(0);
            // Forged records all the time, among them a fatal alert. No forged ClientHello in the 20 ms in which the client
            // would accept the answer to it.
            for _ in 0..10 {
                for record in forged_records() {
                    world.inject(path, &record);
                }
                world.run_for(SECOND / 100);
            }
            for _ in 0..100 {
                for record in forged_records() {
                    world.inject(path, &record);
                }
                let hello = forged_hello(&world, forged);
                world.inject(path, &hello);
                world.connect_again_until(world.now + SECOND / 10);
            }
            assert!(
                world.devices[0].is_connected(),
                "{versions:?} under forged hellos of {forged:?}"
            );
            let number = world.post(0, Type::Confirmable);
            world.run_for(10 * SECOND);
            assert!(world.devices[0].outcome(number).is(Code::CREATED));
            assert_eq!(world.core.sessions(), 1);
        }
    }
}

#[test]
fn a_replayed_handshake_opens_no_session() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.run_for(SECOND);
    let mut handshake = world.link.captured_since(world.now - 10 * SECOND);
    handshake.reverse();
    assert!(handshake.len() >= 3);
    for _ in 0..20 {
        for captured in &handshake {
            world.inject(captured.path, &captured.datagram);
            world.run_for(SECOND / 100);
        }
        world.run_for(SECOND);
    }
    assert_eq!(world.core.counters().dtls.handshakes_completed, 1);
    let number = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
}
