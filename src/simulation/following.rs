//! Another gateway may follow a device for a while, or goes on with it: this one requests nothing for it meanwhile, and nothing is
//! lost or executed twice.

use super::observation::Observation;
use super::{Conditions, World, default_settings, scaled};
use crate::downlink::Kind;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;

impl World {
    pub(super) fn pause(&mut self, device: usize) {
        let name = self.device_name(device);
        self.core.pause_relay(self.now, &name);
        self.core.handle_timeout(self.now);
        self.flush();
    }

    pub(super) fn resume(&mut self, device: usize) {
        let name = self.device_name(device);
        self.core.resume_relay(self.now, &name);
        self.core.handle_timeout(self.now);
        self.flush();
    }

    pub(super) fn forget(&mut self, device: usize) {
        let name = self.device_name(device);
        self.core.forget_relay(self.now, &name);
        self.core.handle_timeout(self.now);
        self.flush();
    }
}

fn observed(world: &World, kind: Kind) -> &Observation {
    world.devices[0].observation(kind).unwrap()
}

fn commands(world: &World) -> Vec<String> {
    let commands = observed(world, Kind::Commands).commands.iter();
    commands.map(|params| params.to_string()).collect()
}

fn assert_states_agree(world: &World) {
    let state = &observed(world, Kind::Attributes).state;
    assert_eq!(*state, world.upstream.platform.state("device-0"));
}

/// Nothing of the relays is left.
fn assert_no_relays(world: &World) {
    let load = world.core.load();
    let relays = load.relays;
    let held = [
        relays.relays,
        relays.names,
        relays.paused,
        relays.timers,
        relays.waiting,
        relays.effects,
        relays.changed,
        relays.downlinks,
        relays.bytes,
        load.relay_calls,
    ];
    assert_eq!(held, [0; 10]);
    assert_eq!(relays.counts, crate::relay::ObservationCounts::default());
    assert_eq!(world.upstream.platform.open_polls(), 0);
}

#[test]
fn nothing_is_requested_or_notified_in_a_pause_and_everything_after_it() {
    let mut world = World::observing(default_settings(), CON);
    let notifications = |world: &World| {
        let observations = world.devices[0].observations.iter();
        observations
            .map(|one| one.notifications.len())
            .sum::<usize>()
    };
    let before = notifications(&world);
    world.resume(0);
    assert_eq!(world.upstream.platform.open_polls(), 2, "it was not paused");
    for _ in 0..2 {
        world.pause(0);
        assert_eq!(world.upstream.platform.open_polls(), 0);
    }
    let (polls, reads) = {
        let platform = &world.upstream.platform;
        (platform.polls_opened, platform.attribute_reads)
    };
    world.set_attribute(0, "a", "2");
    world.delete_attribute(0, "a");
    world.set_attribute(0, "b", "3");
    world.send_command(0, "1", false);
    let post = world.post(0, CON);
    world.run_for(100 * SECOND);
    assert!(world.devices[0].outcome(post).is(Code::CREATED));
    assert_eq!(notifications(&world), before);
    assert_eq!(world.upstream.platform.polls_opened, polls);
    assert_eq!(world.upstream.platform.attribute_reads, reads);
    for _ in 0..2 {
        world.resume(0);
        world.run_for(5 * SECOND);
        assert_eq!(world.upstream.platform.open_polls(), 2);
    }
    assert_states_agree(&world);
    assert_eq!(commands(&world), ["1"]);
    world.set_attribute(0, "b", "4");
    world.run_for(SECOND);
    assert_states_agree(&world);
}

#[test]
fn a_silent_device_is_not_pinged_in_a_pause_but_after_it() {
    let mut settings = default_settings();
    settings.relay.alive_for = 60 * SECOND;
    let mut world = World::observing(settings, CON);
    world.pause(0);
    world.devices[0].answers_pings = false;
    world.run_for(600 * SECOND);
    let counts = world.core.load().relays.counts;
    assert_eq!(
        (counts.attributes, counts.commands, counts.parked),
        (1, 1, 0)
    );
    world.resume(0);
    world.run_for(600 * SECOND);
    assert_eq!(world.core.load().relays.counts.parked, 2);
    assert_eq!(world.upstream.platform.open_polls(), 0);
}

#[test]
fn a_device_can_be_paused_before_it_has_a_relay() {
    let mut world = World::with_settings(1, Conditions::GOOD, 1, default_settings());
    world.set_attribute(0, "a", "1");
    world.connect_all();
    world.pause(0);
    world.observe(0, CON, Kind::Attributes);
    world.observe(0, CON, Kind::Commands);
    world.run_for(5 * SECOND);
    assert!(
        world.devices[0]
            .observations
            .iter()
            .all(Observation::is_active)
    );
    assert_states_agree(&world);
    assert_eq!(world.upstream.platform.polls_opened, 0);
    world.set_attribute(0, "a", "2");
    world.send_command(0, "1", true);
    world.run_for(5 * SECOND);
    assert_eq!(world.upstream.platform.polls_opened, 0);
    world.resume(0);
    world.run_for(2 * SECOND);
    assert_eq!(world.upstream.platform.open_polls(), 2);
    assert_states_agree(&world);
    assert_eq!(commands(&world), ["1"]);
}

