//! A store that is open: its records and sessions are read before it takes changes.

use super::SetAside;
use crate::disk_error::DiskError;
use crate::record::{Kind, RecordKey};
use crate::send_numbers::{Block, SendNumbers};
use crate::store::{Event, Settings, Store};
use crate::writer::OnEvent;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Where a store is read from: files, or a simulated disk.
pub(crate) trait Source: Send {
    /// That of this opening.
    fn generation(&self) -> u32;
    /// How many numbers a row reserves.
    fn block(&self) -> Block;
    fn count_sessions(&self) -> u64;
    fn count_records(&self) -> BTreeMap<Kind, u64>;
    /// Passes each record of a kind on, by rising keys.
    fn records(
        &self,
        kind: Kind,
        each: &mut dyn FnMut(RecordKey, Zeroizing<Vec<u8>>),
    ) -> Result<(), DiskError>;
    /// Passes each session on, by rising keys. `None`: its row has no bound.
    fn sessions(&self, each: &mut dyn FnMut(u64, Option<StoredRow>)) -> Result<(), DiskError>;
    /// Begins to take changes.
    fn start(self: Box<Self>, settings: Settings, on_event: OnEvent) -> Result<Store, DiskError>;
}

/// The row of a session, with what it reserves.
pub(crate) struct StoredRow {
    /// The generation in which it was written.
    pub(crate) generation: u32,
    pub(crate) bound: u64,
    pub(crate) row: Zeroizing<Vec<u8>>,
    pub(crate) window: Option<Zeroizing<Vec<u8>>>,
}

/// A session as it was stored.
#[derive(Debug)]
pub struct StoredSession {
    /// The key of its row.
    pub key: u64,
    /// The numbers that it may send with.
    pub numbers: SendNumbers,
    /// The first of them.
    pub first_send_number: u64,
    /// Its row.
    pub row: Zeroizing<Vec<u8>>,
    /// What was written beside it since.
    pub window: Option<Zeroizing<Vec<u8>>>,
}

/// A store that was found in order, or is empty.
pub struct Opened {
    source: Box<dyn Source>,
    set_aside: Option<SetAside>,
    /// Records that are not wanted.
    deleted: Vec<RecordKey>,
}

/// A store whose sessions were restored.
pub struct Restored {
    opened: Opened,
    /// Rows of sessions that are not wanted.
    deleted: Vec<u64>,
}

impl Opened {
    pub(crate) fn new(source: Box<dyn Source>, set_aside: Option<SetAside>) -> Opened {
        Opened {
            source,
            set_aside,
            deleted: Vec::new(),
        }
    }

    /// What was set aside.
    #[must_use]
    pub const fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    /// How many sessions are stored.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.source.count_sessions()
    }

    /// How many records are stored, by kind. Those of kinds that are not restored stay as they are.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<Kind, u64> {
        self.source.count_records()
    }

    /// Passes each record of a kind on, by rising keys: its key, and its value. Those for which `keep` returns false are
    /// deleted.
    ///
    /// # Errors
    /// The disk fails. What was passed on must not be used then.
    pub fn restore_records(
        &mut self,
        kind: Kind,
        mut keep: impl FnMut(&[u8], Zeroizing<Vec<u8>>) -> bool,
    ) -> Result<(), DiskError> {
        let Opened {
            source, deleted, ..
        } = self;
        source.records(kind, &mut |key, value| {
            if !keep(&key.key, value) {
                deleted.push(key);
            }
        })
    }

    /// Passes each session on, by rising keys. Those for which `keep` returns false, and those that have no number left, are
    /// deleted.
    ///
    /// # Errors
    /// The disk fails. What was passed on must not be used then: the same may be restored again.
    pub fn restore(
        self,
        mut keep: impl FnMut(StoredSession) -> bool,
    ) -> Result<Restored, DiskError> {
        let mut deleted = Vec::new();
        let (block, now) = (self.source.block(), self.source.generation());
        self.source.sessions(&mut |key, stored| {
            let session = stored.and_then(|stored| {
                let (numbers, first_send_number) =
                    SendNumbers::restored(block, stored.bound, stored.generation, now)?;
                Some(StoredSession {
                    key,
                    numbers,
                    first_send_number,
                    row: stored.row,
                    window: stored.window,
                })
            });
            if !session.is_some_and(&mut keep) {
                deleted.push(key);
            }
        })?;
        Ok(Restored {
            opened: self,
            deleted,
        })
    }
}

impl Restored {
    /// Passes each record of a kind on, as [`Opened::restore_records`] does: of those that refer to sessions.
    ///
    /// # Errors
    /// The disk fails. What was passed on, sessions included, must not be used then.
    pub fn restore_records(
        &mut self,
        kind: Kind,
        keep: impl FnMut(&[u8], Zeroizing<Vec<u8>>) -> bool,
    ) -> Result<(), DiskError> {
        self.opened.restore_records(kind, keep)
    }

    /// Starts the thread that puts changes on disk. It calls `on_event`, which must not block for long.
    ///
    /// # Errors
    /// There can be no thread, or a file can't be opened.
    pub fn start(
        self,
        settings: Settings,
        on_event: impl FnMut(Event) + Send + 'static,
    ) -> Result<Store, DiskError> {
        let store = self.opened.source.start(settings, Box::new(on_event))?;
        // What does not fit is judged, and deleted, at the next start.
        for key in self.deleted {
            let _ = store.delete_session(key);
        }
        for key in self.opened.deleted {
            let _ = store.delete_record_of(key);
        }
        Ok(store)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("sessions", &self.sessions())
            .field("records", &self.kinds())
            .field("set_aside", &self.set_aside)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restored")
            .field("deleted", &self.deleted.len())
            .finish_non_exhaustive()
    }
}
