//! What must hold after each event and at the end of a run, and how a failure is described.

use super::checks::Exception;
use super::gateway::Gateway;
use super::world::World;
use crate::id::SessionKey;
use crate::replica::Counters;
use std::time::{Duration, Instant};

impl World {
    pub(super) fn check_that_one_serves(&mut self, node: usize) {
        let now = self.now;
        if self.gateways[node].replica.is_store_away() {
            self.last_away = now;
        }
        self.checks.detached += u64::from(self.gateways[node].replica.is_detached(now));
        if self.forgets || !self.gateways[node].is_alive {
            return;
        }
        let serves = |gateway: &Gateway, key: SessionKey| {
            gateway.is_alive
                && gateway.stalled_until <= now
                && gateway.sessions.contains_key(&key)
                && gateway.replica.serves(now, key)
        };
        let me = &self.gateways[node];
        for key in me.sessions.keys().filter(|key| serves(me, **key)) {
            for (other, gateway) in self.gateways.iter().enumerate() {
                if other == node || !serves(gateway, *key) {
                    continue;
                }
                let is_unknown = |a: &Gateway, b: &Gateway| {
                    a.replica.is_detached(now) && !a.replica.knows(&b.replica)
                };
                assert!(
                    is_unknown(me, gateway) || is_unknown(gateway, me),
                    "{key:?} is served by {node} and {other}, seed {}: {}",
                    self.seed,
                    self.describe(*key)
                );
                self.checks.exceptions.push((*key, Exception::UnknownNode));
            }
        }
    }

    /// Whether this node has polls and subscriptions for the session's device.
    fn follows(&self, node: usize, key: SessionKey) -> bool {
        let gateway = &self.gateways[node];
        gateway.is_alive
            && gateway.stalled_until <= self.now
            && gateway.followed.contains(&key)
            && gateway.replica.serves(self.now, key)
    }

    /// The nodes that follow this device, and by which of its sessions.
    fn followers(&self, device: usize) -> Vec<(usize, SessionKey)> {
        let mut followers = Vec::new();
        for (node, gateway) in self.gateways.iter().enumerate() {
            for (key, session) in &gateway.sessions {
                if session.device == device && self.follows(node, *key) {
                    followers.push((node, *key));
                }
            }
        }
        followers
    }

    /// Called when a node begins to follow the session's device.
    pub(super) fn check_that_one_follows(&mut self, node: usize, key: SessionKey) {
        let me = &self.gateways[node];
        let Some(session) = me.sessions.get(&key) else {
            panic!("{key:?} is followed but is not there, seed {}", self.seed);
        };
        if self.forgets || !self.follows(node, key) {
            return;
        }
        let followers = self.followers(session.device);
        for (other, its) in followers.into_iter().filter(|(other, _)| *other != node) {
            let gateway = &self.gateways[other];
            let is_unknown = |a: &Gateway, b: &Gateway| {
                a.replica.is_detached(self.now) && !a.replica.knows(&b.replica)
            };
            // The store has not been able to say anything about a session that is not there.
            // Nor about one beside which its node had another one of the device, until it is saved.
            let is_excused = !me.replica.is_protected(key)
                || !gateway.replica.is_protected(its)
                || self.had_others.contains(&its);
            assert!(
                is_excused || is_unknown(me, gateway) || is_unknown(gateway, me),
                "a device is followed by {node} with {key:?} and by {other} with {its:?}, seed {}: {}\nand {}",
                self.seed,
                self.describe(key),
                self.describe(its)
            );
        }
    }

    /// Each device is followed by the one node that has its session.
    pub(super) fn check_that_all_are_followed(&self) {
        for (number, device) in self.devices.iter().enumerate() {
            if !device.was_protected {
                continue;
            }
            let followers = self.followers(number);
            let mut nodes: Vec<usize> = followers.iter().map(|(node, _)| *node).collect();
            nodes.dedup();
            let is_its = followers.iter().any(|(_, key)| *key == device.key);
            // A store that forgets may forget that a session was superseded.
            let is_one = nodes.len() == 1 || self.forgets;
            assert!(
                is_one && is_its,
                "device {number} with {:?} is followed by {followers:?}, seed {}: {}",
                device.key,
                self.seed,
                self.describe(device.key)
            );
        }
    }

