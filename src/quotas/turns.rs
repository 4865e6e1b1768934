//! How much of one turn of the loop a device may have.
//!
//! ```text
//! datagram ──(its device has had fewer than PER_DEVICE in this turn)──▶ handled at once
//!     │
//!     └──(otherwise)──▶ waits, in order ──(the next turns: one of each device that waits, around)──▶ handled
//!                          │
//!                          └──(its device has too much waiting already)──▶ dropped, as the kernel would
//! ```
//!
//! A device that sends more than the loop can handle so keeps nobody waiting but itself: what others send comes first,
//! however much of the first device's was there before. A device alone has all of the loop. A device's sessions share
//! one queue, and a certificate that is not registered counts for its source address.

use super::in_flight::Holder;
use crate::dtls::Path;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Datagrams of one device that are handled in a turn while others may wait for theirs.
pub(crate) const PER_DEVICE: usize = 8;
/// Datagrams handled in a turn of those that wait.
pub(crate) const WAITING_PER_TURN: usize = 64;
/// Bytes of datagrams that may wait for one device: some 500 requests at once.
const WAITING_BYTES: usize = 64 * 1024;
/// The same of all devices.
const ALL_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// What a datagram counts for at least: its place takes as much, however small it is.
const LEAST: usize = 128;

/// What a datagram counts for while it waits.
fn cost(datagram: &[u8]) -> usize {
    datagram.len().max(LEAST)
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is handled now.
    Handle,
    /// It is kept for a later turn.
    Wait,
    /// Its device has too much waiting.
    Drop,
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<(Path, Box<[u8]>)>,
    bytes: usize,
}

/// The turn that is going on, and what waits for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// All that the loop takes from the kernel in one turn comes at one time.
    at: Option<Instant>,
    handled: usize,
    /// Of each device in this turn, once there is reason to count.
    handled_of: HashMap<Holder, usize>,
    waiting: HashMap<Holder, Queue>,
    /// Holders with queued datagrams, in the order of their turns.
    round_robin: VecDeque<Holder>,
    bytes: usize,
}

impl Turns {
    /// A datagram has come. Says whether it matters whose it is: [`decide`](Self::decide) must follow then. While few come
    /// in a turn and none waits it does not, and costs nothing.
    pub(crate) fn count_arrival(&mut self, now: Instant) -> bool {
        if self.at != Some(now) {
            self.at = Some(now);
            self.handled = 0;
            self.handled_of.clear();
        }
        let matters = self.handled >= PER_DEVICE || !self.round_robin.is_empty();
        if !matters {
            self.handled += 1;
        }
        matters
    }

    /// What becomes of this device's datagram. Where no session is, there are other bounds: see
    /// [`admission`](crate::dtls::demux).
    pub(crate) fn decide(
        &mut self,
        holder: Option<Holder>,
        path: Path,
        datagram: &[u8],
    ) -> Verdict {
        let Some(holder) = holder else {
            self.handled += 1;
            return Verdict::Handle;
        };
        let waits = self.waiting.get(&holder);
        let waiting_bytes = waits.map_or(0, |queue| queue.bytes);
        let handled = self.handled_of.get(&holder).copied().unwrap_or_default();
        if waits.is_none() && handled < PER_DEVICE {
            self.handled += 1;
            self.handled_of.insert(holder, handled + 1);
            return Verdict::Handle;
        }
        let more = cost(datagram);
        if waiting_bytes.saturating_add(more) > WAITING_BYTES
            || self.bytes.saturating_add(more) > ALL_WAITING_BYTES
        {
            return Verdict::Drop;
        }
        if waits.is_none() {
            self.round_robin.push_back(holder.clone());
        }
        let queue = self.waiting.entry(holder).or_default();
        queue.datagrams.push_back((path, datagram.into()));
        queue.bytes += more;
        self.bytes += more;
        Verdict::Wait
    }

    /// The next datagram of those that wait: devices take turns.
    pub(crate) fn next_waiting(&mut self) -> Option<(Path, Box<[u8]>)> {
        let holder = self.round_robin.pop_front()?;
        let queue = self.waiting.get_mut(&holder)?;
        let (path, datagram) = queue.datagrams.pop_front()?;
        let less = cost(&datagram);
        queue.bytes = queue.bytes.saturating_sub(less);
        self.bytes = self.bytes.saturating_sub(less);
        match queue.datagrams.is_empty() {
            true => {
                self.waiting.remove(&holder);
            }
            false => self.round_robin.push_back(holder),
        }
        Some((path, datagram))
    }

    /// Datagrams handled at once in the turn that is going on.
    pub(crate) fn handled(&self) -> usize {
        self.handled
    }

