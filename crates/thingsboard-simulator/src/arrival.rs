//! The requests that arrived: two bounded lists, and a broadcast channel.
//!
//! Polls have a list of their own, so that the polls of thousands of idle devices do not push out other requests.

use axum::body::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::fmt;
use tokio::sync::broadcast;

/// The most arrivals in one list.
const MAX_ARRIVALS: usize = 10_000;
/// The most bytes of the arrivals in one list.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The beginning of a body that is stored, in bytes.
const MAX_STORED_BODY: usize = 128 * 1024;
/// The arrivals that a slow subscriber may be behind before it loses some.
const CHANNEL_CAPACITY: usize = 512;

/// One request that reached the device API, recorded before the response is sent; over MQTT, one PUBLISH.
///
/// It contains no access token: the path has `{token}`, and `device` is the device that the token belongs to. `Debug`
/// leaves out the body, which may contain a provisioning secret.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// Counts all arrivals, polls included, from 1. Clearing the list does not reset it.
    pub sequence: u64,
    /// When it was received: milliseconds since the Unix epoch.
    #[serde(rename = "receivedTs")]
    pub received_ms: u64,
    /// The HTTP method; `PUBLISH` over MQTT.
    pub method: String,
    /// The path, with the access token replaced: `/api/v1/{token}/telemetry`; the topic over MQTT.
    pub path: String,
    /// The query, as sent.
    pub query: Option<String>,
    /// The name of the device that the token belongs to; `None` for an unknown token and for provisioning.
    pub device: Option<String>,
    /// The `Content-Type` header, as sent.
    pub content_type: Option<String>,
    /// The body as sent, or its first 128 KiB.
    #[serde(flatten, serialize_with = "text_or_hex")]
    pub body: Bytes,
    /// The length of the whole body: more than `body` has if that was cut or not read (413).
    pub body_length: u64,
    /// The status of the response. `None` while there is none (a client RPC or a poll that waits) and where none was
    /// sent (a fault, or a client that closed its connection). That of a poll is set when it ends. Over MQTT it is the
    /// reason code of the PUBACK, `None` if there is none.
    pub status: Option<u16>,
    /// The fault that was applied: `"status"`, `"drop"`, `"garbage"`, `"hang"` or `"delay"`.
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
            .field("status", &self.status)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// A body that is not text is shown in hexadecimal, as `bodyHex`, so that no byte is lost.
fn text_or_hex<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    match std::str::from_utf8(body) {
        Ok(text) => map.serialize_entry("body", text)?,
        Err(_) => map.serialize_entry("bodyHex", &hex(body))?,
    }
    map.end()
}

/// Bytes in lowercase hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The latest arrivals, oldest first.
#[derive(Default)]
pub(super) struct List {
    list: VecDeque<Arrival>,
    bytes: usize,
    total: u64,
    dropped: u64,
}

impl List {
    fn push(&mut self, arrival: Arrival) {
        self.total += 1;
        self.bytes += size(&arrival);
        self.list.push_back(arrival);
        while self.list.len() > MAX_ARRIVALS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.list.pop_front() else {
                break;
            };
            self.bytes -= size(&oldest);
            self.dropped += 1;
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arrival> {
        self.list.iter()
    }

    /// How many arrived in all.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many were dropped for want of room since the list was last cleared.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn clear(&mut self) {
        self.list.clear();
        self.bytes = 0;
        self.dropped = 0;
    }
}

/// All arrivals.
pub(super) struct Arrivals {
    last_sequence: u64,
    /// All except polls.
    requests: List,
    polls: List,
    subscribers: broadcast::Sender<Arrival>,
}

impl Arrivals {
    pub(super) fn new() -> Arrivals {
        Arrivals {
            last_sequence: 0,
            requests: List::default(),
            polls: List::default(),
            subscribers: broadcast::Sender::new(CHANNEL_CAPACITY),
        }
    }

    /// Adds an arrival to its list, and returns its sequence number. Subscribers do not get polls.
    pub(super) fn record(&mut self, mut arrival: Arrival, is_poll: bool) -> u64 {
        self.last_sequence += 1;
        arrival.sequence = self.last_sequence;
        // A copy, so that an arrival does not keep the larger buffer that it was read into.
        let kept = arrival.body.get(..MAX_STORED_BODY).unwrap_or(&arrival.body);
        arrival.body = Bytes::copy_from_slice(kept);
        if is_poll {
            self.polls.push(arrival);
        } else if self.subscribers.receiver_count() == 0 {
            self.requests.push(arrival);
        } else {
            self.requests.push(arrival.clone());
            // It is no error that the last one has gone meanwhile.
            let _ = self.subscribers.send(arrival);
        }
        self.last_sequence
    }

