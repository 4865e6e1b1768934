//! The state of ThingsBoard: shared attributes, and the simulator's models of long polls, commands and packages, under
//! the world's clock.

mod packages;

use crate::calls::Ticket;
use crate::downlink::Kind;
use crate::upstream::{Answer, Error, Operation, Rejection};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use thingsboard_simulator::downlink::{Change, Command, Delays, Downlink, PollEnd, PollId};
use thingsboard_simulator::downlink::{CommandId, PollKind};
use thingsboard_simulator::packages::Packages;
use thingsboard_simulator::{CommandOutcome, SubscriptionCounts};

/// Attributes: keys, and values as JSON.
pub(crate) type State = BTreeMap<String, String>;

/// The outcomes of commands, in the order in which they were sent.
pub(crate) type CommandOutcomes = BTreeMap<CommandId, CommandOutcome>;

/// A request for a part of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PackageFetch {
    /// The device's name.
    pub(crate) device: String,
    pub(crate) operation: Operation,
}

/// Attributes, polls, commands and packages of all devices.
pub(crate) struct Platform {
    start: Option<Instant>,
    attributes: HashMap<String, State>,
    downlink: Downlink,
    polls: HashMap<PollId, Ticket>,
    packages: Packages,
    pub(crate) command_outcomes: CommandOutcomes,
    /// How many of the next reads return nothing, as when the attribute store fails.
    pub(crate) empty_reads: usize,
    /// The number of polls opened.
    pub(crate) polls_opened: usize,
    /// Reads of all attributes that the gateway made for observations.
    pub(crate) attribute_reads: usize,
    /// Reads of assignments.
    pub(crate) assignment_reads: usize,
    /// Every request for a part of a package, failed ones included.
    pub(crate) fetches: Vec<PackageFetch>,
}

impl Default for Platform {
    fn default() -> Self {
        Platform {
            start: None,
            attributes: HashMap::new(),
            downlink: Downlink::new(Delays::default()),
            polls: HashMap::new(),
            packages: Packages::default(),
            command_outcomes: BTreeMap::new(),
            empty_reads: 0,
            polls_opened: 0,
            attribute_reads: 0,
            assignment_reads: 0,
            fetches: Vec::new(),
        }
    }
}

impl Platform {
    fn milliseconds(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        u64::try_from((now - start).as_millis()).unwrap()
    }

    /// Handles the timeouts until `now`. Returns `now` in milliseconds.
    fn advance_to(&mut self, now: Instant) -> u64 {
        let now = self.milliseconds(now);
        self.downlink.handle_timeout(now);
        now
    }

    pub(crate) fn set_delays(&mut self, delays: Delays) {
        self.downlink.set_delays(delays);
    }

