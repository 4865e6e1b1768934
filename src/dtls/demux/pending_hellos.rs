//! Clients with a valid cookie, whose handshakes wait for a place.
//!
//! After a power cut a whole fleet returns its cookies within a second, faster than handshakes can be made. Whoever is
//! turned away then comes again when its timer says so, after 1, 2, 4, … seconds, with all the others; meanwhile places
//! stay empty. So they wait here: a datagram each, the sources taking turns, and a place that falls vacant is theirs.
//!
//! There are four [`Priority`]s, and each is a [`SourcePlaces`]: networks take turns, then hosts, then a host's ports in the
//! order they came. A port has one place, whatever it sends.

use super::recent_set::RecentSet;
use crate::dtls::path::Path;
use shares::{SourcePlaces, source};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How many may wait for each handshake that may be under way: as many as can be made until those that are turned away come
/// again, after a second or two.
const FOR_EACH_PLACE: usize = 5;
/// And in all, however many handshakes may be: each keeps a datagram of 1,500 bytes at most and 1,500 more to be found by,
/// so these are 30 MB.
const MOST: usize = 10_000;
/// A client that has not repeated its hello for so long has given up, or will come again: its timer doubles each time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of those so many are forgotten in a turn of the loop.
const FORGOTTEN_AT_A_TIME: usize = 256;
/// A hello that comes again after this time was repeated by its client's timer (RFC 6347 §4.2.4.1), not by the network.
const REPEATED_AFTER: Duration = Duration::from_millis(500);
/// Hellos that were turned away, to know them when they come again.
const TURNED_AWAY: usize = 1 << 15;

/// What is known of a client with a cookie. The first goes first, but leaves turns to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// A registered device succeeded from this address and port lately.
    KnownPort,
    /// One succeeded from this address, and the client has repeated its hello, as one does that wants to get in.
    KnownAndRepeated,
    /// One of the two. The address may be a NAT's, with strangers behind it as well.
    KnownOrRepeated,
    /// Nothing.
    New,
}

impl Priority {
    const ALL: [Priority; 4] = [
        Priority::KnownPort,
        Priority::KnownAndRepeated,
        Priority::KnownOrRepeated,
        Priority::New,
    ];
    /// Whose turn it is, over and over: four, three, two and one in ten. An empty lane's turn is the first one's that
    /// is not.
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

    fn of(known: Known, is_repeated: bool) -> Priority {
        match (known, is_repeated) {
            (Known::Port, _) => Priority::KnownPort,
            (Known::Host, true) => Priority::KnownAndRepeated,
            (Known::Host, false) | (Known::No, true) => Priority::KnownOrRepeated,
            (Known::No, false) => Priority::New,
        }
    }

    /// How many tenths of the places are kept for those who go before these.
    pub(super) fn tenths_kept(self) -> usize {
        match self {
            Priority::KnownPort => 0,
            Priority::KnownAndRepeated => 1,
            Priority::KnownOrRepeated => 2,
            Priority::New => 3,
        }
    }
}

/// Whether a registered device has lately completed a handshake from where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// From its address and port.
    Port,
    /// From its address.
    Host,
    /// From neither.
    No,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct PendingHellos {
    room: usize,
    room_for_each_source: usize,
    guests: HashMap<Path, PendingHello>,
    known_port: SourcePlaces<Path>,
    known_and_repeated: SourcePlaces<Path>,
    known_or_repeated: SourcePlaces<Path>,
    new: SourcePlaces<Path>,
    /// Where in [`Priority::TURNS`] we are.
    turn: usize,
    turned_away: RecentSet,
    /// Who had given up when their turn came, and is not counted yet.
    gone: u64,
}

/// Who is sent away when one more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// There is room.
    Nobody,
    /// The newcomer, or another of its source: that has as many as it may.
    BySource,
    /// The newcomer, or one of those who have more: there are as many as there may be.
    ByAll,
}

/// One of them, and its hello with the cookie.
#[derive(Debug)]
pub(super) struct PendingHello {
    pub(super) path: Path,
    pub(super) random: [u8; 32],
    pub(super) hello: Vec<u8>,
    lane: Priority,
    came: Instant,
    heard: Instant,
}

