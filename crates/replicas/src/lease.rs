//! The lease of this node: whether it may serve its sessions, and take over those of others.
//!
//! ```text
//!  none ──Leased──▶ valid ──renewed each second──▶ valid
//!                     │ the store can't be reached
//!                     ▼
//!                  away: asks all other members for promises; goes on while its lease is valid,
//!                     │  or all of them have promised
//!                     ▼
//!                  suspended: serves no session that another node could have taken over
//!                     │ Leased
//!                     ▼
//!                  valid; where the lease had ended in the store: in another *epoch*, and each session is confirmed
//!                         there before it is served again
//! ```
//!
//! The node takes its lease for ended a margin earlier than the store does, as it counts from when it sent the call. So at
//! no time two nodes serve one session, as far as leases go.
//!
//! # The store is away
//!
//! A node that can't reach the store can't know whether the others can. If they can't, nobody takes anything over, and it may
//! go on for as long as that lasts. So it asks each member of the list that it got last. A member that can't reach the store
//! either promises to take over nothing for [`Settings::promise`]; it keeps that when the store is back at once. The promise
//! is counted from when it was asked for.
//!
//! A member that is dead, or that can't be reached either, promises nothing: then the node is suspended at the end
//! of its lease. It can't know that it isn't the other one that has the store.
//!
//! A node that got its lease later than that list was read is not asked, as it is not known. Therefore it takes over nothing
//! for [`Settings::join`], in which all that reach the store renew their leases and get it into their lists. What is left: a node
//! that is cut off from the store, together with *all* that it knows, for longer than that, while one that it doesn't know is
//! not. Then both serve, with different send numbers, until it reaches the store again.

use crate::id::{Instance, Member, Node, Owner};
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How many requests for promises may be unanswered.
const MAX_ASKS: usize = 8;

#[derive(Debug)]
pub(crate) struct Lease {
    settings: Settings,
    instance: Instance,
    owner: Option<Owner>,
    has_stopped: bool,
    /// When it ends, as this node counts.
    until: Option<Instant>,
    renewed: Option<Instant>,
    joined: Option<Instant>,
    epoch: u64,
    store: u64,
    /// The store's clock when the lease was renewed.
    time: u64,
    members: Vec<Member>,
    is_away: bool,
    /// When the next call is due. `None`: one is in flight, or the node has stopped.
    next_call: Option<Instant>,
    next_ask: Option<Instant>,
    asked: VecDeque<(u64, Instant)>,
    last_ask: u64,
    /// Until when each member takes nothing over.
    promises: BTreeMap<Instance, Instant>,
    /// Until when this node takes nothing over.
    promised: Option<Instant>,
    /// From whom this node has taken sessions over since its list of members was read.
    taken_from: BTreeSet<Owner>,
}

/// What the store has said about the lease.
pub(crate) struct Leased {
    pub(crate) owner: Owner,
    pub(crate) is_new: bool,
    pub(crate) store: u64,
    pub(crate) time: u64,
    pub(crate) members: Vec<Member>,
}

impl Lease {
    pub(crate) fn new(now: Instant, settings: Settings, instance: Instance) -> Lease {
        Lease {
            settings,
            instance,
            owner: None,
            has_stopped: false,
            until: None,
            renewed: None,
            joined: None,
            epoch: 0,
            store: 0,
            time: 0,
            members: Vec::new(),
            is_away: false,
            next_call: Some(now),
            next_ask: None,
            asked: VecDeque::new(),
            last_ask: 0,
            promises: BTreeMap::new(),
            promised: None,
            taken_from: BTreeSet::new(),
        }
    }

