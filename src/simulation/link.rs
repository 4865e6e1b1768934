//! The network between devices and gateway: latency, loss, reordering, duplication, an MTU.

use crate::dtls::Path;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How bad the network is, the same both ways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// One way.
    pub(crate) latency: Duration,
    /// Added at random to each datagram, so that later ones overtake earlier ones.
    pub(crate) jitter: Duration,
    /// Share of datagrams lost.
    pub(crate) loss: f64,
    /// Share of datagrams that come twice.
    pub(crate) duplication: f64,
    /// Larger datagrams are lost.
    pub(crate) mtu: usize,
}

impl Conditions {
    /// 20 ms, nothing lost.
    pub(crate) const GOOD: Conditions = Conditions {
        latency: Duration::from_millis(20),
        jitter: Duration::ZERO,
        loss: 0.0,
        duplication: 0.0,
        mtu: 1500,
    };

    /// The same with this share lost.
    pub(crate) fn losing(loss: f64) -> Conditions {
        Conditions {
            loss,
            ..Conditions::GOOD
        }
    }
}

/// A datagram that arrives.
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

/// Datagrams in transit, and the conditions that they travel under.
pub(crate) struct Link {
    pub(crate) conditions: Conditions,
    random: fastrand::Rng,
    sent: u64,
    in_transit: BTreeMap<(Instant, u64), Arrival>,
    /// What is lost whatever the conditions, one way: see `lose_after`.
    lose_to_gateway: ScheduledLoss,
    lose_to_device: ScheduledLoss,
    /// The latest datagrams to the gateway, lost ones included, newest first, for tests that replay them.
    captured: VecDeque<CapturedDatagram>,
}

/// How many datagrams pass, and how many are lost after them.
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

/// Datagrams overheard at most.
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

    /// The next `count` datagrams to the gateway, or to devices, are lost.
    pub(crate) fn lose_next(&mut self, to_gateway: bool, count: usize) {
        self.lose_after(to_gateway, 0, count);
    }

    /// After `pass` more datagrams `count` are lost, one way.
    pub(crate) fn lose_after(&mut self, to_gateway: bool, pass: usize, count: usize) {
        let scheduled = ScheduledLoss { pass, lose: count };
        if to_gateway {
            self.lose_to_gateway = scheduled;
        } else {
            self.lose_to_device = scheduled;
        }
    }

    /// Datagrams sent so far, both ways, that were not lost.
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

    /// What is on its way takes so much longer.
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
