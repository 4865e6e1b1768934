//! Hazard: a device is answered for what ThingsBoard does not have, or a message is sent twice or out of order.

use super::super::{Conditions, World, default_settings};
use coap::Code;
use coap::Type::{Confirmable as CON, NonConfirmable as NON};
use std::time::Duration;
use thingsboard_simulator::{MqttSettings, RateLimit};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn connected() -> World {
    let mut world = World::over_mqtt(1, Conditions::GOOD, 1, default_settings());
    world.connect_all();
    world
}

fn set(world: &World, change: impl FnOnce(&mut MqttSettings)) {
    world.mqtt().at_thingsboard(|control| {
        let mut settings = control.mqtt_settings();
        change(&mut settings);
        control.set_mqtt_settings(settings);
    });
}

#[test]
fn a_post_is_created_when_thingsboard_has_acknowledged_it() {
    let mut world = connected();
    set(&world, |settings| settings.puback_delay = 3 * SECOND);
    let post = world.post(0, CON);
    world.run_for(2 * SECOND);
    assert_eq!(world.upstream.posts.len(), 1, "ThingsBoard has it");
    assert_eq!(world.devices[0].outcome(post).code(), None);
    world.run_for(2 * SECOND);
    assert!(world.devices[0].outcome(post).is(Code::CREATED));
}

#[test]
fn acknowledgements_in_another_order_are_each_for_their_own_message() {
    let mut world = connected();
    set(&world, |settings| settings.puback_delay = 3 * SECOND);
    let first = world.post(0, CON);
    world.run_for(SECOND);
    set(&world, |settings| settings.puback_delay = Duration::ZERO);
    let second = world.post(0, CON);
    world.run_for(SECOND);
    assert_eq!(world.devices[0].outcome(first).code(), None);
    assert!(world.devices[0].outcome(second).is(Code::CREATED));
    world.run_for(2 * SECOND);
    assert!(world.devices[0].outcome(first).is(Code::CREATED));
}

#[test]
fn a_post_that_is_never_acknowledged_times_out_and_is_not_sent_again() {
    let mut world = connected();
    set(&world, |settings| settings.puback_delay = 600 * SECOND);
    let post = world.post(0, CON);
    world.run_for(11 * SECOND);
    assert!(world.devices[0].outcome(post).is(Code::GATEWAY_TIMEOUT));
    world.run_for(MINUTE);
    assert_eq!(world.upstream.posts.len(), 1);
    // The connection answers others.
    set(&world, |settings| settings.puback_delay = Duration::ZERO);
    let next = world.post(0, CON);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(next).is(Code::CREATED));
    assert_eq!(world.counts(0).connects, 1);
}

#[test]
fn a_burst_arrives_in_its_order() {
    let mut world = connected();
    for _ in 0..15 {
        world.post(0, NON);
    }
    world.run_for(SECOND);
    assert_eq!(world.upstream.posts.len(), 15);
    assert!(
        world
            .upstream
            .posts
            .is_sorted_by_key(|post| number(&post.body))
    );
}

fn number(body: &[u8]) -> u64 {
    let post: serde_json::Value = serde_json::from_slice(body).unwrap();
    post["message"].as_u64().unwrap()
}

/// What was not sent when a connection ends goes over the next one, in its order; what was sent gets 5.03.
#[test]
fn a_burst_whose_connection_is_lost_stays_in_order_and_nothing_is_sent_twice() {
    for after_writes in 0..12 {
        for arrives in [false, true] {
            let mut world = connected();
            let cut_at = super::CutAt {
                after_writes,
                arrives,
            };
            world.mqtt().network.cut_at(Some(cut_at));
            let mut posts = Vec::new();
            for _ in 0..5 {
                for _ in 0..3 {
                    posts.push(world.post(0, NON));
                }
                world.run_for(Duration::from_millis(3));
            }
            world.run_for(MINUTE);
            let arrived: Vec<u64> = world
                .upstream
                .posts
                .iter()
                .map(|post| number(&post.body))
                .collect();
            assert!(arrived.is_sorted(), "{cut_at:?}: {arrived:?}");
            for post in posts {
                let has_arrived = arrived.contains(&u64::try_from(post).unwrap());
                let outcome = world.devices[0].outcome(post);
                let is_created = outcome.is(Code::CREATED);
                assert!(has_arrived || !is_created, "{cut_at:?}: {outcome:?}");
                let is_lost = outcome.is(Code::SERVICE_UNAVAILABLE);
                assert!(is_created || is_lost, "{cut_at:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn the_message_over_a_rate_limit_gets_4_29_and_is_not_sent_again() {
    let mut world = connected();
    set(&world, |settings| {
        settings.telemetry_limit = Some(RateLimit {
            messages: 3,
            period: 10 * SECOND,
        });
    });
    let mut codes = Vec::new();
    for _ in 0..5 {
        let post = world.post(0, CON);
        world.run_for(SECOND / 10);
        codes.push(world.devices[0].outcome(post).code());
    }
    let created = Some(Code::CREATED);
    let limited = Some(Code::TOO_MANY_REQUESTS);
    assert_eq!(codes, [created, created, created, limited, limited]);
    world.run_for(20 * SECOND);
    let post = world.post(0, CON);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(post).is(Code::CREATED));
}

/// No answer comes to CONNECT, or no stream opens, and the next stream is as good.
#[test]
fn nothing_waits_for_ever_while_thingsboard_is_silent() {
    let mut world = connected();
    set(&world, |settings| settings.connack_delay = 3600 * SECOND);
    let first = world.post(0, CON);
    world.run_for(11 * SECOND);
    let code = world.devices[0].outcome(first).code();
    assert!(
        [Some(Code::SERVICE_UNAVAILABLE), Some(Code::GATEWAY_TIMEOUT)].contains(&code),
        "{code:?}"
    );
    set(&world, |settings| settings.connack_delay = Duration::ZERO);
    world.mqtt().network.set_dialing(super::Dialing::Hangs);
    world.run_for(20 * SECOND);
    let second = world.post(0, CON);
    world.run_for(11 * SECOND);
    assert!(world.devices[0].outcome(second).code().is_some());
    world.mqtt().network.set_dialing(super::Dialing::Opens);
    world.run_for(20 * SECOND);
    let third = world.post(0, CON);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(third).is(Code::CREATED));
}
