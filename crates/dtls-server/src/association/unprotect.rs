//! Receiving: a record becomes content, or is discarded (RFC 6347 §4.1.2, RFC 9146 §4).

use super::{AdditionalData, Association, EPOCH, number};
use crate::crypto::Failed;
use crate::crypto::aead::Cipher;
use crate::record::{ContentType, DTLS_1_2, Record};
use crate::window::Number;

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

/// Removes padding of any length and the content type from an inner plaintext (RFC 9146 §4).
///
/// `None`: it has only zeros, or the type `tls12_cid`.
fn take_inner_type(inner: &mut Vec<u8>) -> Option<ContentType> {
    let end = inner.iter().rposition(|&byte| byte != 0)?;
    let inner_type = ContentType(*inner.get(end)?);
    inner.truncate(end);
    (inner_type != ContentType::TLS12_CID).then_some(inner_type)
}