#[test]
fn nothing_of_a_forgotten_relay_is_left_whenever_it_is_forgotten() {
    for moment in 0..scaled(40, 400) {
        let mut world = World::observing(default_settings(), CON);
        for (key, value) in [("a", "2"), ("b", "3")] {
            world.set_attribute(0, key, value);
        }
        world.send_command(0, "1", false);
        world.send_command(0, "2", false);
        world.run_for(MS * u32::try_from(moment * 400 / scaled(40, 400)).unwrap());
        let is_paused = moment % 2 == 0;
        if is_paused {
            world.pause(0);
        }
        let (reads, replies) = {
            let upstream = &world.upstream;
            (upstream.platform.attribute_reads, upstream.replies.len())
        };
        world.forget(0);
        world.forget(0);
        assert_no_relays(&world);
        world.run_for(SECOND);
        assert_no_relays(&world);
        assert_eq!(world.upstream.platform.attribute_reads, reads);
        // The device's own, to what it had.
        assert!(world.upstream.replies.len() <= replies + 2);
        let observations = &world.devices[0].observations;
        assert!(
            observations.iter().all(Observation::is_active),
            "it is not notified"
        );
        // The device can register here again.
        world.observe(0, CON, Kind::Attributes);
        world.run_for(SECOND);
        assert_states_agree(&world);
        assert_eq!(world.upstream.platform.open_polls(), 1);
    }
}

#[test]
fn a_relay_that_waits_for_thingsboard_is_forgotten_too() {
    let mut world = World::observing(default_settings(), CON);
    world.upstream.behaviour = super::Behaviour::Fails(crate::upstream::Error::Unreachable);
    world.run_for(60 * SECOND);
    assert_eq!(world.core.load().relays.waiting, 1);
    world.forget(0);
    // What was called for it before.
    world.run_for(20 * SECOND);
    assert_no_relays(&world);
}

#[test]
fn a_fleet_that_is_paused_again_and_again_begins_as_fast_as_the_first_time() {
    let devices = 150;
    let mut world = World::with_settings(devices, Conditions::GOOD, 1, default_settings());
    world.connect_all();
    for device in 0..devices {
        world.observe(device, CON, Kind::Attributes);
        world.observe(device, CON, Kind::Commands);
    }
    world.run_for(10 * SECOND);
    for _ in 0..20 {
        for device in 0..devices {
            world.pause(device);
        }
        assert_eq!(world.upstream.platform.open_polls(), 0);
        for device in 0..devices {
            world.resume(device);
        }
        world.run_for(SECOND / 5);
    }
    let open = world.upstream.platform.open_polls();
    assert!(open < 2 * devices, "they begin one after the other: {open}");
    // Each of 300 takes five milliseconds.
    world.run_for(5 * SECOND);
    assert_eq!(world.upstream.platform.open_polls(), 2 * devices);
}

/// Pauses and resumes at random, with loss.
fn run(seed: u64) {
    let conditions = Conditions {
        loss: 0.05,
        ..Conditions::GOOD
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::observing(default_settings(), CON);
    world.link.conditions = conditions;
    let (mut is_paused, mut sent, mut value) = (false, Vec::new(), 1);
    for _ in 0..150 {
        match random.u8(..10) {
            0 | 1 => {
                value += 1;
                let key = format!("key-{}", random.u8(..4));
                world.set_attribute(0, &key, &value.to_string());
            }
            2 => {
                let key = format!("key-{}", random.u8(..4));
                if world.upstream.platform.state("device-0").contains_key(&key) {
                    world.delete_attribute(0, &key);
                }
            }
            3 => {
                value += 1;
                world.send_command(0, &value.to_string(), false);
                sent.push(value.to_string());
            }
            4 => drop(world.post(0, CON)),
            5 => {
                world.pause(0);
                is_paused = true;
            }
            6 => {
                world.resume(0);
                is_paused = false;
            }
            _ => world.run_for(MS * random.u32(..3000)),
        }
        if is_paused {
            assert_eq!(world.upstream.platform.open_polls(), 0, "seed {seed}");
        }
    }
    world.resume(0);
    world.link.conditions.loss = 0.0;
    for _ in 0..3 {
        world.post(0, CON);
        world.run_for(100 * SECOND);
    }
    assert_states_agree(&world);
    assert_eq!(commands(&world), sent, "seed {seed}");
}

#[test]
fn no_change_and_no_command_is_lost_whenever_the_relay_is_paused() {
    for seed in 0..scaled(20, 200) {
        run(u64::try_from(seed).unwrap());
    }
}
