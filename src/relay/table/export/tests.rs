use super::*;
use crate::device::AccessToken;
use crate::downlink::attribute_json::{self, Values};
use crate::downlink::{Command, Effect, Event, Form, Message};
use crate::dtls::SessionId;
use crate::relay::{RelayEffect, RelayId, Settings};
use bytes::Bytes;
use coap::ObservationId;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn device(name: &str) -> Arc<Device> {
    Arc::new(Device {
        name: name.into(),
        token: AccessToken::new(name).unwrap(),
    })
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn times(now: Instant) -> Times {
    Times {
        now,
        unix: 1_800_000_000,
    }
}

fn values() -> Values {
    attribute_json::read_answer(br#"{"shared":{"a":1}}"#).unwrap()
}

struct Bench {
    table: RelayTable,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let mut table = RelayTable::new(Settings::default(), Form::Polling, 1000, 1);
        table.remember_changes();
        Bench {
            table,
            now: start(),
        }
    }

    fn event(&mut self, name: &str, event: impl FnOnce(&mut DeviceRelay, Instant)) {
        let id = self.table.find_or_add(&device(name));
        let now = self.now;
        let last_received = |_| Some(now);
        self.table
            .update(now, id, &last_received, |relay, _| event(relay, now));
    }

    /// The device observes both, in the session of this number.
    fn observe(&mut self, name: &str, session: u64) {
        let id = self.table.find_or_add(&device(name));
        let now = self.now;
        let observation = |id| Observation {
            session: SessionId(session),
            id: ObservationId(id),
        };
        self.table
            .update(now, id, &|_| Some(now), |relay, context| {
                relay.attributes_registered(now, observation(1), values(), context);
                relay.commands_registered(now, observation(2), context);
            });
    }

    fn effects(&mut self) -> Vec<(RelayId, RelayEffect)> {
        std::iter::from_fn(|| self.table.poll_effect()).collect()
    }

    fn export(&self, name: &str) -> Option<Vec<u8>> {
        let key_of = |SessionId(number)| Some(number);
        self.table.export(times(self.now), name, &key_of)
    }

    fn restore(&mut self, name: &str, export: &[u8]) -> Result<(), RestoreError> {
        let session_of = |number, _| Some(SessionId(number));
        self.table
            .restore(times(self.now), &device(name), export, &session_of)
    }

    fn taken(&mut self) -> Vec<Arc<str>> {
        std::iter::from_fn(|| self.table.take_changed()).collect()
    }

    /// Ends the poll of this kind.
    fn poll_ends(
        &mut self,
        name: &str,
        kind: Kind,
        result: Result<Message, crate::upstream::Error>,
    ) {
        let opened = self.effects();
        let number = opened.iter().find_map(|(_, effect)| match effect {
            RelayEffect::Downlink(Effect::OpenPoll(of, number, _)) if *of == kind => Some(*number),
            _ => None,
        });
        let id = self.table.find(name).unwrap();
        let (now, number) = (self.now, number.unwrap());
        self.table
            .update(now, id, &|_| Some(now), |relay, context| {
                relay.downlink_event(now, kind, Event::PollEnded(number, result), context);
            });
    }
}

#[test]
fn what_changes_is_taken_once_in_its_order_and_a_poll_that_brings_nothing_changes_nothing() {
    let mut bench = Bench::new();
    for (number, name) in ["c", "a", "b", "a"].into_iter().enumerate() {
        bench.observe(name, u64::try_from(number).unwrap());
    }
    assert_eq!(bench.table.take_changed(), Some("c".into()));
    assert_eq!(bench.table.changed(), 2);
    assert_eq!(bench.taken(), ["a".into(), "b".into()]);
    assert_eq!(bench.table.changed(), 0);
    bench.effects();
    bench.observe("d", 4);
    assert_eq!(bench.taken(), ["d".into()]);
    bench.now += 25 * SECOND;
    bench.poll_ends("d", Kind::Commands, Err(crate::upstream::Error::Elapsed));
    bench.event("d", |_, _| {});
    assert_eq!(bench.taken(), Vec::<Arc<str>>::new());
    let command = Command::read(Bytes::from_static(br#"{"id":1,"method":"m"}"#));
    bench.poll_ends("d", Kind::Commands, Ok(Message::Command(command)));
    assert_eq!(bench.taken(), ["d".into()]);
}

#[test]
fn nothing_is_remembered_where_nothing_is_taken() {
    let mut bench = Bench::new();
    bench.table = RelayTable::new(Settings::default(), Form::Polling, 1000, 1);
    bench.observe("a", 1);
    assert_eq!(bench.table.changed(), 0);
}

#[test]
fn a_relay_without_observations_and_commands_is_taken_and_has_no_export() {
    let mut bench = Bench::new();
    bench.observe("a", 1);
    assert!(bench.export("a").is_some());
    bench.taken();
    bench.event("a", |relay, _| relay.session_ended(SessionId(1)));
    assert_eq!(bench.taken(), ["a".into()]);
    assert_eq!(bench.export("a"), None);
    assert_eq!(bench.export("never there"), None);
}

#[test]
fn observations_of_a_session_that_is_not_stored_are_left_out() {
    let mut bench = Bench::new();
    bench.observe("a", 1);
    assert_eq!(bench.table.export(times(bench.now), "a", &|_| None), None);
}

#[test]
fn a_relay_is_as_it_was_and_is_not_to_be_stored_again() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    let mut other = Bench::new();
    assert_eq!(other.restore("a", &export), Ok(()));
    assert_eq!(other.export("a"), Some(export));
    assert_eq!(other.taken(), Vec::<Arc<str>>::new());
    let of = |session, id| Observation {
        session: SessionId(session),
        id: ObservationId(id),
    };
    assert!(other.table.observes("a", of(7, 1)) && other.table.observes("a", of(7, 2)));
    assert!(!other.table.observes("a", of(7, 3)) && !other.table.observes("a", of(8, 1)));
    let counts = other.table.observation_counts();
    assert_eq!(
        (counts.attributes, counts.commands, counts.parked),
        (1, 1, 0)
    );
    let load = other.table.load();
    assert_eq!((load.relays, load.downlinks), (1, 2));
    assert_eq!(load.bytes, load.bytes_found);
}

#[test]
fn what_a_restart_has_ended_is_taken_and_deleted() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    let mut other = Bench::new();
    let restored = other
        .table
        .restore(times(other.now), &device("a"), &export, &|_, _| None);
    assert_eq!(restored, Ok(()));
    assert_eq!(other.table.load().relays, 0);
    assert_eq!(other.taken(), ["a".into()]);
    assert_eq!(other.export("a"), None);
}

#[test]
fn a_malformed_export_adds_nothing() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    let mut other = Bench::new();
    let cut = &export[..export.len() - 1];
    assert_eq!(other.restore("a", cut), Err(RestoreError::Malformed));
    let load = other.table.load();
    assert_eq!(
        (load.relays, load.names, load.timers, load.bytes),
        (0, 0, 0, 0)
    );
}

