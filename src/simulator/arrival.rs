//! What arrived: a bounded list, and a feed for those who wait.

use std::collections::VecDeque;
use std::fmt;

use axum::body::Bytes;
use tokio::sync::broadcast;

/// The list holds this many arrivals …
const LONGEST_LIST: usize = 10_000;
/// … and this many bytes of bodies, whichever comes first.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Of a longer body only the beginning is kept.
const LONGEST_BODY: usize = 128 * 1024;
/// A subscriber further behind than this misses some, and is told how many.
const FEED: usize = 512;

/// One request that reached the device API, noted before it was answered.
///
/// There is no access token in it: the path says `{token}`, and `device` says whose it was. `Debug` leaves out the
/// body, which may hold a provisioning secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Counts up from 1 over the life of the simulator; clearing the list does not reset it.
    pub sequence: u64,
    /// When it was received: milliseconds since the Unix epoch.
    pub received_ms: u64,
    /// The HTTP method.
    pub method: String,
    /// The path, with the access token replaced: `/api/v1/{token}/telemetry`.
    pub path: String,
    /// The query, as sent.
    pub query: Option<String>,
    /// The name of the device that the token belongs to; `None` for an unknown token and for provisioning.
    pub device: Option<String>,
    /// The `Content-Type` header, as sent.
    pub content_type: Option<String>,
    /// The body as sent, byte for byte; at most the first 128 KiB of it.
    pub body: Bytes,
    /// How long the body was: more than `body` holds if that was cut or not read (413).
    pub body_length: u64,
    /// The status it gets; `None` where there is none yet (a client RPC waiting) or none at all (a fault).
    pub answer: Option<u16>,
    /// The fault that was applied, if any: `"status"`, `"drop"`, `"garbage"`, `"hang"` or `"delay"`.
    pub fault: Option<&'static str>,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("sequence", &self.sequence)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("device", &self.device)
            .field("body_length", &self.body_length)
            .field("answer", &self.answer)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// The latest arrivals.
pub(super) struct Arrivals {
    list: VecDeque<Arrival>,
    bytes: usize,
    total: u64,
    dropped: u64,
    feed: broadcast::Sender<Arrival>,
}

impl Arrivals {
    pub(super) fn new() -> Arrivals {
        Arrivals {
            list: VecDeque::new(),
            bytes: 0,
            total: 0,
            dropped: 0,
            feed: broadcast::Sender::new(FEED),
        }
    }

    /// Notes one; its sequence number is given here.
    pub(super) fn note(&mut self, mut arrival: Arrival) {
        self.total += 1;
        arrival.sequence = self.total;
        // A copy, so that a kept arrival never holds on to a larger buffer it was read into.
        let kept = arrival.body.get(..LONGEST_BODY).unwrap_or(&arrival.body);
        arrival.body = Bytes::copy_from_slice(kept);
        self.bytes += cost(&arrival);
        self.list.push_back(arrival.clone());
        while self.list.len() > LONGEST_LIST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.list.pop_front() else {
                break;
            };
            self.bytes -= cost(&oldest);
            self.dropped += 1;
        }
        // Nobody listening is no error.
        let _ = self.feed.send(arrival);
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arrival> {
        self.list.iter()
    }

    /// How many have arrived in all.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many the list had to let go of for want of room since it was last cleared.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.bytes = 0;
        self.dropped = 0;
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arrival> {
        self.feed.subscribe()
    }
}

/// What an arrival weighs in the list: what a client chose the length of.
fn cost(arrival: &Arrival) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    arrival.body.len()
        + arrival.method.len()
        + arrival.path.len()
        + text(&arrival.query)
        + text(&arrival.content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(body: impl Into<Bytes>) -> Arrival {
        let body = body.into();
        Arrival {
            sequence: 0,
            received_ms: 0,
            method: "POST".into(),
            path: String::new(),
            query: None,
            device: None,
            content_type: None,
            body_length: u64::try_from(body.len()).unwrap(),
            body,
            answer: None,
            fault: None,
        }
    }

    #[test]
    fn the_oldest_arrivals_make_room_and_are_counted() {
        let mut arrivals = Arrivals::new();
        for _ in 0..LONGEST_LIST + 3 {
            arrivals.note(arrival(""));
        }
        assert_eq!(arrivals.iter().count(), LONGEST_LIST);
        assert_eq!(arrivals.dropped(), 3);
        assert_eq!(arrivals.iter().next().unwrap().sequence, 4);
    }

    #[test]
    fn bodies_are_cut_and_bounded_together() {
        let mut arrivals = Arrivals::new();
        let body = Bytes::from(vec![b'x'; LONGEST_BODY * 2]);
        for _ in 0..MOST_BYTES / LONGEST_BODY + 5 {
            arrivals.note(arrival(body.clone()));
        }
        let kept: usize = arrivals.iter().map(|arrival| arrival.body.len()).sum();
        assert!(kept <= MOST_BYTES, "{kept}");
        assert!(arrivals.dropped() >= 5);
        assert_eq!(arrivals.iter().next().unwrap().body_length, 256 * 1024);
    }

    #[test]
    fn clearing_starts_over_but_the_count_goes_on() {
        let mut arrivals = Arrivals::new();
        arrivals.note(arrival("a"));
        arrivals.clear();
        arrivals.note(arrival("b"));
        assert_eq!(arrivals.iter().count(), 1);
        assert_eq!(arrivals.iter().next().unwrap().sequence, 2);
    }

    #[test]
    fn a_body_never_shows_in_debug() {
        let shown = format!("{:?}", arrival("provisionDeviceSecret"));
        assert!(!shown.contains("Secret"), "{shown}");
    }
}
