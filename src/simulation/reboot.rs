//! Hazard: a device loses power and reconnects from the same address and port (RFC 6347 §4.2.8).

use super::{Conditions, Outcome, World, default_settings};
use crate::dtls::Versions;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_rebooted_device_reconnects_within_a_second_and_replaces_its_session() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        let mut settings = default_settings();
        settings.dtls.versions = versions;
        let mut world = World::with_settings(2, Conditions::GOOD, 1, settings);
        world.connect_all();
        for _ in 0..10 {
            world.connect(0);
            let connected = world.run_until(SECOND, |world| world.devices[0].is_connected());
            assert!(connected, "{versions:?}");
            let number = world.post(0, Type::Confirmable);
            world.run_for(SECOND);
            assert!(world.devices[0].outcome(number).is(Code::CREATED));
            assert_eq!(world.core.sessions(), 2);
        }
        let other = world.post(1, Type::Confirmable);
        world.run_for(SECOND);
        assert!(world.devices[1].outcome(other).is(Code::CREATED));
    }
}

#[test]
fn a_message_id_from_before_a_reboot_is_no_duplicate_after_it() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    let before = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.connect_all();
    world.devices[0].restart_message_ids();
    let after = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(before).is(Code::CREATED));
    assert!(world.devices[0].outcome(after).is(Code::CREATED));
    assert_eq!(world.core.counters().coap.duplicates, 0);
    assert_eq!(world.upstream.posts.len(), 2);
}

#[test]
fn a_handshake_succeeds_after_power_was_lost_at_any_point_of_the_previous() {
    for milliseconds in (0..200).step_by(10) {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect(0);
        world.run_for(Duration::from_millis(milliseconds));
        world.devices[0].switch_off();
        // Datagrams in transit arrive.
        world.run_for(SECOND / 10);
        world.connect(0);
        world.connect_again_until(world.now + SECOND);
        let connected = world.devices[0].is_connected();
        assert!(connected, "power lost after {milliseconds} ms");
        let number = world.post(0, Type::Confirmable);
        world.run_for(10 * SECOND);
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
        assert_eq!(world.core.load().half_open, 0, "after {milliseconds} ms");
    }
}

/// A client accepts the first HelloVerifyRequest or ServerHello that arrives, although it may answer a ClientHello from
/// before the restart: DTLS has nothing to tell them apart. The handshake then fails, and the client begins another.
#[test]
fn a_client_that_restarts_mid_handshake_connects_at_its_second_attempt() {
    for milliseconds in (0..120).step_by(10) {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect(0);
        world.run_for(Duration::from_millis(milliseconds));
        world.connect(0);
        let connected = connects_at_most_at_second_attempt(&mut world);
        assert!(connected, "power lost after {milliseconds} ms");
    }
}

/// The same, with a ServerHello that the gateway repeats for the handshake from before the restart.
#[test]
fn a_client_that_restarts_as_the_gateway_repeats_a_flight_connects_at_its_second_attempt() {
    for milliseconds in [1, 10, 19] {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect(0);
        world.run_for(Duration::from_millis(70));
        world.devices[0].switch_off();
        let repeat = world.core.next_timeout().unwrap();
        world.run_for(repeat - world.now - Duration::from_millis(milliseconds));
        world.connect(0);
        let connected = connects_at_most_at_second_attempt(&mut world);
        assert!(connected, "{milliseconds} ms before the flight");
    }
}

/// Whether device 0 connects, at this attempt or at the next.
///
/// A client that has accepted a wrong ServerHello repeats its ClientHello until its handshake times out. The gateway may
/// have a handshake for it even then: its own timeout is shorter, and a later repetition, with a valid cookie, began a new
/// one. A repeated flight of this handshake would fail the second attempt in the same way, and the time of its repetition is
/// random (2 s ± 25 %, then twice that, and so on). So the second attempt begins when no datagram is in transit, and the
/// gateway sends none on its own before it has received the ClientHello with the cookie, after three times the latency.
fn connects_at_most_at_second_attempt(world: &mut World) -> bool {
    let parameters = world.settings.dtls;
    // The client waits as long as the gateway does by default.
    let client_timeout = parameters.unproven_timeout + parameters.handshake_timeout;
    world.run_until(client_timeout, |world| {
        world.devices[0].is_connected() || !world.devices[0].is_on()
    });
    if world.devices[0].is_connected() {
        return true;
    }
    assert!(!world.devices[0].is_on(), "the first attempt is over");
    // One flight at most is due, and one timeout of the gateway's.
    for _ in 0..5 {
        let quiet_until = world.now + SECOND / 10;
        let timeout = world.core.next_timeout();
        if world.link.next_arrival().is_none() && timeout.is_none_or(|at| at > quiet_until) {
            world.connect(0);
            return world.run_until(SECOND / 10, |world| world.devices[0].is_connected());
        }
        world.run_for(SECOND / 10);
    }
    false
}

#[test]
fn a_device_can_reconnect_with_another_dtls_version() {
    for (before, after) in [
        (Versions::Only12, Versions::Only13),
        (Versions::Only13, Versions::Only12),
    ] {
        for milliseconds in [50, 70, 500, 5_000] {
            let mut world = World::new(1, Conditions::GOOD, 1);
            world.devices[0].set_versions(before);
            world.connect(0);
            world.run_for(Duration::from_millis(milliseconds));
            world.devices[0].set_versions(after);
            world.connect(0);
            world.connect_again_until(world.now + 5 * SECOND);
            let connected = world.devices[0].is_connected();
            assert!(
                connected,
                "{before:?} for {milliseconds} ms, then {after:?}"
            );
        }
    }
}

#[test]
fn an_abandoned_handshake_is_removed_after_its_deadline() {
    // Before the client has returned its cookie, the gateway keeps no state.
    for (milliseconds, seconds, kept) in [(10, 1, 0), (70, 60, 1)] {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect(0);
        world.run_for(Duration::from_millis(milliseconds));
        world.devices[0].switch_off();
        world.run_for(Duration::from_secs(seconds - 1));
        assert_eq!(world.core.load().half_open, kept, "{milliseconds} ms");
        world.run_for(2 * SECOND);
        assert_eq!(world.core.load().half_open, 0, "{milliseconds} ms");
    }
}

#[test]
fn a_request_sent_before_power_loss_reaches_upstream_once() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 5 * SECOND;
    let number = world.post(0, Type::Confirmable);
    world.run_for(SECOND);
    world.devices[0].switch_off();
    world.run_for(10 * SECOND);
    assert_eq!(*world.devices[0].outcome(number), Outcome::Abandoned);
    assert_eq!(world.upstream.posts.len(), 1);
}
