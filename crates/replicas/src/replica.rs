//! One node of the group: sans-IO, with the time as a parameter.
//!
//! Its user gives it datagrams of sessions that are stored, frames of other nodes and replies of the store, calls
//! [`handle_timeout`](Replica::handle_timeout) when [`next_timeout`](Replica::next_timeout) says so, and carries out what
//! [`poll`](Replica::poll) returns until it returns nothing.

mod claims;
mod counters;
mod datagrams;
mod following;
mod orphans;
mod rows;

pub use counters::Counters;

use crate::absent::Absent;
use crate::addresses::KnownAddresses;
use crate::hop::{Channels, Frame};
use crate::id::{AddressKey, DeviceKey, Instance, Member, Name, Owner, SessionKey};
use crate::lease::{Lease, Leased};
use crate::path::{Path, Route};
use crate::routes::Routes;
use crate::seal::Seal;
use crate::secret::GroupSecret;
use crate::send_numbers::SendNumbers;
use crate::settings::Settings;
use crate::store::{Call, Reply};
use crate::waiting::WaitingRoom;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How many rows are requested at once when the store is back.
const WRITES_AT_ONCE: usize = 64;
/// How often.
const WRITE_EVERY: Duration = Duration::from_millis(20);

/// Names a write of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaveId(pub u64);

/// What the user of a [`Replica`] has to do.
pub enum Output {
    /// Call the store, and give the reply to [`Replica::handle_reply`]. Calls must be carried out in this order. The connection
    /// must be closed before another one is opened, so that no call is carried out after later ones.
    Call {
        /// For the reply.
        ticket: u64,
        /// The call.
        call: Call,
    },
    /// Send this to another node.
    Hop {
        /// Where it receives.
        to: SocketAddr,
        /// An encrypted frame.
        bytes: Vec<u8>,
    },
    /// Process a datagram of a session that is served here. Answers to it go to the same route, by [`Replica::send`].
    Deliver {
        /// The session.
        key: SessionKey,
        /// Where the datagram came from.
        route: Route,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// Send a datagram from the socket of this node.
    Send {
        /// Where to.
        path: Path,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// A session was taken over: judge its certificate anew, and go on with it, or [`end`](Replica::end) it. Its datagrams follow.
    Restore {
        /// The session.
        key: SessionKey,
        /// Its row, as its owner wrote it last.
        row: Zeroizing<Vec<u8>>,
    },
    /// Another node owns the session now, or has ended it: forget it without a word to its peer.
    Lost {
        /// The session.
        key: SessionKey,
    },
    /// From now on polls and subscriptions for the session's device may be open here: no other node has any. It comes after each
    /// time that the session was established, [restored](Output::Restore), or confirmed after [`Output::Suspended`].
    Follow {
        /// The session.
        key: SessionKey,
    },
    /// A newer session of the same device was established at another node: as [`Lost`](Output::Lost).
    Superseded {
        /// The session.
        key: SessionKey,
    },
    /// This node may not serve its stored sessions now, nor follow their devices.
    Suspended,
    /// It may again, each once it is confirmed.
    Resumed,
    /// Call [`Replica::store`] with the session's present row.
    Write {
        /// The session.
        key: SessionKey,
    },
    /// The row is in the store.
    Saved {
        /// The session.
        key: SessionKey,
        /// Which of its rows.
        save: SaveId,
    },
    /// It is not, or that is not known: the store is away. A later one is requested by [`Output::Write`].
    NotSaved {
        /// The session.
        key: SessionKey,
        /// Which of its rows.
        save: SaveId,
    },
    /// No node has the session of this datagram.
    Unknown {
        /// Where it came from.
        route: Route,
        /// The datagram.
        datagram: Vec<u8>,
    },
}

/// The numbers that a session may send with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// The next one.
    pub next: u64,
    /// Behind the last one.
    pub end: u64,
    /// Those that come after them.
    pub next_block: Option<std::ops::Range<u64>>,
}

/// Where a session is in the store.
#[derive(Debug, Clone, Copy)]
struct Stored {
    /// In which version.
    version: u64,
    /// When it was established, by the store's clock.
    born: u64,
    /// In which store.
    store: u64,
    /// In which epoch of the lease that was seen last.
    epoch: u64,
    /// Whether it is known to be there.
    is_created: bool,
    /// Whether no other node can have had it before it is there.
    is_fresh: bool,
    /// Above which numbers it is to be created.
    start: u64,
    /// It may be there already: a reply was lost.
    is_unsure: bool,
}

/// A session in memory.
#[derive(Debug)]
struct Held {
    established: Instant,
    numbers: SendNumbers,
    address: Option<AddressKey>,
    /// The store does not have that address yet.
    moves: bool,
    /// `None`: it was never sent to the store.
    stored: Option<Stored>,
    /// Another block is requested.
    asks_for_block: bool,
    device: Option<DeviceKey>,
    observes: bool,
    follow: Follow,
}

/// Whether the session's device is followed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// Another node may still follow it.
    No,
    /// None will at this time.
    At(Instant),
    Yes,
}

