//! The window of counters that were received, as in RFC 6347 §4.1.2.6, with more places: a sender has one counter for all
//! receivers, so that one of 63 sees one of 63 counters, and 130 frames to it may overtake one another.

const WORDS: usize = 128;
/// How many counters are remembered.
pub(super) const SIZE: u64 = 64 * 128;

/// Which of the last 8,192 counters were received.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// One more than the highest.
    top: u64,
    /// A ring: the bit of a counter is at its remainder.
    seen: [u64; WORDS],
}

impl Default for Window {
    fn default() -> Window {
        Window {
            top: 0,
            seen: [0; WORDS],
        }
    }
}

impl Window {
    /// Whether this counter is received for the first time, as far as can be known. Call it for authentic frames only.
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        if counter == u64::MAX || counter.saturating_add(SIZE) < self.top {
            return false;
        }
        if counter >= self.top {
            let passed = (counter - self.top).min(SIZE - 1);
            for offset in 0..=passed {
                self.set(counter - offset, false);
            }
            self.top = counter + 1;
        }
        let is_new = !self.get(counter);
        self.set(counter, true);
        is_new
    }

    fn get(&self, counter: u64) -> bool {
        let word = usize::try_from(counter % SIZE / 64).unwrap_or_default();
        let word = self.seen.get(word).copied().unwrap_or_default();
        word & (1 << (counter % 64)) != 0
    }

    fn set(&mut self, counter: u64, seen: bool) {
        let word = usize::try_from(counter % SIZE / 64).unwrap_or_default();
        if let Some(word) = self.seen.get_mut(word) {
            let bit = 1 << (counter % 64);
            *word = if seen { *word | bit } else { *word & !bit };
        }
    }
}
