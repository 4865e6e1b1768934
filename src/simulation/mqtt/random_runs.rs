//! Random runs over MQTT: random events of devices, of ThingsBoard and of the network between the gateway and ThingsBoard,
//! with the invariants checked after each step. At the end all faults stop, and what ThingsBoard and the devices have is
//! compared.
//!
//! A failing run prints its seed: `SIMULATION_SEED=<seed> cargo test mqtt::random_runs` repeats it, and
//! `SIMULATION_RUNS=1000` makes many runs.

use super::super::random_runs::{Seed, seeds};
use super::super::{Conditions, World, default_settings};
use super::Dialing;
use crate::downlink::{Kind, Mode};
use coap::Code;
use coap::Type::{self, Confirmable as CON, NonConfirmable as NON};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use thingsboard_simulator::{CommandId, MqttSettings, RateLimit, RpcStatus};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const RUNS: u64 = match cfg!(feature = "slow-tests") {
    true => 60,
    false => 8,
};
const EVENTS: usize = 120;
const DEVICES: usize = 3;
const OBSERVED: [Kind; 2] = [Kind::Attributes, Kind::Commands];

struct Run {
    world: World,
    random: Rng,
    /// Persistent commands by their number, and the devices that they are for.
    commands: HashMap<u64, (CommandId, usize)>,
    last_number: u64,
    restarts: usize,
    /// Whether the devices' network loses and reorders, and devices restart.
    is_lossy: bool,
    reconnects: usize,
    kinds: Vec<Type>,
}

impl Run {
    fn new(seed: u64, is_lossy: bool) -> Run {
        let mut random = Rng::with_seed(seed);
        let mut settings = default_settings();
        settings.relay.alive_for = SECOND * random.u32(60..900);
        settings.relay.sync_interval = SECOND * random.u32(60..300);
        if random.u8(..4) == 0 {
            settings.relay.rpc = Mode::OnUplink;
            settings.relay.attributes = Mode::OnUplink;
        }
        let mut world = World::over_mqtt(DEVICES, Conditions::GOOD, seed, settings);
        world.connect_all();
        let kinds = (0..DEVICES)
            .map(|_| *random.choice(&[CON, CON, NON]).unwrap())
            .collect();
        let mut run = Run {
            world,
            random,
            commands: HashMap::new(),
            last_number: 0,
            restarts: 0,
            is_lossy,
            reconnects: 0,
            kinds,
        };
        run.observe_all(false);
        run
    }

    /// Has each device observe both. `again`: registered or not.
    fn observe_all(&mut self, again: bool) {
        for device in 0..DEVICES {
            for observed in OBSERVED {
                if again || self.world.devices[device].observation(observed).is_none() {
                    self.world.observe(device, self.kinds[device], observed);
                    self.world.run_for(SECOND);
                }
            }
        }
    }

    fn seconds(&mut self, choices: &[f64]) -> Duration {
        SECOND.mul_f64(*self.random.choice(choices).unwrap())
    }

    fn set(&mut self, change: impl FnOnce(&mut MqttSettings)) {
        self.world.mqtt().at_thingsboard(|control| {
            let mut settings = control.mqtt_settings();
            change(&mut settings);
            control.set_mqtt_settings(settings);
        });
    }

    fn step(&mut self) {
        let device = self.random.usize(..DEVICES);
        match self.random.u8(..100) {
            0..=9 => drop(self.world.post(device, CON)),
            10..=14 => {
                for _ in 0..self.random.usize(1..8) {
                    self.world.post(device, NON);
                }
            }
            15..=19 => drop(self.world.get(device)),
            20..=29 => self.change_attribute(device),
            30..=44 => self.send_command(device),
            45..=71 => self.disturb_thingsboard(device),
            72..=89 => self.disturb_network(),
            _ if self.is_lossy => self.disturb_device(device),
            _ => {}
        }
        let pause = match self.random.u8(..) {
            0..=99 => self.random.u32(..100) * MS,
            100..=219 => self.random.u32(..20_000) * MS,
            220..=252 => self.random.u32(10..400) * SECOND,
            _ => self.random.u32(1..4) * HOUR,
        };
        self.world.run_for(pause);
    }

    fn change_attribute(&mut self, device: usize) {
        let key = self.random.u8(..4).to_string();
        match self.random.u8(..3) {
            0 => self.world.delete_shared(device, &key),
            _ => {
                let value = json!(self.random.u16(..));
                self.world.set_shared(device, &key, &value);
            }
        }
    }