    pub(crate) const fn owner(&self) -> Option<Owner> {
        self.owner
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn store(&self) -> u64 {
        self.store
    }

    /// The store's clock now, in seconds.
    pub(crate) fn store_time(&self, now: Instant) -> u64 {
        let passed = self.renewed.map(|at| now.saturating_duration_since(at));
        self.time
            .saturating_add(passed.map_or(0, |passed| passed.as_secs()))
    }

    pub(crate) const fn is_away(&self) -> bool {
        self.is_away
    }

    /// When the lease was last renewed, as far as this node knows.
    pub(crate) const fn renewed(&self) -> Option<Instant> {
        self.renewed
    }

    /// Since when it is in the list of members without a break.
    pub(crate) const fn joined(&self) -> Option<Instant> {
        self.joined
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = &Member> {
        let me = self.instance;
        self.members
            .iter()
            .filter(move |member| member.instance != me)
    }

    pub(crate) fn member(&self, owner: Owner) -> Option<Member> {
        self.others().find(|member| member.owner == owner).copied()
    }

    pub(crate) fn instance(&self, instance: Instance) -> Option<Member> {
        self.others()
            .find(|member| member.instance == instance)
            .copied()
    }

    pub(crate) fn node(&self, node: Node) -> Option<Member> {
        self.others()
            .find(|member| member.owner.node == node)
            .copied()
    }

    /// Whether the store may be called: it accepts calls under a valid lease alone.
    pub(crate) fn may_call(&self, now: Instant) -> bool {
        !self.is_away && self.is_valid(now)
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    /// When the lease ends, as far as this node knows.
    pub(crate) const fn ends(&self) -> Option<Instant> {
        self.until
    }

    /// When the first promise ends by which alone this node serves.
    pub(crate) fn promises_end(&self, now: Instant) -> Option<Instant> {
        let ends = self.promises.values().filter(|until| **until > now);
        ends.min().copied().filter(|_| self.is_detached(now))
    }

    /// Whether sessions of this epoch may be served.
    pub(crate) fn serves(&self, now: Instant) -> bool {
        self.is_valid(now) || self.is_detached(now)
    }

    /// Whether nothing but promises lets it serve.
    pub(crate) fn is_detached(&self, now: Instant) -> bool {
        let has_promised = |member: &Member| {
            let until = self.promises.get(&member.instance);
            until.is_some_and(|until| *until > now)
        };
        self.owner.is_some()
            && self.is_away
            && !self.is_valid(now)
            && self.others().all(has_promised)
    }

    /// Whether sessions may be taken over.
    pub(crate) fn may_take_over(&self, now: Instant) -> bool {
        let has_joined = self.joined.is_some_and(|joined| {
            now.checked_duration_since(joined)
                .is_some_and(|passed| passed >= self.settings.join)
        });
        has_joined && self.may_call(now) && !self.has_promised(now)
    }

    /// Whether this node has promised to take over nothing. What the store says about sessions then is too late.
    pub(crate) fn has_promised(&self, now: Instant) -> bool {
        self.promised.is_some_and(|until| until > now)
    }

    /// Until when this node has promised that, or had.
    pub(crate) const fn promised(&self) -> Option<Instant> {
        self.promised
    }

    /// Whether a call is due.
    pub(crate) fn call(&mut self, now: Instant) -> bool {
        let is_due = self.next_call.is_some_and(|at| at <= now);
        if is_due {
            self.next_call = None;
        }
        is_due
    }

    /// The call was carried out.
    pub(crate) fn leased(&mut self, now: Instant, sent: Instant, leased: Leased) {
        if self.has_stopped {
            // It was in flight when the lease was given back.
            return;
        }
        let length = self.settings.lease.saturating_sub(self.settings.margin);
        self.owner = Some(leased.owner);
        self.until = sent.checked_add(length);
        self.renewed = Some(sent);
        self.is_away = false;
        self.next_ask = None;
        self.asked.clear();
        self.promises.clear();
        // Who is in the list again has seen that its lease had ended, and who is not can't ask.
        self.taken_from.clear();
        self.members = leased.members;
        self.store = leased.store;
        self.time = leased.time;
        self.next_call = sent.max(now).checked_add(self.settings.renew);
        if leased.is_new {
            self.epoch = self.epoch.saturating_add(1);
            self.joined = Some(now);
        }
    }

    /// The store could not be reached, or refuses.
    pub(crate) fn failed(&mut self, now: Instant) {
        if self.has_stopped {
            return;
        }
        if !self.is_away {
            self.is_away = true;
            self.next_ask = Some(now);
        }
        self.next_call = now.checked_add(self.settings.retry);
    }

    /// Whether promises are to be asked for, and with which number.
    pub(crate) fn ask(&mut self, now: Instant) -> Option<u64> {
        self.owner?;
        self.next_ask.filter(|at| *at <= now)?;
        self.next_ask = now.checked_add(self.settings.ask);
        self.last_ask = self.last_ask.saturating_add(1);
        if self.asked.len() >= MAX_ASKS {
            self.asked.pop_front();
        }
        self.asked.push_back((self.last_ask, now));
        Some(self.last_ask)
    }

    /// A session of this owner was taken over.
    pub(crate) fn took_over_from(&mut self, owner: Owner) {
        self.taken_from.insert(owner);
    }

    /// Another node asks. Returns whether this one promises.
    pub(crate) fn is_asked(&mut self, now: Instant, by: Instance, fence: u64) -> bool {
        let asker = self.instance(by);
        let has_taken = asker.is_none_or(|asker| {
            // If it does not know its present lease, sessions of the former one may have been taken over.
            asker.owner.fence != fence || self.taken_from.contains(&asker.owner)
        });
        if self.is_away && !has_taken {
            self.promised = now.checked_add(self.settings.promise);
            return true;
        }
        // It is likely that the store has just gone away: see now instead of in a second.
        if let Some(next) = self.next_call {
            let recent = self
                .renewed
                .and_then(|at| at.checked_add(self.settings.retry));
            self.next_call = Some(next.min(recent.unwrap_or(now).max(now)));
        }
        false
    }

    /// A member has promised.
    pub(crate) fn promise(&mut self, from: Instance, id: u64) {
        let asked = self.asked.iter().find(|(asked, _)| *asked == id);
        let length = self.settings.promise.saturating_sub(self.settings.margin);
        if let Some(until) = asked.and_then(|(_, at)| at.checked_add(length)) {
            self.promises.insert(from, until);
        }
    }

    /// The lease is given back: nothing is served any more.
    pub(crate) fn stop(&mut self) -> Option<Owner> {
        self.has_stopped = true;
        self.until = None;
        self.is_away = false;
        self.next_call = None;
        self.next_ask = None;
        self.owner.take()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let ask = self.owner.and(self.next_ask);
        [self.next_call, ask].into_iter().flatten().min()
    }

    /// How long it takes until a session whose lease has ended may be looked at again.
    pub(crate) const fn retry(&self) -> Duration {
        self.settings.retry
    }
}
