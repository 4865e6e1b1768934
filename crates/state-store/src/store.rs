//! The handle by which the loop changes what is kept.

use crate::changes::{RecordChange, SessionChange, Window};
use crate::directory::Directory;
use crate::disk_error::DiskError;
use crate::queue::{Full, Queue, Synced, Ticket};
use crate::record::{KeyLength, Kind, RecordKey};
use crate::send_numbers::{Block, SendNumbers};
use crate::writer::{Disk, EndOfThread, OnEvent, Shared, Writer};
use crate::{MAX_RECORD_KEY, MAX_ROW};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a store that is dropped waits for the disk.
const DROPPED: Duration = Duration::from_secs(5);

/// How changes are put on disk.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many changes may not be on disk. With twice as many as there may be sessions, for a row and what is beside it, and
    /// one for each record, none is refused.
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
    /// The row or value is longer than [`MAX_ROW`], or what is beside a row than [`MAX_WINDOW`](crate::MAX_WINDOW).
    #[error("the row is too large")]
    TooLarge,
    /// The key of a record is empty, or longer than [`MAX_RECORD_KEY`].
    #[error("the key of the record has no bytes, or more than {MAX_RECORD_KEY}")]
    Key,
    /// No row of the session was put.
    #[error("the session has no row")]
    NotStored,
}

impl From<KeyLength> for PutError {
    fn from(KeyLength: KeyLength) -> PutError {
        PutError::Key
    }
}

/// Not everything is on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pending} changes of the state are not on disk: {error}")]
pub struct StopError {
    /// Keys whose changes are not on disk.
    pub pending: usize,
    /// Why.
    pub error: DiskError,
}

/// A store that is open for changes. Dropped without [`stop`](Store::stop), it is stopped all the same, and errors are lost.
pub struct Store {
    shared: Arc<Shared>,
    block: Block,
    /// Has what is pending written, where there is no thread.
    at_stop: Option<Box<dyn FnOnce() + Send + Sync>>,
    was_stopped: bool,
}

impl Store {
    pub(crate) fn start(
        disk: impl Disk,
        directory: Option<Directory>,
        block: Block,
        settings: Settings,
        on_event: OnEvent,
    ) -> io::Result<Store> {
        let shared = Arc::new(Shared::new(Queue::new(settings.capacity)));
        let writer = Writer::new(disk, &settings, on_event);
        let end = EndOfThread(Arc::clone(&shared));
        let thread = thread::Builder::new().name("state".to_owned());
        thread.spawn(move || {
            let result = writer.run(&end.0);
            // Locked until the last commit.
            drop(directory);
            end.0.end(result);
        })?;
        Ok(Store {
            shared,
            block,
            at_stop: None,
            was_stopped: false,
        })
    }

    /// A store without a thread. `at_stop` has what is pending written, and [says](Shared::end) that it has ended.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn without_thread(
        shared: Arc<Shared>,
        block: Block,
        at_stop: Box<dyn FnOnce() + Send + Sync>,
    ) -> Store {
        Store {
            shared,
            block,
            at_stop: Some(at_stop),
            was_stopped: false,
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
        let change = SessionChange::Put { bound, row };
        let ticket = self.push(|queue| queue.push_session(key, change))?;
        numbers.pushed(bound, ticket);
        Ok(())
    }

    /// Has what changes with each record of a session written, beside its row, until that is written again: the receive
    /// window, above all. It is a few bytes, of which some seventy sessions share a page.
    ///
    /// # Errors
    /// It is not written: the queue is full, it is too large, or there is no row of this session that it belongs to.
    pub fn put_window(
        &self,
        key: u64,
        numbers: &SendNumbers,
        window: &[u8],
    ) -> Result<(), PutError> {
        let window = Window::new(window).ok_or(PutError::TooLarge)?;
        if !numbers.is_stored() {
            return Err(PutError::NotStored);
        }
        self.push(|queue| queue.push_window(key, window))?;
        Ok(())
    }

    /// Has a session's row deleted, if there is one. Until that is on disk, a crash brings the session back.
    ///
    /// # Errors
    /// The queue is full.
    pub fn delete_session(&self, key: u64) -> Result<(), Full> {
        let delete = SessionChange::Delete;
        self.push(|queue| queue.push_session(key, delete))
            .map(|_| ())
    }

    /// Has a record written, in place of the one that its kind and key have.
    ///
    /// # Errors
    /// It is not written: the queue is full, the value too large, or the key too long. What is on disk is older.
    pub fn put_record(
        &self,
        kind: Kind,
        key: &[u8],
        value: Zeroizing<Vec<u8>>,
    ) -> Result<(), PutError> {
        if value.len() > MAX_ROW {
            return Err(PutError::TooLarge);
        }
        let key = RecordKey::new(kind, key)?;
        self.push(|queue| queue.push_record(key, RecordChange::Put(value)))?;
        Ok(())
    }

    /// Has a record deleted, if there is one.
    ///
    /// # Errors
    /// It is not deleted: the queue is full, or the key too long.
    pub fn delete_record(&self, kind: Kind, key: &[u8]) -> Result<(), PutError> {
        let key = RecordKey::new(kind, key)?;
        self.delete_record_of(key)?;
        Ok(())
    }

    pub(crate) fn delete_record_of(&self, key: RecordKey) -> Result<(), Full> {
        self.push(|queue| queue.push_record(key, RecordChange::Delete))
            .map(|_| ())
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

    /// Writes what is pending and ends the thread. It waits for the disk, but not longer than this. The directory is free
    /// again once everything is on disk, or writing it has failed.
    ///
    /// # Errors
    /// Not everything is on disk, as writing fails, or takes too long. It may go on until the process ends.
    pub fn stop(mut self, at_most: Duration) -> Result<(), StopError> {
        self.end(at_most)
    }

    fn push(&self, push: impl FnOnce(&mut Queue) -> Result<Ticket, Full>) -> Result<Ticket, Full> {
        let mut state = self.shared.lock();
        let was_idle = !state.queue.has_pending();
        let pushed = push(&mut state.queue);
        // While there are pending changes the thread waits for nothing but the end of its interval.
        let wake = was_idle || state.queue.is_half_full();
        drop(state);
        if wake {
            self.shared.wake();
        }
        pushed
    }

    fn end(&mut self, at_most: Duration) -> Result<(), StopError> {
        self.was_stopped = true;
        self.shared.lock().is_stopping = true;
        self.shared.wake();
        if let Some(at_stop) = self.at_stop.take() {
            at_stop();
        }
        let ended = self.shared.wait_for_end(at_most);
        ended.unwrap_or(Err(DiskError::Hangs)).map_err(|error| {
            let pending = self.shared.lock().queue.len();
            StopError { pending, error }
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.was_stopped {
            let _ = self.end(DROPPED);
        }
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
