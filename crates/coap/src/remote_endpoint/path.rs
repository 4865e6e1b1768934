//! Whether the peer receives what is sent to its address, after that has changed.
//!
//! A secure session goes on when its peer has another address (RFC 9146 §6), and a record from there
//! proves who has sent it, but not where from: whoever copies it on its way can send it on from any
//! address. What proves that the peer is there is a message that it sends only if it has received
//! something since:
//!
//! - an ACK or RST of a message of ours that was sent since the change;
//! - a new Confirmable request after a piggybacked response. By NSTART (RFC 7252 §4.7) a client sends
//!   it only once it has that response, or has given up. Before it gives up it repeats its request,
//!   so that after a repetition the response proves nothing.

use super::{Output, RemoteEndpoint};
use crate::message::Type;

/// Whether the peer is known to receive what is sent to its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Path {
    #[default]
    Confirmed,
    Unconfirmed {
        /// The last Message ID of ours before the change.
        last_before: u16,
        /// Whether a piggybacked response was sent since, and no request was repeated after it.
        answered: bool,
    },
}

impl RemoteEndpoint {
    /// The peer's address has changed. [`Output::PathConfirmed`] follows once a message shows that
    /// the peer receives what is sent there.
    pub fn path_changed(&mut self) {
        self.path = Path::Unconfirmed {
            last_before: self.message_ids.last(),
            answered: false,
        };
    }

    /// Handles that the message of ours with this Message ID was acknowledged or reset.
    pub(super) fn confirm_by_acknowledgement(&mut self, message_id: u16, out: &mut Vec<Output>) {
        if let Path::Unconfirmed { last_before, .. } = self.path {
            let since = self.message_ids.last().wrapping_sub(last_before);
            if (1..=since).contains(&message_id.wrapping_sub(last_before)) {
                self.confirm(out);
            }
        }
    }

    /// Handles the arrival of a request that is no duplicate.
    pub(super) fn confirm_by_request(&mut self, kind: Type, out: &mut Vec<Output>) {
        if let Path::Unconfirmed { answered: true, .. } = self.path
            && kind == Type::Confirmable
        {
            self.confirm(out);
        }
    }

    /// Records that a piggybacked response was sent, or else that a request was repeated.
    pub(super) fn record_answered(&mut self, is_answered: bool) {
        if let Path::Unconfirmed { answered, .. } = &mut self.path {
            *answered = is_answered;
        }
    }

    fn confirm(&mut self, out: &mut Vec<Output>) {
        self.path = Path::Confirmed;
        out.push(Output::PathConfirmed);
    }
}
