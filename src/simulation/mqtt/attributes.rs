//! Hazard: a device that observes is left with values that ThingsBoard does not have.

use super::super::{World, default_settings};
use crate::downlink::Kind;
use coap::Type::Confirmable as CON;
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// `relay.sync_interval`, and what a read and its notification take.
const SYNC_INTERVAL: Duration = Duration::from_secs(305);

fn observing() -> World {
    World::observing_over_mqtt(default_settings(), CON)
}

#[track_caller]
fn assert_agree(world: &World) {
    let observation = world.devices[0].observation(Kind::Attributes).unwrap();
    assert_eq!(observation.state, world.shared(0));
}

#[test]
fn changes_arrive_at_once() {
    let mut world = observing();
    world.set_shared(0, "a", &json!(1));
    world.set_shared(0, "b", &json!({"c": [1.5]}));
    world.run_for(SECOND / 5);
    assert_agree(&world);
    world.delete_shared(0, "a");
    world.run_for(SECOND / 5);
    assert_agree(&world);
    assert_eq!(world.shared(0).len(), 1);
}

#[test]
fn what_changes_while_there_is_no_connection_is_read_after_it() {
    let mut world = observing();
    world.set_shared(0, "a", &json!(1));
    world.set_shared(0, "b", &json!(1));
    world.run_for(SECOND);
    world.restart_thingsboard(20 * SECOND);
    world.run_for(SECOND);
    world.set_shared(0, "a", &json!(2));
    world.delete_shared(0, "b");
    world.run_for(27 * SECOND);
    assert_agree(&world);
}

/// ThingsBoard sends SUBACK before the subscription works.
#[test]
fn what_changes_just_after_the_subscription_was_granted_is_read() {
    for change_after in (0..150).step_by(10) {
        let mut world = World::over_mqtt(1, super::super::Conditions::GOOD, 1, default_settings());
        world.mqtt().at_thingsboard(|control| {
            let mut settings = control.mqtt_settings();
            settings.subscription_delay = Duration::from_millis(90);
            control.set_mqtt_settings(settings);
        });
        world.connect_all();
        world.observe(0, CON, Kind::Attributes);
        let is_requested = |world: &World| world.counts(0).subscribes == 1;
        assert!(world.run_until(SECOND, is_requested));
        world.run_for(Duration::from_millis(change_after));
        world.set_shared(0, "a", &json!(change_after));
        world.run_for(2 * SECOND);
        assert_agree(&world);
    }
}

#[test]
fn a_deletion_that_comes_after_a_later_value_is_noticed_by_the_next_read() {
    let mut world = observing();
    world.set_shared(0, "a", &json!(1));
    world.run_for(SECOND);
    let delay = SECOND / 2;
    world
        .mqtt()
        .at_thingsboard(|control| control.delay_attribute_changes(1, delay));
    world.delete_shared(0, "a");
    world.set_shared(0, "a", &json!(2));
    world.run_for(SECOND);
    let known = world.devices[0].observation(Kind::Attributes).unwrap();
    assert_eq!(known.state.len(), 0, "it is to be wrong for now");
    world.run_for(SYNC_INTERVAL);
    assert_agree(&world);
}

/// A SUBSCRIBE over ThingsBoard's rate limit is granted, and nothing is ever delivered.
#[test]
fn a_subscription_that_is_granted_but_dead_is_replaced() {
    let mut world = observing();
    world
        .mqtt()
        .at_thingsboard(|control| control.deaden_subscriptions(2));
    world.mqtt().network.cut(|| true);
    world.run_for(20 * SECOND);
    assert!(!world.counts(0).attributes_subscribed);
    world.set_shared(0, "a", &json!(1));
    world.run_for(SYNC_INTERVAL);
    assert_agree(&world);
    // From then on changes come at once.
    world.set_shared(0, "a", &json!(2));
    world.run_for(SECOND);
    assert_agree(&world);
}

/// Nothing comes on the connection any more, and nothing shows it: the next read is not answered.
#[test]
fn a_connection_that_is_silent_is_replaced() {
    let mut world = observing();
    world.mqtt().network.silence();
    world.set_shared(0, "a", &json!(1));
    world.run_for(SYNC_INTERVAL + 20 * SECOND);
    assert_agree(&world);
    assert_eq!(world.counts(0).connections, 1);
}

#[test]
fn the_observation_of_a_device_with_another_token_ends_at_once_and_that_of_the_new_one_goes_on() {
    let mut world = observing();
    let name = world.device_name(0);
    world
        .mqtt()
        .at_thingsboard(|control| control.add_device(&name, "ANOTHER").unwrap());
    world.run_for(SECOND);
    let ended = world.devices[0].observations.iter();
    let codes: Vec<_> = ended.map(|observation| observation.ended).collect();
    assert_eq!(codes, [Some(coap::Code::UNAUTHORIZED); 2]);

    let entry = super::super::actions::RegistryEntry::new(0, "ANOTHER", 0);
    world.reload_registry(&[entry]);
    world.observe(0, CON, Kind::Attributes);
    world.run_for(SECOND);
    world.set_shared(0, "a", &json!(1));
    world.run_for(SECOND);
    assert_agree(&world);
}
