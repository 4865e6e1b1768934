//! Hazard: single datagrams are lost, at each point of a handshake or an exchange.

use super::{Conditions, World, default_settings};
use crate::dtls::Versions;
use crate::simulation::invariants::assert_idle;
use coap::{Code, Type};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// An upper bound for the datagrams of a handshake in one direction, in either version.
const DATAGRAMS_OF_A_HANDSHAKE: usize = 8;

#[test]
fn a_handshake_survives_the_loss_of_any_one_of_its_datagrams() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        for to_gateway in [true, false] {
            for lost in 0..DATAGRAMS_OF_A_HANDSHAKE {
                let mut settings = default_settings();
                settings.dtls.versions = versions;
                let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
                world.link.lose_after(to_gateway, lost, 1);
                world.connect(0);
                let connected = world.run_until(MINUTE, |world| world.devices[0].is_connected());
                assert!(
                    connected,
                    "{versions:?}, to gateway: {to_gateway}, number {lost}"
                );
                let number = world.post(0, Type::Confirmable);
                world.run_for(MINUTE);
                let outcome = world.devices[0].outcome(number);
                assert!(
                    outcome.is(Code::CREATED),
                    "{versions:?}, to gateway: {to_gateway}, number {lost}: {outcome:?}"
                );
                assert_eq!(world.core.sessions(), 1);
            }
        }
    }
}

#[test]
fn a_lost_request_is_retransmitted_and_answered() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.link.lose_next(true, 3);
    let number = world.post(0, Type::Confirmable);
    world.run_for(MINUTE);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(world.devices[0].retransmissions(number), 3);
    assert_eq!(world.upstream.posts.len(), 1);
}

#[test]
fn a_lost_response_is_sent_again_without_another_upstream_call() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.link.lose_next(false, 4);
    let number = world.post(0, Type::Confirmable);
    world.run_for(MINUTE);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(world.upstream.posts.len(), 1);
    assert_eq!(world.core.counters().coap.duplicates, 4);
}

#[test]
fn a_request_that_never_arrives_times_out_and_leaves_no_state() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.link.lose_next(true, 5);
    let number = world.post(0, Type::Confirmable);
    world.run_for(FIVE_MINUTES);
    let outcome = world.devices[0].outcome(number);
    assert_eq!(*outcome, super::Outcome::Unacknowledged);
    assert_eq!(world.upstream.posts, []);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn responses_to_an_unreachable_device_time_out_after_max_transmit_wait() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = Duration::from_secs(1);
    for _ in 0..10 {
        world.post(0, Type::Confirmable);
    }
    // The requests are sent; from now on all datagrams are lost.
    world.link.conditions.loss = 1.0;
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.core.load().peers.most_outgoing, 10);
    // MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2) for the outstanding one, and once more for those that NSTART
    // holds back.
    world.run_for(Duration::from_secs(2 * 93));
    assert_eq!(world.core.load().peers.most_outgoing, 0);
    assert_eq!(world.core.counters().coap.given_up, 10);
    world.run_for(FIVE_MINUTES);
    assert_idle(&world.core, &world.devices);
}
