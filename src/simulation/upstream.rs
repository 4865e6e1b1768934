//! A scripted ThingsBoard: it answers every call after a delay, or fails it.

use super::platform::{PackageFetch, Platform};
use crate::calls::parsing::Parsed;
use crate::calls::{Call, Completion, Ticket};
use crate::device::AccessToken;
use crate::downlink::{Kind, Message};
use crate::upstream::{Answer, Error, Operation, Rejection, Request};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use thingsboard_simulator::downlink::CommandId;

/// `upstream.timeout`, and the shorter timeout of GETs.
const TIMEOUT: Duration = Duration::from_secs(10);
const GET_TIMEOUT: Duration = Duration::from_secs(5);

/// What upstream does with calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// All calls are served.
    Serves,
    /// All calls fail with this error.
    Fails(Error),
}

/// A telemetry post that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Post {
    /// The device's name.
    pub(crate) device: String,
    pub(crate) body: Bytes,
}

impl Post {
    pub(crate) fn new(device: &str, body: Bytes) -> Post {
        let device = device.to_owned();
        Post { device, body }
    }
}

/// A reply to a command that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The device's name.
    pub(crate) device: String,
    /// The command's id.
    pub(crate) id: u32,
}

/// A ThingsBoard whose behaviour a test sets, and which records the calls.
pub(crate) struct ScriptedUpstream {
    pub(crate) behaviour: Behaviour,
    pub(crate) delay: Duration,
    /// Every telemetry post that came, failed ones included.
    pub(crate) posts: Vec<Post>,
    /// The state of ThingsBoard.
    pub(crate) platform: Platform,
    /// Every reply to a command that came, failed ones included.
    pub(crate) replies: Vec<Reply>,
    /// The token of each device's newest call.
    pub(crate) tokens: HashMap<String, AccessToken>,
    /// The number of GETs of each device's attributes.
    pub(crate) gets: HashMap<String, usize>,
    /// The number of provisioning requests.
    pub(crate) provisions: usize,
    /// Whether GETs of attributes are answered: ThingsBoard does not answer those above a device's rate limit.
    pub(crate) answers_gets: bool,
    /// Whether a rule chain answers client-side RPCs.
    pub(crate) answers_rpcs: bool,
    /// Bodies of the client-side RPCs that came.
    pub(crate) rpcs: Vec<Bytes>,
    /// Bodies of the commands that polls have brought to the gateway.
    pub(crate) commands_brought: Vec<Bytes>,
    /// Bodies of the commands that were on their way to the gateway when ThingsBoard restarted, and were lost.
    pub(crate) commands_cut_off: Vec<Bytes>,
    /// Commands that were completed by a reply before a poll had brought the gateway any command of the device since the last
    /// restart: it was a reply to an earlier command, and nothing had shown the gateway yet that the ids begin at 0 again.
    pub(crate) completed_before_polls: Vec<CommandId>,
    /// Devices whose polls have brought a command since the last restart.
    brought_since_restart: HashSet<String>,
    /// The devices of the polls for commands.
    poll_devices: HashMap<Ticket, String>,
    /// When it is up again, if it is down.
    down_until: Option<Instant>,
    calls: u64,
    /// The number of restarts and failed calls.
    interruptions: usize,
    pending: BTreeMap<(Instant, u64), Completion>,
}

impl Default for ScriptedUpstream {
    fn default() -> Self {
        ScriptedUpstream {
            behaviour: Behaviour::Serves,
            delay: Duration::from_millis(30),
            posts: Vec::new(),
            platform: Platform::default(),
            provisions: 0,
            commands_brought: Vec::new(),
            commands_cut_off: Vec::new(),
            completed_before_polls: Vec::new(),
            brought_since_restart: HashSet::new(),
            poll_devices: HashMap::new(),
            down_until: None,
            replies: Vec::new(),
            tokens: HashMap::new(),
            gets: HashMap::new(),
            answers_gets: true,
            answers_rpcs: true,
            rpcs: Vec::new(),
            calls: 0,
            interruptions: 0,
            pending: BTreeMap::new(),
        }
    }
}

