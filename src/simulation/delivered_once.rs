//! Invariant: a command is not sent again after the device has acknowledged it.
//!
//! Datagrams are encrypted, so this reads the core's tap, which has messages in the order in which the gateway receives
//! and sends them. A retransmission has the Message ID of the first transmission and does not count.

use super::ScriptedUpstream;
use crate::dtls::SessionId;
use crate::gateway::core::Core;
use crate::gateway::tap::{Event, Tap, TapRecord};
use bytes::Bytes;
use coap::{Code, Message, Type};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// A command that was sent to a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SentCommand {
    /// The device's name.
    device: Arc<str>,
    payload: Bytes,
}

/// Commands that were sent, and those that were acknowledged.
#[derive(Default)]
pub(super) struct DeliveredOnce {
    receiver: Option<Receiver<TapRecord>>,
    outstanding: HashMap<(SessionId, u16), SentCommand>,
    acknowledged: HashSet<SentCommand>,
    interruptions: usize,
}

impl DeliveredOnce {
    /// Attaches a tap to the core.
    pub(super) fn attach(&mut self, core: &mut Core) {
        let tap = Tap::default();
        self.receiver = Some(tap.subscribe());
        core.attach_tap(tap);
    }

    pub(super) fn check(&mut self, upstream: &ScriptedUpstream) {
        // After a restart of ThingsBoard ids repeat: the same payload may be another command.
        if upstream.interruptions() > self.interruptions {
            self.interruptions = upstream.interruptions();
            self.acknowledged.clear();
        }
        loop {
            let record = self.receiver.as_mut().map(Receiver::try_recv);
            match record {
                Some(Ok(record)) => self.handle_record(record),
                Some(Err(TryRecvError::Lagged(_))) => {
                    self.outstanding.clear();
                    self.acknowledged.clear();
                }
                Some(Err(TryRecvError::Empty | TryRecvError::Closed)) | None => return,
            }
        }
    }

    fn handle_record(&mut self, record: TapRecord) {
        let Some(device) = record.device else {
            return;
        };
        match record.event {
            Event::Sent {
                session, message, ..
            } => {
                let sent = Message::decode(&message).unwrap();
                let key = (session, sent.message_id);
                let command = SentCommand {
                    device,
                    payload: sent.payload.clone(),
                };
                let is_retransmission = self.outstanding.get(&key) == Some(&command);
                if !is_retransmission && sent.code == Code::CONTENT && is_command(&sent.payload) {
                    assert!(
                        !self.acknowledged.contains(&command),
                        "sent again after its acknowledgement: {command:?}"
                    );
                    self.outstanding.insert(key, command);
                }
            }
            Event::Received {
                session, message, ..
            } => {
                let received = Message::decode(&message).ok();
                let received = received.filter(|received| received.kind == Type::Acknowledgement);
                let key = received.map(|received| (session, received.message_id));
                let command = key.and_then(|key| self.outstanding.get(&key));
                self.acknowledged.extend(command.cloned());
            }
            _ => {}
        }
    }
}

/// Whether a payload is a command: ThingsBoard's answer to a poll.
fn is_command(payload: &[u8]) -> bool {
    payload.starts_with(br#"{"id":"#)
}
