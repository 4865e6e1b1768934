//! Decides when a file that may have changed is read again. Pure: stamps and `now` in, a verdict out.
//!
//! ```text
//! as read ──(another stamp)──▶ changing ──(the same stamp in two checks in a row)──▶ to be read
//!                                 │ ▲ another stamp again
//!                                 └─┘ for ten seconds at most
//! ```
//!
//! A file is checked by its path, through all symbolic links, and compared by device, inode, size and times. So it does
//! not matter how it changes: written in place, replaced by a rename, or by the swap of a directory that a symbolic link
//! in its path leads to, as Kubernetes does it. Notifications of the kernel would be quicker, but they need the right
//! directories watched, of which that swap removes one, and some file systems give none.

use crate::config::{Stamp, WatchedFile};
use std::time::{Duration, Instant};

/// How long a file may keep changing before it is read as it is.
const LONGEST_CHANGE: Duration = Duration::from_secs(10);

/// Files that every check covers. Of the others, [`IN_TURN`] are checked in turn.
const ALWAYS_CHECKED: usize = 16;
const IN_TURN: usize = 500;

/// The files of one source.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<WatchedFile>,
    /// The next file in turn.
    next: usize,
    /// Files that differ from what was read: their indices and last stamps.
    changing: Vec<(usize, Option<Stamp>)>,
    /// When the first of them began to differ.
    since: Option<Instant>,
}

impl Watch {
    /// Watches files that had these stamps when they were read.
    pub(super) fn new(files: Vec<WatchedFile>) -> Watch {
        Watch {
            files,
            next: 0,
            changing: Vec::new(),
            since: None,
        }
    }

    /// Takes the changing files as read, with their last stamps.
    pub(super) fn settle(&mut self) {
        for (index, stamp) in self.changing.drain(..) {
            if let Some(file) = self.files.get_mut(index) {
                file.stamp = stamp;
            }
        }
        self.since = None;
    }

    /// Checks some of the files: the first few, those that are changing, and others in turn. Returns whether they are to
    /// be read again; [`new`](Self::new) or [`settle`](Self::settle) must follow then.
    pub(super) fn check(
        &mut self,
        now: Instant,
        stamp_of: impl Fn(&WatchedFile) -> Option<Stamp>,
    ) -> bool {
        let others = self.files.len().saturating_sub(ALWAYS_CHECKED);
        let turn = self.next..self.next.saturating_add(IN_TURN.min(others));
        self.next = turn.end.checked_rem(others).unwrap_or_default();
        let in_turn = turn.filter_map(|index| Some(ALWAYS_CHECKED + index.checked_rem(others)?));
        let known: Vec<usize> = self.changing.iter().map(|(index, _)| *index).collect();
        let mut indices: Vec<usize> = (0..self.files.len().min(ALWAYS_CHECKED))
            .chain(known.iter().copied())
            .chain(in_turn)
            .collect();
        indices.sort_unstable();
        indices.dedup();
        let mut changing = Vec::new();
        let mut is_stable = true;
        for index in indices {
            let Some(file) = self.files.get(index) else {
                continue;
            };
            let stamp = stamp_of(file);
            if stamp != file.stamp && changing.len() < IN_TURN {
                is_stable &= self.changing.contains(&(index, stamp));
                changing.push((index, stamp));
            }
        }
        // A file that is as it was read again is no reason to read.
        is_stable &= changing.len() == known.len();
        self.changing = changing;
        if self.changing.is_empty() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        is_stable || now.saturating_duration_since(since) >= LONGEST_CHANGE
    }
}

#[cfg(test)]
mod tests;
