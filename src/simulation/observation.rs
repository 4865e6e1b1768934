//! A device's observations: the client side of RFC 7641, and how a ThingsBoard device applies notifications. The
//! attributes are the sum of all changes; each command message is executed once.

use super::device::observe_number;
use super::platform::State;
use crate::downlink::Kind;
use coap::{Code, EXCHANGE_LIFETIME, Message, Token, Type};
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// RFC 7641 §3.4: how long a sequence number can be compared with a later one.
const COMPARABLE: Duration = Duration::from_secs(128);

/// A notification that came.
#[derive(Debug)]
pub(crate) struct Notification {
    pub(crate) at: Instant,
    pub(crate) kind: Type,
    /// The value of its Observe option.
    pub(crate) sequence_number: u32,
    pub(crate) payload: String,
}

/// One registration and what came for its token.
pub(crate) struct Observation {
    pub(super) token: Token,
    pub(super) kind: Kind,
    /// The number of the device's session in which it was registered.
    pub(super) session: u32,
    newest: Option<(u32, Instant)>,
    /// The shared attributes, as far as the device knows.
    pub(crate) state: State,
    /// Params of commands in the order in which they came, retransmissions not included.
    pub(crate) commands: Vec<Value>,
    /// Notifications, retransmissions not included.
    pub(crate) notifications: Vec<Notification>,
    /// When each Message ID came last: after EXCHANGE_LIFETIME it is another message's (RFC 7252 §4.5).
    message_ids: HashMap<u16, Instant>,
    /// The code of the response without Observe that ended it.
    pub(crate) ended: Option<Code>,
    /// Whether the device is_response notifications by a Reset.
    pub(super) rejects: bool,
    /// Whether the device sends no Acknowledgements for it, although it processes notifications.
    pub(super) withholds_acks: bool,
}

impl Observation {
    pub(super) fn new(token: Token, kind: Kind, session: u32) -> Observation {
        Observation {
            token,
            kind,
            session,
            newest: None,
            state: State::new(),
            commands: Vec::new(),
            notifications: Vec::new(),
            message_ids: HashMap::new(),
            ended: None,
            rejects: false,
            withholds_acks: false,
        }
    }

    /// Whether a response with Observe has come, and none without Observe.
    pub(crate) fn is_active(&self) -> bool {
        self.newest.is_some() && self.ended.is_none() && !self.rejects
    }

    /// Handles a message with its token: the response to the registration (`is_response`), or a notification. Returns the
    /// id of the command in it.
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        message: &Message,
        is_response: bool,
    ) -> Option<u32> {
        let Some(number) = observe_number(message) else {
            self.ended = Some(message.code);
            return None;
        };
        assert!(number < 1 << 24, "RFC 7641 §2");
        if message.kind != Type::Acknowledgement {
            let before = self.message_ids.insert(message.message_id, now);
            if before.is_some_and(|at| now < at + EXCHANGE_LIFETIME) {
                return None;
            }
        }
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        let is_fresh = self.newest.is_none_or(|(newest, at)| {
            const HALF: u32 = 1 << 23;
            newest < number && number - newest < HALF
                || newest > number && newest - number > HALF
                || now > at + COMPARABLE
        });
        if is_fresh {
            self.newest = Some((number, now));
        }
        // The response to a registration for commands has the code 2.03.
        let is_response = match self.kind {
            Kind::Attributes => is_response,
            Kind::Commands => message.code == Code::VALID,
        };
        if self.kind == Kind::Attributes || !is_response {
            assert_eq!(message.code, Code::CONTENT);
        }
        if !is_response {
            self.notifications.push(Notification {
                at: now,
                kind: message.kind,
                sequence_number: number,
                payload: text.clone(),
            });
        }
        match self.kind {
            Kind::Attributes if is_fresh => {
                if is_response {
                    self.state.clear();
                }
                self.merge(&text);
                None
            }
            Kind::Attributes => None,
            Kind::Commands if is_response => {
                assert_eq!(text, "");
                None
            }
            Kind::Commands => {
                let command: Value = serde_json::from_str(&text).unwrap();
                let id = u32::try_from(command["id"].as_u64().unwrap()).unwrap();
                self.commands.push(command["params"].clone());
                Some(id)
            }
        }
    }

    fn merge(&mut self, text: &str) {
        let Value::Object(members) = serde_json::from_str(text).unwrap() else {
            panic!("{text}");
        };
        for (key, value) in members {
            match (key.as_str(), value) {
                ("deleted", Value::Array(keys)) => {
                    for key in keys {
                        self.state.remove(key.as_str().unwrap());
                    }
                }
                (_, value) => {
                    self.state.insert(key, value.to_string());
                }
            }
        }
    }
}
