//! An established session: what protects its records (RFC 6347 §4.1.2, RFC 9146), as plain bytes that can be stored.
//!
//! An association exists from the moment at which a handshake has keys. It has one epoch, 1, as sessions are not renegotiated.
//! Each record gets the next number, which is also its nonce (RFC 5288 §3), so no number is ever used twice; this holds for
//! [restored](Association::restore) associations as well. Who stores an association sets which numbers it may use
//! ([`Association::set_send_end`]).
//!
//! Only a record that is authentic changes anything. What is not is [discarded](Discard) (RFC 6347 §4.1.2.7).

mod additional_data;
mod export;
mod protect;
mod receive_window;
mod short_bytes;
mod unprotect;

use crate::crypto::aead::Keys;
use crate::record::{MAX_CONTENT, MAX_SEQUENCE};
use crate::suite::CipherSuite;
use crate::window::Window;
use additional_data::AdditionalData;
use short_bytes::ShortBytes;
use std::fmt;

pub use export::RestoreError;
pub use protect::ProtectError;
pub use receive_window::RECEIVE_WINDOW;
pub use unprotect::{Discard, Unprotected};

/// The epoch of every protected record.
const EPOCH: u16 = 1;
/// The longest connection ID of ours.
pub const MAX_OWN_CONNECTION_ID: usize = 8;
/// Bytes of a record in front of its connection ID, and of its length behind it.
const HEADER: usize = 13;

/// An established session.
pub struct Association {
    suite: CipherSuite,
    extended_master_secret: bool,
    return_routability_check: bool,
    write: Keys,
    read: Keys,
    /// The number of the next record. One more than [`MAX_SEQUENCE`]: there is none.
    send_number: u64,
    /// Numbers from this one on are not used.
    send_end: u64,
    window: Window,
    own_connection_id: ShortBytes,
    peer_connection_id: ShortBytes,
    send_limit: u16,
    receive_limit: u16,
}

/// What a handshake has agreed on.
#[derive(Debug)]
pub struct Parameters<'a> {
    /// The cipher suite.
    pub suite: CipherSuite,
    /// Whether the master secret is bound to the handshake (RFC 7627). Without it a session is not resumed.
    pub extended_master_secret: bool,
    /// Whether both may check that the other one receives at its address (RFC 9853).
    pub return_routability_check: bool,
    /// What records are sent with: a server's are the server's.
    pub write: Keys,
    /// What records are received with.
    pub read: Keys,
    /// The connection ID in records to us, at most [`MAX_OWN_CONNECTION_ID`] bytes. Empty: they have none.
    pub own_connection_id: &'a [u8],
    /// The connection ID in records to the peer, at most 255 bytes. Empty: they have none (RFC 9146 §3).
    pub peer_connection_id: &'a [u8],
    /// The most bytes of content that the peer takes in a record, 64 to 2^14 (RFC 6066 §4, RFC 8449 §4).
    pub send_limit: u16,
    /// The most bytes of content that the peer may send in a record.
    pub receive_limit: u16,
}

/// The parameters contradict what is said of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a connection ID or a record size limit is out of range")]
pub struct OutOfRange;

impl Association {
    /// A session in which nothing has been sent or received.
    ///
    /// # Errors
    /// A parameter is out of its range.
    pub fn new(parameters: Parameters<'_>) -> Result<Association, OutOfRange> {
        let Parameters {
            own_connection_id,
            peer_connection_id,
            send_limit,
            receive_limit,
            ..
        } = parameters;
        let limits = [send_limit, receive_limit];
        let in_range = |&limit: &u16| (64..=MAX_CONTENT).contains(&usize::from(limit));
        if own_connection_id.len() > MAX_OWN_CONNECTION_ID || !limits.iter().all(in_range) {
            return Err(OutOfRange);
        }
        Ok(Association {
            suite: parameters.suite,
            extended_master_secret: parameters.extended_master_secret,
            return_routability_check: parameters.return_routability_check,
            write: parameters.write,
            read: parameters.read,
            send_number: 0,
            send_end: MAX_SEQUENCE.saturating_add(1),
            window: Window::default(),
            own_connection_id: ShortBytes::new(own_connection_id).ok_or(OutOfRange)?,
            peer_connection_id: ShortBytes::new(peer_connection_id).ok_or(OutOfRange)?,
            send_limit,
            receive_limit,
        })
    }

    /// The cipher suite.
    #[must_use]
    pub const fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// Whether the master secret is bound to the handshake (RFC 7627).
    #[must_use]
    pub const fn has_extended_master_secret(&self) -> bool {
        self.extended_master_secret
    }

    /// Whether both may check that the other one receives at its address (RFC 9853).
    #[must_use]
    pub const fn has_return_routability_check(&self) -> bool {
        self.return_routability_check
    }

    /// The connection ID in records to us.
    #[must_use]
    pub fn own_connection_id(&self) -> &[u8] {
        self.own_connection_id.as_slice()
    }

    /// The connection ID in records to the peer.
    #[must_use]
    pub fn peer_connection_id(&self) -> &[u8] {
        self.peer_connection_id.as_slice()
    }

    /// The number of the next record that is sent. It never becomes lower.
    #[must_use]
    pub const fn send_number(&self) -> u64 {
        self.send_number
    }

    /// Sets the first number that must not be used: the end of the block that is reserved where the association is stored (see
    /// [`export`](Association::export)). From there on nothing is sent: [`ProtectError::NotReserved`]. Until this is called, all
    /// 2^48 numbers may be used.
    pub const fn set_send_end(&mut self, first_not_reserved: u64) {
        self.send_end = first_not_reserved;
    }

    /// Leaves out the numbers below this one: another block is reserved, and not the one that follows.
    pub fn skip_to(&mut self, send_number: u64) {
        self.send_number = self.send_number.max(send_number);
    }

    /// The most bytes of content in a record that is sent.
    #[must_use]
    pub fn max_content(&self) -> usize {
        // With a connection ID, the type is part of the plaintext that the peer limits.
        usize::from(self.send_limit).saturating_sub(self.inner_type_length())
    }

    /// The bytes by which a record that is sent is longer than its content.
    #[must_use]
    pub fn overhead(&self) -> usize {
        let aead = self.suite.aead();
        HEADER
            + self.peer_connection_id().len()
            + self.inner_type_length()
            + aead.explicit_nonce_length()
            + aead.tag_length()
    }

    fn inner_type_length(&self) -> usize {
        usize::from(!self.peer_connection_id().is_empty())
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association")
            .field("suite", &self.suite)
            .field("send_number", &self.send_number)
            .finish_non_exhaustive()
    }
}

/// Epoch ‖ sequence.
fn number(epoch: u16, sequence: u64) -> [u8; 8] {
    (u64::from(epoch) << 48 | sequence & MAX_SEQUENCE).to_be_bytes()
}

#[cfg(test)]
mod tests;
