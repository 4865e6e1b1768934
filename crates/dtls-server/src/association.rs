//! An established session: what protects its records (RFC 6347 §4.1.2, RFC 9146), as plain bytes that can be stored.
//!
//! An association exists from the moment at which a handshake has keys. It has one epoch, 1, as sessions are not renegotiated.
//! Each record gets the next number, which is also its nonce (RFC 5288 §3), so no number is ever used twice; this holds for
//! [restored](Association::restore) associations as well.
//!
//! Only a record that is authentic changes anything. What is not is [discarded](Discard) (RFC 6347 §4.1.2.7).

mod additional_data;
mod export;
mod short_bytes;

use crate::crypto::Failed;
use crate::crypto::aead::{Cipher, Keys};
use crate::record::{ContentType, DTLS_1_2, MAX_CONTENT, MAX_SEQUENCE, Record, write_header};
use crate::suite::CipherSuite;
use crate::window::{Number, Window};
use crate::wire::Writer;
use additional_data::AdditionalData;
use short_bytes::ShortBytes;
use std::fmt;

pub use export::RestoreError;

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
    write: Keys,
    read: Keys,
    /// The number of the next record. One more than [`MAX_SEQUENCE`]: there is none.
    send_number: u64,
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

/// Why a record was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    /// There is more content than [`max_content`](Association::max_content).
    #[error("the content is too long for one record")]
    TooLong,
    /// All 2^48 numbers have been used. The session has ended.
    #[error("no record number is left")]
    NumbersExhausted,
    /// See [`Failed`].
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// What was in an authentic record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprotected {
    /// The type of the content: of a record with a connection ID, the one inside.
    pub content_type: ContentType,
    /// The content.
    pub content: Vec<u8>,
    /// Whether the record is newer than every one that was received before. Only such a record may change the address to which
    /// the session's records are sent (RFC 9146 §6).
    pub is_newest: bool,
}

