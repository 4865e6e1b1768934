//! Authenticated encryption of records: AES-GCM (RFC 5288), AES-CCM (RFC 6655, RFC 7251), ChaCha20-Poly1305 (RFC 7905).

use super::Failed;
use crate::suite::Aead;
use aes::{Aes128Enc, Aes256Enc};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305};
use aws_lc_rs::aead::{LessSafeKey, UnboundKey};
use ccm::aead::array::{Array, ArraySize};
use ccm::aead::consts::{U8, U12, U16};
use ccm::aead::{AeadInOut, KeyInit};
use ccm::{Ccm, TagSize};
use std::fmt;
use zeroize::Zeroize;

/// Bytes of every nonce. CCM's length field has three bytes thereby (RFC 6655 §3).
const NONCE: usize = 12;
/// The longest key.
const MAX_KEY: usize = 32;

/// The key and the implicit part of the nonces of one direction, overwritten when they are dropped.
///
/// Shorter ones than the longest fill the front, and zeros the rest.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    key: [u8; MAX_KEY],
    iv: [u8; NONCE],
}

/// A record could not be opened: it was changed, or not made with this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic")]
pub struct NotAuthentic;

impl Keys {
    /// Takes a key and an IV of the lengths that the AEAD has.
    ///
    /// `None`: they have other lengths, or the key is all zeros, which no key schedule yields.
    #[must_use]
    pub fn new(aead: Aead, key: &[u8], iv: &[u8]) -> Option<Keys> {
        let lengths = key.len() == aead.key_length() && iv.len() == aead.iv_length();
        if !lengths || key.iter().all(|&byte| byte == 0) {
            return None;
        }
        let mut keys = Keys {
            key: [0; MAX_KEY],
            iv: [0; NONCE],
        };
        keys.key.get_mut(..key.len())?.copy_from_slice(key);
        keys.iv.get_mut(..iv.len())?.copy_from_slice(iv);
        Some(keys)
    }

    /// The key's bytes.
    pub(crate) fn key(&self, aead: Aead) -> &[u8] {
        self.key.get(..aead.key_length()).unwrap_or_default()
    }

    /// The IV's bytes.
    pub(crate) fn iv(&self, aead: Aead) -> &[u8] {
        self.iv.get(..aead.iv_length()).unwrap_or_default()
    }

