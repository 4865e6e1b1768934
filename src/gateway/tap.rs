//! A copy of each message, each call to ThingsBoard and each session's begin and end, for the demo's page.
//!
//! `run` never attaches a tap, and pays one branch for it: the copies are in plaintext. With a tap, no copy is made while
//! it has no receiver. A receiver that falls behind loses the oldest records and gets their number: the core never waits
//! for it, and at most [`CAPACITY`] records are kept.

use crate::calls::{Call, Completion, Ticket};
use crate::dtls::{EndReason, SessionId};
use crate::upstream;
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast;

/// Records kept for the slowest receiver. Each holds at most one message.
const CAPACITY: usize = 512;

#[derive(Clone)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub enum Event {
    /// A handshake has completed.
    Established {
        session: SessionId,
        address: SocketAddr,
        /// DTLS version: `1.2` or `1.3`.
        version: &'static str,
    },
    /// A session has ended.
    Ended {
        session: SessionId,
        reason: EndReason,
    },
    /// A CoAP message came, well-formed or not.
    Received {
        session: SessionId,
        message: Bytes,
        /// The length of the datagram it came in.
        datagram: usize,
    },
    /// A CoAP message goes out.
    Sent {
        session: SessionId,
        message: Bytes,
        /// The length of its datagram.
        datagram: usize,
    },
    /// A request to ThingsBoard begins.
    CallStarted {
        ticket: Ticket,
        /// The request line, without the token.
        line: upstream::RequestLine,
    },
    /// ThingsBoard has answered, or the call has failed.
    CallEnded {
        ticket: Ticket,
        /// The length of the answer's body.
        outcome: Result<usize, upstream::Error>,
    },
    /// A call whose answer is no longer needed was aborted.
    CallAborted { ticket: Ticket },
}

/// A device's name, if its certificate is registered.
pub(crate) type DeviceName = Option<Arc<str>>;

/// An event, its time and its device.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub struct TapRecord {
    pub at: Instant,
    pub device: DeviceName,
    pub event: Event,
}

impl fmt::Debug for Event {
    /// Messages may carry secrets: only their lengths are shown.
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
            Event::CallStarted { ticket, line } => write!(f, "CallStarted({ticket:?}, {line:?})"),
            Event::CallEnded { ticket, outcome } => write!(f, "CallEnded({ticket:?}, {outcome:?})"),
            Event::CallAborted { ticket } => write!(f, "CallAborted({ticket:?})"),
        }
    }
}

/// Gives receivers of all events.
#[derive(Debug, Clone)]
pub struct Tap(broadcast::Sender<TapRecord>);

impl Default for Tap {
    fn default() -> Tap {
        Tap(broadcast::Sender::new(CAPACITY))
    }
}

impl Tap {
    /// A receiver of all events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<TapRecord> {
        self.0.subscribe()
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.0.receiver_count()
    }
}

/// The sending side, in the core.
#[derive(Debug, Default)]
pub(super) struct TapSender {
    tap: Option<Tap>,
    /// When the current turn began, and the length in bytes of the datagram it began with.
    turn: Option<(Instant, usize)>,
}

impl TapSender {
    pub(super) fn attach(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Begins a turn of the core.
    pub(super) fn begin(&mut self, now: Instant, datagram: usize) {
        self.turn = Some((now, datagram));
    }

    /// The length of the datagram this turn began with.
    pub(super) fn datagram(&self) -> usize {
        self.turn.map_or(0, |(_, datagram)| datagram)
    }

    /// Sends an event with its device's name. Nothing is built without a receiver.
    pub(super) fn send(&self, event: impl FnOnce() -> (DeviceName, Event)) {
        let (Some(Tap(sender)), Some((at, _))) = (&self.tap, self.turn) else {
            return;
        };
        if sender.receiver_count() > 0 {
            let (device, event) = event();
            // The last receiver may be gone by now.
            let _ = sender.send(TapRecord { at, device, event });
        }
    }
}

impl Event {
    pub(super) fn call_started(call: &Call) -> (DeviceName, Event) {
        let device = match &call.request {
            upstream::Request::Device { device, .. } => Some(device.name.clone()),
            upstream::Request::Provision { .. } => None,
        };
        let event = Event::CallStarted {
            ticket: call.ticket,
            line: upstream::RequestLine::of(&call.request),
        };
        (device, event)
    }

    pub(super) fn call_ended(completion: &Completion) -> (DeviceName, Event) {
        let outcome = completion.outcome.as_ref();
        let event = Event::CallEnded {
            ticket: completion.ticket,
            outcome: outcome.map(|_| completion.length).map_err(Clone::clone),
        };
        (None, event)
    }
}
