//! Encryption of rows: AES-256-GCM, with a key for each process that writes.
//!
//! ```text
//!  row in the store:  the writer's instance (16) ‖ counter (8) ‖ ciphertext ‖ tag (16)
//!  its key:           HKDF-SHA-256(secret of the group, the writer's instance)
//!  authenticated:     format ‖ session key ‖ (ciphertext)
//! ```
//!
//! The counter is the nonce, and begins at 0 with each process. Fencing numbers would not do for the key: a store that loses
//! what it had gives them out again. A row can't be put in the place of another session's. An *older row of the
//! same session* is authentic: who can write to the store can put it there.

use crate::id::{Instance, SessionKey};
use crate::secret::GroupSecret;
use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const INSTANCE: usize = 16;
const COUNTER: usize = 8;
/// Bytes by which a row in the store is longer.
pub(crate) const OVERHEAD: usize = INSTANCE + COUNTER + 16;

/// Encrypts the rows of this process, and decrypts those of all.
pub(crate) struct Seal {
    secret: GroupSecret,
    instance: Instance,
    key: LessSafeKey,
    counter: u64,
}

impl Seal {
    /// `None`: the cryptographic library fails.
    pub(crate) fn new(secret: GroupSecret, instance: Instance) -> Option<Seal> {
        let key = secret.row_key(instance)?;
        Some(Seal {
            secret,
            instance,
            key,
            counter: 0,
        })
    }

    /// `None`: the counter is used up, or the row is too long by far.
    pub(crate) fn seal(&mut self, session: SessionKey, row: &[u8]) -> Option<Vec<u8>> {
        let counter = self.counter;
        self.counter = counter.checked_add(1)?;
        let mut sealed = Vec::with_capacity(row.len().saturating_add(OVERHEAD));
        sealed.extend_from_slice(&self.instance.0);
        sealed.extend_from_slice(&counter.to_be_bytes());
        sealed.extend_from_slice(row);
        let plaintext = sealed.get_mut(INSTANCE + COUNTER..)?;
        let nonce = nonce(counter.to_be_bytes());
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, associated(session), plaintext);
        sealed.extend_from_slice(tag.ok()?.as_ref());
        Some(sealed)
    }

    /// `None`: it is not authentic.
    pub(crate) fn open(&self, session: SessionKey, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (instance, rest) = sealed.split_first_chunk()?;
        let (counter, ciphertext) = rest.split_first_chunk()?;
        let key = self.secret.row_key(Instance(*instance))?;
        let mut row = Zeroizing::new(ciphertext.to_vec());
        let opened = key.open_in_place(nonce(*counter), associated(session), &mut row);
        let length = opened.ok()?.len();
        row.truncate(length);
        Some(row)
    }
}

pub(crate) fn nonce(counter: [u8; 8]) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (_, behind) = bytes.split_at_mut(NONCE_LEN - COUNTER);
    behind.copy_from_slice(&counter);
    Nonce::assume_unique_for_key(bytes)
}

fn associated(session: SessionKey) -> Aad<[u8; 9]> {
    let [a, b, c, d, e, f, g, h] = session.0;
    Aad::from([FORMAT, a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
