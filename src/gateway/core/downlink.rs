//! Between the relays' downlinks and the driver: polls are calls, and subscriptions are requests to the device's
//! connection.

use super::Core;
use crate::calls::{RelayCall, Ticket};
use crate::device::Device;
use crate::downlink::{Acknowledgement, Effect, Event, Kind, Message};
use crate::relay::RelayId;
use crate::upstream::Operation;
use std::sync::Arc;
use std::time::Instant;

/// What the driver is to do about the subscriptions of a device.
#[derive(Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the driver of MQTT's connections reads them")
)]
pub(crate) enum DownlinkRequest {
    /// Subscribe under this device's token, again on each new connection, until `Unsubscribe`. Each grant is reported
    /// under the number.
    Subscribe {
        relay: RelayId,
        device: Arc<Device>,
        kind: Kind,
        number: u64,
    },
    /// End the subscription. What was received before is still reported.
    Unsubscribe { relay: RelayId, kind: Kind },
    /// Acknowledge a message, unless its connection is closed.
    Acknowledge(Acknowledgement),
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
                    self.downlink_requests
                        .push_back(DownlinkRequest::Subscribe {
                            relay,
                            device,
                            kind,
                            number,
                        });
                }
            }
            Effect::Unsubscribe(kind) => self
                .downlink_requests
                .push_back(DownlinkRequest::Unsubscribe { relay, kind }),
            Effect::Acknowledge(acknowledgement) => self
                .downlink_requests
                .push_back(DownlinkRequest::Acknowledge(acknowledgement)),
        }
    }

    /// What the driver is to do next about subscriptions.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the driver of MQTT's connections polls it")
    )]
    pub(crate) fn poll_downlink(&mut self) -> Option<DownlinkRequest> {
        self.downlink_requests.pop_front()
    }

    /// Something has happened to the subscription of a relay.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the driver of MQTT's connections reports it")
    )]
    pub(crate) fn downlink_event(
        &mut self,
        now: Instant,
        relay: RelayId,
        kind: Kind,
        event: Event<Message>,
    ) {
        self.with_relay(now, relay, |relay, context| {
            relay.downlink_event(now, kind, event, context);
        });
        self.settle(now);
    }
}