impl ScriptedUpstream {
    /// Answers a call after [`delay`](Self::delay), or as the behaviour demands.
    pub(super) fn begin_call(&mut self, now: Instant, call: Call) {
        let call = match call.prepare() {
            Ok(call) => call,
            Err(not_sent) => return self.schedule(now, *not_sent),
        };
        let Request::Device { device, operation } = &call.request else {
            self.provisions += 1;
            let body = Bytes::from_static(br#"{"status":"SUCCESS"}"#);
            return self.schedule_outcome(now, call.ticket, Ok(Answer { body }));
        };
        let name = device.name.to_string();
        self.tokens.insert(name, device.token.clone());
        self.down_until = self.down_until.filter(|until| *until > now);
        let serves = self.behaviour == Behaviour::Serves && self.down_until.is_none();
        let body = match operation {
            Operation::PostTelemetry(body) => {
                // A copy, as the network makes one: it keeps none of the gateway's memory alive.
                let body = Bytes::copy_from_slice(body);
                self.posts.push(Post::new(&device.name, body));
                Bytes::new()
            }
            Operation::GetAttributes { .. } => {
                *self.gets.entry(device.name.to_string()).or_default() += 1;
                if !self.answers_gets {
                    return self.schedule_timeout(now + GET_TIMEOUT, call.ticket);
                }
                self.platform.read_attributes(&device.name)
            }
            Operation::CallRpc(body) => {
                self.rpcs.push(body.clone());
                if !self.answers_rpcs {
                    return self.schedule_timeout(now + TIMEOUT, call.ticket);
                }
                Bytes::from_static(b"{}")
            }
            Operation::ReadAttributes => {
                self.platform.attribute_reads += 1;
                self.platform.read_attributes(&device.name)
            }
            Operation::ReplyRpc { id, body } => {
                if serves {
                    let completed = (self.platform).reply_to_command(now, &device.name, *id, body);
                    if !self.brought_since_restart.contains(&*device.name) {
                        self.completed_before_polls.extend(completed);
                    }
                }
                self.replies.push(Reply {
                    device: device.name.to_string(),
                    id: *id,
                });
                Bytes::new()
            }
            Operation::PollAttributes { timeout } if serves => {
                let kind = Kind::Attributes;
                return self
                    .platform
                    .open_poll(now, &device.name, kind, *timeout, call.ticket);
            }
            Operation::PollRpc { timeout } if serves => {
                self.poll_devices
                    .insert(call.ticket, device.name.to_string());
                let kind = Kind::Commands;
                return self
                    .platform
                    .open_poll(now, &device.name, kind, *timeout, call.ticket);
            }
            Operation::PollAttributes { .. } | Operation::PollRpc { .. } => Bytes::new(),
            Operation::ReadAssignment(package) => {
                self.platform.assignment_reads += 1;
                self.platform.read_assignment(&device.name, *package)
            }
            operation @ Operation::GetPackage { .. } => {
                let fetch = PackageFetch {
                    device: device.name.to_string(),
                    operation: operation.clone(),
                };
                self.platform.fetches.push(fetch);
                let fetched = if serves {
                    self.platform.fetch(&device.name, operation)
                } else {
                    Ok(Bytes::new())
                };
                match fetched {
                    Ok(body) => body,
                    Err(error) => return self.schedule_outcome(now, call.ticket, Err(error)),
                }
            }
            other => panic!("the simulation has no answer to {other:?}"),
        };
        self.interruptions += usize::from(!serves);
        let outcome = match &self.behaviour {
            _ if self.down_until.is_some() => Err(Error::Unreachable),
            Behaviour::Serves => Ok(Answer { body }),
            Behaviour::Fails(error) => Err(error.clone()),
        };
        self.schedule_outcome(now, call.ticket, outcome);
    }

    fn schedule_outcome(&mut self, now: Instant, ticket: Ticket, outcome: Result<Answer, Error>) {
        self.schedule(now, Completion::parse(ticket, outcome));
    }

    fn schedule_timeout(&mut self, at: Instant, ticket: Ticket) {
        self.calls += 1;
        let completion = Completion::parse(ticket, Err(Error::Timeout));
        self.pending.insert((at, self.calls), completion);
    }

    fn schedule(&mut self, now: Instant, completion: Completion) {
        self.calls += 1;
        self.pending
            .insert((now + self.delay, self.calls), completion);
    }

    /// Aborts a call.
    pub(super) fn abort(&mut self, now: Instant, ticket: Ticket) {
        if !self.platform.abandon_poll(now, ticket) {
            self.pending
                .retain(|_, completion| completion.ticket != ticket);
        }
    }

    /// The gateway's process has ended, and its connections with it.
    pub(super) fn abort_all(&mut self, now: Instant) {
        self.platform.abandon_polls(now);
        self.poll_devices.clear();
        self.pending.clear();
    }

    /// Schedules the completions of the polls that have ended by `now`.
    pub(super) fn advance_to(&mut self, now: Instant) {
        for (ticket, outcome) in self.platform.take_ended_polls(now) {
            self.schedule_outcome(now, ticket, outcome);
        }
    }

    /// ThingsBoard restarts, and is down for a time: all pending calls fail.
    pub(crate) fn restart(&mut self, now: Instant, down_for: Duration) {
        self.interruptions += 1;
        self.brought_since_restart.clear();
        self.platform.restart(now);
        self.advance_to(now);
        for completion in self.pending.values_mut() {
            self.commands_cut_off.extend(command_in(completion));
            completion.outcome = Err(Error::Unreachable);
        }
        self.down_until = Some(now + down_for);
    }

    /// ThingsBoard has restarted, so that ids of commands begin at 0 again.
    pub(super) fn interrupted(&mut self) {
        self.interruptions += 1;
    }

    /// The number of restarts and failed calls.
    pub(super) fn interruptions(&self) -> usize {
        self.interruptions
    }

    /// The number of pending calls for devices' requests.
    pub(crate) fn in_flight(&self) -> usize {
        let is_exchange = |c: &&Completion| matches!(c.ticket, Ticket::Exchange { .. });
        self.pending.values().filter(is_exchange).count()
    }

    /// The number of pending calls for relays, open polls included.
    pub(crate) fn relay_calls(&self) -> usize {
        let others = self.in_flight() + self.package_calls();
        self.pending.len() - others + self.platform.open_polls()
    }

    /// The number of pending calls for the package cache.
    pub(crate) fn package_calls(&self) -> usize {
        let is_package = |c: &&Completion| matches!(c.ticket, Ticket::Package(_));
        self.pending.values().filter(is_package).count()
    }

    /// Pending calls for devices' requests, for relays and for packages.
    pub(super) fn calls(&self) -> [usize; 3] {
        [self.in_flight(), self.relay_calls(), self.package_calls()]
    }

    pub(super) fn next_completion(&self) -> Option<Instant> {
        let completion = self.pending.first_key_value().map(|((at, _), _)| *at);
        [completion, self.platform.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn pop_completion(&mut self, now: Instant) -> Option<Completion> {
        self.advance_to(now);
        let first = self.pending.first_entry()?;
        let completion = (first.key().0 <= now).then(|| first.remove())?;
        let device = self.poll_devices.remove(&completion.ticket);
        if let Some(body) = command_in(&completion) {
            self.commands_brought.push(body);
            self.brought_since_restart.extend(device);
        }
        Some(completion)
    }
}

/// The body of the command that the answer to a poll consists of.
fn command_in(completion: &Completion) -> Option<Bytes> {
    match &completion.outcome {
        Ok(Parsed::Poll(Message::Command(command))) => Some(command.as_ref()?.body.clone()),
        _ => None,
    }
}

/// A 500 without a body, as ThingsBoard's rate limits return it.
pub(crate) fn empty_500() -> Error {
    rejected(500)
}

/// A rejection without a body.
pub(crate) fn rejected(code: u16) -> Error {
    Error::Rejected(Rejection::new(code, false))
}
