//! Encryption of rows: AES-256-GCM, with a key for each generation.
//!
//! ```text
//!  row on disk:      generation (1 to 5) ‖ counter (6) ‖ ciphertext ‖ tag (16)
//!  its key:          HKDF-SHA-256(store key, salt of the generation)
//!  its nonce:        generation (4) ‖ 0 (2) ‖ counter (6)
//!  authenticated:    format ‖ table ‖ key in the table (a record's: kind ‖ key) ‖ (ciphertext)
//! ```
//!
//! **No nonce is used twice with a key.** Each opening of the store draws a new salt of 256 bits, and counts its rows from 0.
//! Random nonces under one key would not do: of 2^32 rows, which is five days at 10,000 a second, two had the same with a
//! probability of 2^-33, and it grows with the square. The salt also keeps two copies of a store apart, such as one restored
//! from a backup: they have the same store key, but from their next opening on other keys for rows.
//!
//! The counter has a fixed length, so that a row that is written again is as long as before, and takes the place of the former
//! one in its page.
//!
//! **A row can't be moved** to another key, table or format: it would not be authentic there. An *older row of the same key*
//! is authentic. Who can write to the disk can put it there; accidents that do are found otherwise (see `commits`).

use crate::key::StoreKey;
use crate::place::{Place, PlaceBytes};
use crate::varint;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// The format of the store. Another one has other tables, or other rows.
pub(crate) const FORMAT: u8 = 1;
/// Bytes of a generation's salt.
pub(crate) const SALT: usize = 32;
/// Bytes of the counter in front of a row: 2^48 rows are 890 years at 10,000 a second.
const COUNTER: usize = 6;
/// Bytes behind the ciphertext.
const TAG: usize = 16;
/// Bytes by which a row on disk is longer, at most.
const MAX_OVERHEAD: usize = varint::MAX + COUNTER + TAG;

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
        let mut rest = sealed;
        if varint::take(&mut rest) != Some(self.generation.into()) {
            return Err(NotAuthentic);
        }
        let (counter, rest) = rest.split_first_chunk().ok_or(NotAuthentic)?;
        let mut row = Zeroizing::new(rest.to_vec());
        let nonce = self.nonce(*counter);
        let opened = self.key.open_in_place(nonce, associated(place), &mut row);
        let length = opened.map_err(|_| NotAuthentic)?.len();
        row.truncate(length);
        Ok(row)
    }

    fn nonce(&self, counter: [u8; COUNTER]) -> Nonce {
        let [a, b, c, d] = self.generation.to_be_bytes();
        let [e, f, g, h, i, j] = counter;
        Nonce::assume_unique_for_key([a, b, c, d, 0, 0, e, f, g, h, i, j])
    }
}

/// The number of the generation in which a row was sealed, which is not authentic yet.
pub(crate) fn generation_of(mut sealed: &[u8]) -> Option<u32> {
    u32::try_from(varint::take(&mut sealed)?).ok()
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
        let [0, 0, counter @ ..] = self.counter.to_be_bytes() else {
            return Err(NotSealed);
        };
        self.counter = self.counter.saturating_add(1);
        out.clear();
        // So that it does not move while it has plaintext, and leave that behind.
        let length = parts.iter().map(|part| part.len());
        out.reserve(length.fold(MAX_OVERHEAD, usize::saturating_add));
        varint::put(out, self.key.generation.into());
        out.extend_from_slice(&counter);
        let header = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        let plaintext = out.get_mut(header..).ok_or(NotSealed)?;
        let (nonce, place) = (self.key.nonce(counter), associated(place));
        let tag = (self.key.key).seal_in_place_separate_tag(nonce, place, plaintext);
        out.extend_from_slice(tag.map_err(|_| NotSealed)?.as_ref());
        Ok(())
    }
}

fn associated(place: Place<'_>) -> Aad<PlaceBytes> {
    Aad::from(place.bytes(FORMAT))
}

#[cfg(test)]
mod tests;
