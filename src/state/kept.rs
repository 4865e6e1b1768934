//! What a session keeps of its row.

use crate::dtls::Path;
use state_store::{SendNumbers, Store};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A row is written again after so many records: an endpoint out of an older one may use Message IDs twice
/// ([`coap::RemoteEndpoint::restore`]).
const RECORDS_PER_ROW: u64 = 4096;

/// The row of a session.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) key: u32,
    /// The path in it.
    path: u32,
    pub(crate) numbers: SendNumbers,
    /// The send number in it; `None`: this process has not pushed it.
    pushed_at: Option<u64>,
    /// Whether it is in the list of rows that are due.
    pub(crate) is_due: bool,
}

impl Kept {
    /// Of a session that begins.
    pub(crate) fn new(key: u32) -> Kept {
        Kept::restored(key, SendNumbers::of_new_session())
    }

    /// Of a session whose row another process has written.
    pub(crate) fn restored(key: u32, numbers: SendNumbers) -> Kept {
        Kept {
            key,
            path: 0,
            numbers,
            pushed_at: None,
            is_due: false,
        }
    }

    /// The row was pushed, with this path and send number.
    pub(crate) fn pushed(&mut self, path: &Path, send_number: u64) {
        (self.path, self.pushed_at) = (tag(path), Some(send_number));
    }

    /// Whether the row has to be written again: what is beside it is not enough.
    pub(crate) fn is_outdated(&self, path: &Path, send_number: u64) -> bool {
        let Some(pushed_at) = self.pushed_at else {
            return true;
        };
        self.path != tag(path) || send_number.saturating_sub(pushed_at) >= RECORDS_PER_ROW
    }

    /// The first number that the session must not send with, as far as its rows are on disk.
    pub(crate) fn send_end(&mut self, store: &Store) -> u64 {
        self.numbers.limit(store.synced()).get()
    }
}

/// Tells paths apart, but for one in four billion: such a row is written a little later.
fn tag(path: &Path) -> u32 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small() {
        let size = size_of::<Kept>();
        assert!(size <= 72, "{size}");
    }

    #[test]
    fn a_row_is_outdated_before_it_was_pushed_on_another_path_and_after_many_records() {
        let path = |port| Path {
            remote: ([192, 0, 2, 1], port).into(),
            local: None,
            via: None,
        };
        let mut kept = Kept::new(1);
        assert!(kept.is_outdated(&path(1), 0));
        kept.pushed(&path(1), 10);
        assert!(!kept.is_outdated(&path(1), 10));
        assert!(kept.is_outdated(&path(2), 10));
        assert!(!kept.is_outdated(&path(1), 10 + RECORDS_PER_ROW - 1));
        assert!(kept.is_outdated(&path(1), 10 + RECORDS_PER_ROW));
    }
}
