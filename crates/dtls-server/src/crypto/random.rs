//! Where randomness comes from.

use super::key_exchange::{KeyShare, NamedGroup};

/// A source of random bytes that nobody can predict: randoms, cookie keys, connection IDs and the private keys of key shares
/// are made of them.
///
/// Tests pass a source of fixed bytes, so that a recorded handshake can be replayed byte for byte.
pub trait Random {
    /// Fills the buffer.
    ///
    /// # Errors
    /// The system has no random bytes. What depends on them is not done.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable>;

    /// Makes an ephemeral key pair: here out of random bytes, which takes some microseconds more than the library's own way.
    ///
    /// # Errors
    /// There are no random bytes, or none of which a key can be made.
    fn key_share(&mut self, group: NamedGroup) -> Result<KeyShare, Unavailable> {
        KeyShare::from_random_bytes(group, |buffer| self.fill(buffer))
    }
}

/// The system's generator of random bytes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes are available")]
pub struct Unavailable;

/// The generator of aws-lc, which the operating system seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| Unavailable)
    }

    fn key_share(&mut self, group: NamedGroup) -> Result<KeyShare, Unavailable> {
        KeyShare::from_library(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_fills_the_whole_buffer() {
        let (mut first, mut second) = ([0; 64], [0; 64]);
        SystemRandom.fill(&mut first).unwrap();
        SystemRandom.fill(&mut second).unwrap();
        assert_ne!(first, second);
        for half in first.chunks(32) {
            assert_ne!(half, [0; 32]);
        }
    }
}
