//! The store in memory: what each call does, for tests and simulations, and as what a real store is compared with.
//!
//! It also forgets as real ones do: [`Model::restart`] after an older state was put back is a primary that died before its
//! replica had everything.

use crate::id::{
    AddressKey, DeviceKey, Instance, MAX_NODES, Member, Name, Node, Owner, SessionKey,
};
use crate::store::{CLOCK_ERROR, Call, Reply};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
struct Lease {
    member: Member,
    until: Instant,
}

#[derive(Debug, Clone)]
struct Session {
    owner: Owner,
    version: u64,
    born: u64,
    rank: u64,
    bound: u64,
    run: u64,
    row: Vec<u8>,
    address: Option<AddressKey>,
    device: Option<DeviceKey>,
    observes: bool,
}

/// A store in memory.
#[derive(Debug, Clone)]
pub struct Model {
    /// When its clock was at 0.
    begin: Instant,
    id: u64,
    run: u64,
    fence: u64,
    leases: BTreeMap<Node, Lease>,
    sessions: BTreeMap<SessionKey, Session>,
    addresses: BTreeMap<AddressKey, SessionKey>,
    added: u64,
    order: BTreeMap<u64, AddressKey>,
    devices: BTreeMap<DeviceKey, SessionKey>,
    superseded: BTreeMap<u64, SessionKey>,
    ended: u64,
}

impl Model {
    /// An empty store, whose clock was at 0 at `begin`. Its id is drawn by the caller.
    #[must_use]
    pub const fn new(begin: Instant, id: u64) -> Model {
        Model {
            begin,
            id,
            run: 1,
            fence: 0,
            leases: BTreeMap::new(),
            sessions: BTreeMap::new(),
            addresses: BTreeMap::new(),
            added: 0,
            order: BTreeMap::new(),
            devices: BTreeMap::new(),
            superseded: BTreeMap::new(),
            ended: 0,
        }
    }

    fn time(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_secs()
    }

    /// The store runs anew, with what it has: `run` is one that it never had.
    pub const fn restart(&mut self, run: u64) {
        self.run = run;
    }