    fn send_command(&mut self, device: usize) {
        self.last_number += 1;
        let (number, is_oneway) = (self.last_number, self.random.bool());
        match self.random.u8(..3) {
            0 => self.world.command(device, number, is_oneway),
            _ => {
                let valid_for = 1000 * 24 * HOUR;
                let world = &self.world;
                let command = world.persistent_command(device, number, is_oneway, valid_for);
                self.commands.insert(number, (command, device));
            }
        }
    }

    fn disturb_thingsboard(&mut self, device: usize) {
        match self.random.u8(..10) {
            0 => {
                let down = self.seconds(&[0.0, 0.5, 8.0, 100.0]);
                self.restarts += 1;
                self.world.restart_thingsboard(down);
            }
            1 => {
                let times = self.random.u32(1..4);
                let mqtt = self.world.mqtt();
                mqtt.at_thingsboard(|control| control.deaden_subscriptions(times));
            }
            2 | 3 => {
                let (times, by) = (self.random.u32(1..4), self.seconds(&[0.01, 0.5, 3.0]));
                let mqtt = self.world.mqtt();
                mqtt.at_thingsboard(|control| control.delay_attribute_changes(times, by));
            }
            4 | 5 => {
                let delay = self.seconds(&[0.0, 0.0, 0.1, 3.0, 20.0]);
                self.set(|settings| settings.puback_delay = delay);
            }
            6 => {
                let delay = self.seconds(&[0.002, 0.002, 1.0, 8.0]);
                self.set(|settings| settings.connack_delay = delay);
            }
            7 => {
                let limits = [None, None, Some((5, 10)), Some((20, 60))];
                let limit = self.random.choice(limits).unwrap();
                let limit = limit.map(|(messages, seconds)| RateLimit {
                    messages,
                    period: SECOND * seconds,
                });
                match self.random.bool() {
                    true => self.set(|settings| settings.telemetry_limit = limit),
                    false => self.set(|settings| settings.message_limit = limit),
                }
            }
            8 => {
                let first = *self.random.choice(&[1, 59_990, 65_530]).unwrap();
                self.set(|settings| settings.first_packet_id = first);
            }
            _ => {
                let name = self.world.device_name(device);
                self.world.mqtt().at_thingsboard(|control| {
                    control.add_device(&name, "ANOTHER").unwrap();
                });
                let pause = self.seconds(&[0.1, 3.0, 90.0]);
                self.world.run_for(pause);
                self.restore_tokens();
            }
        }
    }

    fn restore_tokens(&mut self) {
        for device in 0..DEVICES {
            let name = self.world.device_name(device);
            let token = format!("TOKEN-{device}");
            self.world.mqtt().at_thingsboard(|control| {
                control.add_device(&name, &token).unwrap();
            });
        }
    }

    fn disturb_network(&mut self) {
        let network = self.world.mqtt().network.clone();
        match self.random.u8(..8) {
            0..=2 => {
                let random = &mut self.random;
                network.cut(|| random.bool());
            }
            3 => network.silence(),
            4 => network.set_dialing(Dialing::Hangs),
            5 => network.set_dialing(Dialing::Refused),
            6 => network.set_dialing(Dialing::Opens),
            _ => {
                let (latency, jitter) = (
                    self.seconds(&[0.0, 0.005, 0.2]),
                    self.seconds(&[0.0, 0.01, 1.0]),
                );
                network.set_delay(latency, jitter);
            }
        }
    }

    fn disturb_device(&mut self, device: usize) {
        match self.random.u8(..4) {
            0 => self.world.link.conditions.loss = 1.0,
            1 => {
                self.reconnects += 1;
                self.world.connect(device);
            }
            _ => {
                self.world.link.conditions = Conditions {
                    jitter: self.seconds(&[0.0, 0.1, 2.0]),
                    duplication: *self.random.choice(&[0.0, 0.2]).unwrap(),
                    ..Conditions::losing(*self.random.choice(&[0.0, 0.1, 0.3]).unwrap())
                };
            }
        }
    }

