//! Listening to the core: each message, each call to ThingsBoard, each session, as they come and go.
//!
//! A gateway that nobody asked for a tap has none, and pays one branch. With a tap, nothing is built while nobody
//! listens. A listener that falls behind misses the oldest and is told how many: nothing here waits for it, and no
//! more is kept than [`KEPT`] events.
//!
//! What is heard is what devices say, in the clear: the demo asks for a tap, `run` never does.

use super::call::{Call, Completion, Ticket};
use crate::dtls::{EndReason, SessionId};
use crate::upstream;
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast;

/// Events kept for the slowest listener. Each holds one message at most.
const KEPT: usize = 512;

/// What happened.
#[derive(Clone)]
pub enum Event {
    /// A device has proven its key.
    Established {
        /// From now on.
        session: SessionId,
        /// Where it is reached.
        address: SocketAddr,
        /// Of DTLS.
        version: &'static str,
    },
    /// A session is over.
    Ended {
        /// Which.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A CoAP message came, well-formed or not.
    Received {
        /// From whom.
        session: SessionId,
        /// Its bytes.
        message: Bytes,
        /// The length of the datagram it came in.
        datagram: usize,
    },
    /// A CoAP message goes out.
    Sent {
        /// To whom.
        session: SessionId,
        /// Its bytes.
        message: Bytes,
        /// The length of its datagram.
        datagram: usize,
    },
    /// ThingsBoard is asked.
    Asked {
        /// What for.
        ticket: Ticket,
        /// As it goes onto the wire, without the token.
        line: upstream::RequestLine,
    },
    /// ThingsBoard has answered, or failed.
    Answered {
        /// The call's.
        ticket: Ticket,
        /// The length of the answer's body.
        outcome: Result<usize, upstream::Error>,
    },
    /// Nobody waits for this call any more.
    Aborted {
        /// The call's.
        ticket: Ticket,
    },
}

/// A device's name, if its certificate is registered.
pub type Whose = Option<Arc<str>>;

/// An event, when, and whose it is.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The core's time.
    pub at: Instant,
    /// The device's name.
    pub device: Whose,
    /// What happened.
    pub event: Event,
}

impl fmt::Debug for Event {
    /// Messages may carry secrets: their lengths are told alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Established {
                session, version, ..
            } => write!(f, "Established({session:?}, DTLS {version})"),
            Event::Ended { session, reason } => write!(f, "Ended({session:?}, {reason:?})"),
            Event::Received {
                session, message, ..
            } => write!(f, "Received({session:?}, {} bytes)", message.len()),
            Event::Sent {
                session, message, ..
            } => write!(f, "Sent({session:?}, {} bytes)", message.len()),
            Event::Asked { ticket, line } => write!(f, "Asked({ticket:?}, {line:?})"),
            Event::Answered { ticket, outcome } => write!(f, "Answered({ticket:?}, {outcome:?})"),
            Event::Aborted { ticket } => write!(f, "Aborted({ticket:?})"),
        }
    }
}

/// Where one begins to listen.
#[derive(Debug, Clone)]
pub struct Tap(broadcast::Sender<Heard>);

impl Default for Tap {
    fn default() -> Tap {
        Tap(broadcast::Sender::new(KEPT))
    }
}

impl Tap {
    /// All events from now on.
    pub fn listen(&self) -> broadcast::Receiver<Heard> {
        self.0.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }
}

/// The core's end of it.
#[derive(Debug, Default)]
pub(super) struct Mouth {
    tap: Option<Tap>,
    /// When the turn began that is going on, and the length of the datagram it began with.
    turn: Option<(Instant, usize)>,
}

impl Mouth {
    pub(super) fn open(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// A turn of the core begins.
    pub(super) fn begin(&mut self, now: Instant, datagram: usize) {
        self.turn = Some((now, datagram));
    }

    /// The length of the datagram this turn began with.
    pub(super) fn datagram(&self) -> usize {
        self.turn.map_or(0, |(_, datagram)| datagram)
    }

    /// Tells an event, and whose it is. It is not even made if nobody listens.
    pub(super) fn tell(&self, event: impl FnOnce() -> (Whose, Event)) {
        let (Some(Tap(listeners)), Some((at, _))) = (&self.tap, self.turn) else {
            return;
        };
        if listeners.receiver_count() > 0 {
            let (device, event) = event();
            // The last one may have gone this moment.
            let _ = listeners.send(Heard { at, device, event });
        }
    }
}

impl Event {
    /// What asks ThingsBoard, and on whose behalf.
    pub(super) fn asked(call: &Call) -> (Whose, Event) {
        let device = match &call.request {
            upstream::Request::Device { device, .. } => Some(device.name.clone()),
            upstream::Request::Provision { .. } => None,
        };
        let event = Event::Asked {
            ticket: call.ticket,
            line: upstream::RequestLine::of(&call.request),
        };
        (device, event)
    }

    pub(super) fn answered(completion: &Completion) -> (Whose, Event) {
        let outcome = completion.outcome.as_ref();
        let event = Event::Answered {
            ticket: completion.ticket,
            outcome: outcome.map(|_| completion.length).map_err(Clone::clone),
        };
        (None, event)
    }
}
