//! Calls to ThingsBoard on behalf of relays: long polls, reads of attributes, and replies for commands that can't be
//! delivered.

use super::Core;
use crate::calls::parsing::Parsed;
use crate::calls::{Call, RelayCall, Ticket};
use crate::device::Device;
use crate::downlink::{Event, Kind};
use crate::dtls::SessionId;
use crate::relay::{ObservationEnd, RelayEffect, RelayId};
use crate::upstream::{self, Error, Operation};
use bytes::Bytes;
use coap::Output;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

/// Calls of relays that have not ended, and reads that wait to begin.
#[derive(Debug, Default)]
pub(super) struct RelayCalls {
    open: HashSet<(RelayId, RelayCall)>,
    /// Polls among them.
    polls: usize,
    /// Polls for commands among those.
    command_polls: usize,
    reads: usize,
    /// Relays that wait to read, in order. No relay is in it twice; `read_wanted` has the number of its newest read.
    reads_waiting: VecDeque<RelayId>,
    read_wanted: HashMap<RelayId, u64>,
    aborted: VecDeque<Ticket>,
    /// Events of endpoints about observations, on their way to the relays.
    pub(super) endpoint_events: VecDeque<(SessionId, Output)>,
}

impl RelayCalls {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Open polls, and other calls that have not ended.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.polls, self.open.len().saturating_sub(self.polls))
    }

    /// Open polls for commands.
    pub(super) fn command_polls(&self) -> usize {
        self.command_polls
    }

    /// Relays that wait to read.
    pub(super) fn reads_waiting(&self) -> usize {
        self.reads_waiting.len()
    }

    fn insert(&mut self, relay: RelayId, relay_call: RelayCall) {
        let is_new = self.open.insert((relay, relay_call));
        self.polls += usize::from(is_new && matches!(relay_call, RelayCall::Poll(..)));
        self.command_polls += usize::from(is_new && is_command_poll(relay_call));
    }

    /// Returns whether the call was open.
    pub(super) fn end(&mut self, relay: RelayId, relay_call: RelayCall) -> bool {
        let was = self.open.remove(&(relay, relay_call));
        let polls = usize::from(was && matches!(relay_call, RelayCall::Poll(..)));
        self.polls = self.polls.saturating_sub(polls);
        let polls = usize::from(was && is_command_poll(relay_call));
        self.command_polls = self.command_polls.saturating_sub(polls);
        was
    }

    /// Ends a read, begun or not, and returns whether it is to be aborted.
    pub(super) fn end_read(&mut self, relay: RelayId, number: u64) -> bool {
        self.read_wanted.remove(&relay);
        let was_open = self.end(relay, RelayCall::Read(number));
        self.reads = self.reads.saturating_sub(usize::from(was_open));
        was_open
    }

    pub(super) fn is_open(&self, relay: RelayId, relay_call: RelayCall) -> bool {
        self.open.contains(&(relay, relay_call))
    }

    /// Has the driver abort the call.
    pub(super) fn abort(&mut self, ticket: Ticket) {
        self.aborted.push_back(ticket);
    }

    pub(super) fn poll_abort(&mut self) -> Option<Ticket> {
        self.aborted.pop_front()
    }
}

fn is_command_poll(relay_call: RelayCall) -> bool {
    matches!(relay_call, RelayCall::Poll(Kind::Commands, _))
}

impl Core {
    /// Carries out an effect of a relay.
    pub(super) fn run_relay_effect(&mut self, now: Instant, relay: RelayId, effect: RelayEffect) {
        match effect {
            RelayEffect::Downlink(effect) => self.run_downlink_effect(now, relay, effect),
            RelayEffect::ReadAttributes(number) => {
                if self.relay_calls.read_wanted.insert(relay, number).is_none() {
                    self.relay_calls.reads_waiting.push_back(relay);
                }
                self.start_reads(now);
            }
            RelayEffect::Notify {
                observation,
                number,
                payload,
            } => self.notify(now, observation, number, payload),
            RelayEffect::EndObservation(observation, end) => {
                self.end_observation(now, observation, end)
            }
            RelayEffect::Ping(session) => {
                self.with_endpoint(now, session, |endpoint, context, outputs| {
                    endpoint.ping(now, context, outputs);
                });
            }
            RelayEffect::ReplyToCommand(id, error) => {
                if let Some(relay) = self.relays.get(relay) {
                    self.journal
                        .command_refused(now, &relay.device.name, id, error);
                }
                let body = Bytes::from_static(error.reply().as_bytes());
                self.start_relay_call(
                    now,
                    relay,
                    RelayCall::GatewayReply(id),
                    Operation::ReplyRpc { id, body },
                );
            }
            RelayEffect::AssignmentChanged(change) => {
                if let Some(relay) = self.relays.get(relay) {
                    self.packages.attributes_changed(now, &relay.device, change);
                }
            }
            RelayEffect::UnreadableMessage(kind) => {
                if let Some(relay) = self.relays.get(relay) {
                    self.journal.unparsable(now, &relay.device.name, kind);
                }
            }
        }
    }

