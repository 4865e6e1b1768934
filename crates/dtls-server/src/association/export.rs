//! Associations as bytes, to store them or to hand them to another process.
//!
//! ```text
//!  format (1) ‖ suite (2) ‖ flags (1) ‖ send limit (2) ‖ receive limit (2)
//!  ‖ write key ‖ write IV ‖ read key ‖ read IV        of the lengths that the suite has
//!  ‖ send number (6) ‖ newest received (6) ‖ bitmap of the window (8)
//!  ‖ length (1) ‖ own connection ID ‖ length (1) ‖ peer's connection ID
//! ```

use super::{Association, OutOfRange, Parameters};
use crate::crypto::aead::Keys;
use crate::record::MAX_SEQUENCE;
use crate::suite::{Aead, CipherSuite};
use crate::window::Window;
use crate::wire::{Malformed, Reader, Writer, vector8};
use zeroize::Zeroizing;

/// The format that is written, and the only one that is read.
const FORMAT: u8 = 1;
/// The flag of the extended master secret (RFC 7627).
const EXTENDED_MASTER_SECRET: u8 = 1;
/// The flag of return routability checks (RFC 9853). The other bits are 0.
const RETURN_ROUTABILITY_CHECK: u8 = 2;
/// More than an export ever has, so that its buffer never moves and leaves keys behind.
const CAPACITY: usize = 640;

/// Why an association was not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The export is of another format.
    #[error("an export of format {0}, which is not known")]
    Format(u8),
    /// The export is cut off, or was changed.
    #[error("the export is malformed")]
    Malformed,
    /// There is no number from which on it could send.
    #[error("no record number is left")]
    NumbersExhausted,
}

impl From<Malformed> for RestoreError {
    fn from(Malformed: Malformed) -> RestoreError {
        RestoreError::Malformed
    }
}

impl From<OutOfRange> for RestoreError {
    fn from(OutOfRange: OutOfRange) -> RestoreError {
        RestoreError::Malformed
    }
}

impl Association {
    /// Everything that the association is, in some hundred bytes. They are **as secret as its keys**, and not authenticated:
    /// who can change what is stored can change the session.
    ///
    /// # Send numbers
    /// A record number must never be used twice (RFC 5288 §3): two records under one nonce give their contents away, and the
    /// key that authenticates them. An export that is older than the association doesn't know which numbers were used since.
    /// So store a bound beside each export, above [`send_number`](Association::send_number); before the association has used
    /// all numbers below the bound, store a higher one; and [restore](Association::restore) with the bound. Then a crash at any
    /// time costs numbers, and repeats none. [`set_send_end`](Association::set_send_end) makes the association stop at the bound
    /// that is stored.
    #[must_use]
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let aead = self.suite.aead();
        let mut out = Zeroizing::new(Vec::with_capacity(CAPACITY));
        out.u8(FORMAT);
        out.u16(self.suite.number());
        let flags = [
            (self.extended_master_secret, EXTENDED_MASTER_SECRET),
            (self.return_routability_check, RETURN_ROUTABILITY_CHECK),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        out.u8(set.fold(0, |flags, (_, flag)| flags | flag));
        out.u16(self.send_limit);
        out.u16(self.receive_limit);
        for keys in [&self.write, &self.read] {
            out.bytes(keys.key(aead));
            out.bytes(keys.iv(aead));
        }
        // One more than the highest number has no place in 48 bits. It is stored as the highest, with which a restored
        // association doesn't send either.
        out.u48(self.send_number.min(MAX_SEQUENCE));
        let (newest, seen) = self.window.to_parts();
        out.u48(newest);
        out.bytes(&seen.to_be_bytes());
        for id in [self.own_connection_id(), self.peer_connection_id()] {
            // At most 255 bytes, so that this does not fail.
            let _ = vector8(&mut out, |out| out.bytes(id));
        }
        out
    }

    /// An association out of its export. It sends from `first_send_number` on, or from where the export was if that is higher.
    /// How far it may send is not in the export: [`set_send_end`](Association::set_send_end).
    ///
    /// What was received after the export is not known. An attacker who recorded it can have it accepted once more, as the
    /// newest record, from an address of its own. So a new address is proven before more than a little is sent there, and where
    /// a repeated request does harm, it is for the protocol above to notice it. What a store has beside the export makes it
    /// less: [`renew_receive_window`](Association::renew_receive_window).
    ///
    /// # Errors
    /// The bytes are not an export of this format, or no number is left to send with.
    pub fn restore(export: &[u8], first_send_number: u64) -> Result<Association, RestoreError> {
        let mut reader = Reader::new(export);
        match reader.u8()? {
            FORMAT => {}
            format => return Err(RestoreError::Format(format)),
        }
        let suite = CipherSuite::from_number(reader.u16()?).ok_or(Malformed)?;
        let flags = reader.u8()?;
        if flags & !(EXTENDED_MASTER_SECRET | RETURN_ROUTABILITY_CHECK) != 0 {
            return Err(RestoreError::Malformed);
        }
        let send_limit = reader.u16()?;
        let receive_limit = reader.u16()?;
        let write = keys(&mut reader, suite.aead())?;
        let read = keys(&mut reader, suite.aead())?;
        let send_number = reader.u48()?.max(first_send_number);
        let window = Window::from_parts(reader.u48()?, u64::from_be_bytes(reader.array()?));
        let own_connection_id = reader.vector8()?.rest();
        let peer_connection_id = reader.vector8()?.rest();
        reader.end()?;
        if send_number >= MAX_SEQUENCE {
            return Err(RestoreError::NumbersExhausted);
        }
        let fresh = Association::new(Parameters {
            suite,
            extended_master_secret: flags & EXTENDED_MASTER_SECRET != 0,
            return_routability_check: flags & RETURN_ROUTABILITY_CHECK != 0,
            write,
            read,
            own_connection_id,
            peer_connection_id,
            send_limit,
            receive_limit,
        })?;
        Ok(Association {
            send_number,
            window: window.ok_or(Malformed)?,
            ..fresh
        })
    }
}

fn keys(reader: &mut Reader<'_>, aead: Aead) -> Result<Keys, Malformed> {
    let key = reader.take(aead.key_length())?;
    let iv = reader.take(aead.iv_length())?;
    Keys::new(aead, key, iv).ok_or(Malformed)
}
