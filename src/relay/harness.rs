//! The relay of one device out of its export, for a fuzz target: its device acknowledges, and ThingsBoard answers.

use super::{Observation, RelayEffect, RelayId, RelayTable, Settings, Times};
use crate::device::{AccessToken, Device};
use crate::downlink::attribute_json::read_answer;
use crate::downlink::{Effect, Event, Form};
use crate::dtls::SessionId;
use crate::upstream::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Effects that are carried out at most: a poll follows another for ever.
const MOST_EFFECTS: usize = 500;

/// A table of relays with one device.
pub struct Harness {
    table: RelayTable,
    device: Arc<Device>,
    now: Instant,
}

impl Harness {
    /// A table over MQTT, or over HTTP. `None`: never.
    pub fn new(now: Instant, is_push: bool) -> Option<Harness> {
        let form = match is_push {
            true => Form::Push,
            false => Form::Polling,
        };
        let device = Device {
            name: "device".into(),
            token: AccessToken::new("TOKEN").ok()?,
        };
        Some(Harness {
            table: RelayTable::new(Settings::default(), form, 1024, 1),
            device: Arc::new(device),
            now,
        })
    }

    fn times(&self) -> Times {
        Times {
            now: self.now,
            unix: 1_800_000_000,
        }
    }

    /// Adds the relay out of its export, whose sessions go on under their numbers. Returns whether it could be read.
    pub fn restore(&mut self, export: &[u8]) -> bool {
        let session_of = |number, _| Some(SessionId(number));
        let times = self.times();
        let restored = (self.table).restore(times, &self.device, export, &session_of);
        restored.is_ok()
    }

    /// The relay's export, if there is a relay.
    pub fn export(&self) -> Option<Vec<u8>> {
        let key_of = |SessionId(number)| Some(number);
        self.table.export(self.times(), &self.device.name, &key_of)
    }

    /// Relays, timers that are armed, and bytes that are held.
    pub fn load(&self) -> [usize; 3] {
        let relays = usize::from(self.table.find(&self.device.name).is_some());
        [relays, self.table.timers(), self.table.bytes()]
    }

    /// Pauses the relay, and resumes it.
    pub fn pause_and_resume(&mut self) {
        if let Some(id) = self.table.set_paused(&self.device.name) {
            self.update(id, |relay, _, context| relay.pause_following(context));
        }
        if let Some(id) = self.table.set_resumed(&self.device.name) {
            self.update(id, |relay, now, context| {
                relay.resume_following(now, context);
            });
        }
    }

    /// Drops the relay.
    pub fn forget(&mut self) {
        if let Some(id) = self.table.set_paused(&self.device.name) {
            self.update(id, |relay, _, context| relay.pause_following(context));
        }
        self.table.forget(&self.device.name);
    }

    /// Lets this time pass. The device acknowledges what it is notified of.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut left = MOST_EFFECTS;
        loop {
            while let Some((id, effect)) = self.table.poll_effect() {
                left = left.saturating_sub(1);
                self.carry_out(id, effect);
            }
            let next = self.table.next_timeout().filter(|at| *at <= until);
            let Some(at) = next.filter(|_| left > 0) else {
                break;
            };
            self.now = self.now.max(at);
            while let Some(id) = self.table.pop_due(self.now) {
                left = left.saturating_sub(1);
                self.update(id, |_, _, _| {});
            }
        }
        self.now = until;
    }

    fn update(
        &mut self,
        id: RelayId,
        event: impl FnOnce(&mut super::DeviceRelay, Instant, &mut super::RelayContext<'_>),
    ) {
        let now = self.now;
        let last_received = |_| Some(now);
        (self.table).update(now, id, &last_received, |relay, context| {
            event(relay, now, context);
        });
    }

    fn carry_out(&mut self, id: RelayId, effect: RelayEffect) {
        match effect {
            RelayEffect::Notify {
                observation,
                number,
                ..
            } => self.acknowledge(id, observation, number),
            RelayEffect::ReadAttributes(number) => {
                let read = read_answer(br#"{"shared":{"a":1,"b":2}}"#);
                self.update(id, |relay, now, context| {
                    relay.read_ended(now, number, Ok(read), context);
                });
            }
            RelayEffect::Downlink(Effect::OpenPoll(kind, number, _)) => {
                self.update(id, |relay, now, context| {
                    let event = Event::PollEnded(number, Err(Error::Elapsed));
                    relay.downlink_event(now, kind, event, context);
                });
            }
            RelayEffect::Downlink(_)
            | RelayEffect::EndObservation(..)
            | RelayEffect::Ping(_)
            | RelayEffect::ReplyToCommand(..)
            | RelayEffect::AssignmentChanged(_)
            | RelayEffect::UnreadableMessage(_) => {}
        }
    }

    fn acknowledge(&mut self, id: RelayId, observation: Observation, number: u64) {
        self.update(id, |relay, now, context| {
            relay.delivered(now, observation, number, context);
        });
    }
}
