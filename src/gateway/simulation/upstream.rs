//! ThingsBoard, scripted: answers every call after a while, or fails it.

use crate::gateway::call::{Call, Completion};
use crate::upstream::{Answer, Error, Operation, Request, Status};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// What upstream does with calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Behaviour {
    /// Serves them.
    Serves,
    /// Fails them all with this error.
    Fails(Error),
}

/// Upstream and all it was asked.
#[derive(Debug)]
pub(in crate::gateway) struct Script {
    pub(in crate::gateway) behaviour: Behaviour,
    pub(in crate::gateway) delay: Duration,
    /// Device name and telemetry body of every post that came, whatever became of it.
    pub(in crate::gateway) posts: Vec<(String, Bytes)>,
    /// How often each device's attributes were asked for.
    pub(in crate::gateway) gets: HashMap<String, usize>,
    calls: u64,
    under_way: BTreeMap<(Instant, u64), Completion>,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            behaviour: Behaviour::Serves,
            delay: Duration::from_millis(30),
            posts: Vec::new(),
            gets: HashMap::new(),
            calls: 0,
            under_way: BTreeMap::new(),
        }
    }
}

impl Script {
    pub(super) fn take(&mut self, now: Instant, call: Call) {
        let Request::Device { device, operation } = &call.request else {
            panic!("nobody provisions in the simulation");
        };
        let body = match operation {
            Operation::PostTelemetry(body) => {
                self.posts.push((device.name.to_string(), body.clone()));
                Bytes::new()
            }
            // Names the device, so that it can tell its own answer from another's.
            Operation::GetAttributes { .. } => {
                *self.gets.entry(device.name.to_string()).or_default() += 1;
                Bytes::from(format!(r#"{{"client":{{"name":"{}"}}}}"#, device.name))
            }
            other => panic!("nobody asks for {other:?} in the simulation"),
        };
        let outcome = match &self.behaviour {
            Behaviour::Serves => Ok(Answer { body }),
            Behaviour::Fails(error) => Err(error.clone()),
        };
        let completion = Completion {
            ticket: call.ticket,
            outcome,
        };
        self.calls += 1;
        self.under_way
            .insert((now + self.delay, self.calls), completion);
    }

    /// Calls taken and not completed.
    pub(in crate::gateway) fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn next_completion(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_completion(&mut self, now: Instant) -> Option<Completion> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// A plain 500, as ThingsBoard's rate limits give it.
pub(in crate::gateway) fn empty_500() -> Error {
    Error::Rejected(Status {
        code: 500,
        has_text: false,
    })
}