/// A call that is in flight.
#[derive(Debug)]
enum InFlight {
    Lease,
    Orphans,
    Other,
    Create {
        key: SessionKey,
        save: SaveId,
        epoch: u64,
    },
    Save {
        key: SessionKey,
        save: SaveId,
        with_block: bool,
        with_address: bool,
    },
    Claim {
        name: Name,
        epoch: u64,
        owner: Owner,
    },
}

/// One node of the group.
pub struct Replica {
    settings: Settings,
    instance: Instance,
    address: SocketAddr,
    lease: Lease,
    seal: Seal,
    channels: Channels,
    sessions: HashMap<SessionKey, Held>,
    by_address: HashMap<AddressKey, SessionKey>,
    known: KnownAddresses,
    routes: Routes,
    absent: Absent,
    waiting: WaitingRoom,
    /// Sessions whose rows are to be written, once that is possible.
    dirty: BTreeSet<SessionKey>,
    next_write: Instant,
    last_written: SessionKey,
    /// By ticket, and so in the order in which they time out.
    calls: BTreeMap<u64, (Instant, InFlight)>,
    last_ticket: u64,
    last_save: u64,
    /// Sessions whose devices are not followed yet.
    unfollowed: BTreeSet<SessionKey>,
    /// How far the list of superseded sessions was read.
    superseded_seen: u64,
    /// Whether stored sessions are served, as far as the user knows.
    is_serving: bool,
    /// When it is looked at next whose devices are to be followed, and after which session.
    next_follow: Instant,
    last_looked_at: SessionKey,
    /// When orphans are looked for next.
    next_orphans: Option<Instant>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("owner", &self.lease.owner())
            .field("sessions", &self.sessions.len())
            .field("calls", &self.calls.len())
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// A node that has no lease yet, and calls for one. `address` is where it receives from other nodes. `None`: the
    /// cryptographic library fails.
    #[must_use]
    pub fn new(
        now: Instant,
        settings: Settings,
        secret: GroupSecret,
        instance: Instance,
        address: SocketAddr,
    ) -> Option<Replica> {
        Some(Replica {
            settings,
            instance,
            address,
            lease: Lease::new(now, settings, instance),
            seal: Seal::new(secret.clone(), instance)?,
            channels: Channels::new(secret, instance),
            sessions: HashMap::new(),
            by_address: HashMap::new(),
            known: KnownAddresses::new(settings.max_addresses),
            routes: Routes::new(settings.max_routes),
            absent: Absent::new(now, settings.max_routes),
            waiting: WaitingRoom::new(settings.max_kept, settings.max_kept_of_session),
            dirty: BTreeSet::new(),
            next_write: now,
            last_written: SessionKey([0; 8]),
            calls: BTreeMap::new(),
            last_ticket: 0,
            last_save: 0,
            unfollowed: BTreeSet::new(),
            superseded_seen: 0,
            is_serving: false,
            next_follow: now,
            last_looked_at: SessionKey([0; 8]),
            next_orphans: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Replica::handle_timeout) is to be called. It is earlier than now where work is left.
    #[must_use]
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let calls = self.calls.values().next().map(|(until, _)| *until);
        [
            calls,
            self.lease.next_timeout(),
            // By promises it serves for longer.
            (self.lease.ends()).filter(|at| self.is_serving && *at > now),
            self.lease.promises_end(now),
            self.waiting.next_timeout(),
            self.next_follow(now),
            self.next_orphans,
            self.next_write(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.calls.first_entry()
            && entry.get().0 <= now
        {
            let ticket = *entry.key();
            self.handle_reply(now, ticket, Reply::Failed);
        }
        if self.lease.call(now) {
            let call = Call::Lease {
                had: self.lease.owner(),
                instance: self.instance,
                address: self.address,
                length: self.settings.lease,
                seen: self.known.seen(),
                superseded_seen: self.superseded_seen,
            };
            self.call(now, call, InFlight::Lease);
        }
        if let Some(id) = self.lease.ask(now) {
            let others: Vec<Member> = self.lease.others().copied().collect();
            let fence = self.lease.owner().map_or(0, |owner| owner.fence);
            for other in others {
                self.hop(other, &Frame::Ask { id, fence });
            }
        }
        while let Some(name) = self.waiting.pop_due(now) {
            self.advance(now, name);
        }
        self.write_dirty(now);
        self.look_for_orphans(now);
        self.follow_due(now);
    }

    /// The store has replied. A reply that comes too late is ignored.
    pub fn handle_reply(&mut self, now: Instant, ticket: u64, reply: Reply) {
        let Some((until, call)) = self.calls.remove(&ticket) else {
            return;
        };
        let sent = until
            .checked_sub(self.settings.call_timeout)
            .unwrap_or(until);
        if reply == Reply::Failed {
            self.counters.failed_calls = self.counters.failed_calls.saturating_add(1);
        }
        match call {
            InFlight::Lease => self.lease_reply(now, sent, reply),
            InFlight::Orphans => self.orphans_found(now, reply),
            InFlight::Create { key, save, epoch } => self.created(now, key, save, epoch, &reply),
            InFlight::Save {
                key,
                save,
                with_block,
                with_address,
            } => self.saved(now, key, save, (with_block, with_address), &reply),
            InFlight::Claim { name, epoch, owner } => {
                self.claimed(now, name, (epoch, owner), reply);
            }
            InFlight::Other => {}
        }
    }

    fn lease_reply(&mut self, now: Instant, sent: Instant, reply: Reply) {
        let Reply::Leased {
            owner,
            is_new,
            store,
            run,
            members,
            addresses,
            seen,
            superseded,
            superseded_seen,
            has_orphans,
            time,
        } = reply
        else {
            self.lease.failed(now);
            return;
        };
        self.channels.set_members(&members);
        if self.known.is_of_another(run) {
            // What was sent with this reply is not all of it. The next one has it.
            self.superseded_seen = 0;
        } else {
            self.superseded_seen = superseded_seen;
            let refused = self.known.add(&addresses, seen);
            self.counters.refused_addresses =
                self.counters.refused_addresses.saturating_add(refused);
        }
        let leased = Leased {
            owner,
            is_new,
            store,
            members,
            time,
        };
        self.lease.leased(now, sent, leased);
        if is_new {
            self.confirm_all(now);
        }
        for key in superseded {
            self.superseded(now, key);
        }
        if has_orphans {
            self.next_orphans.get_or_insert(now);
        }
        self.follow_due(now);
    }

    /// Whether this node may serve the session now: process its datagrams, forward its requests, send to it.
    #[must_use]
    pub fn serves(&self, now: Instant, key: SessionKey) -> bool {
        let Some(held) = self.sessions.get(&key) else {
            return false;
        };
        match held.stored {
            None => true,
            Some(stored) => {
                (stored.is_created || stored.is_fresh)
                    && stored.epoch == self.lease.epoch()
                    && self.lease.serves(now)
            }
        }
    }

    /// Whether the session is in the store, so that another node can go on with it.
    #[must_use]
    pub fn is_protected(&self, key: SessionKey) -> bool {
        let held = self.sessions.get(&key);
        held.and_then(|held| held.stored)
            .is_some_and(|stored| stored.is_created)
    }

    /// Whether the balancer is to send datagrams here: this node serves its sessions, and can find those of others.
    #[must_use]
    pub fn is_ready(&self, now: Instant) -> bool {
        self.lease.serves(now)
    }

    /// The lease that this node has or had last.
    #[must_use]
    pub const fn owner(&self) -> Option<Owner> {
        self.lease.owner()
    }

    /// Whether the store can't be reached.
    #[must_use]
    pub const fn is_store_away(&self) -> bool {
        self.lease.is_away()
    }

    /// Whether this node serves its sessions by the promises of the others alone.
    #[must_use]
    pub fn is_detached(&self, now: Instant) -> bool {
        self.lease.is_detached(now)
    }

    /// When the lease was renewed last, as far as this node knows.
    #[must_use]
    pub const fn renewed(&self) -> Option<Instant> {
        self.lease.renewed()
    }

    /// Since when the lease is valid without a break.
    #[must_use]
    pub const fn joined(&self) -> Option<Instant> {
        self.lease.joined()
    }

    /// What it has of a session, for messages of tests.
    #[cfg(test)]
    pub(crate) fn describe(&self, now: Instant, key: SessionKey) -> String {
        let serves = self.serves(now, key);
        let held = self.sessions.get(&key);
        format!(
            "serves {serves}, {held:?}, {} wait, {:?} in flight, may take over: {}",
            self.waiting.len(),
            self.calls.values().collect::<Vec<_>>(),
            self.lease.may_take_over(now)
        )
    }

    /// Whether the other node is in the list of members that this one got last.
    #[cfg(test)]
    pub(crate) fn knows(&self, other: &Replica) -> bool {
        self.lease
            .others()
            .any(|member| member.instance == other.instance)
    }

    /// What has happened.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Sessions in memory, datagrams that wait, calls in flight.
    #[must_use]
    pub fn sizes(&self) -> [usize; 3] {
        [self.sessions.len(), self.waiting.len(), self.calls.len()]
    }

    /// An orderly stop: gives the lease back, so that other nodes take over at once. Call it when the last rows are
    /// [`Saved`](Output::Saved).
    pub fn stop(&mut self, now: Instant) {
        if let Some(owner) = self.lease.stop() {
            self.call(now, Call::Release { owner }, InFlight::Other);
        }
    }

    /// Calls the store. `false`: too many calls are in flight.
    fn call(&mut self, now: Instant, call: Call, in_flight: InFlight) -> bool {
        // A call of the lease always has a place.
        if self.calls.len() >= self.settings.max_calls && !matches!(in_flight, InFlight::Lease) {
            self.counters.refused_calls = self.counters.refused_calls.saturating_add(1);
            return false;
        }
        self.last_ticket = self.last_ticket.wrapping_add(1);
        let ticket = self.last_ticket;
        let until = now.checked_add(self.settings.call_timeout).unwrap_or(now);
        self.calls.insert(ticket, (until, in_flight));
        self.outputs.push_back(Output::Call { ticket, call });
        true
    }

    fn hop(&mut self, to: Member, frame: &Frame) -> bool {
        let sealed = self.channels.seal(to.instance, frame);
        let is_sent = sealed.is_some();
        if let Some(bytes) = sealed {
            let to = to.address;
            self.outputs.push_back(Output::Hop { to, bytes });
        }
        is_sent
    }

    /// Sends a datagram to a peer, by the node whose socket its last datagram came to. If that is gone, from here: a peer that
    /// is behind a NAT or a balancer does not get it, and sends again.
    pub fn send(&mut self, route: Route, datagram: Vec<u8>) {
        let mut path = route.path;
        if let Some(member) = route.via.and_then(|via| self.lease.instance(via)) {
            self.hop(member, &Frame::Send { path, datagram });
            return;
        }
        if route.via.is_some() {
            // That address was the other node's.
            path.local = None;
        }
        self.outputs.push_back(Output::Send { path, datagram });
    }
}

#[cfg(test)]
mod tests;