    /// Ends all faults, and has all devices observe.
    fn heal(&mut self) {
        self.set(|settings| *settings = MqttSettings::default());
        self.world.mqtt().at_thingsboard(|control| {
            control.deaden_subscriptions(0);
            control.delay_attribute_changes(0, Duration::ZERO);
        });
        self.world.mqtt().network.set_dialing(Dialing::Opens);
        self.world.mqtt().network.set_delay(5 * MS, Duration::ZERO);
        self.restore_tokens();
        self.world.link.conditions = Conditions::GOOD;
        // The longest back-off, a dead session, a notification that is given up.
        self.world.run_for(5 * MINUTE);
        for device in 0..DEVICES {
            let post = self.world.post(device, CON);
            self.world.run_for(2 * MINUTE);
            if !self.world.devices[device].outcome(post).is(Code::CREATED) {
                self.reconnects += usize::from(self.is_lossy);
                self.world.connect(device);
                self.world.connect_again_until(self.world.now + MINUTE);
            }
        }
        // A lossy network may have lost the end of an observation.
        self.observe_all(self.is_lossy);
        for device in 0..DEVICES {
            self.world.post(device, CON);
        }
        self.world
            .run_for(self.world.settings.relay.sync_interval + MINUTE);
    }

    fn check(&self) {
        let world = &self.world;
        for device in 0..DEVICES {
            let observation = world.devices[device].observation(Kind::Attributes);
            let known = &observation.unwrap().state;
            assert_eq!(*known, world.shared(device), "device {device}");
        }
        let times = world.executions();
        let repeats: usize = times.values().map(|times| times - 1).sum();
        let given_up = world.core.counters().coap.notifications_given_up;
        let may_repeat = usize::try_from(given_up).unwrap() + self.reconnects;
        assert!(
            repeats <= may_repeat && (self.is_lossy || repeats == 0),
            "{repeats} repeats, {may_repeat}: {times:?}"
        );
        for (number, (command, device)) in &self.commands {
            let is_executed = times.contains_key(number);
            // A Non-confirmable notification may be lost.
            let may_be_lost = self.is_lossy && self.kinds[*device] == NON;
            match world.status(*command) {
                // Or ThingsBoard took the reply to a command from before its restart for one to this.
                RpcStatus::Delivered | RpcStatus::Successful => {
                    let is_known = is_executed || self.restarts > 0 || may_be_lost;
                    assert!(is_known, "{number} is lost");
                }
                // ThingsBoard does not send it again.
                RpcStatus::Failed => {}
                // Nor these, if it has restarted since.
                RpcStatus::Sent | RpcStatus::Timeout if self.restarts > 0 => {}
                status => panic!("{number} is {status:?}, executed: {is_executed}"),
            }
        }
        self.check_posts();
    }

    /// A device is told 2.01 only of what ThingsBoard has, and its posts are in order if its network keeps their order.
    fn check_posts(&self) {
        let mut arrived: HashMap<u64, Vec<u64>> = HashMap::new();
        for post in &self.world.upstream.posts {
            let body: Value = serde_json::from_slice(&post.body).unwrap();
            let number = |key: &str| body[key].as_u64().unwrap();
            arrived
                .entry(number("device"))
                .or_default()
                .push(number("message"));
        }
        for (device, simulated) in (0..).zip(&self.world.devices) {
            let arrived = arrived.remove(&device).unwrap_or_default();
            assert!(self.is_lossy || arrived.is_sorted(), "{arrived:?}");
            for (number, outcome) in (0..).zip(simulated.outcomes()) {
                if outcome.is(Code::CREATED) && simulated.is_post(number) {
                    let number = u64::try_from(number).unwrap();
                    assert!(arrived.contains(&number), "{number} of device {device}");
                }
            }
        }
    }

    /// Asserts that nothing is left once the devices are gone.
    fn check_end(&mut self) {
        for device in &mut self.world.devices {
            device.switch_off();
        }
        let alive_for = self.world.settings.relay.alive_for;
        self.world.run_for(alive_for + 3 * MINUTE);
        assert_eq!(self.world.mqtt().connections(), (0, 0));
        assert_eq!(self.world.mqtt().network.open(), 0);
        let counts = |world: &World| [0, 1, 2].map(|device| world.counts(device));
        let before = counts(&self.world);
        self.world.run_for(3 * HOUR);
        assert_eq!(counts(&self.world), before, "nothing more is sent");
        assert_eq!(self.world.mqtt().calls(), [0; 3]);
    }
}

fn run_all(is_lossy: bool) {
    for seed in seeds(RUNS) {
        let guard = Seed(seed);
        let mut run = Run::new(guard.0, is_lossy);
        for _ in 0..EVENTS {
            run.step();
        }
        run.heal();
        run.check();
        run.check_end();
    }
}

#[test]
fn whatever_happens_to_thingsboard_each_command_is_executed_once_and_states_agree() {
    run_all(false);
}

#[test]
fn whatever_happens_to_devices_as_well_no_command_is_lost_and_states_agree() {
    run_all(true);
}
