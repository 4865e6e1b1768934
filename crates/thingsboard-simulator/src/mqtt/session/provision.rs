//! The session of a device without credentials: it can provision itself, and nothing else.

use super::publish::record;
use super::{Context, Session, Timed, code};
use crate::device_api::provision::{ProvisionError, provision};
use crate::mqtt::packet::{Downlink, Level, Packet, Publish, Reply};
use crate::mqtt::topic::{PROVISION_REQUEST, PROVISION_RESPONSE};

/// How long the connection stays after an answer.
const CLOSED_AFTER_MS: u64 = 60_000;

impl Session {
    pub(super) fn handle_provisioning(&mut self, cx: &mut Context<'_>, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.handle_provision_request(cx, &publish),
            Packet::Subscribe(id, filters) => {
                let mut codes = Vec::with_capacity(filters.len());
                for (filter, qos) in filters {
                    if filter == PROVISION_RESPONSE {
                        self.granted.insert(filter, qos.min(1));
                        codes.push(qos.min(1));
                    } else {
                        codes.push(code::FILTER);
                    }
                }
                self.send(Reply::SubAck { id, codes });
            }
            Packet::Unsubscribe(id, filters) => {
                let removed = |filter: &String| self.granted.remove(filter).is_some();
                let codes = filters.iter().map(removed);
                let codes = codes.map(|known| {
                    if known {
                        code::SUCCESS
                    } else {
                        code::NO_SUBSCRIPTION
                    }
                });
                let codes = codes.collect();
                self.send(Reply::UnsubAck { id, codes });
            }
            Packet::PingReq => self.send(Reply::PingResp),
            Packet::Disconnect => self.close_silently(cx),
            Packet::Connect(_) | Packet::PubAck(_) | Packet::Other => {}
        }
    }

    fn handle_provision_request(&mut self, cx: &mut Context<'_>, publish: &Publish) {
        let id = publish.id;
        if publish.topic != PROVISION_REQUEST {
            self.refuse(cx, publish, code::TOPIC);
            return;
        }
        let answer = if publish.payload.is_empty() {
            Some(String::new())
        } else {
            let text = String::from_utf8_lossy(&publish.payload);
            match provision(cx.state, &text) {
                Ok(credentials) => Some(credentials.to_string()),
                Err(ProvisionError::Parse(_)) => None,
                Err(error) => match error.answer() {
                    Some(answer) => Some(answer),
                    None => {
                        self.refuse(cx, publish, code::IMPLEMENTATION);
                        return;
                    }
                },
            }
        };
        let Some(answer) = answer else {
            if self.level == Some(Level::V5) && publish.qos > 0 {
                record(cx, publish, None, Some(code::PAYLOAD));
                let code = code::PAYLOAD;
                self.send(Reply::PubAck { id, code });
            } else {
                record(cx, publish, None, None);
                self.close(cx, code::PAYLOAD);
            }
            return;
        };
        record(cx, publish, None, Some(code::SUCCESS));
        if publish.qos > 0 {
            let code = code::SUCCESS;
            self.send_later(cx, Reply::PubAck { id, code });
        }
        let answer = Downlink {
            topic: PROVISION_RESPONSE.to_owned(),
            payload: answer.into(),
            qos: self.granted_qos(PROVISION_RESPONSE),
            id: self.next_id,
        };
        self.next_id = self.next_id.wrapping_add(1);
        self.send_later(cx, Reply::Publish(answer));
        let closes_ms = cx.now_ms.saturating_add(CLOSED_AFTER_MS);
        self.at(closes_ms, Timed::Close(code::IMPLEMENTATION));
    }

    /// Sends a PUBACK with a code, and closes with the same code.
    fn refuse(&mut self, cx: &mut Context<'_>, publish: &Publish, code: u8) {
        record(cx, publish, None, Some(code));
        if publish.qos > 0 {
            let id = publish.id;
            self.send(Reply::PubAck { id, code });
        }
        self.close(cx, code);
    }
}
