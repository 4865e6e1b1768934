//! ClientHellos with a valid cookie that wait until a handshake may begin.
//!
//! After a power cut a whole fleet returns its cookies within a second, faster than handshakes can be made. A client that
//! is dropped then comes again when its timer fires, after 1, 2, 4, … seconds, together with all others; meanwhile places
//! stay empty. So the hellos wait here, one datagram each, and sources take turns at the places that become free.
//!
//! There is a queue for each [`Priority`], a [`SourcePlaces`]: networks take turns, then hosts, then the ports of a host
//! in order of arrival. A port has one entry, whatever it sends.

use super::history::History;
use super::recent_set::RecentSet;
use crate::dtls::path::Path;
use dtls_server::cookie::VerifiedHello;
use shares::{SourcePlaces, source};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Entries per allowed half-open handshake: about as many handshakes as can be made before a dropped client comes again,
/// after a second or two.
const PER_HANDSHAKE: usize = 5;
/// The most entries. Each has up to 1,500 bytes for the indexes: with the hellos, 30 MB.
const MAX_PENDING: usize = 10_000;
/// Bytes of a hello for each entry; together they may have no more. Nearly all have less than 500.
const BYTES: usize = 1_500;
/// An entry expires this long after its last hello: its client has given up, or will come again, as its timer doubles each
/// time.
const LIFETIME: Duration = Duration::from_secs(20);
/// The most expired entries that are removed in one call.
const EXPIRED_PER_CALL: usize = 256;
/// A hello that comes again after this time was repeated by its client's timer (RFC 6347 §4.2.4.1), not by the network.
const REPEATED_AFTER: Duration = Duration::from_millis(500);
/// Slots for rejected hellos, to recognise them when they are repeated.
const REJECTED_SLOTS: usize = 1 << 15;

/// How likely a hello is to be a registered device's. Higher priorities get more turns, not all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dtls) enum Priority {
    /// A registered device has recently completed a handshake from this address and port.
    KnownPort,
    /// A registered device has, from this address, and the client has repeated its hello, as a real client does.
    KnownAndRepeated,
    /// Either the address is known or the hello was repeated. The address may be a NAT's, with unregistered clients behind it as well.
    KnownOrRepeated,
    New,
}

impl Priority {
    const ALL: [Priority; 4] = [
        Priority::KnownPort,
        Priority::KnownAndRepeated,
        Priority::KnownOrRepeated,
        Priority::New,
    ];
    /// The cycle of turns: four, three, two and one of ten. If that queue is empty, the first one that is not gets the turn.
    const TURNS: [Priority; 10] = [
        Priority::KnownPort,
        Priority::KnownAndRepeated,
        Priority::KnownPort,
        Priority::KnownOrRepeated,
        Priority::KnownPort,
        Priority::KnownAndRepeated,
        Priority::New,
        Priority::KnownPort,
        Priority::KnownAndRepeated,
        Priority::KnownOrRepeated,
    ];

    fn of(history: History, is_repeated: bool) -> Priority {
        match (history, is_repeated) {
            (History::Port, _) => Priority::KnownPort,
            (History::Host, true) => Priority::KnownAndRepeated,
            (History::Host, false) | (History::None, true) => Priority::KnownOrRepeated,
            (History::None, false) => Priority::New,
        }
    }

    /// Tenths of the places that are reserved for higher priorities.
    pub(in crate::dtls) fn tenths_reserved(self) -> usize {
        match self {
            Priority::KnownPort => 0,
            Priority::KnownAndRepeated => 1,
            Priority::KnownOrRepeated => 2,
            Priority::New => 3,
        }
    }
}

/// The pending hellos, at most one for each path.
#[derive(Debug)]
pub(in crate::dtls) struct PendingHellos {
    capacity: usize,
    capacity_per_host: usize,
    by_path: HashMap<Path, PendingHello>,
    /// Bytes of all hellos.
    bytes: usize,
    known_port: SourcePlaces<Path>,
    known_and_repeated: SourcePlaces<Path>,
    known_or_repeated: SourcePlaces<Path>,
    new: SourcePlaces<Path>,
    /// An index into [`Priority::TURNS`].
    turn: usize,
    pub(in crate::dtls) rejected: RecentSet,
    /// Entries that have expired since [`take_expired`](Self::take_expired).
    expired: u64,
}

/// Which bound a push has exceeded. Either the new hello or another one was dropped for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dtls) enum Overflow {
    /// None: nothing was dropped.
    None,
    /// The bound on one host; the hello dropped is of that host.
    Host,
    /// The bound on all; the hello dropped is the new one, or one of a source that has more entries.
    Total,
}

/// A hello of either version.
#[derive(Debug)]
pub(in crate::dtls) enum Hello {
    Dtls12(VerifiedHello),
    /// Its datagram.
    Dtls13(Vec<u8>),
}

