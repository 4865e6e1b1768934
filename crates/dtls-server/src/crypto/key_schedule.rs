//! The master secret, and the keys and Finished messages that are derived from it (RFC 5246 §6.3, §7.4.9, §8.1; RFC 7627).

use super::Failed;
use super::aead::Keys;
use super::key_exchange::SharedSecret;
use super::prf::prf;
use crate::suite::{CipherSuite, PrfHash};
use crate::wire::Reader;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::fmt;
use zeroize::Zeroizing;

/// The random of a ClientHello or ServerHello.
pub type HelloRandom = [u8; 32];
/// The content of a Finished message.
pub type VerifyData = [u8; 12];

/// Bytes of a master secret.
pub const MASTER_SECRET: usize = 48;
/// The longest key block: two keys of 32 bytes and two IVs of 12, those of ChaCha20.
const MAX_KEY_BLOCK: usize = 2 * (32 + 12);

/// The secret that a session is made of, overwritten when it is dropped.
#[derive(Clone)]
pub struct MasterSecret(Zeroizing<[u8; MASTER_SECRET]>);

/// The keys of both directions.
#[derive(Debug, Clone)]
pub struct KeyBlock {
    /// What the client sends with.
    pub client: Keys,
    /// What the server sends with.
    pub server: Keys,
}

/// The sender of a Finished message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Its label is "client finished".
    Client,
    /// Its label is "server finished".
    Server,
}

impl MasterSecret {
    /// Derives it from the hellos' randoms (RFC 5246 §8.1).
    ///
    /// # Errors
    /// The library failed, which holds for the other derivations as well.
    pub fn derive(
        hash: PrfHash,
        shared: &SharedSecret,
        client: &HelloRandom,
        server: &HelloRandom,
    ) -> Result<MasterSecret, Failed> {
        let secret = shared.as_bytes();
        prf(hash, secret, "master secret", (client, server)).map(MasterSecret)
    }

    /// Derives it from the hash over all messages up to and with ClientKeyExchange (RFC 7627 §4).
    pub fn derive_extended(
        hash: PrfHash,
        shared: &SharedSecret,
        session_hash: &[u8],
    ) -> Result<MasterSecret, Failed> {
        let secret = shared.as_bytes();
        prf(hash, secret, "extended master secret", (session_hash, &[])).map(MasterSecret)
    }

    /// The secret of a session that is resumed. `None`: it is all zeros, which no derivation yields.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; MASTER_SECRET]) -> Option<MasterSecret> {
        let zero = bytes.iter().all(|&byte| byte == 0);
        (!zero).then(|| MasterSecret(Zeroizing::new(*bytes)))
    }

    /// The bytes, of which a session can be resumed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; MASTER_SECRET] {
        &self.0
    }

    /// Derives the keys of both directions (RFC 5246 §6.3). There are no MAC keys, as every suite is an AEAD.
    pub fn key_block(
        &self,
        suite: CipherSuite,
        client: &HelloRandom,
        server: &HelloRandom,
    ) -> Result<KeyBlock, Failed> {
        let (hash, aead) = (suite.prf_hash(), suite.aead());
        // The beginning of a longer output is the same.
        let block: Zeroizing<[u8; MAX_KEY_BLOCK]> =
            prf(hash, &self.0[..], "key expansion", (server, client))?;
        let mut reader = Reader::new(&block[..]);
        let mut next = |length| reader.take(length).map_err(|_| Failed);
        let client_key = next(aead.key_length())?;
        let server_key = next(aead.key_length())?;
        let client_iv = next(aead.iv_length())?;
        let server_iv = next(aead.iv_length())?;
        Ok(KeyBlock {
            client: Keys::new(aead, client_key, client_iv).ok_or(Failed)?,
            server: Keys::new(aead, server_key, server_iv).ok_or(Failed)?,
        })
    }

    /// Derives the content of a Finished message (RFC 5246 §7.4.9).
    pub fn verify_data(
        &self,
        hash: PrfHash,
        sender: Sender,
        transcript_hash: &[u8],
    ) -> Result<VerifyData, Failed> {
        let label = match sender {
            Sender::Client => "client finished",
            Sender::Server => "server finished",
        };
        prf(hash, &self.0[..], label, (transcript_hash, &[])).map(|data| *data)
    }

    /// Whether a received Finished message has this content. Takes the same time wherever they differ.
    #[must_use]
    pub fn is_finished(
        &self,
        hash: PrfHash,
        sender: Sender,
        transcript_hash: &[u8],
        received: &[u8],
    ) -> bool {
        self.verify_data(hash, sender, transcript_hash)
            .is_ok_and(|expected| verify_slices_are_equal(&expected, received).is_ok())
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret")
    }
}

#[cfg(test)]
mod tests;
