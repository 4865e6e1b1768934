//! How many of a device's datagrams are handled in one turn of the loop.
//!
//! ```text
//! datagram ──(its device has had fewer than PER_DEVICE in this turn)──▶ handled at once
//!     │
//!     └──(otherwise)──▶ waits, in order ──(the next turns: one datagram of each waiting device, round-robin)──▶ handled
//!                          │
//!                          └──(its device has too much waiting already)──▶ dropped, as the kernel would
//! ```
//!
//! So a device that sends more than the loop can handle delays only itself: datagrams of others are handled before its
//! queue, however long that is. A device that sends alone may use the whole loop. A device's sessions share one queue,
//! and those of unregistered certificates count for their source address.

use super::in_flight::Holder;
use crate::dtls::Path;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Datagrams of one device that are handled at once in a turn.
pub(crate) const PER_DEVICE: usize = 8;
/// Queued datagrams that are handled in a turn.
pub(crate) const WAITING_PER_TURN: usize = 64;
/// Bytes of datagrams that may be queued for one device: some 500 requests.
const WAITING_BYTES: usize = 64 * 1024;
/// Bytes of datagrams that may be queued for all devices together.
const ALL_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// The least cost of a datagram: its entry in the queue takes as much memory, however short the datagram is.
const MIN_COST: usize = 128;

/// The bytes that a queued datagram counts for.
fn cost(datagram: &[u8]) -> usize {
    datagram.len().max(MIN_COST)
}

/// Whether a datagram is handled, queued or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Handle it now.
    Now,
    /// It was queued for a later turn.
    Later,
    /// Its device's queue is full, or all queues together are.
    Drop,
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<(Path, Box<[u8]>)>,
    bytes: usize,
}

/// The current turn, and the datagrams that wait for later ones.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The time of the current turn. All datagrams that the loop receives in one turn have the same time.
    at: Option<Instant>,
    handled: usize,
    /// Datagrams handled in this turn by holder, counted once [`PER_DEVICE`] were handled.
    handled_of: HashMap<Holder, usize>,
    waiting: HashMap<Holder, Queue>,
    /// Holders with queued datagrams, in the order of their turns.
    round_robin: VecDeque<Holder>,
    bytes: usize,
}

impl Turns {
    /// Counts a received datagram. Returns whether [`decide`](Self::decide) must be called for it, with its holder.
    /// While few datagrams arrive in a turn and none is queued, it need not be, and the holder is not looked up.
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

    /// Decides whether a datagram is handled now, queued or dropped. A datagram without a session (no holder) is always
    /// handled: `dtls::admission` limits those.
    pub(crate) fn decide(&mut self, holder: Option<Holder>, path: Path, datagram: &[u8]) -> Turn {
        let Some(holder) = holder else {
            self.handled += 1;
            return Turn::Now;
        };
        let waits = self.waiting.get(&holder);
        let waiting_bytes = waits.map_or(0, |queue| queue.bytes);
        let handled = self.handled_of.get(&holder).copied().unwrap_or_default();
        if waits.is_none() && handled < PER_DEVICE {
            self.handled += 1;
            self.handled_of.insert(holder, handled + 1);
            return Turn::Now;
        }
        let more = cost(datagram);
        if waiting_bytes.saturating_add(more) > WAITING_BYTES
            || self.bytes.saturating_add(more) > ALL_WAITING_BYTES
        {
            return Turn::Drop;
        }
        if waits.is_none() {
            self.round_robin.push_back(holder.clone());
        }
        let queue = self.waiting.entry(holder).or_default();
        queue.datagrams.push_back((path, datagram.into()));
        queue.bytes += more;
        self.bytes += more;
        Turn::Later
    }

    /// Takes the next queued datagram, round-robin by device.
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

    /// Datagrams handled at once in the current turn.
    pub(crate) fn handled(&self) -> usize {
        self.handled
    }