/// Why a record was discarded. Unless the variant says otherwise, nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Discard {
    /// It is plaintext, or of an epoch that there is not.
    #[error("not of epoch 1")]
    Epoch,
    /// Its version is not DTLS 1.2.
    #[error("not of DTLS 1.2")]
    Version,
    /// It has no connection ID, where one was agreed on (RFC 9146 §3).
    #[error("without a connection ID")]
    NoConnectionId,
    /// It has another connection ID than was agreed on, or one where none was.
    #[error("with another connection ID")]
    OtherConnectionId,
    /// Its number has been received, or is older than the window.
    #[error("replayed or too old")]
    Replayed,
    /// It has fewer bytes than nonce and tag.
    #[error("too short")]
    TooShort,
    /// It was changed, or not sent by the peer.
    #[error("not authentic")]
    NotAuthentic,
    /// It is authentic, and counts as received, but has more content than the receive limit: `record_overflow`.
    #[error("too much content")]
    Overflow,
    /// It is authentic, and counts as received, but its inner plaintext is only zeros, or has the type `tls12_cid` again.
    #[error("without an inner content type")]
    InnerType,
    /// See [`Failed`].
    #[error("the cryptographic library failed")]
    Failed,
}

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
            write: parameters.write,
            read: parameters.read,
            send_number: 0,
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

    /// Appends a record with this content to `out`.
    ///
    /// # Errors
    /// There is no such record. Nothing is appended.
    pub fn protect(
        &mut self,
        content_type: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ProtectError> {
        if content.len() > self.max_content() {
            return Err(ProtectError::TooLong);
        }
        let sequence = self.send_number;
        if sequence > MAX_SEQUENCE {
            return Err(ProtectError::NumbersExhausted);
        }
        // Used, even if what follows fails.
        self.send_number = sequence.saturating_add(1);
        let before = out.len();
        self.seal(sequence, content_type, content, out)
            .inspect_err(|_| out.truncate(before))
            .map_err(ProtectError::Failed)
    }

    fn seal(
        &self,
        sequence: u64,
        content_type: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let aead = self.suite.aead();
        let connection_id = self.peer_connection_id();
        let plaintext = content.len() + self.inner_type_length();
        let explicit_nonce = aead.explicit_nonce_length();
        let fragment = explicit_nonce + plaintext + aead.tag_length();
        let number = number(EPOCH, sequence);
        let outer_type = match connection_id.is_empty() {
            true => content_type,
            false => ContentType::TLS12_CID,
        };
        out.reserve(content.len() + self.overhead());
        write_header(out, outer_type, DTLS_1_2, EPOCH, sequence);
        out.bytes(connection_id);
        out.u16(u16::try_from(fragment).map_err(|_| Failed)?);
        out.bytes(number.get(..explicit_nonce).ok_or(Failed)?);
        let start = out.len();
        out.bytes(content);
        if !connection_id.is_empty() {
            // RFC 9146 §4: the type, and no padding.
            out.u8(content_type.0);
        }
        let additional_data =
            AdditionalData::new(number, outer_type, connection_id, plaintext).ok_or(Failed)?;
        let nonce = self.write.nonce(aead, number);
        Cipher::new(aead, &self.write)?.seal(nonce, additional_data.as_slice(), out, start)
    }

    /// Authenticates and decrypts a record.
    ///
    /// # Errors
    /// The record is to be discarded. RFC 6347 §4.1.2.7: in silence, unless it is authentic.
    pub fn unprotect(&mut self, record: &Record<'_>) -> Result<Unprotected, Discard> {
        let number = self.check(record)?;
        let mut content = self.open(record)?;
        // Authentic from here on.
        self.window.mark(record.sequence);
        let content_type = match record.content_type {
            ContentType::TLS12_CID => take_inner_type(&mut content).ok_or(Discard::InnerType)?,
            outer_type => outer_type,
        };
        if content.len() > usize::from(self.receive_limit) {
            return Err(Discard::Overflow);
        }
        Ok(Unprotected {
            content_type,
            content,
            is_newest: number == Number::Newest,
        })
    }

    /// Checks what can be checked without cryptography.
    fn check(&self, record: &Record<'_>) -> Result<Number, Discard> {
        if record.epoch != EPOCH {
            return Err(Discard::Epoch);
        }
        if record.version != DTLS_1_2 {
            return Err(Discard::Version);
        }
        let own = self.own_connection_id();
        match (record.content_type, own) {
            (ContentType::TLS12_CID, []) => return Err(Discard::OtherConnectionId),
            (ContentType::TLS12_CID, _) if record.connection_id != own => {
                return Err(Discard::OtherConnectionId);
            }
            (ContentType::TLS12_CID, _) | (_, []) => {}
            (_, _) => return Err(Discard::NoConnectionId),
        }
        match self.window.check(record.sequence) {
            Number::Old => Err(Discard::Replayed),
            number @ (Number::Newest | Number::Late) => Ok(number),
        }
    }

    /// Returns the plaintext.
    fn open(&self, record: &Record<'_>) -> Result<Vec<u8>, Discard> {
        let aead = self.suite.aead();
        let number = number(record.epoch, record.sequence);
        let (explicit_nonce, ciphertext) = record
            .fragment
            .split_at_checked(aead.explicit_nonce_length())
            .ok_or(Discard::TooShort)?;
        let plaintext = ciphertext
            .len()
            .checked_sub(aead.tag_length())
            .ok_or(Discard::TooShort)?;
        // What the peer counts is its own affair (RFC 5288 §3); without an explicit part it is the record's number.
        let explicit_nonce = explicit_nonce.try_into().unwrap_or(number);
        let nonce = self.read.nonce(aead, explicit_nonce);
        let additional_data =
            AdditionalData::new(number, record.content_type, record.connection_id, plaintext)
                .ok_or(Discard::TooShort)?;
        let cipher = Cipher::new(aead, &self.read).map_err(|Failed| Discard::Failed)?;
        let mut buffer = ciphertext.to_vec();
        cipher
            .open(nonce, additional_data.as_slice(), &mut buffer)
            .map_err(|_| Discard::NotAuthentic)?;
        Ok(buffer)
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

/// Removes padding of any length and the content type from an inner plaintext (RFC 9146 §4).
///
/// `None`: it has only zeros, or the type `tls12_cid`.
fn take_inner_type(inner: &mut Vec<u8>) -> Option<ContentType> {
    let end = inner.iter().rposition(|&byte| byte != 0)?;
    let inner_type = ContentType(*inner.get(end)?);
    inner.truncate(end);
    (inner_type != ContentType::TLS12_CID).then_some(inner_type)
}

#[cfg(test)]
mod tests;