impl Hello {
    fn bytes(&self) -> &[u8] {
        match self {
            Hello::Dtls12(hello) => hello.message.as_bytes(),
            Hello::Dtls13(datagram) => datagram,
        }
    }
}

/// A ClientHello with a valid cookie.
#[derive(Debug)]
pub(in crate::dtls) struct PendingHello {
    pub(in crate::dtls) path: Path,
    pub(in crate::dtls) random: [u8; 32],
    pub(in crate::dtls) hello: Hello,
    priority: Priority,
    first_received: Instant,
    last_received: Instant,
}

impl PendingHellos {
    /// Hellos for at most `handshakes` half-open handshakes. A host may have half of the entries: a fleet may be behind one
    /// address.
    pub(in crate::dtls) fn new(handshakes: usize) -> PendingHellos {
        let capacity = handshakes.saturating_mul(PER_HANDSHAKE).min(MAX_PENDING);
        PendingHellos {
            capacity,
            capacity_per_host: capacity.div_ceil(2),
            by_path: HashMap::new(),
            bytes: 0,
            known_port: SourcePlaces::default(),
            known_and_repeated: SourcePlaces::default(),
            known_or_repeated: SourcePlaces::default(),
            new: SourcePlaces::default(),
            turn: 0,
            rejected: RecentSet::new(REJECTED_SLOTS),
            expired: 0,
        }
    }

    fn queue(&self, priority: Priority) -> &SourcePlaces<Path> {
        match priority {
            Priority::KnownPort => &self.known_port,
            Priority::KnownAndRepeated => &self.known_and_repeated,
            Priority::KnownOrRepeated => &self.known_or_repeated,
            Priority::New => &self.new,
        }
    }

    fn queue_mut(&mut self, priority: Priority) -> &mut SourcePlaces<Path> {
        match priority {
            Priority::KnownPort => &mut self.known_port,
            Priority::KnownAndRepeated => &mut self.known_and_repeated,
            Priority::KnownOrRepeated => &mut self.known_or_repeated,
            Priority::New => &mut self.new,
        }
    }

    /// Adds a hello, if there is room or a source with more entries can be made to give one up. If its path has an entry
    /// already, that keeps its place in the queue and gets the new hello.
    pub(in crate::dtls) fn push(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        hello: Hello,
        history: History,
    ) -> Overflow {
        let host = source::host(path.remote.ip());
        if let Some(pending) = self.by_path.get_mut(&path) {
            let passed = now.saturating_duration_since(pending.first_received);
            let is_repeated = pending.random == random && passed >= REPEATED_AFTER;
            let (before, priority) = (pending.priority, Priority::of(history, is_repeated));
            self.bytes = self.bytes + hello.bytes().len() - pending.hello.bytes().len();
            (pending.random, pending.hello) = (random, hello);
            pending.last_received = now;
            if is_repeated && priority != before {
                pending.priority = priority;
                self.queue_mut(before).remove(host, &path);
                self.queue_mut(priority).add(host, path);
            }
            return Overflow::None;
        }
        let priority = Priority::of(history, self.rejected.remove(&(path, random)));
        let room = self.make_room(host, priority);
        if room.is_ok() {
            self.queue_mut(priority).add(host, path);
            self.bytes += hello.bytes().len();
            let pending = PendingHello {
                path,
                random,
                hello,
                priority,
                first_received: now,
                last_received: now,
            };
            self.by_path.insert(path, pending);
        } else {
            self.rejected.insert(&(path, random));
        }
        room.unwrap_or_else(|overflow| overflow)
    }

    /// Makes room for a hello of this host. `Err`: none of the others is dropped for it.
    fn make_room(&mut self, host: IpAddr, priority: Priority) -> Result<Overflow, Overflow> {
        let own = Priority::ALL.map(|priority| self.queue(priority).held_by_host(host));
        let (evicted, overflow) = if own.iter().sum::<usize>() >= self.capacity_per_host {
            (self.evict_of_host(host, priority), Overflow::Host)
        } else if self.by_path.len() >= self.capacity || self.bytes >= self.capacity * BYTES {
            (self.evict(host, priority), Overflow::Total)
        } else {
            return Ok(Overflow::None);
        };
        let evicted = evicted.and_then(|path| self.take(path));
        let pending = evicted.ok_or(overflow)?;
        self.rejected.insert(&(pending.path, pending.random));
        Ok(overflow)
    }

    /// Evicts this host's newest entry of a lower priority.
    fn evict_of_host(&mut self, host: IpAddr, priority: Priority) -> Option<Path> {
        let mut lower = Priority::ALL
            .into_iter()
            .rev()
            .take_while(|other| *other != priority);
        let lowest = lower.find(|lower| self.queue(*lower).held_by_host(host) > 0)?;
        self.queue_mut(lowest).pop_newest(host)
    }

