//! Hazard: datagrams are reordered.

use super::{Conditions, World, default_settings};
use crate::dtls::Versions;
use coap::{Code, Type};
use std::time::Duration;

/// Each datagram takes between 20 ms and a second, much longer than the time between two datagrams of a flight.
const SHUFFLED: Conditions = Conditions {
    jitter: Duration::from_millis(980),
    ..Conditions::GOOD
};

#[test]
fn handshakes_complete_in_any_order_of_their_datagrams() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        for seed in 0..20 {
            let mut settings = default_settings();
            settings.dtls.versions = versions;
            let mut world = World::with_settings(3, SHUFFLED, seed, settings);
            world.connect_all();
        }
    }
}

#[test]
fn reordered_requests_each_get_their_own_response() {
    for seed in 0..20 {
        let mut world = World::new(3, SHUFFLED, seed);
        world.connect_all();
        let mut posts = Vec::new();
        let mut gets = Vec::new();
        for _ in 0..4 {
            for device in 0..3 {
                posts.push((device, world.post(device, Type::Confirmable)));
                gets.push((device, world.get(device)));
            }
        }
        world.run_for(Duration::from_secs(300));
        for (device, number) in posts {
            assert!(world.devices[device].outcome(number).is(Code::CREATED));
        }
        for (device, number) in gets {
            assert!(world.devices[device].outcome(number).is(Code::CONTENT));
        }
        assert_eq!(world.upstream.posts.len(), 12);
    }
}

#[test]
fn a_separate_response_before_the_empty_ack_ends_the_exchange() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    // The empty ACK is sent at 500 ms and delayed; the response is sent at 600 ms.
    world.upstream.delay = Duration::from_millis(580);
    let number = world.post(0, Type::Confirmable);
    world.run_for(Duration::from_millis(525));
    world.link.delay_in_transit(Duration::from_secs(1));
    world.run_for(Duration::from_secs(10));
    let device = &world.devices[0];
    assert_eq!(
        device.messages_for(number),
        [
            (Type::Confirmable, Code::CREATED),
            (Type::Acknowledgement, Code::EMPTY)
        ]
    );
    assert!(device.outcome(number).is(Code::CREATED));
    assert_eq!(device.retransmissions(number), 0);
    assert_eq!(world.core.counters().coap.retransmissions, 0);
}
