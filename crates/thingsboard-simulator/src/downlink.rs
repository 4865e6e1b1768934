//! A model of ThingsBoard's downlink: long polls over HTTP, sessions of MQTT, changes of shared attributes, and
//! server-side RPC. It has no socket and no clock, so it can be used in a simulated network as well.
//!
//! A poll consists of three parts, and most of ThingsBoard's quirks are due to their different ends:
//!
//! ```text
//! the HTTP request  waiting ──▶ response sent, or ended by the servlet container (503), or the client disconnects
//! the session       registered ──▶ dropped: by the first message it gets, or by its own timeout (408)
//! the subscription  on its way to the device actor ──▶ live ──▶ stale, once its session is dropped
//! ```
//!
//! * Nothing unsubscribes. A session whose request has ended takes the next message, which is lost; a stale
//!   subscription counts as a subscriber, and messages to it are lost.
//! * A change of attributes goes to all subscriptions for attributes and does not remove them: they accumulate.
//! * A command goes to all subscriptions for RPC and removes them. If there are none, it is pending, and so is every
//!   two-way command until its reply. A new poll gets the oldest pending command at once, delivered before or not: one
//!   without a reply is returned again and again, and those behind it wait.
//!
//! An MQTT connection has a push session instead: it is subscribed until it unsubscribes or closes, gets all pending
//! commands when it subscribes, and reports what became of each.
//!
//! Commands are not persistent unless they are sent as such, and the RPC strategy is BURST: ThingsBoard's defaults.

mod actor;
mod callers;
mod counts;
mod persistent;
mod push;
mod session;
#[cfg(test)]
mod tests;
mod transport;
mod types;

use crate::json::Element;
use actor::Actor;
use bytes::Bytes;
use callers::WaitingCaller;
use persistent::PersistentRpcs;
use push::PushSessions;
use session::{Session, Sessions};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use counts::{PollCounts, SubscriptionCounts};
pub use types::CommandOutcome;
pub use types::{Change, Command, CommandId, Delays, LimitReached, PollEnd, PollId, PollKind};
pub use types::{DeliveryReport, Push, PushEnd, PushId, PushedCommand, RpcStatus};

/// Polls and commands of more devices than this are refused.
const MAX_DEVICES: usize = 100_000;
/// More sessions of one device than this are refused.
const MAX_SESSIONS: usize = 1000;

/// A timed event. Of events at the same time a subscription is first, and a session's own timeout is before the
/// container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Subscribe(PollId),
    SubscribePush(PushId, PollKind),
    SessionTimeout(PollId),
    ContainerTimeout(PollId),
    CommandExpiry(CommandId),
}

#[derive(Default)]
struct DeviceState {
    actor: Actor,
    counts: SubscriptionCounts,
    waiting_callers: usize,
}

/// All devices with their actors, the transport's sessions, and the callers of commands.
///
/// Call [`handle_timeout`](Downlink::handle_timeout) at [`next_timeout`](Downlink::next_timeout), and with the current
/// time before any other method.
#[derive(Default)]
pub struct Downlink {
    delays: Delays,
    devices: BTreeMap<Arc<str>, DeviceState>,
    sessions: Sessions,
    push_sessions: PushSessions,
    persistent: PersistentRpcs,
    reply_bytes: usize,
    callers: BTreeMap<CommandId, WaitingCaller>,
    timers: BTreeSet<(u64, Timer)>,
    poll_ends: VecDeque<(PollId, PollEnd)>,
    command_outcomes: VecDeque<(CommandId, CommandOutcome)>,
    pushes: VecDeque<(PushId, Push)>,
    last_poll: u64,
    last_command: u64,
    pending_bytes: usize,
}

impl Downlink {
    /// A downlink without devices.
    pub fn new(delays: Delays) -> Downlink {
        Downlink {
            delays,
            ..Downlink::default()
        }
    }

    /// The delays of polls that begin now.
    pub fn delays(&self) -> Delays {
        self.delays
    }

    /// Sets the delays of polls that begin from now on.
    pub fn set_delays(&mut self, delays: Delays) {
        self.delays = delays;
    }

    /// Opens a poll. `timeout_ms` is its query parameter: 0 (or none) means the default. A negative one times out at
    /// once, but its subscription is sent nevertheless.
    ///
    /// # Errors
    /// A limit on devices or sessions is reached.
    pub fn open(
        &mut self,
        device: &str,
        kind: PollKind,
        timeout_ms: i64,
        now_ms: u64,
    ) -> Result<PollId, LimitReached> {
        if self.sessions.count(device) >= MAX_SESSIONS {
            return Err(LimitReached(format!(
                "device {device:?} has {MAX_SESSIONS} sessions already"
            )));
        }
        let name = self.device(device)?;
        let counts = &mut self.devices.entry(Arc::clone(&name)).or_default().counts;
        counts.of(kind).opened();
        let lasts_ms = match timeout_ms {
            0 => self.delays.request_ms,
            given => u64::try_from(given).unwrap_or(0),
        };
        self.last_poll += 1;
        let poll = PollId(self.last_poll);
        let session = Session {
            device: name,
            kind,
            waiting: true,
            registered: true,
            subscribed: false,
            times_out_ms: now_ms.saturating_add(lasts_ms),
            container_timeout_ms: (self.delays.async_ms < lasts_ms)
                .then(|| now_ms.saturating_add(self.delays.async_ms)),
        };
        self.timers
            .insert((session.times_out_ms, Timer::SessionTimeout(poll)));
        if let Some(at) = session.container_timeout_ms {
            self.timers.insert((at, Timer::ContainerTimeout(poll)));
        }
        self.sessions.insert(poll, session);
        if lasts_ms == 0 {
            self.time_out_session(poll);
        }
        if self.delays.subscription_ms == 0 {
            self.subscribe(poll);
        } else {
            let at = now_ms.saturating_add(self.delays.subscription_ms);
            self.timers.insert((at, Timer::Subscribe(poll)));
        }
        Ok(poll)
    }

