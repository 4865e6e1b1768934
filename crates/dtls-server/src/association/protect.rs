//! Sending: content becomes a record (RFC 6347 §4.1.2, RFC 9146 §4).

use super::{AdditionalData, Association, EPOCH, number};
use crate::crypto::Failed;
use crate::crypto::aead::Cipher;
use crate::record::{ContentType, DTLS_1_2, MAX_SEQUENCE, write_header};
use crate::wire::Writer;

/// Why a record was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    /// There is more content than [`max_content`](Association::max_content).
    #[error("the content is too long for one record")]
    TooLong,
    /// All 2^48 numbers have been used. The session has ended.
    #[error("no record number is left")]
    NumbersExhausted,
    /// The next number is not [reserved](Association::set_send_end). None is used, so that it may be sent once more are reserved.
    #[error("no record number is reserved")]
    NotReserved,
    /// See [`Failed`].
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Association {
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
        if sequence >= self.send_end {
            return Err(ProtectError::NotReserved);
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
}
