//! Hazard: two clients with one access token throw each other out, over and over.

use super::super::{World, default_settings};
use crate::device::{AccessToken, Device};
use crate::upstream::Kinds;
use coap::Type::Confirmable as CON;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn device() -> Arc<Device> {
    Arc::new(Device {
        name: "device-0".into(),
        token: AccessToken::new("TOKEN-0".to_owned()).unwrap(),
    })
}

const BOTH: Kinds = Kinds {
    attributes: true,
    commands: true,
};

#[test]
fn two_gateways_with_one_token_do_not_fight_and_the_one_that_is_left_serves_the_device() {
    let mut settings = default_settings();
    settings.relay.alive_for = 12 * HOUR;
    let mut world = World::observing_over_mqtt(settings, CON);
    let mqtt = world.mqtt();
    let _clock = mqtt.runtime.enter();
    let mut other = mqtt.another_gateway();
    let other_upstream = other.upstream.clone();
    mqtt.runtime
        .spawn(async move { while other.pushed.recv().await.is_some() {} });
    other_upstream.subscribe(&device(), BOTH, 1).unwrap();
    other_upstream.alive_until(&device(), world.now + 12 * HOUR);
    drop(_clock);

    let mut connects = vec![world.counts(0).connects];
    for _ in 0..6 {
        world.run_for(HOUR);
        connects.push(world.counts(0).connects);
    }
    let each_hour: Vec<u64> = connects.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Both wait 450 to 900 seconds in the end.
    assert!(each_hour[0] <= 30, "{each_hour:?}");
    assert!(
        each_hour[1..].iter().all(|connects| *connects <= 17),
        "{each_hour:?}"
    );
    assert!(
        each_hour.iter().all(|connects| *connects >= 4),
        "{each_hour:?}"
    );

    let mqtt = world.mqtt();
    let clock = mqtt.runtime.enter();
    other_upstream.close(&device());
    drop(clock);
    world.run_for(HOUR / 2);
    let command = world.persistent_command(0, 1, false, HOUR);
    world.run_for(SECOND);
    assert_eq!(
        world.status(command),
        thingsboard_simulator::RpcStatus::Successful
    );
}