    /// When there is more to do: at once, if something waits.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.at.filter(|_| !self.round_robin.is_empty())
    }

    /// Bytes that wait, and devices they are of.
    #[cfg(test)]
    pub(crate) fn load(&self) -> (usize, usize) {
        assert_eq!(self.round_robin.len(), self.waiting.len());
        (self.bytes, self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    fn path(port: u16) -> Path {
        Path {
            remote: SocketAddr::from(([10, 0, 0, 1], port)),
            local: None,
        }
    }

    fn device(name: &str) -> Holder {
        Holder::Device(name.into())
    }

    /// As many datagrams as given come of a device; how many of them are handled at once, wait, and are dropped.
    fn come(turns: &mut Turns, now: Instant, name: &str, count: usize) -> (usize, usize, usize) {
        let (mut handled, mut waits, mut dropped) = (0, 0, 0);
        for number in 0..count {
            let datagram = vec![u8::try_from(number % 256).unwrap(); LEAST];
            let verdict = match turns.count_arrival(now) {
                true => turns.decide(Some(device(name)), path(1), &datagram),
                false => Verdict::Handle,
            };
            match verdict {
                Verdict::Handle => handled += 1,
                Verdict::Wait => waits += 1,
                Verdict::Drop => dropped += 1,
            }
        }
        (handled, waits, dropped)
    }

    #[test]
    fn a_flood_of_one_device_leaves_room_for_others_and_what_is_over_its_share_waits_or_is_dropped()
    {
        let (now, mut turns) = (start(), Turns::default());
        let (handled, waits, dropped) = come(&mut turns, now, "flood", 2000);
        // The first few are not counted, as nobody knows yet that it is a flood.
        assert_eq!(handled, 2 * PER_DEVICE);
        assert_eq!(waits, WAITING_BYTES / LEAST);
        assert_eq!(handled + waits + dropped, 2000);
        assert_eq!(come(&mut turns, now, "other", 3), (3, 0, 0));
        // In the next turn as well, while the flood goes on; its own wait for what was there before.
        let later = now + Duration::from_millis(1);
        assert_eq!(come(&mut turns, later, "flood", 9), (0, 0, 9));
        assert_eq!(come(&mut turns, later, "other", PER_DEVICE + 1), (8, 1, 0));
    }

    #[test]
    fn those_that_wait_take_turns_and_each_keeps_its_order() {
        let (now, mut turns) = (start(), Turns::default());
        come(&mut turns, now, "nobody", PER_DEVICE);
        for name in ["a", "b"] {
            come(&mut turns, now, name, PER_DEVICE + 3);
        }
        let mut order = Vec::new();
        while let Some((_, datagram)) = turns.next_waiting() {
            order.push(datagram[0]);
        }
        assert_eq!(order, [8, 8, 9, 9, 10, 10]);
        assert_eq!((turns.load(), turns.next_timeout()), ((0, 0), None));
    }

    #[test]
    fn a_device_alone_is_handled_as_fast_as_it_comes_once_nothing_of_it_waits() {
        let (mut now, mut turns) = (start(), Turns::default());
        for _ in 0..1000 {
            now += Duration::from_micros(10);
            assert_eq!(come(&mut turns, now, "a", PER_DEVICE), (8, 0, 0));
        }
        assert_eq!(turns.next_timeout(), None);
    }

    #[test]
    fn what_waits_is_bounded_for_all_together() {
        let (now, mut turns) = (start(), Turns::default());
        for number in 0..200 {
            come(&mut turns, now, &format!("d{number}"), 1000);
        }
        let (bytes, devices) = turns.load();
        assert!(bytes <= ALL_WAITING_BYTES && bytes > ALL_WAITING_BYTES - 1000);
        assert!(devices < 200);
        while turns.next_waiting().is_some() {}
        assert_eq!(turns.load(), (0, 0));
    }

    /// Whoever can send from a device's address has them wait under its name: what counts is what they take.
    #[test]
    fn small_datagrams_count_for_the_place_that_they_take() {
        let (now, mut turns) = (start(), Turns::default());
        come(&mut turns, now, "nobody", PER_DEVICE);
        let wait =
            |turns: &mut Turns| turns.decide(Some(device("a")), path(1), b"x") == Verdict::Wait;
        let waiting = (0..70_000).filter(|_| wait(&mut turns)).count();
        let takes = size_of::<(Path, Box<[u8]>)>();
        assert!(
            waiting >= 500 && waiting * takes <= WAITING_BYTES,
            "{waiting}"
        );
        while turns.next_waiting().is_some() {}
        assert_eq!(turns.load(), (0, 0));
    }
}
