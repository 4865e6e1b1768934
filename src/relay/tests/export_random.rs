//! Random runs of a relay that is killed and goes on, against a model of ThingsBoard's polls for attributes and of a device.

use super::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const ATTRIBUTES: Kind = Kind::Attributes;
const STEPS: usize = 1500;

struct Run {
    world: World,
    random: fastrand::Rng,
    /// Whether what is stored may be older than the relay that is killed.
    stores_late: bool,
    stored: Option<Vec<u8>>,
    /// In ThingsBoard. No value comes twice.
    attributes: BTreeMap<String, u32>,
    last_value: u32,
    /// Keys that the device was notified of since the relay was stored.
    notified_since: BTreeSet<String>,
    /// What the device has confirmed.
    device: BTreeMap<String, u32>,
    /// Polls that are open, and when they run out.
    polls: BTreeMap<u64, Instant>,
    /// The read that has begun, and what it brings.
    read: Option<(u64, String)>,
    in_flight: Option<Notified>,
    /// How often the device has confirmed each value.
    confirmed: HashMap<u32, usize>,
    kills: usize,
}

impl Run {
    fn new(seed: u64, stores_late: bool) -> Run {
        let mut run = Run {
            world: World::new(),
            random: fastrand::Rng::with_seed(seed),
            stores_late,
            stored: None,
            attributes: BTreeMap::new(),
            last_value: 0,
            notified_since: BTreeSet::new(),
            device: BTreeMap::new(),
            polls: BTreeMap::new(),
            read: None,
            in_flight: None,
            confirmed: HashMap::new(),
            kills: 0,
        };
        let effects = run.world.register_attributes(FIRST, "{}");
        run.carry_out(effects);
        run.store();
        run
    }

    fn state(&self) -> String {
        serde_json::to_string(&self.attributes).unwrap()
    }

    fn carry_out(&mut self, effects: Vec<RelayEffect>) {
        for effect in effects {
            match effect {
                RelayEffect::Downlink(Effect::OpenPoll(ATTRIBUTES, number, timeout)) => {
                    self.polls.insert(number, self.world.now + timeout);
                }
                RelayEffect::ReadAttributes(number) => self.read = Some((number, self.state())),
                RelayEffect::Notify {
                    number, payload, ..
                } => {
                    // The endpoint sends it in place of the one before.
                    let body = String::from_utf8(payload.to_vec()).unwrap();
                    let keys: BTreeMap<String, serde_json::Value> =
                        serde_json::from_str(&body).unwrap();
                    self.notified_since.extend(keys.into_keys());
                    self.in_flight = Some((number, body));
                }
                RelayEffect::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if !self.stores_late {
            self.store();
        }
    }

    fn store(&mut self) {
        self.stored = self.world.export();
        self.notified_since.clear();
    }

    /// The process is killed, and another begins some time later.
    fn kill(&mut self) {
        self.kills += 1;
        self.polls.clear();
        (self.read, self.in_flight) = (None, None);
        let later = MS * self.random.u32(0..60_000);
        self.world.now += later / 2;
        for _ in 0..self.random.usize(0..4) {
            self.change();
        }
        self.world.now += later / 2;
        self.world.restore(self.stored.as_deref());
        let effects = self.world.event(|_, _, _| {});
        self.carry_out(effects);
    }

    /// A tenant sets or deletes an attribute.
    fn change(&mut self) {
        let key = format!("key-{}", self.random.u8(0..6));
        // A key that the device was notified of first since the relay was stored is not known after a kill: if it is deleted
        // until then, nothing shows that the device has it.
        let may_delete = self.attributes.contains_key(&key) && !self.notified_since.contains(&key);
        let update = if may_delete && self.random.bool() {
            self.attributes.remove(&key);
            format!(r#"{{"deleted":["{key}"]}}"#)
        } else {
            self.last_value += 1;
            self.attributes.insert(key.clone(), self.last_value);
            format!(r#"{{"{key}":{}}}"#, self.last_value)
        };
        // Without a poll that is open, ThingsBoard drops it.
        for (number, _) in std::mem::take(&mut self.polls) {
            let effects = self.world.poll_brings(ATTRIBUTES, number, &update);
            self.carry_out(effects);
        }
    }

    fn read_ends(&mut self) {
        if let Some((number, begun)) = self.read.take() {
            let state = match self.random.bool() {
                true => begun,
                false => self.state(),
            };
            let body = format!(r#"{{"shared":{state}}}"#);
            let effects = self.world.read_brings(number, &body);
            self.carry_out(effects);
        }
    }

    fn device_acknowledges(&mut self) {
        let Some((number, body)) = self.in_flight.take() else {
            return;
        };
        let notified: BTreeMap<String, serde_json::Value> = serde_json::from_str(&body).unwrap();
        for (key, value) in notified {
            match value {
                serde_json::Value::Array(deleted) => {
                    for key in deleted {
                        self.device.remove(key.as_str().unwrap());
                    }
                }
                value => {
                    let value = u32::try_from(value.as_u64().unwrap()).unwrap();
                    *self.confirmed.entry(value).or_default() += 1;
                    self.device.insert(key, value);
                }
            }
        }
        self.world.last_received = self.world.now;
        let effects = self.world.delivered(FIRST, number);
        self.carry_out(effects);
    }

    fn device_is_away(&mut self) {
        if self.in_flight.take().is_some() {
            let effects = self
                .world
                .event(|relay, _, context| relay.delivery_failed(FIRST, context));
            self.carry_out(effects);
        }
    }

    fn device_sends(&mut self) {
        self.world.last_received = self.world.now;
        let effects = self
            .world
            .event(|relay, now, context| relay.received(now, FIRST.session, context));
        self.carry_out(effects);
    }

    fn time_passes(&mut self, at_most: u32) {
        let end = self.world.now + MS * self.random.u32(0..at_most);
        while self.world.now < end {
            let next = self.polls.iter().map(|(number, at)| (*at, *number)).min();
            let until = next.map_or(end, |(at, _)| at.min(end));
            let effects = match next {
                Some((at, number)) if at <= self.world.now => {
                    self.polls.remove(&number);
                    self.world
                        .poll_ends(ATTRIBUTES, number, Err(Error::Elapsed))
                }
                _ => self.world.wait(until - self.world.now),
            };
            self.carry_out(effects);
        }
    }

    fn step(&mut self) {
        match self.random.u32(0..24) {
            0..=4 => self.change(),
            5..=8 => self.read_ends(),
            9..=13 => self.device_acknowledges(),
            14 => self.device_is_away(),
            15 | 16 => self.device_sends(),
            17..=19 => self.time_passes(2000),
            20 | 21 => self.time_passes(30_000),
            22 => self.store(),
            _ => self.kill(),
        }
    }

    fn complete(seed: u64, stores_late: bool) -> Run {
        let mut run = Run::new(seed, stores_late);
        for _ in 0..STEPS {
            run.step();
        }
        for _ in 0..20 {
            run.device_sends();
            run.time_passes(2000);
            run.read_ends();
            run.device_acknowledges();
        }
        assert!(run.kills > 30 && run.last_value > 150, "seed {seed}");
        assert_eq!(run.device, run.attributes, "seed {seed}");
        run
    }
}

#[test]
fn no_change_is_lost_whenever_the_process_is_killed() {
    for seed in 0..40 {
        Run::complete(seed, true);
    }
}

#[test]
fn nothing_that_was_confirmed_and_stored_is_notified_again() {
    for seed in 40..80 {
        let run = Run::complete(seed, false);
        let twice = run.confirmed.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "seed {seed}");
    }
}
