//! Random runs of a relay whose commands are pushed, against a model of ThingsBoard's persistent commands: each is kept until
//! it is acknowledged, and sent again at each subscription.

use super::*;
use crate::downlink::{Acknowledgement, ConnectionId};
use std::collections::{BTreeMap, HashMap};

const COMMANDS: Kind = Kind::Commands;
const STEPS: usize = 2000;

struct Run {
    world: World,
    random: fastrand::Rng,
    /// Commands that ThingsBoard has not had acknowledged.
    pending: BTreeMap<u32, String>,
    last_id: u32,
    /// The connection, if there is one. Packet identifiers begin at 1 on each.
    connection: Option<u64>,
    last_connection: u64,
    /// What was sent on it.
    packets: HashMap<u16, u32>,
    /// The subscription that the relay wants.
    wanted: Option<u64>,
    is_granted: bool,
    in_flight: Option<(u64, String)>,
    /// How often the device has acknowledged each command.
    delivered: HashMap<String, usize>,
    kills: Kills,
    stored: Option<Vec<u8>>,
}

/// Whether the process is killed, and how old what it goes on with may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kills {
    Never,
    /// The relay is stored after each event.
    StoredAtOnce,
    /// It is stored from time to time.
    StoredLate,
}

impl Run {
    fn new(seed: u64, kills: Kills) -> Run {
        let mut run = Run {
            world: World::of_form(Form::Push, Settings::default()),
            random: fastrand::Rng::with_seed(seed),
            pending: BTreeMap::new(),
            last_id: 0,
            connection: None,
            last_connection: 0,
            packets: HashMap::new(),
            wanted: None,
            is_granted: false,
            in_flight: None,
            delivered: HashMap::new(),
            kills,
            stored: None,
        };
        let effects = run.world.register_commands(FIRST);
        run.carry_out(effects);
        run.stored = run.world.export();
        run
    }

