//! The network between devices and gateway: latency, loss, reordering, duplication, an MTU.

use crate::dtls::Path;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The conditions of the network, the same both ways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// The minimum time that a datagram takes one way.
    pub(crate) latency: Duration,
    /// The maximum of a random time added for each datagram, so that datagrams are reordered.
    pub(crate) jitter: Duration,
    /// The share of datagrams that are lost.
    pub(crate) loss: f64,
    /// The share of datagrams that are duplicated.
    pub(crate) duplication: f64,
    /// Larger datagrams are lost.
    pub(crate) mtu: usize,
}

impl Conditions {
    /// 20 ms, no loss.
    pub(crate) const GOOD: Conditions = Conditions {
        latency: Duration::from_millis(20),
        jitter: Duration::ZERO,
        loss: 0.0,
        duplication: 0.0,
        mtu: 1500,
    };

    /// [`GOOD`](Self::GOOD) with this loss.
    pub(crate) fn losing(loss: f64) -> Conditions {
        Conditions {
            loss,
            ..Conditions::GOOD
        }
    }
}

/// A datagram in transit.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) path: Path,
    pub(super) to_gateway: bool,
    pub(super) datagram: Vec<u8>,
}

/// A datagram that was sent to the gateway.
#[derive(Debug, Clone)]
pub(super) struct CapturedDatagram {
    at: Instant,
    pub(super) path: Path,
    pub(super) datagram: Vec<u8>,
}

/// The network: datagrams in transit, and what is lost.
pub(crate) struct Link {
    pub(crate) conditions: Conditions,
    random: fastrand::Rng,
    sent: u64,
    in_transit: BTreeMap<(Instant, u64), Arrival>,
    /// Datagrams to lose in addition to `conditions`: see `lose_after`.
    lose_to_gateway: ScheduledLoss,
    lose_to_device: ScheduledLoss,
    /// The latest datagrams to the gateway, lost ones included, newest first, for tests that replay them.
    captured: VecDeque<CapturedDatagram>,
}

/// How many datagrams pass, and how many after them are lost.
#[derive(Debug, Default)]
struct ScheduledLoss {
    pass: usize,
    lose: usize,
}

impl ScheduledLoss {
    fn loses_next(&mut self) -> bool {
        if self.pass > 0 {
            self.pass -= 1;
            return false;
        }
        let lost = self.lose > 0;
        self.lose = self.lose.saturating_sub(1);
        lost
    }
}

/// The maximum number of captured datagrams.
const CAPTURED_AT_MOST: usize = 64;

impl Link {
    pub(super) fn new(conditions: Conditions, seed: u64) -> Link {
        Link {
            conditions,
            random: fastrand::Rng::with_seed(seed ^ 0x11_4b),
            sent: 0,
            in_transit: BTreeMap::new(),
            lose_to_gateway: ScheduledLoss::default(),
            lose_to_device: ScheduledLoss::default(),
            captured: VecDeque::new(),
        }
    }

    /// Loses the next `count` datagrams to the gateway, or to devices.
    pub(crate) fn lose_next(&mut self, to_gateway: bool, count: usize) {
        self.lose_after(to_gateway, 0, count);
    }

    /// Lets `pass` more datagrams to the gateway, or to devices, through, and loses the `count` after them.
    pub(crate) fn lose_after(&mut self, to_gateway: bool, pass: usize, count: usize) {
        let scheduled = ScheduledLoss { pass, lose: count };
        if to_gateway {
            self.lose_to_gateway = scheduled;
        } else {
            self.lose_to_device = scheduled;
        }
    }

    /// The number of datagrams so far, both ways, that were not lost.
    pub(crate) fn delivered(&self) -> u64 {
        self.sent
    }

    /// Datagrams sent to the gateway since `then`, lost ones included, newest first: at most [`CAPTURED_AT_MOST`].
    pub(super) fn captured_since(&self, then: Instant) -> Vec<CapturedDatagram> {
        let captured = self.captured.iter();
        captured.filter(|one| one.at >= then).cloned().collect()
    }

    pub(super) fn send(&mut self, now: Instant, path: Path, to_gateway: bool, datagram: Vec<u8>) {
        if to_gateway {
            self.captured.truncate(CAPTURED_AT_MOST - 1);
            self.captured.push_front(CapturedDatagram {
                at: now,
                path,
                datagram: datagram.clone(),
            });
        }
        let scheduled = if to_gateway {
            &mut self.lose_to_gateway
        } else {
            &mut self.lose_to_device
        };
        if scheduled.loses_next() {
            return;
        }
        let copies = 1 + usize::from(self.random.f64() < self.conditions.duplication);
        for _ in 0..copies {
            let lost = self.random.f64() < self.conditions.loss;
            if lost || datagram.len() > self.conditions.mtu {
                continue;
            }
            let jitter = self.conditions.jitter.mul_f64(self.random.f64());
            let arrival = Arrival {
                path,
                to_gateway,
                datagram: datagram.clone(),
            };
            self.sent += 1;
            let at = now + self.conditions.latency + jitter;
            self.in_transit.insert((at, self.sent), arrival);
        }
    }

    /// Delays all datagrams in transit.
    pub(crate) fn delay_in_transit(&mut self, by: Duration) {
        let in_transit = std::mem::take(&mut self.in_transit);
        let later = in_transit
            .into_iter()
            .map(|((at, n), arrival)| ((at + by, n), arrival));
        self.in_transit = later.collect();
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.in_transit.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_arrival(&mut self, now: Instant) -> Option<Arrival> {
        let first = self.in_transit.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