impl PendingHellos {
    /// For so many places. A source may have half of the room: a fleet may be behind one address.
    pub(super) fn new(places: usize) -> PendingHellos {
        let room = places.saturating_mul(FOR_EACH_PLACE).min(MOST);
        PendingHellos {
            room,
            room_for_each_source: room.div_ceil(2),
            guests: HashMap::new(),
            known_port: SourcePlaces::default(),
            known_and_repeated: SourcePlaces::default(),
            known_or_repeated: SourcePlaces::default(),
            new: SourcePlaces::default(),
            turn: 0,
            turned_away: RecentSet::new(TURNED_AWAY),
            gone: 0,
        }
    }

    fn lane(&self, lane: Priority) -> &SourcePlaces<Path> {
        match lane {
            Priority::KnownPort => &self.known_port,
            Priority::KnownAndRepeated => &self.known_and_repeated,
            Priority::KnownOrRepeated => &self.known_or_repeated,
            Priority::New => &self.new,
        }
    }

    fn queue_mut(&mut self, lane: Priority) -> &mut SourcePlaces<Path> {
        match lane {
            Priority::KnownPort => &mut self.known_port,
            Priority::KnownAndRepeated => &mut self.known_and_repeated,
            Priority::KnownOrRepeated => &mut self.known_or_repeated,
            Priority::New => &mut self.new,
        }
    }

