//! PUBLISHes to the client, and their PUBACKs.

use super::{Context, InFlight, Phase, Session, Timed, code};
use crate::downlink::{DeliveryReport, Push, PushEnd, PushedCommand};
use crate::mqtt::packet::{Downlink, Reply};
use bytes::Bytes;

/// What a PUBLISH to the client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A change of attributes.
    Change,
    /// An error.
    Error,
    /// The command with this id.
    Command(i32),
    /// Sent behind the PUBACK of the request, so as late as that.
    Answer,
}

impl Session {
    /// Takes a message of the downlink.
    pub(in crate::mqtt) fn handle_push(&mut self, cx: &mut Context<'_>, push: Push) {
        let Phase::Device(device) = &self.phase else {
            return;
        };
        match push {
            Push::Attributes(body) => {
                if let Some(form) = device.attributes {
                    let topic = form.attributes().to_owned();
                    self.publish(cx, topic, body, Kind::Change);
                }
            }
            Push::Command(command) => self.publish_command(cx, command),
            Push::Closed(PushEnd::Displaced) => self.close(cx, code::TAKEN_OVER),
            Push::Closed(PushEnd::CredentialsRemoved) => self.close(cx, code::ADMINISTRATIVE),
            Push::Closed(PushEnd::Cut) => self.close_silently(cx),
        }
    }

    fn publish_command(&mut self, cx: &mut Context<'_>, command: PushedCommand) {
        let Phase::Device(device) = &self.phase else {
            return;
        };
        let name = device.name.clone();
        let Some(form) = device.rpc else {
            return;
        };
        let topic = form.rpc_request(command.id);
        let expected = self.publish(cx, topic, command.body, Kind::Command(command.id));
        let report = match expected {
            Some((id, number)) => {
                let timeout = crate::clock::in_ms(cx.state.mqtt.settings.puback_timeout);
                let at = cx.now_ms.saturating_add(timeout).min(command.expires_ms);
                self.at(at, Timed::AckTimeout(id, number));
                DeliveryReport::Sent
            }
            None => DeliveryReport::Delivered,
        };
        report_command(cx, &name, command.id, report);
    }

    /// Sends the answer to a request.
    pub(super) fn publish_answer(&mut self, cx: &mut Context<'_>, topic: String, payload: Bytes) {
        self.publish(cx, topic, payload, Kind::Answer);
    }

    /// Sends a PUBLISH of an error, not behind PUBACKs that are delayed.
    pub(super) fn publish_at_once(&mut self, cx: &mut Context<'_>, topic: String, payload: Bytes) {
        self.publish(cx, topic, payload, Kind::Error);
    }

    /// Sends a PUBLISH. Returns its packet id and number if a PUBACK is expected.
    fn publish(
        &mut self,
        cx: &mut Context<'_>,
        topic: String,
        payload: Bytes,
        kind: Kind,
    ) -> Option<(u16, u64)> {
        let command = match kind {
            Kind::Command(id) => Some(id),
            Kind::Change | Kind::Error | Kind::Answer => None,
        };
        let qos = self.granted_qos(&topic);
        let number = self.number();
        let id = self.next_id;
        let Phase::Device(device) = &mut self.phase else {
            return None;
        };
        // Each takes one, also at QoS 0.
        self.next_id = id.wrapping_add(1);
        let in_flight = InFlight {
            number,
            command,
            sent_us: cx.clock.now_us(),
        };
        let counts = cx.state.mqtt.counts_mut(&device.name);
        counts.downlinks += 1;
        if qos > 0 && device.in_flight.insert(id, in_flight).is_none() {
            counts.in_flight += 1;
        }
        let publish = Downlink {
            topic,
            payload,
            qos,
            id,
        };
        let delay_ms = match kind {
            Kind::Change => cx.state.mqtt.change_delay_ms(),
            Kind::Error | Kind::Command(_) | Kind::Answer => 0,
        };
        if kind == Kind::Answer {
            self.send_later(cx, Reply::Publish(publish));
        } else if delay_ms > 0 {
            let at_ms = cx.now_ms.saturating_add(delay_ms);
            self.at(at_ms, Timed::Reply(Reply::Publish(publish)));
        } else {
            self.send(Reply::Publish(publish));
        }
        (qos > 0).then_some((id, number))
    }

    pub(super) fn handle_pub_ack(&mut self, cx: &mut Context<'_>, id: u16) {
        let Phase::Device(device) = &mut self.phase else {
            return;
        };
        let counts = cx.state.mqtt.counts_mut(&device.name);
        counts.pubacks += 1;
        let Some(acknowledged) = device.in_flight.remove(&id) else {
            return;
        };
        counts.in_flight = counts.in_flight.saturating_sub(1);
        if let Some(command) = acknowledged.command {
            counts.command_pubacks += 1;
            let took = cx.clock.now_us().saturating_sub(acknowledged.sent_us);
            cx.state.mqtt.record_command_delay(took);
            let name = device.name.clone();
            cx.state.directory.record_activity(&name, cx.epoch_ms);
            report_command(cx, &name, command, DeliveryReport::Delivered);
        }
    }

    /// A command's PUBACK has not arrived in time. One that arrives later is not for it any more.
    pub(super) fn handle_ack_timeout(&mut self, cx: &mut Context<'_>, id: u16, number: u64) {
        let Phase::Device(device) = &mut self.phase else {
            return;
        };
        let Some(in_flight) = device.in_flight.get_mut(&id) else {
            return;
        };
        if in_flight.number == number
            && let Some(command) = in_flight.command.take()
        {
            let name = device.name.clone();
            report_command(cx, &name, command, DeliveryReport::TimedOut);
        }
    }
}

fn report_command(cx: &mut Context<'_>, device: &str, id: i32, report: DeliveryReport) {
    cx.state
        .long_polls
        .apply(|downlink| downlink.report(device, id, report));
}
