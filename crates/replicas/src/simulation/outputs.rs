//! What the gateways do with what their replicas say.

use super::device::Record;
use super::gateway::Session;
use super::world::{Event, World};
use crate::id::SessionKey;
use crate::path::Route;
use crate::replica::{Numbers, Output};
use std::time::Duration;

/// As an association counts.
fn next_number(numbers: Option<Numbers>) -> Option<u64> {
    let numbers = numbers?;
    match numbers.next < numbers.end {
        true => Some(numbers.next),
        false => numbers.next_block.map(|block| block.start),
    }
}

impl World {
    /// What a gateway's replica has to say.
    pub(super) fn after(&mut self, node: usize) {
        let now = self.now;
        while let Some(output) = self.gateways[node].replica.poll() {
            match output {
                Output::Call { ticket, call } => {
                    let at = (now + self.delay()).max(self.gateways[node].last_call);
                    self.gateways[node].last_call = at;
                    let connection = self.gateways[node].connection;
                    self.at(at - now, Event::Call(node, connection, ticket, call));
                }
                Output::Hop { to, bytes } => {
                    let to = self.gateways.iter().position(|other| other.address == to);
                    let delay = self.delay();
                    if !self.is_lost() {
                        self.at(delay, Event::Hop(node, to.unwrap(), bytes));
                    }
                }
                Output::Send { path, datagram } => {
                    let delay = self.delay() * 10;
                    let record = Record::decode(&datagram);
                    if !self.is_lost() {
                        self.at(delay, Event::Downlink(node, path, record));
                    }
                }
                output @ (Output::Deliver { .. }
                | Output::Restore { .. }
                | Output::Lost { .. }
                | Output::Superseded { .. }
                | Output::Write { .. }
                | Output::Saved { .. }
                | Output::NotSaved { .. }
                | Output::Unknown { .. }) => self.output(node, output),
                Output::Follow { key } => {
                    self.note(key, node, "follows".to_owned());
                    self.gateways[node].followed.insert(key);
                    self.check_that_one_follows(node, key);
                }
                Output::Suspended => self.gateways[node].followed.clear(),
                Output::Resumed => {}
            }
        }
        if let Some(at) = self.gateways[node].replica.next_timeout(now) {
            let at = at.max(now);
            if self.gateways[node].timer.is_none_or(|timer| at < timer) {
                self.gateways[node].timer = Some(at);
                self.at(at - now, Event::Timer(node));
            }
        }
        self.check_that_one_serves(node);
    }

    fn output(&mut self, node: usize, output: Output) {
        let now = self.now;
        let gateway = &mut self.gateways[node];
        match output {
            Output::Deliver {
                key,
                route,
                datagram,
            } => self.deliver(node, key, route, Record::decode(&datagram)),
            Output::Restore { key, row } => {
                let next = self.gateways[node].replica.describe(self.now, key);
                self.note(key, node, format!("restores {next}"));
                let gateway = &mut self.gateways[node];
                gateway.sessions.insert(key, Session::decode(&row));
            }
            Output::Lost { key } | Output::Superseded { key } => {
                self.note(key, node, "loses".to_owned());
                self.forget(node, key);
            }
            Output::Write { key } => {
                let row = gateway.sessions[&key].encode();
                gateway.replica.set_observes(key, true);
                gateway.replica.store(now, key, &row);
            }
            Output::Saved { key, save } => {
                if let Some(session) = gateway.sessions.get(&key) {
                    self.devices[session.device].was_protected |=
                        self.devices[session.device].key == key;
                }
                if let Some((key, message)) = gateway.saves.remove(&save) {
                    self.release(node, key, message, true);
                }
            }
            Output::NotSaved { save, .. } => {
                if let Some((key, message)) = gateway.saves.remove(&save) {
                    self.release(node, key, message, false);
                }
            }
            Output::Unknown { .. } => {}
            Output::Call { .. }
            | Output::Hop { .. }
            | Output::Send { .. }
            | Output::Follow { .. }
            | Output::Suspended
            | Output::Resumed => unreachable!(),
        }
    }

