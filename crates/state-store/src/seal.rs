//! Encryption of rows: AES-256-GCM, with a key for each generation.
//!
//! ```text
//!  row on disk:      generation (4) ‖ counter (8) ‖ ciphertext ‖ tag (16)
//!  its key:          HKDF-SHA-256(store key, salt of the generation)
//!  its nonce:        generation ‖ counter
//!  authenticated:    format ‖ table ‖ key in the table (a record's: kind ‖ key) ‖ (ciphertext)
//! ```
//!
//! **No nonce is used twice with a key.** Each opening of the store draws a new salt of 256 bits, and counts its rows from 0.
//! Random nonces under one key would not do: of 2^32 rows, which is five days at 10,000 a second, two had the same with a
//! probability of 2^-33, and it grows with the square. The salt also keeps two copies of a store apart, such as one restored
//! from a backup: they have the same store key, but from their next opening on other keys for rows.
//!
//! **A row can't be moved** to another key, table or format: it would not be authentic there. An *older row of the same key*
//! is authentic. Who can write to the disk can put it there; accidents that do are found otherwise (see `commits`).

use crate::key::StoreKey;
use crate::place::{Place, PlaceBytes};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// The format of the store. Another one has other tables, or other rows.
pub(crate) const FORMAT: u8 = 1;
/// Bytes of a generation's salt.
pub(crate) const SALT: usize = 32;
/// Bytes in front of the ciphertext.
const HEADER: usize = 12;
/// Bytes behind it.
const TAG: usize = 16;
/// Bytes by which a row on disk is longer.
pub(crate) const OVERHEAD: usize = HEADER + TAG;

/// The row is not authentic: it was changed, is another one's, or was written with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

/// Encryption failed: a row is too long by far, or the counter is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSealed;

/// What identifies an opening of the store: its number, and its salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) number: u32,
    pub(crate) salt: [u8; SALT],
}

impl Generation {
    /// A generation with a random salt. `None`: the system has no random numbers.
    pub(crate) fn new(number: u32) -> Option<Generation> {
        let mut salt = [0; SALT];
        aws_lc_rs::rand::fill(&mut salt).ok()?;
        Some(Generation { number, salt })
    }

    /// Proves that this generation is of a store with this key.
    pub(crate) fn proof(&self, key: &StoreKey) -> impl AsRef<[u8]> + use<> {
        hmac::sign(&proof_key(key), &self.proved())
    }

    pub(crate) fn is_proved_by(&self, key: &StoreKey, proof: &[u8]) -> bool {
        hmac::verify(&proof_key(key), &self.proved(), proof).is_ok()
    }

    fn proved(&self) -> Vec<u8> {
        [&[FORMAT], &self.number.to_be_bytes()[..], &self.salt].concat()
    }
}

fn proof_key(key: &StoreKey) -> hmac::Key {
    // The store key itself is a key of HKDF-SHA-256, so this is not it.
    let secret = [b"coaps-gateway state generation", &key.bytes()[..]].concat();
    hmac::Key::new(hmac::HMAC_SHA256, &Zeroizing::new(secret))
}

/// The key of one generation's rows.
pub(crate) struct RowKey {
    generation: u32,
    key: LessSafeKey,
}

impl RowKey {
    /// `None`: the cryptographic library fails.
    pub(crate) fn new(key: &StoreKey, generation: &Generation) -> Option<RowKey> {
        let secret = Salt::new(HKDF_SHA256, &generation.salt).extract(key.bytes());
        let purpose = [b"coaps-gateway state rows".as_slice()];
        let derived = secret.expand(&purpose, &AES_256_GCM).ok()?;
        Some(RowKey {
            generation: generation.number,
            key: LessSafeKey::new(UnboundKey::from(derived)),
        })
    }

    /// Decrypts a row of this generation.
    pub(crate) fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let (header, ciphertext) = sealed.split_first_chunk().ok_or(NotAuthentic)?;
        let mut row = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*header);
        let opened = self.key.open_in_place(nonce, associated(place), &mut row);
        let length = opened.map_err(|_| NotAuthentic)?.len();
        row.truncate(length);
        Ok(row)
    }
}

/// The number of the generation in which a row was sealed, which is not authentic yet.
pub(crate) fn generation_of(sealed: &[u8]) -> Option<u32> {
    sealed
        .first_chunk()
        .map(|number| u32::from_be_bytes(*number))
}

/// Encrypts rows in one generation.
pub(crate) struct Sealer {
    key: RowKey,
    counter: u64,
}

impl Sealer {
    pub(crate) fn new(key: RowKey) -> Sealer {
        Sealer { key, counter: 0 }
    }

    /// The row's parts, encrypted together, in place of what is in `out`.
    pub(crate) fn seal_into(
        &mut self,
        out: &mut Vec<u8>,
        place: Place<'_>,
        parts: [&[u8]; 2],
    ) -> Result<(), NotSealed> {
        let counter = self.counter;
        self.counter = counter.checked_add(1).ok_or(NotSealed)?;
        let mut nonce = [0; HEADER];
        let (generation, rest) = nonce.split_at_mut(4);
        generation.copy_from_slice(&self.key.generation.to_be_bytes());
        rest.copy_from_slice(&counter.to_be_bytes());
        out.clear();
        // So that it does not move while it has plaintext, and leave that behind.
        let length = parts.iter().map(|part| part.len());
        out.reserve(length.fold(OVERHEAD, usize::saturating_add));
        out.extend_from_slice(&nonce);
        parts.iter().for_each(|part| out.extend_from_slice(part));
        let plaintext = out.get_mut(HEADER..).ok_or(NotSealed)?;
        let tag = self.key.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            associated(place),
            plaintext,
        );
        out.extend_from_slice(tag.map_err(|_| NotSealed)?.as_ref());
        Ok(())
    }
}

fn associated(place: Place<'_>) -> Aad<PlaceBytes> {
    Aad::from(place.bytes(FORMAT))
}

#[cfg(test)]
mod tests;