    /// Lets one in, if there is room, or if others have more. Who waits already keeps its place, with what it says now.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        hello: &[u8],
        known: Known,
    ) -> Overflow {
        let host = source::host(path.remote.ip());
        if let Some(guest) = self.guests.get_mut(&path) {
            let passed = now.saturating_duration_since(guest.came);
            let is_repeated = guest.random == random && passed >= REPEATED_AFTER;
            let (before, lane) = (guest.lane, Priority::of(known, is_repeated));
            (guest.random, guest.hello, guest.heard) = (random, hello.to_vec(), now);
            if is_repeated && lane != before {
                guest.lane = lane;
                self.queue_mut(before).remove(host, &path);
                self.queue_mut(lane).add(host, path);
            }
            return Overflow::Nobody;
        }
        let lane = Priority::of(known, self.turned_away.take(&(path, random)));
        let room = self.make_room(host, lane);
        if room.is_ok() {
            self.queue_mut(lane).add(host, path);
            let (hello, came, heard) = (hello.to_vec(), now, now);
            let guest = PendingHello {
                path,
                random,
                hello,
                lane,
                came,
                heard,
            };
            self.guests.insert(path, guest);
        } else {
            self.turned_away.put(&(path, random));
        }
        room.unwrap_or_else(|turned| turned)
    }

    /// Makes room for one of this host. Says who was turned away: `Err` if that is the newcomer.
    fn make_room(&mut self, host: IpAddr, lane: Priority) -> Result<Overflow, Overflow> {
        let own = Priority::ALL.map(|lane| self.lane(lane).held_by_host(host));
        let (evicted, turned) = if own.iter().sum::<usize>() >= self.room_for_each_source {
            (self.evict_of_host(host, lane), Overflow::BySource)
        } else if self.guests.len() >= self.room {
            (self.evict(host, lane), Overflow::ByAll)
        } else {
            return Ok(Overflow::Nobody);
        };
        let evicted = evicted.and_then(|path| self.guests.remove(&path));
        let guest = evicted.ok_or(turned)?;
        self.turned_away.put(&(guest.path, guest.random));
        Ok(turned)
    }

    /// The newest of this host in a lane that comes after this one.
    fn evict_of_host(&mut self, host: IpAddr, lane: Priority) -> Option<Path> {
        let later = Priority::ALL.into_iter().rev().take_while(|l| *l != lane);
        let lane = { later }.find(|later| self.lane(*later).held_by_host(host) > 0)?;
        self.queue_mut(lane).pop_newest(host)
    }

    /// The client that makes room for one of this host and lane where all places are taken: one of a lane for which less is
    /// known, if this lane has more; or one of its network that has not repeated its hello, if this one has; or else one of
    /// a host or network that has more than this one's.
    fn evict(&mut self, host: IpAddr, lane: Priority) -> Option<Path> {
        let of = |lane| Some((lane, self.lane(lane).largest()?));
        let (promising, new) = (Priority::KnownOrRepeated, Priority::New);
        let found = match lane {
            Priority::KnownPort | Priority::KnownAndRepeated => {
                (of(new).or_else(|| of(promising))).or_else(|| self.larger(lane, host))
            }
            Priority::KnownOrRepeated => {
                let neighbour = self.new.largest_host(source::network(host));
                let neighbour = neighbour.map(|(host, _)| (new, host));
                neighbour
                    .or_else(|| self.larger(new, host))
                    .or_else(|| self.larger(promising, host))
            }
            Priority::New => (self.larger(new, host)).or_else(|| self.larger(promising, host)),
        };
        let (lane, largest) = found?;
        self.queue_mut(lane).pop_newest(largest)
    }

    /// The largest host of a lane, if it or its network has so many more than this one that this one's next is due.
    fn larger(&self, lane: Priority, host: IpAddr) -> Option<(Priority, IpAddr)> {
        let (places, own) = (self.lane(lane), source::network(host));
        let (network, held) = places.largest_network()?;
        let other = if network != own && held > places.held_by_network(own) + 1 {
            places.largest()
        } else {
            let largest = places.largest_host(own);
            let has_more = |(_, held): &(IpAddr, usize)| *held > places.held_by_host(host) + 1;
            largest.filter(has_more).map(|(host, _)| host)
        };
        Some((lane, other?))
    }

    /// The lane and host whose turn it is. Clients that have given up ([`PATIENCE`]) are removed first, without a turn:
    /// [`FORGOTTEN_AT_A_TIME`] of them at most, and if that was not enough the answer is `None` for now.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Priority, IpAddr)> {
        for _ in 0..FORGOTTEN_AT_A_TIME {
            let (lane, host) = self.whose_turn()?;
            let first = self.lane(lane).oldest(host);
            let guest = first.and_then(|path| self.guests.get(path));
            if guest.is_some_and(|guest| now.saturating_duration_since(guest.heard) < PATIENCE) {
                return Some((lane, host));
            }
            self.gone += u64::from(self.take_first(lane, host).is_some());
        }
        None
    }

    fn whose_turn(&self) -> Option<(Priority, IpAddr)> {
        let own = Priority::TURNS.get(self.turn);
        let mut lanes = own.into_iter().chain(&Priority::ALL);
        lanes.find_map(|lane| Some((*lane, self.lane(*lane).next()?)))
    }

    /// It is not this source's turn, after all: the others go first.
    pub(super) fn pass_over(&mut self) {
        if let Some((lane, host)) = self.whose_turn() {
            self.end_turn(lane, host);
        }
    }

    fn end_turn(&mut self, lane: Priority, host: IpAddr) {
        self.queue_mut(lane).end_turn(host);
        self.turn = (self.turn + 1) % Priority::TURNS.len();
    }

    /// Calls in whose turn it is: the one that [`next`](Self::next) has told of.
    pub(super) fn call(&mut self) -> Option<PendingHello> {
        let (lane, host) = self.whose_turn()?;
        let guest = self.take_first(lane, host);
        self.end_turn(lane, host);
        guest
    }

    fn take_first(&mut self, lane: Priority, host: IpAddr) -> Option<PendingHello> {
        let path = self.queue_mut(lane).pop_oldest(host)?;
        self.guests.remove(&path)
    }

    /// Sends all away.
    pub(super) fn clear(&mut self) {
        self.guests.clear();
        for lane in Priority::ALL {
            *self.queue_mut(lane) = SourcePlaces::default();
        }
    }

    /// Whether someone on this path waits.
    pub(super) fn has(&self, path: Path) -> bool {
        self.guests.contains_key(&path)
    }

    /// Who had given up since this was asked last.
    pub(super) fn take_gone(&mut self) -> u64 {
        std::mem::take(&mut self.gone)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.guests.len()
    }

    /// How many sources they come from.
    pub(super) fn sources(&self) -> usize {
        Priority::ALL
            .map(|lane| self.lane(lane).hosts())
            .iter()
            .sum()
    }
}

#[cfg(test)]
mod tests;