    /// Remembers what has happened to a session, for messages.
    pub(super) fn note(&mut self, key: SessionKey, node: usize, what: String) {
        let notes = self.notes.entry(key).or_default();
        if notes.len() > 30 {
            notes.pop_front();
        }
        let at = (self.now - self.begin).as_secs_f32();
        notes.push_back(format!("\n  {at:.3} node {node} {what}"));
    }

    /// Where a session is, and what has happened to it, for messages.
    pub(super) fn describe(&self, key: SessionKey) -> String {
        let notes = self.notes.get(&key).into_iter().flatten();
        let mut text: String = notes.map(String::as_str).collect();
        text += &format!("\nin the store {:?}", self.store.owner_of(key));
        for (node, gateway) in self.gateways.iter().enumerate() {
            let replica = &gateway.replica;
            let since = |at: Option<Instant>| at.map(|at| (at - self.begin).as_secs_f32());
            text += &format!(
                "\nnode {node}, alive {}, joined {:?}, renewed {:?}, detached {}, knows {:?}, stalled {:?}, is {:?}, ready {}, away {}: {}",
                gateway.is_alive,
                since(replica.joined()),
                since(replica.renewed()),
                replica.is_detached(self.now),
                (0..self.gateways.len())
                    .filter(|other| replica.knows(&self.gateways[*other].replica))
                    .collect::<Vec<_>>(),
                gateway.stalled_until.checked_duration_since(self.now),
                replica.owner(),
                replica.is_ready(self.now),
                replica.is_store_away(),
                replica.describe(self.now, key)
            );
        }
        text
    }

    /// Whether this node serves by promises, and another one that it doesn't know may have taken the session over: the case
    /// in which two nodes serve a session. The other one may be stalled, or dead already.
    pub(super) fn is_owner_unknown_to(&self, node: usize) -> bool {
        let me = &self.gateways[node].replica;
        let mut others = self.gateways.iter();
        me.is_detached(self.now)
            && others
                .any(|other| other.replica.joined() > me.renewed() && !me.knows(&other.replica))
    }

    pub(super) fn exceptions(&self, exception: Exception) -> usize {
        let exceptions = self.checks.exceptions.iter();
        exceptions.filter(|(_, other)| *other == exception).count()
    }

    pub(super) fn check_that_all_are_served(&self, within: Duration) {
        for (number, device) in self.devices.iter().enumerate() {
            if !device.was_protected {
                // Its node has died before the store had its session: it will shake hands.
                continue;
            }
            let passed = self.now - device.last_answer;
            assert!(
                passed <= within,
                "device {number} with {:?} has no answer for {passed:?}, seed {}: {}",
                device.key,
                self.seed,
                self.describe(device.key)
            );
        }
    }

    pub(super) fn check_that_all_are_protected(&self) {
        for (number, device) in self.devices.iter().enumerate() {
            assert!(device.was_protected, "device {number}, seed {}", self.seed);
            assert!(self.store.owner_of(device.key).is_some());
        }
    }

    /// How many sessions this node serves.
    pub(super) fn served_by(&self, node: usize) -> usize {
        let gateway = &self.gateways[node];
        let keys = gateway.sessions.keys();
        keys.filter(|key| gateway.replica.serves(self.now, **key))
            .count()
    }

    pub(super) fn handshakes(&self) -> u32 {
        self.devices.iter().map(|device| device.handshakes).sum()
    }

    /// The counters of all nodes, dead ones included.
    pub(super) fn sums(&self) -> Counters {
        let mut sums = Counters::default();
        for gateway in &self.gateways {
            let counters = gateway.replica.counters();
            sums.taken_over += counters.taken_over;
            sums.lost += counters.lost;
            sums.superseded += counters.superseded;
            sums.claims += counters.claims;
            sums.forwarded += counters.forwarded;
            sums.bad_frames += counters.bad_frames;
            sums.bad_rows += counters.bad_rows;
            sums.strangers += counters.strangers;
        }
        sums
    }
}
