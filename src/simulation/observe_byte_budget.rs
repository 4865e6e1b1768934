//! Hazard: queued commands and observed attributes exceed `relay.bytes`.

use super::{Conditions, World, default_settings};
use crate::downlink::Kind;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CON: Type = Type::Confirmable;

/// The invariants check that `relay.bytes` is never exceeded.
#[test]
fn commands_beyond_relay_bytes_are_refused_until_some_are_delivered() {
    let mut settings = default_settings();
    settings.relay.bytes = 8000;
    let mut world = World::with_settings(3, Conditions::GOOD, 1, settings);
    world.connect_all();
    for device in 0..3 {
        world.observe(device, CON, Kind::Commands);
    }
    world.run_for(SECOND);
    world.link.conditions.loss = 1.0;
    let send = |world: &mut World, device, count| {
        for _ in 0..count {
            world.send_command(device, &format!("\"{}\"", "x".repeat(700)), true);
            world.run_for(SECOND);
        }
        world.core.counters().relay.no_room
    };
    // A single device may use the whole budget, except for a rest too small for a command.
    assert_eq!(send(&mut world, 0, 12), 3);
    let held = world.core.load().relays.bytes;
    assert!((7000..=8000).contains(&held), "{held}");
    assert_eq!(send(&mut world, 1, 2), 5, "queued commands are not evicted");
    world.link.conditions.loss = 0.0;
    for device in 0..3 {
        world.post(device, CON);
    }
    world.run_for(60 * SECOND);
    assert_eq!(world.core.load().relays.bytes, 0);
    assert_eq!(world.devices[0].observations[0].commands.len(), 9);
    assert_eq!(world.upstream.replies.len(), 9 + 5, "each was replied to");
    assert_eq!(send(&mut world, 1, 2), 5);
    world.run_for(SECOND);
    assert_eq!(world.devices[1].observations[0].commands.len(), 2);
    let bounds = world.core.report(0).bounds;
    let bound = bounds.iter().find(|bound| bound.key == "relay.bytes");
    assert_eq!(
        bound.map(|bound| (bound.used, bound.limit)),
        Some((0, 8000))
    );
}

#[test]
fn an_observation_whose_attributes_exceed_relay_bytes_gets_5_03() {
    let mut settings = default_settings();
    settings.relay.bytes = 4200;
    let mut world = World::with_settings(9, Conditions::GOOD, 1, settings);
    world.connect_all();
    let large = format!("\"{}\"", "x".repeat(700));
    for device in 0..9 {
        world.set_attribute(device, "large", &large);
        world.observe(device, CON, Kind::Attributes);
        world.run_for(SECOND);
    }
    let count_active = |world: &World| {
        let devices = world.devices.iter();
        let observations = devices.flat_map(|device| &device.observations);
        observations.filter(|one| one.is_active()).count()
    };
    let active = count_active(&world);
    assert!((2..=5).contains(&active), "{active}");
    let refused = &world.devices[8].observations[0];
    assert_eq!(refused.ended, Some(Code::SERVICE_UNAVAILABLE));
    let counted = usize::try_from(world.core.counters().relay.no_room).unwrap();
    assert_eq!(active + counted, 9);
    // Small attributes still fit; a change that makes them large does not.
    world.set_attribute(8, "large", "1");
    world.observe(8, CON, Kind::Attributes);
    world.run_for(SECOND);
    assert_eq!(count_active(&world), active + 1);
    world.set_attribute(8, "large", &large);
    world.run_for(10 * SECOND);
    assert_eq!(world.devices[8].observations[1].state["large"], "1");
    assert!(world.core.counters().relay.too_large > 0);
}
