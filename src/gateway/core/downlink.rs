//! Between the relays' downlinks and the driver: polls are calls, and subscriptions are requests to the device's
//! connection.

use super::Core;
use crate::calls::pushed::{Pushed, PushedEvent};
use crate::calls::{RelayCall, Ticket};
use crate::device::Device;
use crate::downlink::{Acknowledgement, Effect, Event, Form, Kind};
use crate::relay::RelayId;
use crate::upstream::{Error, Kinds, Operation, Rejection};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// What the driver is to do with a device's connection to ThingsBoard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DownlinkRequest {
    /// Subscribe to these and nothing else, again on each new connection.
    SetSubscriptions(Kinds),
    /// Acknowledge a message, unless its connection is closed.
    Acknowledge(Acknowledgement),
    /// The device has been heard, and counts as alive until then.
    AliveUntil(Instant),
}

/// What is subscribed to for one device: the number of each subscription.
#[derive(Debug)]
struct Subscribed {
    device: Arc<Device>,
    attributes: Option<u64>,
    commands: Option<u64>,
}

impl Subscribed {
    fn number_mut(&mut self, kind: Kind) -> &mut Option<u64> {
        match kind {
            Kind::Attributes => &mut self.attributes,
            Kind::Commands => &mut self.commands,
        }
    }

    fn kinds(&self) -> Kinds {
        Kinds {
            attributes: self.attributes.is_some(),
            commands: self.commands.is_some(),
        }
    }
}

/// The subscriptions of all devices, and what is to be done about them.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_relay: HashMap<RelayId, Subscribed>,
    requests: VecDeque<(Arc<Device>, DownlinkRequest)>,
}

impl Subscriptions {
    fn subscribe(&mut self, relay: RelayId, device: &Arc<Device>, kind: Kind, number: u64) {
        let subscribed = self.by_relay.entry(relay).or_insert_with(|| Subscribed {
            device: device.clone(),
            attributes: None,
            commands: None,
        });
        subscribed.device = device.clone();
        *subscribed.number_mut(kind) = Some(number);
        let request = DownlinkRequest::SetSubscriptions(subscribed.kinds());
        self.requests.push_back((device.clone(), request));
    }

    fn unsubscribe(&mut self, relay: RelayId, kind: Kind) {
        let Some(subscribed) = self.by_relay.get_mut(&relay) else {
            return;
        };
        *subscribed.number_mut(kind) = None;
        let (device, kinds) = (subscribed.device.clone(), subscribed.kinds());
        if kinds.is_empty() {
            self.by_relay.remove(&relay);
        }
        self.requests
            .push_back((device, DownlinkRequest::SetSubscriptions(kinds)));
    }

    /// The number of the subscription, if the device has it under this token.
    fn number(&mut self, relay: RelayId, device: &Device, kind: Kind) -> Option<u64> {
        let subscribed = self.by_relay.get_mut(&relay)?;
        let is_same = subscribed.device.token == device.token;
        subscribed.number_mut(kind).filter(|_| is_same)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_relay.len() + self.requests.len()
    }
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
                    self.subscriptions.subscribe(relay, &device, kind, number);
                    let alive_until = now + self.settings.relay.alive_for;
                    self.subscriptions
                        .requests
                        .push_back((device, DownlinkRequest::AliveUntil(alive_until)));
                }
            }
            Effect::Unsubscribe(kind) => self.subscriptions.unsubscribe(relay, kind),
            Effect::Acknowledge(acknowledgement) => {
                if let Some(known) = self.relays.get(relay) {
                    let request = DownlinkRequest::Acknowledge(acknowledgement);
                    self.subscriptions
                        .requests
                        .push_back((known.device.clone(), request));
                }
            }
        }
    }

    /// What the driver is to do next with a device's connection.
    pub(crate) fn poll_downlink(&mut self) -> Option<(Arc<Device>, DownlinkRequest)> {
        self.subscriptions.requests.pop_front()
    }

    /// A device has sent something: its connection may send pings for longer.
    pub(super) fn report_alive(&mut self, now: Instant, device: Arc<Device>) {
        if self.settings.downlink == Form::Push {
            let request = DownlinkRequest::AliveUntil(now + self.settings.relay.alive_for);
            self.subscriptions.requests.push_back((device, request));
        }
    }

    /// A device could not be subscribed for: there are too many connections.
    pub(crate) fn subscriptions_refused(&mut self, now: Instant, device: &Device) {
        for kind in [Kind::Attributes, Kind::Commands] {
            self.downlink_event(now, device, kind, |_| Event::Refused(Error::Overloaded));
        }
    }

    /// A device's connection has received something, or has changed.
    pub(crate) fn pushed(&mut self, now: Instant, pushed: Pushed) {
        let Pushed { device, event } = pushed;
        match event {
            PushedEvent::Subscribed(kinds, connection) => {
                for (kind, is_it) in [
                    (Kind::Attributes, kinds.attributes),
                    (Kind::Commands, kinds.commands),
                ] {
                    if is_it {
                        let granted = |number| Event::Subscribed(number, connection);
                        self.downlink_event(now, &device, kind, granted);
                    }
                }
            }
            PushedEvent::Interrupted(connection) => {
                for kind in [Kind::Attributes, Kind::Commands] {
                    self.downlink_event(now, &device, kind, |_| Event::Interrupted(connection));
                }
            }
            PushedEvent::Message(kind, message, acknowledgement) => {
                if let Some(relay) = self.relays.find(&device.name) {
                    self.with_relay(now, relay, |relay, context| {
                        let event = Event::Pushed(message, acknowledgement);
                        relay.downlink_event(now, kind, event, context);
                    });
                }
            }
            PushedEvent::TokenRefused => {
                let refused = || Event::Refused(Error::Rejected(Rejection::TokenRefused));
                self.downlink_event(now, &device, Kind::Attributes, |_| refused());
                self.downlink_event(now, &device, Kind::Commands, |_| refused());
            }
            PushedEvent::Displaced => self.journal.connection_displaced(now, &device.name),
        }
        self.settle(now);
    }

    /// Something has happened to the subscription of a device, if it still has it under this token.
    fn downlink_event(
        &mut self,
        now: Instant,
        device: &Device,
        kind: Kind,
        event: impl FnOnce(u64) -> Event<crate::downlink::Message>,
    ) {
        let Some(relay) = self.relays.find(&device.name) else {
            return;
        };
        if let Some(number) = self.subscriptions.number(relay, device, kind) {
            self.with_relay(now, relay, |relay, context| {
                relay.downlink_event(now, kind, event(number), context);
            });
        }
    }
}
