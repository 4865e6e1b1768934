//! Between the relays' downlinks and the driver: polls are calls, and subscriptions are requests to the device's
//! connection.

use super::Core;
use crate::calls::pushed::{Pushed, PushedEvent};
use crate::calls::{RelayCall, Ticket};
use crate::device::Device;
use crate::downlink::{Acknowledgement, Effect, Event, Form, Kind, Message};
use crate::relay::RelayId;
use crate::upstream::{Error, Operation, Rejection};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// What the driver is to do with a device's connection to ThingsBoard.
#[derive(Debug, Clone)]
pub(crate) enum DownlinkRequest {
    /// Subscribe under this device's token, again on each new connection, until `Unsubscribe`. Each grant is reported
    /// under the number.
    Subscribe {
        device: Arc<Device>,
        kind: Kind,
        number: u64,
    },
    /// End the subscription. What was received before is still reported.
    Unsubscribe { device: Arc<Device>, kind: Kind },
    /// Acknowledge a message, unless its connection is closed.
    Acknowledge(Acknowledgement),
    /// The device has sent something, and counts as alive until then.
    AliveUntil(Arc<Device>, Instant),
    /// The device is no longer registered, has another access token, or the gateway stops: its connection is closed.
    Close(Arc<Device>),
}

/// Which devices are subscribed for, and what is to be done about it.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// The device as it was subscribed for: its token may be another one by now, and its relay gone.
    open: BTreeMap<(RelayId, Kind), Arc<Device>>,
    requests: VecDeque<DownlinkRequest>,
}

impl Core {
    /// Carries out an effect of a downlink.
    pub(super) fn run_downlink_effect(&mut self, now: Instant, relay: RelayId, effect: Effect) {
        match effect {
            // While draining no poll begins, and no subscription. The relay does not know that.
            Effect::OpenPoll(..) | Effect::Subscribe(..) if self.draining.is_active() => {}
            Effect::OpenPoll(kind, number, timeout) => {
                let operation = match kind {
                    Kind::Attributes => Operation::PollAttributes { timeout },
                    Kind::Commands => Operation::PollRpc { timeout },
                };
                self.start_relay_call(now, relay, RelayCall::Poll(kind, number), operation);
            }
            Effect::AbortPoll(kind, number) => {
                let relay_call = RelayCall::Poll(kind, number);
                if self.relay_calls.end(relay, relay_call) {
                    self.relay_calls.abort(Ticket::Relay(relay, relay_call));
                }
            }
            Effect::PollCutShort { requested, lasted } => {
                self.journal.polls_cut_off(requested, lasted)
            }
            Effect::Subscribe(kind, number) => {
                if let Some(known) = self.relays.get(relay) {
                    let device = known.device.clone();
                    let subscriptions = &mut self.subscriptions;
                    subscriptions.open.insert((relay, kind), device.clone());
                    subscriptions
                        .requests
                        .push_back(DownlinkRequest::Subscribe {
                            device,
                            kind,
                            number,
                        });
                }
            }
            Effect::Unsubscribe(kind) => self.unsubscribe(relay, kind),
            Effect::Acknowledge(acknowledgement) => self
                .subscriptions
                .requests
                .push_back(DownlinkRequest::Acknowledge(acknowledgement)),
        }
    }

    fn unsubscribe(&mut self, relay: RelayId, kind: Kind) {
        let subscriptions = &mut self.subscriptions;
        if let Some(device) = subscriptions.open.remove(&(relay, kind)) {
            let request = DownlinkRequest::Unsubscribe { device, kind };
            subscriptions.requests.push_back(request);
        }
    }

    /// What the driver is to do next with a device's connection.
    pub(crate) fn poll_downlink(&mut self) -> Option<DownlinkRequest> {
        self.subscriptions.requests.pop_front()
    }

