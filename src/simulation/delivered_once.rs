//! No command goes out again once the device has acknowledged it.
//!
//! What goes over the air is encrypted, so this listens at the core's tap: the order in which the gateway itself has
//! received and sent. A retransmission has the Message ID of the first transmission and is no repetition.

use super::Script;
use crate::dtls::SessionId;
use crate::gateway::core::Core;
use crate::gateway::tap::{Event, Tap, TapRecord};
use bytes::Bytes;
use coap::{Code, Message, Type};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// A device's name, and a command as it was given to it.
type Given = (Arc<str>, Bytes);

/// Commands as they go out, and their acknowledgements as they come.
#[derive(Default)]
pub(super) struct DeliveredOnce {
    listener: Option<Receiver<TapRecord>>,
    outstanding: HashMap<(SessionId, u16), Given>,
    acknowledged: HashSet<Given>,
    interruptions: usize,
}

impl DeliveredOnce {
    /// Listens from now on.
    pub(super) fn listen(&mut self, core: &mut Core) {
        let tap = Tap::default();
        self.listener = Some(tap.subscribe());
        core.attach_tap(tap);
    }

    pub(super) fn check(&mut self, upstream: &Script) {
        // ThingsBoard may have restarted, and the same id and words are another command then.
        if upstream.interruptions() > self.interruptions {
            self.interruptions = upstream.interruptions();
            self.acknowledged.clear();
        }
        loop {
            let heard = self.listener.as_mut().map(Receiver::try_recv);
            match heard {
                Some(Ok(heard)) => self.take(heard),
                Some(Err(TryRecvError::Lagged(_))) => {
                    self.outstanding.clear();
                    self.acknowledged.clear();
                }
                Some(Err(TryRecvError::Empty | TryRecvError::Closed)) | None => return,
            }
        }
    }

    fn take(&mut self, heard: TapRecord) {
        let Some(device) = heard.device else {
            return;
        };
        match heard.event {
            Event::Sent {
                session, message, ..
            } => {
                let sent = Message::decode(&message).unwrap();
                let key = (session, sent.message_id);
                let given = (device, sent.payload.clone());
                let again = self.outstanding.get(&key) == Some(&given);
                if !again && sent.code == Code::CONTENT && is_command(&sent.payload) {
                    assert!(!self.acknowledged.contains(&given), "twice: {given:?}");
                    self.outstanding.insert(key, given);
                }
            }
            Event::Received {
                session, message, ..
            } => {
                let received = Message::decode(&message).ok();
                let received = received.filter(|received| received.kind == Type::Acknowledgement);
                let key = received.map(|received| (session, received.message_id));
                let given = key.and_then(|key| self.outstanding.get(&key));
                self.acknowledged.extend(given.cloned());
            }
            _ => {}
        }
    }
}

/// Whether it is what ThingsBoard answers a poll for commands.
fn is_command(payload: &[u8]) -> bool {
    payload.starts_with(br#"{"id":"#)
}