    /// Sets the status of a poll that has ended.
    pub(super) fn set_poll_status(&mut self, sequence: u64, status: u16) {
        let polls = &mut self.polls.list;
        let found = polls.binary_search_by_key(&sequence, |arrival| arrival.sequence);
        // It may have been dropped from the list since.
        if let Ok(at) = found
            && let Some(arrival) = polls.get_mut(at)
        {
            arrival.status = Some(status);
        }
    }

    /// All except polls.
    pub(super) fn requests(&self) -> &List {
        &self.requests
    }

    /// `GET rpc` and `GET attributes/updates`.
    pub(super) fn polls(&self) -> &List {
        &self.polls
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.polls.clear();
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arrival> {
        self.subscribers.subscribe()
    }
}

/// The bytes of an arrival that count against [`MAX_BYTES`]: those parts whose length the client chooses.
fn size(arrival: &Arrival) -> usize {
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
            status: None,
            fault: None,
        }
    }

    #[test]
    fn the_oldest_arrivals_are_dropped_and_counted() {
        let mut arrivals = Arrivals::new();
        for _ in 0..MAX_ARRIVALS + 3 {
            arrivals.record(arrival(""), false);
        }
        assert_eq!(arrivals.requests().iter().count(), MAX_ARRIVALS);
        assert_eq!(arrivals.requests().dropped(), 3);
        assert_eq!(arrivals.requests().iter().next().unwrap().sequence, 4);
    }

    #[test]
    fn bodies_are_cut_and_bounded_together() {
        let mut arrivals = Arrivals::new();
        let body = Bytes::from(vec![b'x'; MAX_STORED_BODY * 2]);
        for _ in 0..MAX_BYTES / MAX_STORED_BODY + 5 {
            arrivals.record(arrival(body.clone()), false);
        }
        let kept: usize = arrivals
            .requests()
            .iter()
            .map(|arrival| arrival.body.len())
            .sum();
        assert!(kept <= MAX_BYTES, "{kept}");
        assert!(arrivals.requests().dropped() >= 5);
        assert_eq!(
            arrivals.requests().iter().next().unwrap().body_length,
            256 * 1024
        );
    }

    #[test]
    fn clearing_empties_the_list_but_sequence_numbers_continue() {
        let mut arrivals = Arrivals::new();
        arrivals.record(arrival("a"), false);
        arrivals.clear();
        arrivals.record(arrival("b"), false);
        assert_eq!(arrivals.requests().iter().count(), 1);
        assert_eq!(arrivals.requests().iter().next().unwrap().sequence, 2);
    }

    #[test]
    fn polls_displace_only_polls() {
        let mut arrivals = Arrivals::new();
        arrivals.record(arrival("said"), false);
        for _ in 0..MAX_ARRIVALS + 2 {
            arrivals.record(arrival(""), true);
        }
        arrivals.record(arrival("said later"), false);
        let said = arrivals.requests().iter().map(|arrival| arrival.sequence);
        assert_eq!(said.collect::<Vec<_>>(), [1, 10_004]);
        let polls = arrivals.polls();
        assert_eq!((polls.iter().count(), polls.dropped()), (MAX_ARRIVALS, 2));
    }

    #[test]
    fn a_poll_gets_its_status_when_it_ends() {
        let mut arrivals = Arrivals::new();
        let first = arrivals.record(arrival(""), true);
        arrivals.record(arrival(""), false);
        let second = arrivals.record(arrival(""), true);
        arrivals.set_poll_status(second, 408);
        arrivals.set_poll_status(77, 200);
        let answers = arrivals.polls().iter().map(|poll| poll.status);
        assert_eq!(answers.collect::<Vec<_>>(), [None, Some(408)]);
        arrivals.clear();
        arrivals.set_poll_status(first, 200);
        assert_eq!(arrivals.polls().iter().count(), 0);
    }

    #[test]
    fn a_body_never_shows_in_debug() {
        let shown = format!("{:?}", arrival("provisionDeviceSecret"));
        assert!(!shown.contains("Secret"), "{shown}");
    }
}
