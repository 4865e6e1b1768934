//! From CONNECT to CONNACK, and the end of a device's session.

use super::{Context, DeviceSession, Downloads, Phase, Session, code};
use crate::downlink::LimitReached;
use crate::mqtt::packet::{Connect, Level, Packet, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The user name or client id of a device without credentials.
const PROVISION: &str = "provision";

impl Session {
    /// Accepts or refuses the CONNECT.
    pub(super) fn finish_connect(&mut self, cx: &mut Context<'_>) {
        let Phase::Connecting(connect) = std::mem::replace(&mut self.phase, Phase::New) else {
            return;
        };
        let session_present = !connect.clean_start;
        match self.authenticated(cx, &connect) {
            Ok(phase) => {
                self.phase = phase;
                self.send(Reply::ConnAck {
                    session_present,
                    code: code::SUCCESS,
                });
                self.handle_queued(cx);
            }
            Err(Refused { code, v311, then }) => {
                let code = match self.level {
                    Some(Level::V311) => v311,
                    _ => code,
                };
                self.send(Reply::ConnAck {
                    session_present: false,
                    code,
                });
                self.close(cx, then);
            }
        }
    }

    /// Handles what has waited for CONNACK. If one of these packets closes the connection by an exception, it is
    /// swallowed, and those behind it wait for the next packet.
    fn handle_queued(&mut self, cx: &mut Context<'_>) {
        while let Some(packet) = self.queue.pop_front() {
            match (&self.phase, packet) {
                (Phase::Device(_), Packet::Publish(publish)) => {
                    let verdict = self.verdict(cx, &publish);
                    if verdict.is_exception() {
                        return;
                    }
                    self.conclude(cx, &publish, verdict);
                }
                (Phase::Device(_), packet) => self.handle_device_packet(cx, packet),
                (Phase::Provisioning, packet) => self.handle_provisioning(cx, packet),
                (Phase::New | Phase::Connecting(_) | Phase::Closed, _) => return,
            }
        }
    }

    fn authenticated(&mut self, cx: &mut Context<'_>, connect: &Connect) -> Result<Phase, Refused> {
        let user_name = connect.user_name.as_deref();
        if user_name == Some(PROVISION) || connect.client_id == PROVISION {
            return Ok(Phase::Provisioning);
        }
        let Some(token) = user_name else {
            return Err(if connect.client_id.is_empty() {
                Refused::with(code::NOT_AUTHORIZED, 5)
            } else {
                Refused::with(code::CLIENT_ID, 2)
            });
        };
        let device = cx.state.directory.device_with_token(token);
        let Some(name) = device.map(Arc::<str>::from) else {
            return Err(Refused::with(code::BAD_CREDENTIALS, 5));
        };
        if cx.state.mqtt.settings.usage_exhausted || !cx.state.mqtt.take_message(&name, cx.now_ms) {
            return Err(Refused {
                code: code::CONNECTION_RATE,
                v311: 3,
                then: code::MESSAGE_RATE,
            });
        }
        let Some(mailbox) = self.mailbox.take() else {
            return Err(Refused::with(code::IMPLEMENTATION, 3));
        };
        let push = cx.state.long_polls.open_push(&name, mailbox);
        let push = push.map_err(|LimitReached(reason)| {
            tracing::warn!("an MQTT connection is refused: {reason}");
            Refused::with(code::IMPLEMENTATION, 3)
        })?;
        let counts = cx.state.mqtt.counts_mut(&name);
        counts.connects += 1;
        counts.connections += 1;
        cx.state.directory.record_activity(&name, cx.epoch_ms);
        if let Some(device) = cx.state.directory.get_mut(&name) {
            device.activity.last_connect_time = cx.epoch_ms;
        }
        Ok(Phase::Device(DeviceSession {
            name,
            push,
            attributes: None,
            rpc: None,
            in_flight: BTreeMap::new(),
            downloads: Downloads::default(),
        }))
    }
}

/// A refused CONNECT.
struct Refused {
    /// The code of CONNACK in MQTT 5.
    code: u8,
    /// Its code in 3.1.1.
    v311: u8,
    /// The code of the DISCONNECT after it.
    then: u8,
}

impl Refused {
    fn with(code: u8, v311: u8) -> Refused {
        Refused {
            code,
            v311,
            then: code,
        }
    }
}

impl DeviceSession {
    /// Ends the session: its subscriptions are removed, and the device has disconnected.
    pub(super) fn end(self, cx: &mut Context<'_>) {
        cx.state.long_polls.close_push(self.push);
        if let Some(device) = cx.state.directory.get_mut(&self.name) {
            device.activity.last_activity_time = cx.epoch_ms;
            device.activity.last_disconnect_time = cx.epoch_ms;
            let counts = cx.state.mqtt.counts_mut(&self.name);
            counts.connections = counts.connections.saturating_sub(1);
            counts.in_flight = counts.in_flight.saturating_sub(self.in_flight.len());
        }
    }
}