    /// A device has sent something: its connection may send pings for longer.
    pub(super) fn report_alive(&mut self, now: Instant, device: Arc<Device>) {
        if self.settings.downlink == Form::Push {
            let until = now + self.settings.relay.alive_for;
            let request = DownlinkRequest::AliveUntil(device, until);
            self.subscriptions.requests.push_back(request);
        }
    }

    /// Ends all subscriptions: what comes from now on waits in ThingsBoard for the next gateway. The relays do not know that.
    pub(super) fn end_subscriptions(&mut self) {
        for ((_, kind), device) in std::mem::take(&mut self.subscriptions.open) {
            let request = DownlinkRequest::Unsubscribe { device, kind };
            self.subscriptions.requests.push_back(request);
        }
    }

    /// A device does not use its connection any more.
    pub(super) fn close_connection(&mut self, device: Arc<Device>) {
        if self.settings.downlink == Form::Push {
            let request = DownlinkRequest::Close(device);
            self.subscriptions.requests.push_back(request);
        }
    }

    /// A device could not be subscribed for: there are too many connections.
    pub(crate) fn subscription_refused(&mut self, now: Instant, device: &Device, kind: Kind) {
        if let Some(relay) = self.relays.find(&device.name) {
            self.downlink_event(now, relay, kind, Event::Refused(Error::Overloaded));
        }
    }

    /// A device's connection has received something, or has changed.
    pub(crate) fn pushed(&mut self, now: Instant, pushed: Pushed) {
        let Pushed { device, event } = pushed;
        match event {
            // While the gateway stops, its devices connect to the next one.
            PushedEvent::Displaced if self.draining.is_active() => return,
            PushedEvent::Displaced => {
                return self.journal.connection_displaced(now, &device.name);
            }
            PushedEvent::RateLimited => {
                return self.journal.connection_rate_limited(now, &device.name);
            }
            PushedEvent::Subscribed(..)
            | PushedEvent::Interrupted(_)
            | PushedEvent::Message(..)
            | PushedEvent::TokenRefused => {}
        }
        // Under another token it was another device, perhaps.
        let of_device = |relay: &RelayId| {
            let known = self.relays.get(*relay);
            known.is_some_and(|relay| relay.device.token == device.token)
        };
        let Some(relay) = self.relays.find(&device.name).filter(of_device) else {
            return;
        };
        let both = [Kind::Attributes, Kind::Commands];
        match event {
            PushedEvent::Subscribed(numbers, connection) => {
                for (kind, number) in both.into_iter().zip([numbers.attributes, numbers.commands]) {
                    if let Some(number) = number {
                        let event = Event::Subscribed(number, connection);
                        self.downlink_event(now, relay, kind, event);
                    }
                }
            }
            PushedEvent::Interrupted(connection) => {
                for kind in both {
                    self.downlink_event(now, relay, kind, Event::Interrupted(connection));
                }
            }
            PushedEvent::Message(kind, message, acknowledgement) => {
                self.downlink_event(now, relay, kind, Event::Pushed(message, acknowledgement));
            }
            PushedEvent::TokenRefused => {
                for kind in both {
                    let refused = Error::Rejected(Rejection::TokenRefused);
                    self.downlink_event(now, relay, kind, Event::Refused(refused));
                }
            }
            PushedEvent::Displaced | PushedEvent::RateLimited => {}
        }
    }

    /// The relay of a device, for tests.
    #[cfg(test)]
    pub(crate) fn relay_of(&self, device: &str) -> RelayId {
        self.relays.find(device).unwrap()
    }

    /// Something has happened to the subscription of a relay.
    pub(crate) fn downlink_event(
        &mut self,
        now: Instant,
        relay: RelayId,
        kind: Kind,
        event: Event<Message>,
    ) {
        if matches!(event, Event::Refused(_)) {
            // The relay does not: for it the subscription has ended. But it may have subscribed again meanwhile.
            self.unsubscribe(relay, kind);
        }
        self.with_relay(now, relay, |relay, context| {
            relay.downlink_event(now, kind, event, context);
        });
        self.settle(now);
    }
}
