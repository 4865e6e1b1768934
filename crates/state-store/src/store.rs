//! The handle by which the loop changes what is kept.

use crate::disk_error::DiskError;
use crate::queue::{Change, Full, Queue, Synced, Ticket};
use crate::send_numbers::{Block, SendNumbers};
use crate::table::Place;
use crate::writer::{Disk, Shared, Writer};
use crate::{MAX_ROW, MAX_WINDOW, directory::Directory};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use zeroize::Zeroizing;

/// How changes are put on disk.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many changes may not be on disk. With twice as many as there may be sessions, for a row and what is beside it,
    /// none is refused.
    pub capacity: usize,
    /// How long changes are collected for one commit. A crash loses those of this time, and of the commit.
    pub interval: Duration,
    /// How long to wait after a commit that failed; twice as long after each further one, up to 30 s.
    pub first_retry: Duration,
}

impl Settings {
    /// Commits twice a second.
    #[must_use]
    pub const fn new(capacity: usize) -> Settings {
        Settings {
            capacity,
            interval: Duration::from_millis(500),
            first_retry: Duration::from_secs(1),
        }
    }
}

/// What the operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A commit has failed, after one that had not. Changes stay in memory, and it is tried again.
    Failing(DiskError),
    /// A commit has succeeded, after so many that had failed.
    WorksAgain {
        /// The commits that failed.
        failed: u64,
    },
}

/// Counts since the store was opened, and its state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Keys whose changes are not on disk.
    pub pending: usize,
    /// Changes that were refused, because the queue was full.
    pub refused: u64,
    /// Commits on disk.
    pub commits: u64,
    /// Changes on disk.
    pub changes: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// The last commit has failed.
    pub is_failing: bool,
}

/// Why a row was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The queue is full: try again later.
    #[error(transparent)]
    Full(#[from] Full),
    /// The row is longer than [`MAX_ROW`], or [`MAX_WINDOW`].
    #[error("the row is too large")]
    TooLarge,
    /// No row of the session was put.
    #[error("the session has no row")]
    NotStored,
}

/// A store that is open for changes. Dropped without [`stop`](Store::stop), it is stopped all the same, and errors are lost.
pub struct Store {
    shared: Arc<Shared>,
    block: Block,
    thread: Option<JoinHandle<Result<(), DiskError>>>,
}

impl Store {
    pub(crate) fn start(
        disk: impl Disk,
        directory: Option<Directory>,
        block: Block,
        settings: Settings,
        on_event: impl FnMut(Event) + Send + 'static,
    ) -> io::Result<Store> {
        let shared = Arc::new(Shared::new(Queue::new(settings.capacity)));
        let writer = Writer {
            disk,
            interval: settings.interval,
            first_retry: settings.first_retry,
        };
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("state".to_owned());
        let thread = thread.spawn(move || {
            let result = writer.run(&of_thread, on_event);
            // Locked until the last commit.
            drop(directory);
            result
        })?;
        Ok(Store {
            shared,
            block,
            thread: Some(thread),
        })
    }

    /// A store whose queue is taken by a test.
    #[cfg(test)]
    pub(crate) fn without_thread(shared: Arc<Shared>, block: Block) -> Store {
        Store {
            shared,
            block,
            thread: None,
        }
    }

    /// Has a session's row written, in place of the one that its key has. `next` is the number of its next record.
    ///
    /// # Errors
    /// It is not written: the queue is full, or the row too large. What is on disk is still valid, but older.
    pub fn put_session(
        &self,
        key: u64,
        numbers: &mut SendNumbers,
        next: u64,
        row: Zeroizing<Vec<u8>>,
    ) -> Result<(), PutError> {
        if row.len() > MAX_ROW {
            return Err(PutError::TooLarge);
        }
        let bound = numbers.bound(self.block, next);
        let change = Change::Put {
            bound: Some(bound),
            row,
        };
        let ticket = self.push(Place::session(key), change)?;
        numbers.pushed(bound, ticket);
        Ok(())
    }

    /// Has what changes with each record of a session written, beside its row, until that is written again: the receive
    /// window, above all. It is a few bytes, of which some seventy sessions share a page.
    ///
    /// # Errors
    /// It is not written: the queue is full, the row too large, or there is no row of this session that it belongs to.
    pub fn put_window(
        &self,
        key: u64,
        numbers: &SendNumbers,
        row: Zeroizing<Vec<u8>>,
    ) -> Result<(), PutError> {
        if row.len() > MAX_WINDOW {
            return Err(PutError::TooLarge);
        }
        if !numbers.is_stored() {
            return Err(PutError::NotStored);
        }
        self.push(Place::window(key), Change::Put { bound: None, row })?;
        Ok(())
    }

    /// Has a key's row deleted, if there is one. Until that is on disk, a crash brings the session back.
    ///
    /// # Errors
    /// The queue is full.
    pub fn delete_session(&self, key: u64) -> Result<(), Full> {
        self.push(Place::session(key), Change::Delete).map(|_| ())
    }

    /// How far changes are on disk, for [`SendNumbers::limit`].
    #[must_use]
    pub fn synced(&self) -> Synced {
        self.shared.synced()
    }

    /// Counts and state.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.shared.lock();
        Report {
            pending: state.queue.len(),
            refused: state.queue.refused,
            ..state.report
        }
    }

    /// Writes what is pending and ends the thread. It waits for the disk.
    ///
    /// # Errors
    /// Not everything is on disk.
    pub fn stop(mut self) -> Result<(), DiskError> {
        self.end()
    }

    fn push(&self, place: Place, change: Change) -> Result<Ticket, Full> {
        let mut state = self.shared.lock();
        let was_idle = !state.queue.has_pending();
        let pushed = state.queue.push(place, change);
        // While there are pending changes the thread waits for nothing but the end of its interval.
        let wake = was_idle || state.queue.is_half_full();
        drop(state);
        if wake {
            self.shared.wake();
        }
        pushed
    }

    fn end(&mut self) -> Result<(), DiskError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.shared.lock().is_stopping = true;
        self.shared.wake();
        let panicked = |_| {
            Err(DiskError::Failed(
                "the writing thread has panicked".to_owned(),
            ))
        };
        thread.join().unwrap_or_else(panicked)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