    fn carry_out(&mut self, effects: Vec<RelayEffect>) {
        for effect in effects {
            match effect {
                RelayEffect::Downlink(Effect::Subscribe(COMMANDS, number)) => {
                    let is_renewal = self.is_granted;
                    assert!(self.wanted.is_none() || is_renewal);
                    (self.wanted, self.is_granted) = (Some(number), false);
                }
                RelayEffect::Downlink(Effect::Unsubscribe(COMMANDS)) => {
                    assert!(self.wanted.is_some());
                    (self.wanted, self.is_granted) = (None, false);
                }
                RelayEffect::Downlink(Effect::Acknowledge(acknowledgement)) => {
                    let ConnectionId(connection) = acknowledgement.connection;
                    assert_eq!(Some(connection), self.connection, "of a lost connection");
                    let id = self.packets.remove(&acknowledgement.packet);
                    self.pending.remove(&id.expect("acknowledged twice"));
                }
                RelayEffect::Notify {
                    number, payload, ..
                } => {
                    let body = String::from_utf8(payload.to_vec()).unwrap();
                    self.in_flight = Some((number, body));
                }
                RelayEffect::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if self.kills == Kills::StoredAtOnce {
            self.stored = self.world.export();
        }
    }

    /// The process is killed, and another begins some time later.
    fn kill(&mut self) {
        (self.connection, self.wanted, self.in_flight) = (None, None, None);
        self.is_granted = false;
        self.packets.clear();
        self.world.now += MS * self.random.u32(0..600_000);
        self.world.restore(self.stored.as_deref());
        let effects = self.world.event(|_, _, _| {});
        self.carry_out(effects);
    }

    fn report(&mut self, event: Event<Message>) {
        let effects = self
            .world
            .event(|relay, now, context| relay.downlink_event(now, COMMANDS, event, context));
        self.carry_out(effects);
    }

    fn push(&mut self, id: u32) {
        let connection = self.connection.unwrap();
        let packet = (1..)
            .find(|packet| !self.packets.contains_key(packet))
            .unwrap();
        self.packets.insert(packet, id);
        let command = Command::pushed(id, self.pending[&id].as_bytes());
        let acknowledgement = Acknowledgement {
            connection: ConnectionId(connection),
            packet,
        };
        self.report(Event::Pushed(Message::Command(command), acknowledgement));
    }

    fn send_command(&mut self) {
        self.last_id += 1;
        self.pending
            .insert(self.last_id, format!(r#"{{"method":"m{}"}}"#, self.last_id));
        if self.is_granted && self.connection.is_some() {
            self.push(self.last_id);
        }
    }

    fn lose_connection(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.packets.clear();
            self.is_granted = false;
            self.report(Event::Interrupted(ConnectionId(connection)));
        }
    }

    /// Opens a connection if there is none, and grants the subscription. The first commands may overtake the grant.
    fn connect(&mut self) {
        let Some(number) = self.wanted.filter(|_| !self.is_granted) else {
            return;
        };
        if self.connection.is_none() {
            self.last_connection += 1;
            self.connection = Some(self.last_connection);
        }
        self.is_granted = true;
        let connection = ConnectionId(self.last_connection);
        let all: Vec<u32> = self.pending.keys().copied().collect();
        let early = self.random.usize(0..=all.len());
        for (index, id) in all.iter().enumerate() {
            if index == early {
                self.report(Event::Subscribed(number, connection));
            }
            self.push(*id);
        }
        if early == all.len() {
            self.report(Event::Subscribed(number, connection));
        }
    }

    fn device_acknowledges(&mut self) {
        if let Some((number, body)) = self.in_flight.take() {
            *self.delivered.entry(body).or_default() += 1;
            self.device_sends();
            let effects = self.world.delivered(FIRST, number);
            self.carry_out(effects);
        }
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

    fn time_passes(&mut self) {
        let end = self.world.now + MS * self.random.u32(0..30_000);
        while self.world.now < end {
            let effects = self.world.wait(end - self.world.now);
            self.carry_out(effects);
        }
    }

    fn step(&mut self) {
        let kinds = match self.kills {
            Kills::Never => 10,
            Kills::StoredAtOnce | Kills::StoredLate => 12,
        };
        match self.random.u32(0..kinds) {
            0 => self.send_command(),
            1 => self.lose_connection(),
            2 | 3 => self.connect(),
            4 | 5 => self.device_acknowledges(),
            6 => self.device_is_away(),
            7 => self.device_sends(),
            10 => self.stored = self.world.export(),
            11 if self.random.u8(0..4) == 0 => self.kill(),
            _ => self.time_passes(),
        }
    }
}

fn run(seed: u64, kills: Kills) -> Run {
    let mut run = Run::new(seed, kills);
    for _ in 0..STEPS {
        run.step();
    }
    for _ in 0..1000 {
        run.device_sends();
        run.time_passes();
        run.connect();
        run.device_acknowledges();
    }
    assert!(run.last_id > 100, "seed {seed}");
    assert_eq!(
        u32::try_from(run.delivered.len()),
        Ok(run.last_id),
        "seed {seed}: lost"
    );
    assert!(run.pending.is_empty(), "seed {seed}: {:?}", run.pending);
    run
}

fn assert_delivered_once(run: &Run, seed: u64) {
    let twice = run.delivered.iter().find(|(_, count)| **count > 1);
    assert_eq!(twice, None, "seed {seed}: delivered twice");
}

#[test]
fn every_command_is_delivered_once_and_acknowledged_whatever_is_lost() {
    for seed in 0..50 {
        assert_delivered_once(&run(seed, Kills::Never), seed);
    }
}

#[test]
fn every_command_is_delivered_once_by_processes_that_are_killed_and_had_stored_what_they_knew() {
    for seed in 50..80 {
        assert_delivered_once(&run(seed, Kills::StoredAtOnce), seed);
    }
}

#[test]
fn no_command_is_lost_by_processes_that_are_killed_and_had_not_stored_their_last_changes() {
    for seed in 80..110 {
        run(seed, Kills::StoredLate);
    }
}