    /// Evicts an entry for a hello of this host where all entries are in use. For a hello from a known source that is one of
    /// lower priority; for a repeated hello, one of its own network that was not repeated; otherwise, one of a host or
    /// network that has more entries.
    fn evict(&mut self, host: IpAddr, priority: Priority) -> Option<Path> {
        let largest_of = |priority| Some((priority, self.queue(priority).largest()?));
        let (middle, new) = (Priority::KnownOrRepeated, Priority::New);
        let found = match priority {
            Priority::KnownPort | Priority::KnownAndRepeated => (largest_of(new)
                .or_else(|| largest_of(middle)))
            .or_else(|| self.larger(priority, host)),
            Priority::KnownOrRepeated => {
                let neighbour = self.new.largest_host(source::network(host));
                let neighbour = neighbour.map(|(host, _)| (new, host));
                neighbour
                    .or_else(|| self.larger(new, host))
                    .or_else(|| self.larger(middle, host))
            }
            Priority::New => (self.larger(new, host)).or_else(|| self.larger(middle, host)),
        };
        let (priority, largest) = found?;
        self.queue_mut(priority).pop_newest(largest)
    }

    /// The host with most entries of this priority, if it or its network has at least two more than this one.
    fn larger(&self, priority: Priority, host: IpAddr) -> Option<(Priority, IpAddr)> {
        let (queue, own) = (self.queue(priority), source::network(host));
        let (network, held) = queue.largest_network()?;
        let other = if network != own && held > queue.held_by_network(own) + 1 {
            queue.largest()
        } else {
            let largest = queue.largest_host(own);
            let has_more = |(_, held): &(IpAddr, usize)| *held > queue.held_by_host(host) + 1;
            largest.filter(has_more).map(|(host, _)| host)
        };
        Some((priority, other?))
    }

    /// The priority and host of the next turn. Expired entries before it are removed, without a turn of their own:
    /// [`EXPIRED_PER_CALL`] at most, and if there are more the result is `None` for now.
    pub(in crate::dtls) fn peek(&mut self, now: Instant) -> Option<(Priority, IpAddr)> {
        for _ in 0..EXPIRED_PER_CALL {
            let (priority, host) = self.next_turn()?;
            let oldest = self.queue(priority).oldest(host);
            let pending = oldest.and_then(|path| self.by_path.get(path));
            let is_live = |pending: &PendingHello| {
                now.saturating_duration_since(pending.last_received) < LIFETIME
            };
            if pending.is_some_and(is_live) {
                return Some((priority, host));
            }
            self.expired += u64::from(self.pop_oldest(priority, host).is_some());
        }
        None
    }

    fn next_turn(&self) -> Option<(Priority, IpAddr)> {
        let own = Priority::TURNS.get(self.turn);
        let mut priorities = own.into_iter().chain(&Priority::ALL);
        priorities.find_map(|priority| Some((*priority, self.queue(*priority).next()?)))
    }

    /// Gives the source of [`peek`](Self::peek) its turn without removing its hello.
    pub(in crate::dtls) fn skip(&mut self) {
        if let Some((priority, host)) = self.next_turn() {
            self.end_turn(priority, host);
        }
    }

    fn end_turn(&mut self, priority: Priority, host: IpAddr) {
        self.queue_mut(priority).end_turn(host);
        self.turn = (self.turn + 1) % Priority::TURNS.len();
    }

    /// Removes and returns the hello of [`peek`](Self::peek).
    pub(in crate::dtls) fn pop(&mut self) -> Option<PendingHello> {
        let (priority, host) = self.next_turn()?;
        let pending = self.pop_oldest(priority, host);
        self.end_turn(priority, host);
        pending
    }

    fn pop_oldest(&mut self, priority: Priority, host: IpAddr) -> Option<PendingHello> {
        let path = self.queue_mut(priority).pop_oldest(host)?;
        self.take(path)
    }

    fn take(&mut self, path: Path) -> Option<PendingHello> {
        let pending = self.by_path.remove(&path)?;
        self.bytes -= pending.hello.bytes().len();
        Some(pending)
    }

    pub(in crate::dtls) fn clear(&mut self) {
        self.by_path.clear();
        self.bytes = 0;
        for priority in Priority::ALL {
            *self.queue_mut(priority) = SourcePlaces::default();
        }
    }

    /// Whether a hello of this path is pending.
    pub(in crate::dtls) fn contains(&self, path: Path) -> bool {
        self.by_path.contains_key(&path)
    }

    /// The number of entries that have expired since the last call.
    pub(in crate::dtls) fn take_expired(&mut self) -> u64 {
        std::mem::take(&mut self.expired)
    }

    /// The number of pending hellos.
    pub(in crate::dtls) fn len(&self) -> usize {
        self.by_path.len()
    }

    /// The number of hosts, counted once for each priority.
    pub(in crate::dtls) fn hosts(&self) -> usize {
        Priority::ALL
            .map(|priority| self.queue(priority).hosts())
            .iter()
            .sum()
    }
}

#[cfg(test)]
mod tests;
