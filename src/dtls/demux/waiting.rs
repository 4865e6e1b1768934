//! Clients with a valid cookie, whose handshakes wait for a place.
//!
//! After a power cut a whole fleet returns its cookies within a second, faster than handshakes can be made. Whoever is
//! turned away then comes again when its timer says so, after 1, 2, 4, … seconds, with all the others; meanwhile places
//! stay empty. So they wait here: a datagram each, the sources taking turns, and a place that falls vacant is theirs.

use crate::dtls::budget::source;
use crate::dtls::session::Path;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Who wait, for each handshake that may be under way: so many are served before their clients give up.
const FOR_EACH_PLACE: usize = 10;
/// And in all, however many handshakes may be: each keeps a datagram, so these are 30 MB at most.
const MOST: usize = 20_000;
/// A client that has not repeated its hello for so long has given up, or will come again: its timer doubles each time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those who wait.
#[derive(Debug)]
pub(super) struct Waiting {
    room: usize,
    room_for_each_source: usize,
    guests: HashMap<Path, Guest>,
    /// Each source's own, in the order they came.
    by_source: HashMap<IpAddr, VecDeque<Path>>,
    /// Sources by how many of theirs wait.
    by_size: BTreeSet<(usize, IpAddr)>,
    /// Sources with someone who waits, in the order of their turns.
    turns: VecDeque<IpAddr>,
    /// Who had given up when their turn came, and is not counted yet.
    gone: u64,
}

/// Who is sent away when one more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// There is room.
    Nobody,
    /// The newcomer: its source has as many as it may.
    BySource,
    /// The newcomer, or one of those who have more: there are as many as there may be.
    ByAll,
}

/// One of them, and its hello with the cookie.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) path: Path,
    pub(super) random: [u8; 32],
    pub(super) hello: Vec<u8>,
    heard: Instant,
}

impl Waiting {
    /// For so many places, and so many of one source.
    pub(super) fn new(places: usize, room_for_each_source: u32) -> Waiting {
        Waiting {
            room: places.saturating_mul(FOR_EACH_PLACE).min(MOST),
            room_for_each_source: usize::try_from(room_for_each_source).unwrap_or(usize::MAX),
            guests: HashMap::new(),
            by_source: HashMap::new(),
            by_size: BTreeSet::new(),
            turns: VecDeque::new(),
            gone: 0,
        }
    }