    /// The nonce of a record. `explicit` is epoch ‖ sequence: on send the record's own, so that none is used twice (RFC 5288
    /// §3); on receive what the sender put in front of the ciphertext, which may be something else.
    #[must_use]
    pub fn nonce(&self, aead: Aead, explicit: [u8; 8]) -> [u8; NONCE] {
        let mut nonce = self.iv;
        match aead {
            // RFC 7905 §2: the IV, xor the number, which is padded to the left.
            Aead::ChaCha20Poly1305 => {
                let low = nonce.iter_mut().rev().zip(explicit.iter().rev());
                low.for_each(|(nonce, number)| *nonce ^= number);
            }
            // RFC 5288 §3, RFC 6655 §3: four bytes of IV, then the explicit part.
            Aead::Aes128Gcm
            | Aead::Aes256Gcm
            | Aead::Aes128Ccm
            | Aead::Aes128Ccm8
            | Aead::Aes256Ccm
            | Aead::Aes256Ccm8 => {
                let low = nonce.iter_mut().rev().zip(explicit.iter().rev());
                low.for_each(|(nonce, explicit)| *nonce = *explicit);
            }
        }
        nonce
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// A key that is set up for use. Its round keys are overwritten when it is dropped.
pub struct Cipher(Kind);

enum Kind {
    /// GCM and ChaCha20-Poly1305.
    AwsLc(LessSafeKey),
    Aes128Ccm(Ccm<Aes128Enc, U16, U12>),
    Aes128Ccm8(Ccm<Aes128Enc, U8, U12>),
    Aes256Ccm(Ccm<Aes256Enc, U16, U12>),
    Aes256Ccm8(Ccm<Aes256Enc, U8, U12>),
}

impl Cipher {
    /// Sets a key up.
    ///
    /// # Errors
    /// The library failed.
    pub fn new(aead: Aead, keys: &Keys) -> Result<Cipher, Failed> {
        let key = keys.key(aead);
        let kind = match aead {
            Aead::Aes128Gcm => Kind::AwsLc(aws_lc(&AES_128_GCM, key)?),
            Aead::Aes256Gcm => Kind::AwsLc(aws_lc(&AES_256_GCM, key)?),
            Aead::ChaCha20Poly1305 => Kind::AwsLc(aws_lc(&CHACHA20_POLY1305, key)?),
            Aead::Aes128Ccm => Kind::Aes128Ccm(ccm(key)?),
            Aead::Aes128Ccm8 => Kind::Aes128Ccm8(ccm(key)?),
            Aead::Aes256Ccm => Kind::Aes256Ccm(ccm(key)?),
            Aead::Aes256Ccm8 => Kind::Aes256Ccm8(ccm(key)?),
        };
        Ok(Cipher(kind))
    }

    /// Encrypts what the buffer holds from `start` on, and appends the tag.
    ///
    /// # Errors
    /// There is nothing at `start`, or the library failed. The buffer's content is then undefined from `start` on.
    pub fn seal(
        &self,
        nonce: [u8; NONCE],
        additional_data: &[u8],
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), Failed> {
        let text = buffer.get_mut(start..).ok_or(Failed)?;
        match &self.0 {
            Kind::AwsLc(key) => {
                let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
                let additional_data = Aad::from(additional_data);
                let tag = key
                    .seal_in_place_separate_tag(nonce, additional_data, text)
                    .map_err(|_| Failed)?;
                buffer.extend_from_slice(tag.as_ref());
            }
            Kind::Aes128Ccm(key) => {
                let tag = seal_ccm(key, nonce, additional_data, text)?;
                buffer.extend_from_slice(&tag);
            }
            Kind::Aes128Ccm8(key) => {
                let tag = seal_ccm(key, nonce, additional_data, text)?;
                buffer.extend_from_slice(&tag);
            }
            Kind::Aes256Ccm(key) => {
                let tag = seal_ccm(key, nonce, additional_data, text)?;
                buffer.extend_from_slice(&tag);
            }
            Kind::Aes256Ccm8(key) => {
                let tag = seal_ccm(key, nonce, additional_data, text)?;
                buffer.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Decrypts a ciphertext with its tag, and leaves the plaintext in the buffer.
    ///
    /// # Errors
    /// It is not authentic. The buffer is then empty.
    pub fn open(
        &self,
        nonce: [u8; NONCE],
        additional_data: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), NotAuthentic> {
        let opened = match &self.0 {
            Kind::AwsLc(key) => {
                let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, Aad::from(additional_data), buffer)
                    .map(|plaintext| plaintext.len())
                    .map_err(|_| NotAuthentic)
            }
            Kind::Aes128Ccm(key) => open_ccm(key, nonce, additional_data, buffer),
            Kind::Aes128Ccm8(key) => open_ccm(key, nonce, additional_data, buffer),
            Kind::Aes256Ccm(key) => open_ccm(key, nonce, additional_data, buffer),
            Kind::Aes256Ccm8(key) => open_ccm(key, nonce, additional_data, buffer),
        };
        buffer.truncate(opened.unwrap_or(0));
        opened.map(|_| ())
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

fn aws_lc(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, Failed> {
    let key = UnboundKey::new(algorithm, key).map_err(|_| Failed)?;
    Ok(LessSafeKey::new(key))
}

fn ccm<C: KeyInit>(key: &[u8]) -> Result<C, Failed> {
    C::new_from_slice(key).map_err(|_| Failed)
}

fn seal_ccm<C: AeadInOut<NonceSize = U12>>(
    cipher: &C,
    nonce: [u8; NONCE],
    additional_data: &[u8],
    text: &mut [u8],
) -> Result<Array<u8, C::TagSize>, Failed> {
    cipher
        .encrypt_inout_detached(&nonce.into(), additional_data, text.into())
        .map_err(|_| Failed)
}

/// Returns the plaintext's length.
fn open_ccm<C: AeadInOut<NonceSize = U12>>(
    cipher: &C,
    nonce: [u8; NONCE],
    additional_data: &[u8],
    buffer: &mut [u8],
) -> Result<usize, NotAuthentic>
where
    C::TagSize: TagSize + ArraySize,
{
    let (text, tag) = buffer
        .len()
        .checked_sub(<C::TagSize as ccm::aead::array::typenum::Unsigned>::USIZE)
        .and_then(|length| buffer.split_at_mut_checked(length))
        .ok_or(NotAuthentic)?;
    let length = text.len();
    let tag = Array::try_from(&*tag).map_err(|_| NotAuthentic)?;
    cipher
        .decrypt_inout_detached(&nonce.into(), additional_data, text.into(), &tag)
        .map(|()| length)
        .map_err(|_| NotAuthentic)
}

#[cfg(test)]
mod tests;