    /// The client of a poll has closed its connection. Its session stays until its timeout and takes the next message.
    pub fn abandon(&mut self, poll: PollId) {
        self.stop_waiting(poll);
    }

    /// The next poll that has ended, and how.
    pub fn pop_poll_end(&mut self) -> Option<(PollId, PollEnd)> {
        self.poll_ends.pop_front()
    }

    /// Sends a change of a device's shared attributes to its polls.
    pub fn attributes_changed(&mut self, device: &str, change: Change) {
        let Some(device) = self.devices.get(device) else {
            return;
        };
        let body = Bytes::from(match change {
            Change::Updated(values) => values,
            Change::Deleted(keys) => {
                let keys = keys.into_iter().map(Element::Text).collect();
                let deleted = ("deleted".to_owned(), Element::Array(keys));
                Element::Object(vec![deleted]).to_string()
            }
        });
        let attribute_push = device.actor.attribute_push();
        for poll in device.actor.attribute_subscribers() {
            self.deliver(poll, &body);
        }
        for push in attribute_push {
            self.pushes
                .push_back((push, Push::Attributes(body.clone())));
        }
    }

    /// Deletes a device: its polls end, its actor is removed, and callers wait until their commands expire.
    pub fn delete_device(&mut self, device: &str) {
        for poll in self.sessions.of(device) {
            self.remove_session(poll, PollEnd::Deleted);
        }
        self.end_device_push(device, PushEnd::CredentialsRemoved);
        self.devices.remove(device);
    }

    /// Removes the subscriptions of a device whose access token has changed. Its open polls get no message any more and
    /// end by their timeout, and its push session ends. Pending commands stay.
    pub fn token_changed(&mut self, device: &str) {
        self.end_device_push(device, PushEnd::CredentialsRemoved);
        if let Some(device) = self.devices.get_mut(device) {
            device.actor.token_changed();
        }
    }

    /// Restarts ThingsBoard: actors, sessions and commands are lost, and the ids of commands begin at 0. Persistent
    /// commands keep their status; those that were never sent (`QUEUED`) are loaded again, with new ids.
    pub fn restart(&mut self) {
        for poll in self.sessions.polls() {
            self.remove_session(poll, PollEnd::Cut);
        }
        self.end_all_push(PushEnd::Cut);
        let persistent = std::mem::take(&mut self.persistent);
        let is_queued = |command: CommandId| Downlink::survives_restart(&persistent, command);
        for device in self.devices.values_mut() {
            device.actor = std::mem::take(&mut device.actor).restarted(is_queued);
        }
        let commands = self.callers.keys().copied();
        let lost: Vec<CommandId> = commands.filter(|command| !is_queued(*command)).collect();
        self.persistent = persistent;
        for command in lost {
            self.finish_command(command, CommandOutcome::Lost);
        }
    }

    /// When [`handle_timeout`](Downlink::handle_timeout) must be called next.
    pub fn next_timeout(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Runs all events that are due.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now_ms) {
            let Some((_, timer)) = self.timers.pop_first() else {
                break;
            };
            match timer {
                Timer::Subscribe(poll) => self.subscribe(poll),
                Timer::SubscribePush(push, kind) => self.finish_push_subscription(push, kind),
                Timer::SessionTimeout(poll) => self.time_out_session(poll),
                Timer::ContainerTimeout(poll) => self.end_request(poll, PollEnd::AsyncTimeout),
                Timer::CommandExpiry(command) => self.expire(command),
            }
        }
    }

    /// Counts a device's polls and subscriptions; all zero for one that never polled.
    pub fn subscriptions(&self, device: &str) -> SubscriptionCounts {
        let Some(device) = self.devices.get(device) else {
            return SubscriptionCounts::default();
        };
        let mut counts = device.counts;
        for kind in [PollKind::Attributes, PollKind::Rpc] {
            let (live, stale) = device.actor.subscriber_counts(kind);
            let of_kind = counts.of(kind);
            of_kind.live = live;
            of_kind.stale = stale;
        }
        counts.pending_commands = device.actor.pending();
        counts
    }

    /// Adds a device if it is new. Returns its shared name.
    fn device(&mut self, name: &str) -> Result<Arc<str>, LimitReached> {
        if let Some((known, _)) = self.devices.get_key_value(name) {
            return Ok(Arc::clone(known));
        }
        if self.devices.len() >= MAX_DEVICES {
            return Err(LimitReached(format!(
                "{MAX_DEVICES} devices have had polls or commands already"
            )));
        }
        let name: Arc<str> = name.into();
        self.devices
            .insert(Arc::clone(&name), DeviceState::default());
        Ok(name)
    }
}