    /// Lets one in, if there is room, or if others have more. Who waits already keeps its place, with what it says now.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        hello: &[u8],
    ) -> Turned {
        let guest = Guest {
            path,
            random,
            hello: hello.to_vec(),
            heard: now,
        };
        if let Some(known) = self.guests.get_mut(&path) {
            *known = guest;
            return Turned::Nobody;
        }
        let source = source(path.remote.ip());
        let own = self.by_source.get(&source).map_or(0, VecDeque::len);
        if own >= self.room_for_each_source {
            return Turned::BySource;
        }
        let is_full = self.guests.len() >= self.room;
        if is_full && !self.send_one_away(own) {
            return Turned::ByAll;
        }
        self.guests.insert(path, guest);
        self.by_source.entry(source).or_default().push_back(path);
        self.resize(source, own, own + 1);
        if own == 0 {
            self.turns.push_back(source);
        }
        if is_full {
            Turned::ByAll
        } else {
            Turned::Nobody
        }
    }

    /// The last of the source that has most, if it has so many that one of a source with `own` is next.
    fn send_one_away(&mut self, own: usize) -> bool {
        let Some((held, source)) = self.by_size.last().copied() else {
            return false;
        };
        if held <= own + 1 {
            return false;
        }
        let last = self.by_source.get_mut(&source).and_then(VecDeque::pop_back);
        if let Some(path) = last {
            self.guests.remove(&path);
            self.resize(source, held, held - 1);
        }
        last.is_some()
    }

    /// Whose turn it is, by its source. Who has given up meanwhile is forgotten first, and takes nobody's turn.
    pub(super) fn next(&mut self, now: Instant) -> Option<IpAddr> {
        loop {
            let source = *self.turns.front()?;
            let first = self.by_source.get(&source).and_then(VecDeque::front);
            let guest = first.and_then(|path| self.guests.get(path));
            if guest.is_some_and(|guest| now.saturating_duration_since(guest.heard) < PATIENCE) {
                return Some(source);
            }
            self.gone += u64::from(self.take_first(source).is_some());
            if !self.by_source.contains_key(&source) {
                self.turns.pop_front();
            }
        }
    }

    /// It is not this source's turn, after all: the others go first.
    pub(super) fn pass_over(&mut self) {
        self.turns.rotate_left(self.turns.len().min(1));
    }

    /// Calls in whose turn it is: the one that [`next`](Self::next) has told of.
    pub(super) fn call(&mut self) -> Option<Guest> {
        let source = self.turns.pop_front()?;
        let guest = self.take_first(source);
        if self.by_source.contains_key(&source) {
            self.turns.push_back(source);
        }
        guest
    }

    fn take_first(&mut self, source: IpAddr) -> Option<Guest> {
        let own = self.by_source.get_mut(&source)?;
        let held = own.len();
        let path = own.pop_front();
        if own.is_empty() {
            self.by_source.remove(&source);
        }
        self.resize(source, held, held.saturating_sub(1));
        self.guests.remove(&path?)
    }

    fn resize(&mut self, source: IpAddr, before: usize, after: usize) {
        self.by_size.remove(&(before, source));
        if after > 0 {
            self.by_size.insert((after, source));
        }
    }

    /// Sends all away.
    pub(super) fn clear(&mut self) {
        self.guests.clear();
        self.by_source.clear();
        self.by_size.clear();
        self.turns.clear();
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
        self.turns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn path(last: u8, port: u16) -> Path {
        Path {
            remote: SocketAddr::from(([192, 0, 2, last], port)),
            local: None,
        }
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    fn enter(waiting: &mut Waiting, now: Instant, path: Path) {
        assert_eq!(waiting.enter(now, path, [0; 32], &[]), Turned::Nobody);
        assert!(waiting.has(path));
    }

    fn call(waiting: &mut Waiting, now: Instant) -> Option<Guest> {
        waiting.next(now)?;
        waiting.call()
    }

    #[test]
    fn sources_take_turns_and_each_ones_own_go_by_when_they_came() {
        let (mut waiting, now) = (Waiting::new(1, 9), start());
        for (last, port) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)] {
            enter(&mut waiting, now, path(last, port));
        }
        // Come again: keeps its place.
        let again = waiting.enter(now, path(1, 1), [7; 32], &[7]);
        assert_eq!(again, Turned::Nobody);
        let called: Vec<_> = std::iter::from_fn(|| call(&mut waiting, now)).collect();
        let order: Vec<_> = called.iter().map(|guest| guest.path).collect();
        let expected = [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)];
        assert_eq!(order, expected.map(|(last, port)| path(last, port)));
        assert_eq!(
            (called[0].random, called[0].hello.as_slice()),
            ([7; 32], &[7][..])
        );
        assert_eq!((waiting.len(), waiting.sources()), (0, 0));
        assert!(waiting.by_source.is_empty() && waiting.by_size.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_so_many_of_one_source() {
        let (mut waiting, now) = (Waiting::new(1, 4), start());
        for (last, let_in, then) in [
            (1, 4, Turned::BySource),
            (2, 4, Turned::BySource),
            (3, 2, Turned::ByAll),
        ] {
            for port in 0..9 {
                let turned = waiting.enter(now, path(last, port), [0; 32], &[]);
                let expected = if port < let_in { Turned::Nobody } else { then };
                assert_eq!(turned, expected, "{last} {port}");
            }
        }
        assert_eq!(waiting.len(), 10);
        waiting.clear();
        enter(&mut waiting, now, path(1, 1));
        assert_eq!(Waiting::new(1_000_000, 4).room, MOST);
    }

    #[test]
    fn where_all_is_full_who_has_most_makes_room_with_its_last_for_who_has_less() {
        let (mut waiting, now) = (Waiting::new(1, 9), start());
        for port in 1..=9 {
            enter(&mut waiting, now, path(1, port));
        }
        enter(&mut waiting, now, path(2, 1));
        for (last, port) in (2..=9).map(|port| (2, port)).chain([(3, 1)]) {
            // Someone is sent away in any case: another source's last, or the newcomer.
            let turned = waiting.enter(now, path(last, port), [0; 32], &[]);
            assert_eq!(turned, Turned::ByAll);
        }
        assert_eq!((waiting.len(), waiting.sources()), (10, 3));
        let called: Vec<_> = std::iter::from_fn(|| call(&mut waiting, now)).collect();
        let of = |last: u8| {
            let from = |guest: &&Guest| guest.path.remote.ip() == path(last, 1).remote.ip();
            let ports = called.iter().filter(from);
            ports.map(|guest| guest.path.remote.port()).collect()
        };
        let kept: [Vec<u16>; 3] = [of(1), of(2), of(3)];
        assert_eq!(kept, [vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4], vec![1]]);
    }

    #[test]
    fn who_has_given_up_is_not_called_in_and_takes_nobodys_turn() {
        let (mut waiting, now) = (Waiting::new(1, 4), start());
        for (last, port) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
            waiting.enter(now, path(last, port), [0; 32], &[]);
        }
        let later = now + PATIENCE;
        for (last, port) in [(1, 2), (3, 1)] {
            waiting.enter(later, path(last, port), [0; 32], &[]);
        }
        for (last, port) in [(1, 2), (3, 1)] {
            assert_eq!(waiting.next(later), Some(path(last, port).remote.ip()));
            assert!(
                waiting
                    .call()
                    .is_some_and(|guest| guest.path == path(last, port))
            );
        }
        assert_eq!((waiting.next(later), waiting.len()), (None, 0));
        assert_eq!((waiting.take_gone(), waiting.take_gone()), (2, 0));
        assert!(waiting.by_source.is_empty() && waiting.by_size.is_empty());
    }
}
