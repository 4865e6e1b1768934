//! Hazard: a fleet that comes back is a burst, or takes too long.

use super::super::scaled;
use super::{MqttSettings, Network, gateway, now, runtime};
use crate::calls::pushed::{Pushed, PushedEvent};
use crate::device::{AccessToken, Device};
use crate::upstream::{Kinds, Numbers};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thingsboard_simulator::Control;
use tokio::sync::mpsc::Receiver;

const DEVICES: usize = scaled(200, 10_000);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const BOTH: Kinds = Kinds {
    attributes: true,
    commands: true,
};

/// Waits until each device is subscribed for. Returns the time at which the last one was.
async fn all_subscribed(pushed: &mut Receiver<Pushed>, devices: usize) -> Instant {
    let mut subscribed = HashSet::new();
    while subscribed.len() < devices {
        let next = tokio::time::timeout(60 * SECOND, pushed.recv()).await;
        let pushed = next
            .unwrap_or_else(|_| panic!("{} of {devices}", subscribed.len()))
            .unwrap();
        match pushed.event {
            PushedEvent::Subscribed(numbers, _) => {
                let both = Numbers {
                    attributes: Some(1),
                    commands: Some(1),
                };
                assert_eq!(numbers, both);
                subscribed.insert(pushed.device.name.clone());
            }
            PushedEvent::Interrupted(_) => {
                subscribed.remove(&pushed.device.name);
            }
            other => panic!("{other:?}"),
        }
    }
    now()
}

/// The requirement: 10,000 devices within 30 seconds.
#[test]
fn after_a_restart_of_thingsboard_a_fleet_is_subscribed_again_at_the_rate_of_connections() {
    fastrand::seed(1);
    let (network, control) = (Network::new(1), Control::without_sockets());
    let devices: Vec<Arc<Device>> = (0..DEVICES)
        .map(|number| {
            let (name, token) = (format!("device-{number}"), format!("TOKEN-{number}"));
            control.add_device(&name, &token).unwrap();
            Arc::new(Device {
                name: name.as_str().into(),
                token: AccessToken::new(token).unwrap(),
            })
        })
        .collect();
    runtime().block_on(async {
        let timers = control.clone();
        tokio::spawn(async move { timers.run_timers().await });
        let settings = MqttSettings::simulated();
        let mut gateway = gateway(&settings, &network, &control);
        let begin = now();
        for device in &devices {
            gateway.upstream.subscribe(device, BOTH, 1).unwrap();
            gateway.upstream.alive_until(device, begin + HOUR);
        }
        let subscribed = all_subscribed(&mut gateway.pushed, DEVICES).await;
        let rate = settings.connects_per_second;
        let at_rate = SECOND * u32::try_from(DEVICES).unwrap() / rate;
        let took = subscribed - begin;
        assert!(took < at_rate + SECOND, "{took:?}");

        for down in [Duration::ZERO, 20 * SECOND] {
            let dialed = network.dialed();
            control.restart(down);
            let up = now() + down;
            let all = all_subscribed(&mut gateway.pushed, DEVICES).await;
            let took = all - up;
            println!("{DEVICES} devices: {took:?} after a restart with {down:?} down");
            // It is noticed within five seconds that ThingsBoard is up.
            assert!(took < at_rate + 6 * SECOND, "{took:?}");
            assert!(took < 30 * SECOND, "{took:?}");
            let attempts = network.dialed() - dialed;
            assert!(attempts < DEVICES + 600, "{attempts}");
            assert_eq!(network.open(), DEVICES);
        }
    });
}
