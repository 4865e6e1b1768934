//! When a file that may have changed is to be read again. Pure: stamps and `now` in, a verdict out.
//!
//! ```text
//! as read ──(another stamp)──▶ changing ──(the same stamp in two looks in a row)──▶ to be read
//!                                 │ ▲ another one still
//!                                 └─┘ for ten seconds at most
//! ```
//!
//! A file is looked at by its path, through all symbolic links, and told by device, inode, size and times. So it does
//! not matter how it changes: written in place, renamed over, or by the swap of a directory that a link far above
//! leads to, as Kubernetes does it. Notifications of the kernel would be quicker, but they need the right directories
//! watched, of which that swap takes one away, and some file systems give none.

use crate::config::{Stamp, WatchedFile};
use std::time::{Duration, Instant};

/// How long a file may keep changing before it is read as it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files looked at each time. Of more, as many as this are looked at in turn.
const EACH_TIME: usize = 16;
const IN_TURN: usize = 500;

/// The files of one source.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<WatchedFile>,
    /// Which of them comes next in turn.
    next: usize,
    /// Files that are not as they were read, what they were last, and since when.
    changing: Vec<(usize, Option<Stamp>)>,
    since: Option<Instant>,
}

impl Watch {
    /// Watches files that were read as these stamps say.
    pub(super) fn new(files: Vec<WatchedFile>) -> Watch {
        Watch {
            files,
            next: 0,
            changing: Vec::new(),
            since: None,
        }
    }

    /// Takes files that are changing as read the way they are now.
    pub(super) fn settle(&mut self) {
        for (index, stamp) in self.changing.drain(..) {
            if let Some(file) = self.files.get_mut(index) {
                file.stamp = stamp;
            }
        }
        self.since = None;
    }

    /// Looks at some of the files: the first few, those that are changing, and others in turn. Whether they are to
    /// be read again; [`new`](Self::new) or [`settle`](Self::settle) follows then. `stamp_of` says what a path leads to.
    pub(super) fn look(
        &mut self,
        now: Instant,
        stamp_of: impl Fn(&WatchedFile) -> Option<Stamp>,
    ) -> bool {
        let others = self.files.len().saturating_sub(EACH_TIME);
        let turn = self.next..self.next.saturating_add(IN_TURN.min(others));
        self.next = turn.end.checked_rem(others).unwrap_or_default();
        let in_turn = turn.filter_map(|index| Some(EACH_TIME + index.checked_rem(others)?));
        let known: Vec<usize> = self.changing.iter().map(|(index, _)| *index).collect();
        let mut indices: Vec<usize> = (0..self.files.len().min(EACH_TIME))
            .chain(known.iter().copied())
            .chain(in_turn)
            .collect();
        indices.sort_unstable();
        indices.dedup();
        let mut changing = Vec::new();
        let mut calm = true;
        for index in indices {
            let Some(file) = self.files.get(index) else {
                continue;
            };
            let stamp = stamp_of(file);
            if stamp != file.stamp && changing.len() < IN_TURN {
                calm &= self.changing.contains(&(index, stamp));
                changing.push((index, stamp));
            }
        }
        // One that has become again what it was is no reason to read.
        calm &= changing.len() == known.len();
        self.changing = changing;
        if self.changing.is_empty() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        calm || now.saturating_duration_since(since) >= PATIENCE
    }
}

#[cfg(test)]
mod tests;
