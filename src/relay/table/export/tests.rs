use super::*;
use crate::device::AccessToken;
use crate::downlink::attribute_json::{self, Values};
use crate::downlink::{Command, Effect, Event, Form, Message};
use crate::dtls::SessionId;
use crate::relay::{RelayEffect, RelayId, Settings};
use bytes::Bytes;
use coap::ObservationId;
use std::sync::Arc;
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
    assert_eq!(
        bench.taken(),
        [Arc::<str>::from("a"), Arc::<str>::from("b")]
    );
    assert_eq!(bench.table.changed(), 0);
    bench.effects();
    bench.observe("d", 4);
    assert_eq!(bench.taken(), [Arc::<str>::from("d")]);
    bench.now += 25 * SECOND;
    bench.poll_ends("d", Kind::Commands, Err(crate::upstream::Error::Elapsed));
    bench.event("d", |_, _| {});
    assert_eq!(bench.taken(), Vec::<Arc<str>>::new());
    let command = Command::read(Bytes::from_static(br#"{"id":1,"method":"m"}"#));
    bench.poll_ends("d", Kind::Commands, Ok(Message::Command(command)));
    assert_eq!(bench.taken(), [Arc::<str>::from("d")]);
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
    assert_eq!(bench.taken(), [Arc::<str>::from("a")]);
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
    assert_eq!(other.taken(), [Arc::<str>::from("a")]);
    assert_eq!(other.export("a"), None);
}

/// The polls that are opened until nothing is due for a second.
fn polls(bench: &mut Bench) -> usize {
    let until = bench.now + SECOND;
    while let Some(at) = bench.table.next_timeout().filter(|at| *at <= until) {
        bench.now = bench.now.max(at);
        while let Some(id) = bench.table.pop_due(bench.now) {
            let now = bench.now;
            bench.table.update(now, id, &|_| Some(now), |_, _| {});
        }
    }
    let effects = bench.effects();
    let is_poll = |(_, effect): &&(RelayId, RelayEffect)| {
        matches!(effect, RelayEffect::Downlink(Effect::OpenPoll(..)))
    };
    effects.iter().filter(is_poll).count()
}

#[test]
fn a_relay_is_restored_among_others_and_begins_when_its_device_is_resumed() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    let mut other = Bench::new();
    other.observe("b", 8);
    assert_eq!(polls(&mut other), 2);
    assert_eq!(other.table.set_paused("a"), None);
    assert_eq!(other.restore("a", &export), Ok(()));
    assert_eq!(polls(&mut other), 0);
    assert_eq!(other.export("a"), Some(export.clone()));
    let id = other.table.set_resumed("a").unwrap();
    let now = other.now;
    other
        .table
        .update(now, id, &|_| Some(now), |relay, context| {
            relay.resume_following(now, context);
        });
    assert_eq!(polls(&mut other), 2);
    // One that is not paused begins by itself.
    assert_eq!(other.restore("c", &export), Ok(()));
    assert_eq!(polls(&mut other), 2);
}

#[test]
fn a_malformed_export_takes_no_place_among_those_that_begin() {
    let mut bench = Bench::new();
    bench.observe("a", 7);
    let export = bench.export("a").unwrap();
    for _ in 0..10_000 {
        let cut = &export[..export.len() - 1];
        assert_eq!(bench.restore("b", cut), Err(RestoreError::Malformed));
    }
    bench.effects();
    assert_eq!(bench.restore("c", &export), Ok(()));
    assert_eq!(polls(&mut bench), 2);
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
    assert_eq!(bench.taken(), [Arc::<str>::from("a")]);
}

/// A device that observes its attributes in one session, and its commands in another.
fn observing_in_two_sessions() -> Bench {
    let mut bench = Bench::new();
    let id = bench.table.find_or_add(&device("a"));
    let now = bench.now;
    let observation = |session| Observation {
        session: SessionId(session),
        id: ObservationId(1),
    };
    (bench.table).update(now, id, &|_| Some(now), |relay, context| {
        relay.attributes_registered(now, observation(7), values(), context);
        relay.commands_registered(now, observation(8), context);
    });
    let command = Command::read(Bytes::from_static(br#"{"id":1,"method":"m"}"#));
    bench.poll_ends("a", Kind::Commands, Ok(Message::Command(command)));
    bench.effects();
    bench
}

#[test]
fn sessions_of_a_device_that_are_restored_one_by_one_have_all_their_observations() {
    let bench = observing_in_two_sessions();
    let export = bench.export("a").unwrap();
    for (order, is_paused) in [
        ([7, 8], false),
        ([8, 7], false),
        ([7, 8], true),
        ([8, 7], true),
    ] {
        let mut other = Bench::new();
        if is_paused {
            other.table.set_paused("a");
        }
        for session in order {
            let session_of = |number, _| (number == session).then_some(SessionId(number));
            let restored =
                (other.table).restore(times(other.now), &device("a"), &export, &session_of);
            assert_eq!(restored, Ok(()));
            assert_eq!(other.taken(), [Arc::<str>::from("a")]);
        }
        assert_eq!(other.export("a"), Some(export.clone()), "{order:?}");
        let load = other.table.load();
        assert_eq!(load.bytes, load.bytes_found);
        assert_eq!(polls(&mut other), if is_paused { 0 } else { 2 });
        // Once more, there is nothing left to do.
        assert_eq!(other.restore("a", &export), Ok(()));
        assert_eq!(other.effects(), []);
        let counts = other.table.observation_counts();
        assert_eq!(
            (counts.attributes, counts.commands, counts.commands_queued),
            (1, 1, 1)
        );
    }
}

#[test]
fn of_two_rows_that_one_command_is_in_the_one_that_has_it_as_delivered_counts() {
    let mut bench = observing_in_two_sessions();
    let before = bench.export("a").unwrap();
    bench.event("a", |_, _| {});
    let id = bench.table.find("a").unwrap();
    let now = bench.now;
    let observation = Observation {
        session: SessionId(8),
        id: ObservationId(1),
    };
    (bench.table).update(now, id, &|_| Some(now), |relay, context| {
        relay.delivered(now, observation, 1, context);
    });
    let after = bench.export("a").unwrap();
    for (first, second) in [(&before, &after), (&after, &before)] {
        let mut other = Bench::new();
        for (session, export) in [(7, first), (8, second)] {
            let session_of = |number, _| (number == session).then_some(SessionId(number));
            let restored =
                (other.table).restore(times(other.now), &device("a"), export, &session_of);
            assert_eq!(restored, Ok(()));
        }
        assert_eq!(other.table.observation_counts().commands_queued, 0);
        assert_eq!(other.export("a"), Some(after.clone()));
    }
}

#[test]
fn of_what_a_forgotten_relay_wanted_only_its_downlinks_are_closed() {
    let mut bench = observing_in_two_sessions();
    let id = bench.table.find("a").unwrap();
    let now = bench.now;
    (bench.table).update(now, id, &|_| Some(now), |relay, context| {
        relay.rejected(crate::relay::ObservationEnd::Forbidden, context);
        relay.pause_following(context);
    });
    bench.table.forget("a");
    let effects = bench.effects();
    assert!(!effects.is_empty());
    for (_, effect) in effects {
        assert!(
            matches!(effect, RelayEffect::Downlink(Effect::AbortPoll(..))),
            "{effect:?}"
        );
    }
    assert_eq!(bench.taken(), Vec::<Arc<str>>::new());
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