    /// A session has ended at this node. Others of its device are written.
    pub(super) fn forget(&mut self, node: usize, key: SessionKey) {
        let gateway = &mut self.gateways[node];
        gateway.followed.remove(&key);
        gateway.saves.retain(|_, (other, _)| *other != key);
        let Some(ended) = gateway.sessions.remove(&key) else {
            return;
        };
        for (other, session) in &gateway.sessions {
            if session.device == ended.device {
                self.had_others.insert(*other);
                gateway.replica.store(self.now, *other, &session.encode());
            }
        }
    }

    fn deliver(&mut self, node: usize, key: SessionKey, route: Route, record: Record) {
        assert!(self.gateways[node].replica.serves(self.now, key));
        let Some(session) = self.gateways[node].sessions.get_mut(&key) else {
            panic!("a datagram for a session that is not there");
        };
        // Another session's record, from the same address, does not authenticate.
        if record.key != key || !session.received.insert(record.number) {
            return;
        }
        if session.received.last() == Some(&record.number) {
            session.route = Some(route);
        }
        let message = record.message;
        if session.released.contains(&message) {
            self.send(node, key, message);
        } else if session.answered.contains(&message) {
            self.answer(node, key, message);
        } else if session.forwarded.insert(message) {
            let is_again = self.checks.forward((key, message));
            assert!(
                self.forgets || !is_again || self.is_owner_unknown_to(node),
                "{message} of {key:?} is forwarded again by {node}, seed {}: {}",
                self.seed,
                self.describe(key)
            );
            self.note(key, node, format!("forwards {message}"));
            let delay = Duration::from_millis(self.random.u64(2..80));
            self.at(delay, Event::Upstream(node, key, message));
        }
    }

    /// ThingsBoard has answered: the row says so before the answer leaves.
    pub(super) fn answer(&mut self, node: usize, key: SessionKey, message: u64) {
        let gateway = &mut self.gateways[node];
        if !gateway.saves.values().any(|save| *save == (key, message)) {
            let row = gateway.sessions[&key].encode();
            let save = gateway.replica.store(self.now, key, &row);
            gateway.saves.insert(save, (key, message));
        }
    }

    fn release(&mut self, node: usize, key: SessionKey, message: u64, is_saved: bool) {
        let gateway = &mut self.gateways[node];
        if !gateway.replica.serves(self.now, key) {
            return;
        }
        if let Some(session) = gateway.sessions.get_mut(&key) {
            session.released.insert(message);
            if is_saved {
                self.checks.answer(self.now, (key, message));
            }
            self.note(key, node, format!("answers {message}, saved: {is_saved}"));
            self.send(node, key, message);
        }
    }

    fn send(&mut self, node: usize, key: SessionKey, message: u64) {
        let gateway = &mut self.gateways[node];
        if let Some(route) = gateway.sessions.get(&key).and_then(|session| session.route)
            && let Some(number) = next_number(gateway.replica.numbers(key))
        {
            gateway.replica.used(key, number + 1);
            let record = Record {
                key,
                number,
                message,
            };
            gateway.replica.send(route, record.encode());
            let is_new = self.checks.number(key, number);
            assert!(
                is_new,
                "number {number} of {key:?} is used twice, by {node}, seed {}: {}",
                self.seed,
                self.describe(key)
            );
        }
    }

    /// Something is pushed to each session.
    pub(super) fn push(&mut self, node: usize) {
        let keys: Vec<SessionKey> = self.gateways[node].sessions.keys().copied().collect();
        for key in keys {
            if self.gateways[node].replica.serves(self.now, key) {
                self.send(node, key, 0);
            } else {
                self.gateways[node].replica.confirm(self.now, key);
            }
        }
        self.after(node);
        self.at(Duration::from_millis(700), Event::Push(node));
    }
}
