//! One device's relay under a test clock: events in, effects out.

mod attribute_observation;
mod command_observation;
mod export;
mod export_random;
mod following;
mod liveness;
mod push;
mod push_random;

use super::Settings;
use super::command_error::CommandError;
use super::device_relay::RestoreContext;
use super::*;
use crate::device::{AccessToken, Device};
use crate::downlink::Command;
use crate::downlink::Pacing;
use crate::downlink::attribute_json;
use crate::downlink::attribute_json::{Update, Values};
use crate::downlink::{Effect, Event, Form, Kind, Message, Mode};
use crate::dtls::SessionId;
use crate::upstream::{Error, Rejection};
use bytes::Bytes;
use coap::ObservationId;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A notification given to the endpoint: its number and payload.
type Notified = (u64, String);

struct World {
    now: Instant,
    start: Instant,
    settings: Settings,
    form: Form,
    pacing: Pacing,
    relay: DeviceRelay,
    counters: Counters,
    /// When the device last sent something.
    last_received: Instant,
    largest_payload: usize,
    room: usize,
    effects: Vec<RelayEffect>,
}

const FIRST: Observation = Observation {
    session: SessionId(1),
    id: ObservationId(1),
};
const OTHER: Observation = Observation {
    session: SessionId(2),
    id: ObservationId(1),
};

impl World {
    fn new() -> World {
        World::with(Settings::default())
    }

    fn on_uplink() -> World {
        World::with(Settings {
            attributes: Mode::OnUplink,
            rpc: Mode::OnUplink,
            ..Settings::default()
        })
    }

    fn with(settings: Settings) -> World {
        World::of_form(Form::Polling, settings)
    }

    fn of_form(form: Form, settings: Settings) -> World {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let device = Arc::new(Device {
            name: "meter".into(),
            token: AccessToken::new("TOKEN").unwrap(),
        });
        World {
            now,
            start: now,
            settings,
            form,
            pacing: Pacing::new(settings.poll_timeout),
            relay: DeviceRelay::new(device, form, false),
            counters: Counters::default(),
            last_received: now,
            largest_payload: 1000,
            room: usize::MAX,
            effects: Vec::new(),
        }
    }

    /// Gives the relay an event, and returns its effects.
    fn event(
        &mut self,
        event: impl FnOnce(&mut DeviceRelay, Instant, &mut RelayContext<'_>),
    ) -> Vec<RelayEffect> {
        let last_received = self.last_received;
        let (exported, revision) = (self.export(), self.relay.revision());
        let mut context = RelayContext {
            settings: &self.settings,
            largest_payload: self.largest_payload,
            room: self.room,
            pacing: &mut self.pacing,
            random: &mut || 0.5,
            last_received: &|_| Some(last_received),
            counters: &mut self.counters,
            effects: &mut self.effects,
        };
        event(&mut self.relay, self.now, &mut context);
        self.relay.advance(self.now, &mut context);
        if self.export() != exported {
            assert_ne!(self.relay.revision(), revision, "it would not be stored");
        }
        std::mem::take(&mut self.effects)
    }

    fn times(&self) -> Times {
        let unix = 1_800_000_000 + (self.now - self.start).as_secs();
        Times {
            now: self.now,
            unix,
        }
    }

    /// The relay as bytes; sessions are stored under their own numbers.
    fn export(&self) -> Option<Vec<u8>> {
        self.relay
            .export(self.times(), &|SessionId(number)| Some(number))
    }

    /// Replaces the relay by one out of this export, as after a restart.
    fn restore(&mut self, export: Option<&[u8]>) {
        let (device, form) = (self.relay.device.clone(), self.form);
        self.pacing = Pacing::new(self.settings.poll_timeout);
        let context = RestoreContext {
            times: self.times(),
            form,
            is_paused: false,
            settings: &self.settings,
            pacing: &mut self.pacing,
            random: &mut || 0.5,
        };
        let session_of = |number, _| Some(SessionId(number));
        self.relay = match export {
            Some(export) => DeviceRelay::restore(device, export, &session_of, context).unwrap(),
            None => DeviceRelay::new(device, form, false),
        };
    }

    fn register_attributes(&mut self, observation: Observation, state: &str) -> Vec<RelayEffect> {
        let values =
            attribute_json::read_answer(format!(r#"{{"shared":{state}}}"#).as_bytes()).unwrap();
        self.event(|relay, now, context| {
            let values = relay.registration_values(values);
            relay.attributes_registered(now, observation, values, context);
        })
    }

    fn register_commands(&mut self, observation: Observation) -> Vec<RelayEffect> {
        self.event(|relay, now, context| relay.commands_registered(now, observation, context))
    }

    fn poll_brings(&mut self, kind: Kind, number: u64, body: &str) -> Vec<RelayEffect> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let message = match kind {
            Kind::Attributes => Message::Attributes(Update::read(&body)),
            Kind::Commands => Message::Command(Command::read(body)),
        };
        self.poll_ends(kind, number, Ok(message))
    }

    fn poll_ends(
        &mut self,
        kind: Kind,
        number: u64,
        result: Result<Message, Error>,
    ) -> Vec<RelayEffect> {
        self.event(|relay, now, context| {
            relay.downlink_event(now, kind, Event::PollEnded(number, result), context)
        })
    }

    fn read_brings(&mut self, number: u64, body: &str) -> Vec<RelayEffect> {
        let read = attribute_json::read_answer(body.as_bytes());
        self.event(|relay, now, context| relay.read_ended(now, number, Ok(read), context))
    }

    fn delivered(&mut self, observation: Observation, number: u64) -> Vec<RelayEffect> {
        self.event(|relay, now, context| relay.delivered(now, observation, number, context))
    }

    /// Lets time pass until the relay has an effect, for `at_most` this long.
    fn wait(&mut self, at_most: Duration) -> Vec<RelayEffect> {
        let end = self.now + at_most;
        while let Some(at) = self
            .relay
            .next_timeout(&self.settings)
            .filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            let effects = self.event(|_, _, _| {});
            if !effects.is_empty() {
                return effects;
            }
        }
        self.now = end;
        Vec::new()
    }
}

fn polls(effects: &[RelayEffect]) -> Vec<(Kind, u64)> {
    let polls = effects.iter().filter_map(|effect| match effect {
        RelayEffect::Downlink(Effect::OpenPoll(kind, number, _)) => Some((*kind, *number)),
        _ => None,
    });
    polls.collect()
}

fn poll(effects: &[RelayEffect]) -> u64 {
    let [(_, number)] = polls(effects)[..] else {
        panic!("not one poll: {effects:?}");
    };
    number
}

fn reads(effects: &[RelayEffect]) -> Vec<u64> {
    let reads = effects.iter().filter_map(|effect| match effect {
        RelayEffect::ReadAttributes(number) => Some(*number),
        _ => None,
    });
    reads.collect()
}

fn read(effects: &[RelayEffect]) -> u64 {
    let [number] = reads(effects)[..] else {
        panic!("not one read: {effects:?}");
    };
    number
}

fn notified(effects: &[RelayEffect]) -> Vec<Notified> {
    let notified = effects.iter().filter_map(|effect| match effect {
        RelayEffect::Notify {
            number, payload, ..
        } => Some((*number, String::from_utf8(payload.to_vec()).unwrap())),
        _ => None,
    });
    notified.collect()
}

fn rejected(code: u16) -> Error {
    Error::Rejected(Rejection::new(code, false))
}
