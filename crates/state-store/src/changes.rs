//! Changes to each table: the last one of each key.

use crate::MAX_WINDOW;
use crate::record::RecordKey;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// What becomes of a session's row. What is beside it is deleted in both cases.
#[derive(Debug)]
pub(crate) enum SessionChange {
    /// It is this one.
    Put {
        /// The bound of its send numbers.
        bound: u64,
        row: Zeroizing<Vec<u8>>,
    },
    /// There is none.
    Delete,
}

/// What becomes of a record.
#[derive(Debug)]
pub(crate) enum RecordChange {
    /// It has this value.
    Put(Zeroizing<Vec<u8>>),
    /// There is none.
    Delete,
}

/// What is written beside a session's row, without an allocation of its own: it is what is pushed most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    bytes: [u8; MAX_WINDOW],
    length: u8,
}

impl Window {
    /// `None`: it is longer than [`MAX_WINDOW`].
    pub(crate) fn new(bytes: &[u8]) -> Option<Window> {
        let mut window = Window {
            bytes: [0; MAX_WINDOW],
            length: u8::try_from(bytes.len()).ok()?,
        };
        window.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(window)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or(&self.bytes)
    }
}

/// Changes to all tables.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) sessions: HashMap<u64, SessionChange>,
    /// Each belongs to the session's row in `sessions`, if there is one, and else to the one on disk.
    pub(crate) windows: HashMap<u64, Window>,
    pub(crate) records: HashMap<RecordKey, RecordChange>,
}

impl Changes {
    /// No changes, and room for as many as these.
    pub(crate) fn with_room_of(other: &Changes) -> Changes {
        Changes {
            sessions: HashMap::with_capacity(other.sessions.len()),
            windows: HashMap::with_capacity(other.windows.len()),
            records: HashMap::with_capacity(other.records.len()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        (self.sessions.len())
            .saturating_add(self.windows.len())
            .saturating_add(self.records.len())
    }

    /// Adds newer changes, in place of those of the same keys. It takes as long as there are newer ones.
    pub(crate) fn add_newer(&mut self, newer: Changes) {
        for (key, change) in newer.sessions {
            // It belongs to the former row.
            self.windows.remove(&key);
            self.sessions.insert(key, change);
        }
        self.windows.extend(newer.windows);
        self.records.extend(newer.records);
    }
}
