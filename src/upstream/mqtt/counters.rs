//! What the connections count, over all devices: atomic numbers, since each connection has a task of its own.

use super::super::{Error, Rejection};
use super::outcome::End;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Why a connection has ended, or could not be opened.
const ENDS: [&str; 9] = [
    "closed",
    "displaced",
    "lost",
    "not_serving",
    "rate_limited",
    "silent",
    "token_refused",
    "unintelligible",
    // There was no TCP or TLS connection.
    "unreachable",
];

/// Why a request was answered without being sent.
const REFUSALS: [&str; 6] = [
    // Another request, or none, is let through until its wait is over: of one device.
    "backing_off",
    // ThingsBoard would never answer this body, or would close the connection for it.
    "body",
    "max_connections",
    "max_in_flight",
    "too_large",
    "unreachable",
];

/// Counts by a fixed set of names.
type Counts<const N: usize> = [(&'static str, u64); N];

/// A copy of all counts since the start, and of the current levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Devices that have a connection, or want one.
    pub devices: usize,
    /// Connections that are open, or being opened.
    pub open: usize,
    /// Those that wait to be opened.
    pub waiting: usize,
    /// Devices whose connection has failed, and waits until it is tried again.
    pub backing_off: usize,
    /// Requests that wait or are in flight.
    pub requests: usize,
    /// Bytes of their bodies.
    pub request_bytes: usize,
    /// Connections that ThingsBoard has accepted.
    pub opened: u64,
    /// By why they ended, or could not be opened.
    pub ended: Counts<{ ENDS.len() }>,
    /// By why they were not sent.
    pub refused: Counts<{ REFUSALS.len() }>,
    /// Requests whose time was over, by how far they had come.
    pub expired: Expired,
    /// Changes of attributes that were received.
    pub attributes: u64,
    /// Commands that were received.
    pub commands: u64,
    /// PUBACKs for these that were sent.
    pub acknowledged: u64,
    /// PUBACKs that were not sent, since the connection of their message had ended.
    pub acknowledged_too_late: u64,
}

/// Requests whose time was over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Not sent.
    pub unsent: u64,
    /// Sent, without a PUBACK.
    pub unacknowledged: u64,
    /// With a PUBACK, without the answer that follows it.
    pub unanswered: u64,
}

impl Counters {
    /// Requests, and subscriptions, that were refused for this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        let of_reason = self.refused.iter().filter(|(name, _)| *name == reason);
        of_reason.map(|(_, count)| count).sum()
    }
}

impl Default for Counters {
    fn default() -> Counters {
        AtomicCounters::default().get(0, 0, 0)
    }
}

#[derive(Debug)]
struct Tally<const N: usize> {
    names: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Tally<N> {
    fn of(names: [&'static str; N]) -> Tally<N> {
        Tally {
            names,
            counts: [const { AtomicU64::new(0) }; N],
        }
    }

    fn add(&self, name: &str, count: u64) {
        let mut all = self.names.iter().zip(&self.counts);
        if let Some((_, known)) = all.find(|(known, _)| **known == name) {
            known.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Counts<N> {
        let mut counts = self.names.map(|name| (name, 0));
        for ((_, copy), count) in counts.iter_mut().zip(&self.counts) {
            *copy = count.load(Ordering::Relaxed);
        }
        counts
    }
}

/// The counts themselves.
#[derive(Debug)]
pub(super) struct AtomicCounters {
    pub(super) opened: AtomicU64,
    ended: Tally<{ ENDS.len() }>,
    refused: Tally<{ REFUSALS.len() }>,
    unsent: AtomicU64,
    unacknowledged: AtomicU64,
    unanswered: AtomicU64,
    pub(super) attributes: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) acknowledged_too_late: AtomicU64,
    pub(super) backing_off: AtomicUsize,
    pub(super) requests: AtomicUsize,
    pub(super) request_bytes: AtomicUsize,
}

impl Default for AtomicCounters {
    fn default() -> AtomicCounters {
        AtomicCounters {
            opened: AtomicU64::new(0),
            ended: Tally::of(ENDS),
            refused: Tally::of(REFUSALS),
            unsent: AtomicU64::new(0),
            unacknowledged: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            attributes: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            acknowledged_too_late: AtomicU64::new(0),
            backing_off: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            request_bytes: AtomicUsize::new(0),
        }
    }
}

impl AtomicCounters {
    /// A connection has ended. `None`: it could not be opened.
    pub(super) fn ended(&self, end: Option<End>) {
        self.ended.add(end.map_or("unreachable", End::name), 1);
    }

    /// Requests were not sent, for one of [`REFUSALS`].
    pub(super) fn refused(&self, reason: &str, requests: usize) {
        let requests = u64::try_from(requests).unwrap_or(u64::MAX);
        self.refused.add(reason, requests);
    }

    /// A request was refused because of its body.
    pub(super) fn refused_body(&self, error: &Error) {
        let reason = match *error == Error::Rejected(Rejection::TooLarge) {
            true => "too_large",
            false => "body",
        };
        self.refused(reason, 1);
    }

    pub(super) fn expired(&self, expired: Expired) {
        for (count, more) in [
            (&self.unsent, expired.unsent),
            (&self.unacknowledged, expired.unacknowledged),
            (&self.unanswered, expired.unanswered),
        ] {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// A copy. `devices`: those that have a connection, or want one. `open`, `waiting`: connections.
    pub(super) fn get(&self, devices: usize, open: usize, waiting: usize) -> Counters {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let level = |level: &AtomicUsize| level.load(Ordering::Relaxed);
        Counters {
            devices,
            open,
            waiting,
            backing_off: level(&self.backing_off),
            requests: level(&self.requests),
            request_bytes: level(&self.request_bytes),
            opened: count(&self.opened),
            ended: self.ended.get(),
            refused: self.refused.get(),
            expired: Expired {
                unsent: count(&self.unsent),
                unacknowledged: count(&self.unacknowledged),
                unanswered: count(&self.unanswered),
            },
            attributes: count(&self.attributes),
            commands: count(&self.commands),
            acknowledged: count(&self.acknowledged),
            acknowledged_too_late: count(&self.acknowledged_too_late),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts in a level until it is dropped.
pub(super) struct InLevel<'a>(&'a AtomicUsize);

impl InLevel<'_> {
    pub(super) fn enter(level: &AtomicUsize) -> InLevel<'_> {
        level.fetch_add(1, Ordering::Relaxed);
        InLevel(level)
    }
}

impl Drop for InLevel<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_and_each_refusal_has_its_count() {
        let counters = AtomicCounters::default();
        for end in [
            End::TokenRefused,
            End::Displaced,
            End::RateLimited,
            End::NotServing,
            End::Lost,
            End::Silent,
            End::Unintelligible("why"),
            End::Closed,
        ] {
            counters.ended(Some(end));
        }
        counters.ended(None);
        for reason in REFUSALS {
            counters.refused(reason, 2);
        }
        let counts = counters.get(3, 1, 2);
        assert_eq!(counts.ended, ENDS.map(|name| (name, 1)));
        assert_eq!(counts.refused, REFUSALS.map(|name| (name, 2)));
        assert_eq!((counts.devices, counts.open, counts.waiting), (3, 1, 2));
    }
}