#[test]
fn a_relay_that_is_there_is_not_replaced() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    bench.observe("a", 8);
    bench.taken();
    assert_eq!(bench.restore("a", &export), Ok(()));
    let session = bench.table.find("a").and_then(|id| bench.table.get(id));
    let session = session.and_then(|relay| relay.observation(Kind::Attributes));
    assert_eq!(session.unwrap().session, SessionId(8));
    assert_eq!(bench.taken(), ["a".into()]);
}

#[test]
fn a_fleet_begins_two_hundred_polls_a_second_and_is_not_pinged_at_once() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    let mut other = Bench::new();
    let last_received = other.now;
    other.now += 3600 * SECOND;
    let devices = 2000;
    for number in 0..devices {
        other.restore(&format!("device-{number}"), &export).unwrap();
    }
    let begun = other.now;
    let (mut polls, mut pings) = (Vec::new(), Vec::new());
    let silent = |_| Some(last_received);
    while let Some(at) = other.table.next_timeout()
        && at <= begun + 920 * SECOND
    {
        other.now = other.now.max(at);
        while let Some(id) = other.table.pop_due(other.now) {
            other.table.update(other.now, id, &silent, |_, _| {});
        }
        let second = (other.now - begun).as_secs();
        for (_, effect) in other.effects() {
            match effect {
                RelayEffect::Downlink(Effect::OpenPoll(..)) if second < 23 => polls.push(second),
                RelayEffect::Ping(_) => pings.push(second),
                _ => {}
            }
        }
    }
    let most = |seconds: &[u64]| {
        let in_second = |of| seconds.iter().filter(|second| **second == of).count();
        (0..920).map(in_second).max().unwrap()
    };
    // The first successors of polls are opened after 23.5 s.
    assert_eq!(polls.len(), 2 * devices);
    assert!(most(&polls) <= 251, "{}", most(&polls));
    assert!(pings.len() >= devices);
    assert!(most(&pings) < 100, "{}", most(&pings));
}