    /// The owner of a session, whether or not its lease is valid.
    #[must_use]
    pub fn owner_of(&self, key: SessionKey) -> Option<Owner> {
        self.sessions.get(&key).map(|session| session.owner)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn is_live(&self, now: Instant, owner: Owner) -> bool {
        self.remaining(now, owner).is_some()
    }

    fn remaining(&self, now: Instant, owner: Owner) -> Option<Duration> {
        let lease = self.leases.get(&owner.node)?;
        (lease.member.owner == owner && lease.until > now).then(|| lease.until - now)
    }

    /// Carries a call out.
    pub fn call(&mut self, now: Instant, call: &Call) -> Reply {
        match call {
            Call::Lease {
                had,
                instance,
                address,
                length,
                seen,
                superseded_seen,
            } => {
                let leased = self.lease(now, *had, *instance);
                let Some((owner, is_new)) = leased else {
                    return Reply::NoNumber;
                };
                let member = Member {
                    owner,
                    instance: *instance,
                    address: *address,
                };
                let until = now.checked_add(*length).unwrap_or(now);
                self.leases.insert(owner.node, Lease { member, until });
                let live = self.leases.values().filter(|lease| lease.until > now);
                Reply::Leased {
                    owner,
                    is_new,
                    store: self.id,
                    run: self.run,
                    members: live.map(|lease| lease.member).collect(),
                    addresses: self.order.range(seen + 1..).map(|(_, key)| *key).collect(),
                    seen: self.added,
                    superseded: (self.superseded.range(superseded_seen + 1..))
                        .map(|(_, key)| *key)
                        .collect(),
                    superseded_seen: self.ended,
                    has_orphans: !self.orphans(now).is_empty(),
                    time: self.time(now),
                }
            }
            Call::Release { owner } => {
                if self.is_live(now, *owner) {
                    self.leases.remove(&owner.node);
                }
                Reply::Released
            }
            Call::Create { owner, .. }
            | Call::Orphans { owner, .. }
            | Call::Claim { owner, .. }
            | Call::Save { owner, .. }
            | Call::Remove { owner, .. }
                if !self.is_live(now, *owner) =>
            {
                Reply::NotLeased
            }
            Call::Orphans { most, .. } => {
                let mut keys = self.orphans(now);
                keys.truncate(*most);
                Reply::Orphans { keys }
            }
            Call::Create {
                key,
                owner,
                address,
                device,
                observes,
                start,
                born,
                is_again,
                block,
                pace,
                row,
            } => {
                let mut session = Session {
                    owner: *owner,
                    version: 0,
                    born: *born,
                    rank: *born,
                    bound: *start,
                    // Of a run that there never is, so that numbers are skipped.
                    run: if *is_again { 0 } else { self.run },
                    row: row.clone(),
                    address: None,
                    device: *device,
                    observes: *observes,
                };
                match self.sessions.get(key) {
                    Some(there) if there.owner == *owner && there.version == 0 => {
                        return Reply::Created {
                            start: there.bound.saturating_sub(*block),
                            end: there.bound,
                            former: None,
                        };
                    }
                    Some(_) => return Reply::Exists,
                    None => {}
                }
                let of_device = (*device, *born);
                let Some((former, rank)) = self.make_newest(now, *key, *owner, of_device, true)
                else {
                    return Reply::Superseded { key: *key };
                };
                session.rank = rank;
                let (start, end) = session.next_block(self.run, self.time(now), *block, *pace);
                self.sessions.insert(*key, session);
                self.move_address(*key, None, *address);
                Reply::Created { start, end, former }
            }
            Call::Claim {
                name,
                owner,
                held,
                take,
                block,
                pace,
            } => self.claim(now, *name, *owner, *held, *take, (*block, *pace)),
            Call::Save {
                key,
                version,
                owner,
                address,
                moves,
                observes,
                block,
                pace,
                row,
            } => {
                let (run, time) = (self.run, self.time(now));
                let Some(session) = self.sessions.get(key) else {
                    return Reply::Missing;
                };
                if (session.owner, session.version) != (*owner, *version) {
                    return Reply::NotOwner;
                }
                let of_device = (session.device, session.rank);
                if (self.make_newest(now, *key, *owner, of_device, false)).is_none() {
                    self.remove(*key);
                    return Reply::Superseded { key: *key };
                }
                let Some(session) = self.sessions.get_mut(key) else {
                    return Reply::Missing;
                };
                session.row.clone_from(row);
                session.observes = *observes;
                let block = block.map(|block| session.next_block(run, time, block, *pace));
                let from = session.address;
                if *moves {
                    self.move_address(*key, from, *address);
                }
                Reply::Saved { block }
            }
            Call::Remove {
                key,
                version,
                owner,
            } => {
                match self.sessions.get(key) {
                    Some(session) if (session.owner, session.version) != (*owner, *version) => {
                        return Reply::NotOwner;
                    }
                    Some(_) => self.remove(*key),
                    None => {}
                }
                Reply::Removed
            }
        }
    }

    fn lease(
        &mut self,
        now: Instant,
        had: Option<Owner>,
        instance: Instance,
    ) -> Option<(Owner, bool)> {
        let mut live = self.leases.values().filter(|lease| lease.until > now);
        if let Some(lease) = live.find(|lease| lease.member.instance == instance) {
            let owner = lease.member.owner;
            // The reply to the call that began this lease may have been lost.
            return Some((owner, had != Some(owner)));
        }
        let is_free = |node: &Node| self.leases.get(node).is_none_or(|lease| lease.until <= now);
        let former = had.map(|had| had.node).filter(is_free);
        let node = former.or_else(|| (0..MAX_NODES).map(Node).find(is_free))?;
        self.fence += 1;
        let fence = self.fence;
        Some((Owner { node, fence }, true))
    }

    fn claim(
        &mut self,
        now: Instant,
        name: Name,
        owner: Owner,
        held: Option<u64>,
        take: bool,
        (block, pace): (u64, u64),
    ) -> Reply {
        let key = match name {
            Name::Session(key) => Some(key),
            Name::Address(address) => self.addresses.get(&address).copied(),
        };
        let found = key.and_then(|key| Some((key, self.sessions.get(&key)?)));
        let Some((key, session)) = found else {
            if let Name::Address(address) = name {
                self.order.retain(|_, other| *other != address);
            }
            return Reply::Missing;
        };
        let previous = session.owner;
        if previous == owner {
            if held == Some(session.version) {
                return Reply::Owned { key };
            }
        } else if let Some(remaining) = self.remaining(now, previous) {
            return Reply::OwnedBy {
                key,
                owner: previous,
                remaining,
            };
        } else if !take && held != Some(session.version) {
            return Reply::Free { key };
        }
        let of_device = (session.device, session.rank);
        if (self.make_newest(now, key, owner, of_device, false)).is_none() {
            self.remove(key);
            return Reply::Superseded { key };
        }
        let (run, time) = (self.run, self.time(now));
        let Some(session) = self.sessions.get_mut(&key) else {
            return Reply::Missing;
        };
        session.owner = owner;
        session.version += 1;
        let (start, end) = session.next_block(run, time, block, pace);
        Reply::Claimed {
            key,
            previous,
            version: session.version,
            born: session.born,
            address: session.address,
            start,
            end,
            row: session.row.clone(),
        }
    }

    /// Sessions with observations whose owner has no lease.
    fn orphans(&self, now: Instant) -> Vec<SessionKey> {
        let sessions = self.sessions.iter();
        let orphans =
            sessions.filter(|(_, session)| session.observes && !self.is_live(now, session.owner));
        orphans.map(|(key, _)| *key).collect()
    }

    fn remove(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get(&key) {
            let address = session.address;
            self.sessions.remove(&key);
            self.move_address(key, address, None);
        }
    }

    /// A session of a device is created, or else claimed or saved. Returns the live owner of the one that it supersedes, and its
    /// rank: when it was established, or the rank of one that it supersedes and that seems to be newer. `None`: it is superseded itself.
    fn make_newest(
        &mut self,
        now: Instant,
        key: SessionKey,
        owner: Owner,
        (device, rank): (Option<DeviceKey>, u64),
        is_created: bool,
    ) -> Option<(Option<Owner>, u64)> {
        let Some(device) = device else {
            return Some((None, rank));
        };
        let newest = self.devices.get(&device).copied();
        let newest = newest.filter(|newest| *newest != key);
        let there = newest.and_then(|newest| Some((newest, self.sessions.get(&newest)?)));
        let mut former = None;
        let mut new_rank = rank;
        if let Some((newest, there)) = there {
            let is_newer = match is_created {
                true => there.rank > rank.saturating_add(CLOCK_ERROR),
                false => there.rank >= rank,
            };
            if is_newer {
                return (there.owner == owner).then_some((None, rank));
            }
            new_rank = there.rank.max(rank);
            let was = there.owner;
            if was != owner && self.is_live(now, was) {
                former = Some(was);
                self.ended += 1;
                self.superseded.insert(self.ended, newest);
            } else if was != owner {
                self.remove(newest);
            }
        }
        self.devices.insert(device, key);
        Some((former, new_rank))
    }

    fn move_address(&mut self, key: SessionKey, from: Option<AddressKey>, to: Option<AddressKey>) {
        if from == to {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&key) {
            session.address = to;
        }
        if let Some(from) = from
            && self.addresses.get(&from) == Some(&key)
        {
            self.addresses.remove(&from);
            self.order.retain(|_, other| *other != from);
        }
        if let Some(to) = to {
            let former = self.addresses.insert(to, key);
            if let Some(former) = former.and_then(|key| self.sessions.get_mut(&key)) {
                former.address = None;
            }
            if let Some(session) = self.sessions.get_mut(&key) {
                session.address = Some(to);
            }
            self.order.retain(|_, other| *other != to);
            self.added += 1;
            self.order.insert(self.added, to);
        }
    }
}

impl Session {
    fn next_block(&mut self, run: u64, time: u64, block: u64, pace: u64) -> (u64, u64) {
        let mut start = self.bound;
        if self.run != run {
            start = start.max(time.saturating_sub(self.born).saturating_mul(pace));
        }
        self.run = run;
        self.bound = start.saturating_add(block);
        (start, self.bound)
    }
}
