//! Which keys rows have: as few as there may be sessions, so that the table stays dense.

use std::ops::Range;

/// Keys of rows.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Below `next`. As ranges, since a single key may be far above the others.
    free: Vec<Range<u32>>,
    next: u32,
}

impl Keys {
    /// Those that are not in use, where these are. Each of them is in `used` once.
    pub(crate) fn besides(mut used: Vec<u32>) -> Keys {
        used.sort_unstable();
        let next = used.last().map_or(0, |last| last.saturating_add(1));
        let mut free = Vec::new();
        let mut expected = 0;
        for key in used {
            if expected < key {
                free.push(expected..key);
            }
            expected = key.saturating_add(1);
        }
        // The smallest first.
        free.reverse();
        Keys { free, next }
    }

    /// A key that is not in use. `None`: all below 2^32 − 1 are.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(free) = self.free.last_mut() {
            let key = free.next();
            if free.start >= free.end {
                self.free.pop();
            }
            return key;
        }
        let key = self.next;
        self.next = key.checked_add(1)?;
        Some(key)
    }

    /// This one is not in use any more.
    pub(crate) fn release(&mut self, key: u32) {
        // The last one of all is never given.
        if let Some(end) = key.checked_add(1) {
            self.free.push(key..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_given_twice_and_gaps_are_filled_first() {
        let mut keys = Keys::besides(vec![5, 0, 2]);
        let taken: Vec<_> = (0..5).filter_map(|_| keys.take()).collect();
        assert_eq!(taken, [1, 3, 4, 6, 7]);
        keys.release(3);
        assert_eq!((keys.take(), keys.take()), (Some(3), Some(8)));
        assert_eq!(Keys::default().take(), Some(0));
        let mut keys = Keys::besides(vec![u32::MAX]);
        keys.release(u32::MAX);
        assert_eq!((keys.take(), keys.take()), (Some(0), Some(1)));
        let mut keys = Keys {
            free: vec![],
            next: u32::MAX - 1,
        };
        assert_eq!((keys.take(), keys.take()), (Some(u32::MAX - 1), None));
    }
}