    pub(super) fn start_relay_call(
        &mut self,
        now: Instant,
        relay: RelayId,
        relay_call: RelayCall,
        operation: Operation,
    ) {
        let Some(device) = self.relays.get(relay).map(|relay| relay.device.clone()) else {
            return;
        };
        self.relay_calls.insert(relay, relay_call);
        let call = Call {
            ticket: Ticket::Relay(relay, relay_call),
            request: upstream::Request::Device { device, operation },
        };
        self.queue_call(now, call);
    }

    /// Begins waiting reads, up to the bound on open ones.
    pub(super) fn start_reads(&mut self, now: Instant) {
        while self.relay_calls.reads < crate::relay::Settings::READS
            && let Some(relay) = self.relay_calls.reads_waiting.pop_front()
        {
            let wanted = self.relay_calls.read_wanted.remove(&relay);
            if let Some(number) = wanted.filter(|_| self.relays.get(relay).is_some()) {
                self.relay_calls.reads += 1;
                self.start_relay_call(
                    now,
                    relay,
                    RelayCall::Read(number),
                    Operation::ReadAttributes,
                );
            }
        }
    }

    /// A call of a relay has ended.
    pub(super) fn relay_call_ended(
        &mut self,
        now: Instant,
        relay: RelayId,
        relay_call: RelayCall,
        outcome: Result<Parsed, Error>,
    ) {
        if !self.relay_calls.end(relay, relay_call) {
            self.counters.completions_too_late += 1;
            return;
        }
        if let (Err(error), Some(relay)) = (&outcome, self.relays.get(relay)) {
            self.journal
                .relay_call_failed(now, &relay.device.name, relay_call, error);
        }
        if self.draining.is_active() {
            let observer = self.relays.get(relay);
            let observer = observer.and_then(|relay| relay.observation(Kind::Commands));
            let session = observer.map(|observation| observation.session);
            self.draining.touched.extend(session);
        }
        match relay_call {
            RelayCall::Poll(kind, number) => {
                let brought = outcome.and_then(Parsed::poll);
                self.with_relay(now, relay, |relay, context| {
                    let event = Event::PollEnded(number, brought);
                    relay.downlink_event(now, kind, event, context);
                });
            }
            RelayCall::Read(number) => {
                self.relay_calls.reads = self.relay_calls.reads.saturating_sub(1);
                self.start_reads(now);
                let read = outcome.and_then(Parsed::attributes);
                self.with_relay(now, relay, |relay, context| {
                    relay.read_ended(now, number, read, context);
                });
            }
            // If it failed, ThingsBoard delivers the command again.
            RelayCall::GatewayReply(id) => {
                let is_accepted = outcome.is_ok();
                self.with_relay(now, relay, |relay, _| {
                    relay.reply_answered(now, id, is_accepted)
                });
                if let Some(end) = outcome.as_ref().err().and_then(ObservationEnd::of) {
                    self.with_relay(now, relay, |relay, context| relay.rejected(end, context));
                }
            }
        }
    }

    /// ThingsBoard has refused a device under this access token: its observations end, unless it has another token by now.
    pub(super) fn refuse_observations(
        &mut self,
        now: Instant,
        device: &Device,
        end: ObservationEnd,
    ) {
        let Some(id) = self.relays.find(&device.name) else {
            return;
        };
        let known = self.relays.get(id).map(|relay| &relay.device.token);
        if known == Some(&device.token) {
            self.with_relay(now, id, |relay, context| relay.rejected(end, context));
        }
    }
}