    /// The time to call again: now, if a datagram is queued.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.at.filter(|_| !self.round_robin.is_empty())
    }

    /// The number of bytes queued, and of devices with queued datagrams.
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
            via: None,
        }
    }

    fn device(name: &str) -> Holder {
        Holder::Device(name.into())
    }

    /// Receives this many datagrams of a device, and counts those handled at once, queued and dropped.
    fn receive(turns: &mut Turns, now: Instant, name: &str, count: usize) -> (usize, usize, usize) {
        let (mut handled, mut waits, mut dropped) = (0, 0, 0);
        for number in 0..count {
            let datagram = vec![u8::try_from(number % 256).unwrap(); MIN_COST];
            let verdict = match turns.count_arrival(now) {
                true => turns.decide(Some(device(name)), path(1), &datagram),
                false => Turn::Now,
            };
            match verdict {
                Turn::Now => handled += 1,
                Turn::Later => waits += 1,
                Turn::Drop => dropped += 1,
            }
        }
        (handled, waits, dropped)
    }

    #[test]
    fn datagrams_above_a_devices_share_are_queued_or_dropped() {
        let (now, mut turns) = (start(), Turns::default());
        let (handled, waits, dropped) = receive(&mut turns, now, "flood", 2000);
        // The first PER_DEVICE of a turn are not counted by device.
        assert_eq!(handled, 2 * PER_DEVICE);
        assert_eq!(waits, WAITING_BYTES / MIN_COST);
        assert_eq!(handled + waits + dropped, 2000);
        assert_eq!(receive(&mut turns, now, "other", 3), (3, 0, 0));
        // In the next turn as well, while the flood continues and its queue is full.
        let later = now + Duration::from_millis(1);
        assert_eq!(receive(&mut turns, later, "flood", 9), (0, 0, 9));
        assert_eq!(
            receive(&mut turns, later, "other", PER_DEVICE + 1),
            (8, 1, 0)
        );
    }

    #[test]
    fn queued_datagrams_are_handled_round_robin_and_in_order_for_each_device() {
        let (now, mut turns) = (start(), Turns::default());
        receive(&mut turns, now, "other", PER_DEVICE);
        for name in ["a", "b"] {
            receive(&mut turns, now, name, PER_DEVICE + 3);
        }
        let mut order = Vec::new();
        while let Some((_, datagram)) = turns.next_waiting() {
            order.push(datagram[0]);
        }
        assert_eq!(order, [8, 8, 9, 9, 10, 10]);
        assert_eq!((turns.load(), turns.next_timeout()), ((0, 0), None));
    }

    #[test]
    fn a_device_that_sends_up_to_its_share_in_every_turn_is_never_queued() {
        let (mut now, mut turns) = (start(), Turns::default());
        for _ in 0..1000 {
            now += Duration::from_micros(10);
            assert_eq!(receive(&mut turns, now, "a", PER_DEVICE), (8, 0, 0));
        }
        assert_eq!(turns.next_timeout(), None);
    }

    #[test]
    fn the_queues_of_all_devices_together_are_bounded() {
        let (now, mut turns) = (start(), Turns::default());
        for number in 0..200 {
            receive(&mut turns, now, &format!("d{number}"), 1000);
        }
        let (bytes, devices) = turns.load();
        assert!(bytes <= ALL_WAITING_BYTES && bytes > ALL_WAITING_BYTES - 1000);
        assert!(devices < 200);
        while turns.next_waiting().is_some() {}
        assert_eq!(turns.load(), (0, 0));
    }

    /// Forged datagrams from a device's address are queued for that device: each counts for the memory it takes.
    #[test]
    fn a_short_datagram_counts_for_the_memory_of_its_entry() {
        let (now, mut turns) = (start(), Turns::default());
        receive(&mut turns, now, "other", PER_DEVICE);
        let wait =
            |turns: &mut Turns| turns.decide(Some(device("a")), path(1), b"x") == Turn::Later;
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