    /// The answer to `GET attributes`.
    pub(super) fn read_attributes(&mut self, device: &str) -> Bytes {
        if self.empty_reads > 0 {
            self.empty_reads -= 1;
            return Bytes::from_static(b"{}");
        }
        // Names the device, so that invariants can check that the response reaches it.
        let mut scopes = format!(r#""client":{{"name":"{device}"}}"#);
        let shared = self.state(device);
        if !shared.is_empty() {
            scopes += &format!(r#","shared":{}"#, json_object(&shared));
        }
        Bytes::from(format!("{{{scopes}}}"))
    }

    /// The shared attributes of a device.
    pub(crate) fn state(&self, device: &str) -> State {
        self.attributes.get(device).cloned().unwrap_or_default()
    }

    pub(crate) fn set_attribute(&mut self, now: Instant, device: &str, key: &str, value: &str) {
        self.advance_to(now);
        let state = self.attributes.entry(device.to_owned()).or_default();
        state.insert(key.to_owned(), value.to_owned());
        let changed = State::from([(key.to_owned(), value.to_owned())]);
        let change = Change::Updated(json_object(&changed));
        self.downlink.attributes_changed(device, change);
    }

    pub(crate) fn delete_attribute(&mut self, now: Instant, device: &str, key: &str) {
        self.advance_to(now);
        if let Some(state) = self.attributes.get_mut(device) {
            state.remove(key);
        }
        let change = Change::Deleted(vec![key.to_owned()]);
        self.downlink.attributes_changed(device, change);
    }

    pub(crate) fn send_command(
        &mut self,
        now: Instant,
        device: &str,
        params: &str,
        oneway: bool,
        valid_for: Duration,
    ) -> CommandId {
        let now = self.advance_to(now);
        let command = Command {
            method: "set".to_owned(),
            params: params.to_owned(),
            oneway,
            expires_ms: now + u64::try_from(valid_for.as_millis()).unwrap(),
        };
        self.downlink.command(device, command, now).unwrap()
    }

    /// Passes a reply to the caller of the command with this id, and returns that command.
    pub(super) fn reply_to_command(
        &mut self,
        now: Instant,
        device: &str,
        id: u32,
        body: &Bytes,
    ) -> Option<CommandId> {
        self.advance_to(now);
        self.take_command_outcomes();
        let id = i32::try_from(id).unwrap();
        self.downlink
            .reply(device, id, std::str::from_utf8(body).unwrap());
        self.take_command_outcomes()
    }

    /// Returns the last command that has an outcome since the last call.
    fn take_command_outcomes(&mut self) -> Option<CommandId> {
        let mut last = None;
        while let Some((command, outcome)) = self.downlink.pop_command_outcome() {
            self.command_outcomes.insert(command, outcome);
            last = Some(command);
        }
        last
    }

    pub(super) fn open_poll(
        &mut self,
        now: Instant,
        device: &str,
        kind: Kind,
        timeout: Duration,
        ticket: Ticket,
    ) {
        let now = self.advance_to(now);
        let kind = match kind {
            Kind::Attributes => PollKind::Attributes,
            Kind::Commands => PollKind::Rpc,
        };
        let timeout = i64::try_from(timeout.as_millis()).unwrap();
        let poll = self.downlink.open(device, kind, timeout, now).unwrap();
        self.polls.insert(poll, ticket);
        self.polls_opened += 1;
    }

    /// Removes the poll of an aborted call. Returns whether it was open.
    pub(super) fn abandon_poll(&mut self, now: Instant, ticket: Ticket) -> bool {
        self.advance_to(now);
        let found = self.polls.iter().find(|(_, other)| **other == ticket);
        let Some(poll) = found.map(|(poll, _)| *poll) else {
            return false;
        };
        self.polls.remove(&poll);
        self.downlink.abandon(poll);
        true
    }

    /// Removes all polls: the gateway's process has ended.
    pub(super) fn abandon_polls(&mut self, now: Instant) {
        self.advance_to(now);
        for poll in std::mem::take(&mut self.polls).into_keys() {
            self.downlink.abandon(poll);
        }
    }

    /// Deletes the device, which ends its open polls.
    pub(crate) fn delete_device(&mut self, now: Instant, device: &str) {
        self.advance_to(now);
        self.attributes.remove(device);
        self.packages.delete_device(device);
        self.downlink.delete_device(device);
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.advance_to(now);
        self.downlink.restart();
    }

    /// Counts of the subscriptions that a device's polls made.
    pub(crate) fn subscriptions(&self, device: &str) -> SubscriptionCounts {
        self.downlink.subscriptions(device)
    }

    /// Open polls of a device.
    pub(super) fn polls_of(&self, device: &str) -> usize {
        let counts = self.downlink.subscriptions(device);
        counts.attributes.open + counts.rpc.open
    }

    pub(super) fn open_polls(&self) -> usize {
        self.polls.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let at = self.downlink.next_timeout()?;
        Some(self.start? + Duration::from_millis(at))
    }

    /// Removes the polls that have ended by `now`. Returns them with their outcomes.
    pub(super) fn take_ended_polls(
        &mut self,
        now: Instant,
    ) -> Vec<(Ticket, Result<Answer, Error>)> {
        self.advance_to(now);
        self.take_command_outcomes();
        let mut ended = Vec::new();
        while let Some((poll, end)) = self.downlink.pop_poll_end() {
            let Some(ticket) = self.polls.remove(&poll) else {
                continue;
            };
            let result = match end {
                PollEnd::Message(body) => Ok(Answer { body }),
                PollEnd::Elapsed => Err(Error::Elapsed),
                PollEnd::AsyncTimeout => Err(Error::Overloaded),
                PollEnd::Deleted => Err(Error::Rejected(Rejection::Forbidden)),
                PollEnd::Cut => Err(Error::Unreachable),
            };
            ended.push((ticket, result));
        }
        ended
    }
}

fn json_object(state: &State) -> String {
    let members: Vec<String> = state
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}
