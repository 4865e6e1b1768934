//! Random bytes that are the same in every run.

use dtls_server::crypto::random::{Random, Unavailable};

/// A generator with a seed.
#[derive(Debug, Clone)]
pub struct SeededRandom(fastrand::Rng);

impl SeededRandom {
    /// The same bytes for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(fastrand::Rng::with_seed(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        self.0.fill(buffer);
        Ok(())
    }
}
