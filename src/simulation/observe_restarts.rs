//! The gateway's process ends while devices observe, and another begins: they are notified of what changed meanwhile, and get
//! each command.

use super::{Conditions, Outcome, World, default_settings, scaled};
use crate::downlink::Kind;
use crate::dtls::Versions;
use coap::{EXCHANGE_LIFETIME, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;
/// What a killed process had not stored: the store commits every half second.
const NOT_STORED: Duration = SECOND;

/// Devices that observe both, and a gateway with a disk.
fn observing(devices: usize, conditions: Conditions, seed: u64) -> World {
    let mut settings = default_settings();
    settings.dtls.versions = Versions::Only12;
    let mut world = World::with_settings(devices, Conditions::GOOD, seed, settings);
    world.add_disk();
    world.connect_all();
    for device in 0..devices {
        world.set_attribute(device, "a", "1");
        world.observe(device, CON, Kind::Attributes);
        world.observe(device, CON, Kind::Commands);
    }
    world.run_for(5 * SECOND);
    world.link.conditions = conditions;
    world
}

fn assert_states_agree(world: &World) {
    for device in &world.devices {
        let name = format!("device-{}", device.registered_as);
        let observed = device.observation(Kind::Attributes).unwrap();
        let expected = world.upstream.platform.state(&name);
        assert_eq!(observed.state, expected, "{name}");
    }
}

fn assert_no_handshakes(world: &World) {
    for device in &world.devices {
        assert_eq!(device.sessions, 1);
    }
}

fn notifications(world: &World) -> usize {
    let observations = world.devices.iter().flat_map(|device| &device.observations);
    observations.map(|one| one.notifications.len()).sum()
}

fn commands(world: &World, device: usize) -> Vec<String> {
    let observed = world.devices[device].observation(Kind::Commands).unwrap();
    let commands = observed.commands.iter();
    commands.map(|params| params.to_string()).collect()
}

#[test]
fn a_fleet_is_notified_of_nothing_if_nothing_changed_and_its_polls_begin_one_after_the_other() {
    for is_killed in [true, false] {
        let devices = 150;
        let mut world = observing(devices, Conditions::GOOD, 1);
        world.run_for(2 * SECOND);
        let before = notifications(&world);
        match is_killed {
            true => world.kill_gateway(),
            false => world.stop_gateway(60 * SECOND),
        }
        world.now += 10 * SECOND;
        let polls = world.upstream.platform.polls_opened;
        world.start_gateway();
        world.run_for(SECOND / 10);
        let begun = world.upstream.platform.polls_opened - polls;
        assert!(begun < 80, "{begun} at once");
        world.run_for(5 * SECOND);
        assert_eq!(world.upstream.platform.open_polls(), 2 * devices);
        assert_eq!(notifications(&world), before);
        assert_no_handshakes(&world);
        world.set_attribute(77, "a", "2");
        world.run_for(SECOND);
        assert_eq!(notifications(&world), before + 1);
        assert_states_agree(&world);
    }
}

#[test]
fn a_device_that_sleeps_while_the_gateway_is_replaced_gets_its_command_and_changes_when_it_wakes() {
    for is_killed in [true, false] {
        let mut world = observing(1, Conditions::GOOD, 1);
        world.link.conditions.loss = 1.0;
        world.set_attribute(0, "a", "2");
        world.send_command(0, "1", true);
        world.run_for(180 * SECOND);
        assert_eq!(world.core.counters().relay.parked, 2);
        for round in 0..3 {
            match is_killed {
                true => world.kill_gateway(),
                false => world.stop_gateway(60 * SECOND),
            }
            world.set_attribute(0, "b", &round.to_string());
            world.now += 60 * SECOND;
            let polls = world.upstream.platform.polls_opened;
            world.start_gateway();
            world.run_for(60 * SECOND);
            assert_eq!(world.upstream.platform.polls_opened, polls, "it sleeps");
        }
        world.link.conditions.loss = 0.0;
        world.post(0, CON);
        world.run_for(5 * SECOND);
        assert_states_agree(&world);
        assert_eq!(commands(&world, 0), ["1"]);
        assert_no_handshakes(&world);
    }
}

fn are_posts_answered(world: &World) -> bool {
    world.devices.iter().all(|device| {
        let mut posts = (0..device.requests()).filter(|number| device.is_post(*number));
        posts.all(|number| *device.outcome(number) != Outcome::Open)
    })
}

struct Run {
    world: World,
    random: fastrand::Rng,
    /// Whether processes are killed, or stopped in an orderly way.
    is_killed: bool,
    /// When an attribute was last set.
    set_at: BTreeMap<(usize, String), Instant>,
    last_value: u32,
    /// Params of the commands that were sent to each device.
    sent: Vec<Vec<String>>,
    restarts: usize,
    restarted: Instant,
}

impl Run {
    fn new(seed: u64, is_killed: bool) -> Run {
        let conditions = Conditions {
            loss: 0.05,
            ..Conditions::GOOD
        };
        let devices = 3;
        let world = observing(devices, conditions, seed);
        Run {
            restarted: world.now,
            world,
            random: fastrand::Rng::with_seed(seed),
            is_killed,
            set_at: BTreeMap::new(),
            last_value: 1,
            sent: vec![Vec::new(); devices],
            restarts: 0,
        }
    }

    fn device(&mut self) -> usize {
        self.random.usize(..self.world.devices.len())
    }

    /// `stored`: deletes nothing that was set later. A killed process may not have stored that a device was notified of it, and
    /// then nothing shows that the device has it.
    fn change(&mut self, stored: Instant) {
        let device = self.device();
        let key = format!("key-{}", self.random.u8(..4));
        let name = self.world.device_name(device);
        let place = (device, key.clone());
        let exists = self.world.upstream.platform.state(&name).contains_key(&key);
        let is_stored = self.set_at.get(&place).is_some_and(|at| *at < stored);
        if exists && is_stored && self.random.bool() {
            self.world.delete_attribute(device, &key);
        } else {
            self.last_value += 1;
            let value = self.last_value.to_string();
            self.world.set_attribute(device, &key, &value);
            self.set_at.insert(place, self.world.now);
        }
    }

    fn send_command(&mut self) {
        let device = self.device();
        self.last_value += 1;
        let params = self.last_value.to_string();
        self.world.send_command(device, &params, false);
        self.sent[device].push(params);
    }

    fn restart(&mut self) {
        // An endpoint that goes on after a kill skips an eighth of all Message IDs.
        let earliest = self.restarted + EXCHANGE_LIFETIME / 7;
        self.world
            .run_for(earliest.saturating_duration_since(self.world.now));
        if self.is_killed {
            // A killed process knows no request again.
            let answered = self.world.run_until(300 * SECOND, are_posts_answered);
            assert!(answered);
        }
        self.restarts += 1;
        match self.is_killed {
            true => self.world.kill_gateway(),
            false => self.world.stop_gateway(60 * SECOND),
        }
        let stored = self.world.now - NOT_STORED;
        for _ in 0..self.random.usize(..3) {
            self.world.now += MS * self.random.u32(..10_000);
            self.change(stored);
            if self.random.bool() {
                self.send_command();
            }
        }
        self.world.start_gateway();
        self.restarted = self.world.now;
    }

    fn step(&mut self) {
        match self.random.u8(..12) {
            0..=2 => self.change(self.world.now - NOT_STORED),
            3 => self.send_command(),
            4 => {
                let device = self.device();
                self.world.post(device, CON);
            }
            5 | 6 => self.world.run_for(MS * self.random.u32(..20_000)),
            7 => self.restart(),
            _ => self.world.run_for(MS * self.random.u32(..1000)),
        }
    }

    fn complete(seed: u64, is_killed: bool) -> Run {
        let mut run = Run::new(seed, is_killed);
        for _ in 0..120 {
            run.step();
        }
        run.world.link.conditions.loss = 0.0;
        for _ in 0..3 {
            for device in 0..run.world.devices.len() {
                run.world.post(device, CON);
            }
            run.world.run_for(100 * SECOND);
        }
        assert!(run.restarts > 2, "seed {seed}");
        assert_states_agree(&run.world);
        assert_no_handshakes(&run.world);
        for (device, sent) in run.sent.iter().enumerate() {
            let mut executed = commands(&run.world, device);
            if is_killed {
                // One that the device has executed may not have been stored as delivered.
                let mut known = BTreeSet::new();
                executed.retain(|params| known.insert(params.clone()));
            }
            assert_eq!(executed, *sent, "seed {seed}");
        }
        run
    }
}

#[test]
fn no_change_and_no_command_is_lost_whenever_the_process_is_killed() {
    for seed in 0..scaled(12, 150) {
        Run::complete(u64::try_from(seed).unwrap(), true);
    }
}

#[test]
fn each_command_is_executed_once_whenever_the_process_is_stopped() {
    for seed in 0..scaled(12, 150) {
        Run::complete(u64::try_from(seed + 1000).unwrap(), false);
    }
}
