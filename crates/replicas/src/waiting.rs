//! Datagrams that wait: for the store, or for another node to acknowledge them.

use crate::id::{Name, Owner};
use crate::path::Route;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

/// How often a datagram is passed on: once to the node that is likely to have its session, and once more to the one that
/// the store names.
const MAX_HOPS: u8 = 2;

/// A datagram that waits.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) route: Route,
    pub(crate) datagram: Vec<u8>,
    until: Instant,
    hops: u8,
    hopped_to: Option<Owner>,
}

impl Kept {
    /// Whether it may be sent to this node. Each time it is taken for sent.
    pub(crate) fn hop(&mut self, to: Owner) -> bool {
        if self.hops >= MAX_HOPS || self.hopped_to == Some(to) || self.route.via.is_some() {
            return false;
        }
        self.hops = self.hops.saturating_add(1);
        self.hopped_to = Some(to);
        true
    }
}

/// The datagrams of one session.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) kept: VecDeque<Kept>,
    /// A claim is in flight.
    pub(crate) is_claimed: bool,
    next: Option<Instant>,
}

/// All datagrams that wait.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    max: usize,
    max_of_session: usize,
    count: usize,
    last_id: u64,
    names: HashMap<Name, Waiting>,
    ids: HashMap<u64, Name>,
    due: BTreeSet<(Instant, Name)>,
}

impl WaitingRoom {
    pub(crate) fn new(max: usize, max_of_session: usize) -> WaitingRoom {
        WaitingRoom {
            max,
            max_of_session: max_of_session.max(1),
            count: 0,
            last_id: 0,
            names: HashMap::new(),
            ids: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Keeps a datagram. Returns how many were dropped for it, or it itself.
    pub(crate) fn push(
        &mut self,
        name: Name,
        route: Route,
        datagram: Vec<u8>,
        until: Instant,
    ) -> u64 {
        let mut dropped = 0;
        let waiting = self.names.entry(name).or_default();
        while waiting.kept.len() >= self.max_of_session
            && let Some(oldest) = waiting.kept.pop_front()
        {
            self.ids.remove(&oldest.id);
            self.count = self.count.saturating_sub(1);
            dropped += 1;
        }
        if self.count >= self.max {
            self.forget_if_empty(name);
            return dropped + 1;
        }
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        waiting.kept.push_back(Kept {
            id,
            route,
            datagram,
            until,
            hops: 0,
            hopped_to: None,
        });
        self.count += 1;
        self.ids.insert(id, name);
        dropped
    }

    pub(crate) fn get_mut(&mut self, name: Name) -> Option<&mut Waiting> {
        self.names.get_mut(&name)
    }

    /// The name whose datagram has this id.
    pub(crate) fn name_of(&self, id: u64) -> Option<Name> {
        self.ids.get(&id).copied()
    }

    /// Another node has this datagram.
    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(name) = self.ids.remove(&id)
            && let Some(waiting) = self.names.get_mut(&name)
        {
            let before = waiting.kept.len();
            waiting.kept.retain(|kept| kept.id != id);
            self.count = self.count.saturating_sub(before - waiting.kept.len());
            self.forget_if_empty(name);
        }
    }

    /// Drops datagrams that have waited for too long. Returns how many.
    pub(crate) fn drop_expired(&mut self, now: Instant, name: Name) -> u64 {
        let mut dropped = 0;
        if let Some(waiting) = self.names.get_mut(&name) {
            while let Some(oldest) = waiting.kept.front()
                && oldest.until <= now
            {
                self.ids.remove(&oldest.id);
                waiting.kept.pop_front();
                self.count = self.count.saturating_sub(1);
                dropped += 1;
            }
            self.forget_if_empty(name);
        }
        dropped
    }

    /// Takes all datagrams of a session.
    pub(crate) fn take(&mut self, name: Name) -> VecDeque<Kept> {
        let Some(waiting) = self.names.get_mut(&name) else {
            return VecDeque::new();
        };
        let kept = std::mem::take(&mut waiting.kept);
        for kept in &kept {
            self.ids.remove(&kept.id);
        }
        self.count = self.count.saturating_sub(kept.len());
        self.forget_if_empty(name);
        kept
    }

    /// A claim is sent, for which an entry is there even if no datagram waits. `false`: one is in flight already.
    pub(crate) fn claim(&mut self, name: Name) -> bool {
        self.set_next(name, None);
        let waiting = self.names.entry(name).or_default();
        !std::mem::replace(&mut waiting.is_claimed, true)
    }

    /// A claim is answered.
    pub(crate) fn claimed(&mut self, name: Name) {
        if let Some(waiting) = self.names.get_mut(&name) {
            waiting.is_claimed = false;
            self.forget_if_empty(name);
        }
    }

    /// Whether a claim is in flight.
    pub(crate) fn is_claimed(&self, name: Name) -> bool {
        self.names
            .get(&name)
            .is_some_and(|waiting| waiting.is_claimed)
    }

    /// When something is to be done about these datagrams.
    pub(crate) fn set_next(&mut self, name: Name, next: Option<Instant>) {
        let Some(waiting) = self.names.get_mut(&name) else {
            return;
        };
        if let Some(at) = std::mem::replace(&mut waiting.next, next) {
            self.due.remove(&(at, name));
        }
        if let Some(at) = next {
            self.due.insert((at, name));
        }
    }

    /// The next name that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Name> {
        let (_, name) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.set_next(name, None);
        Some(name)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    fn forget_if_empty(&mut self, name: Name) {
        let is_empty = self
            .names
            .get(&name)
            .is_some_and(|waiting| waiting.kept.is_empty() && !waiting.is_claimed);
        if is_empty {
            self.set_next(name, None);
            self.names.remove(&name);
        }
    }
}
