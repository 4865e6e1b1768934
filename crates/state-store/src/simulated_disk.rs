//! A disk of a simulation: no file, no thread, no time. What opens it, and the store that comes out of it, are the same types
//! as with files: queue, send numbers, retries and events are the real ones.
//!
//! ```text
//!  disk.open() ──▶ Opened ──▶ Restored ──▶ Store ──▶ queue
//!                                                      │ disk.commit(): what the thread does once
//!                                                      ▼
//!                                                  the rows of the disk, which outlive a kill
//! ```

use crate::changes::{RecordChange, SessionChange, Window};
use crate::disk_error::DiskError;
use crate::open::{OpenError, Opened, Source, StoredRow};
use crate::queue::{Batch, Queue};
use crate::record::{Kind, RecordKey};
use crate::send_numbers::{BLOCK, Block};
use crate::store::{Settings, Store};
use crate::writer::{Disk, OnEvent, Shared, Writer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// A disk, and the process that uses it, if there is one. A clone is the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    rows: Arc<Mutex<Rows>>,
    process: Arc<Mutex<Option<Process>>>,
    block: Block,
}

/// What is on disk, and synced.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) generation: u32,
    pub(crate) sessions: BTreeMap<u64, SessionRow>,
    pub(crate) windows: BTreeMap<u64, Window>,
    records: BTreeMap<RecordKey, Zeroizing<Vec<u8>>>,
    commits_fail: bool,
}

pub(crate) struct SessionRow {
    pub(crate) generation: u32,
    pub(crate) bound: u64,
    pub(crate) row: Zeroizing<Vec<u8>>,
}

/// A process that has the disk open.
struct Process {
    generation: u32,
    /// `None`: it restores sessions.
    running: Option<(Arc<Shared>, Writer<SimulatedDisk>)>,
}

impl Default for SimulatedDisk {
    fn default() -> SimulatedDisk {
        SimulatedDisk::new()
    }
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::with_blocks(BLOCK)
    }

    pub(crate) fn with_blocks(block: Block) -> SimulatedDisk {
        SimulatedDisk {
            rows: Arc::default(),
            process: Arc::default(),
            block,
        }
    }

    /// Opens it, as [`open`](crate::open()) does.
    ///
    /// # Errors
    /// A store is open that was neither stopped nor [killed](SimulatedDisk::kill), or commits fail.
    pub fn open(&self) -> Result<Opened, OpenError> {
        let mut process = lock(&self.process);
        let path = PathBuf::from("a simulated disk");
        if process.is_some() {
            return Err(OpenError::InUse(path));
        }
        let mut rows = lock(&self.rows);
        if rows.commits_fail {
            let error = DiskError::Full;
            return Err(OpenError::Disk { path, error });
        }
        rows.generation = rows.generation.saturating_add(1);
        let generation = rows.generation;
        *process = Some(Process {
            generation,
            running: None,
        });
        let source = Simulated {
            disk: self.clone(),
            generation,
        };
        Ok(Opened::new(Box::new(source), None))
    }

    /// Writes what is pending in the store that is open, as its thread does twice a second.
    pub fn commit(&self) {
        // Not locked meanwhile, as an event may call for something.
        let running = lock(&self.process)
            .as_mut()
            .and_then(|process| process.running.take());
        let Some((shared, mut writer)) = running else {
            return;
        };
        let batch = shared.lock().queue.take();
        if batch.changes.len() > 0 {
            // The store's report and an event say what fails.
            let _ = writer.write(&shared, batch);
        }
        if let Some(process) = lock(&self.process).as_mut() {
            process.running = Some((shared, writer));
        }
    }

    /// Whether commits fail from now on, because the disk is full.
    pub fn fail_commits(&self, fail: bool) {
        lock(&self.rows).commits_fail = fail;
    }

    /// Kills the process that has it open: what was not committed is lost. Its store takes changes still, and loses them.
    pub fn kill(&self) {
        let process = lock(&self.process).take();
        if let Some((shared, _)) = process.and_then(|process| process.running) {
            shared.end(Ok(()));
        }
    }

    /// The process of this generation stops its store.
    fn stop(&self, generation: u32, shared: &Shared) {
        let is_open = |process: &Option<Process>| {
            (process.as_ref()).is_some_and(|process| process.generation == generation)
        };
        if !is_open(&lock(&self.process)) {
            return;
        }
        self.commit();
        let has_pending = shared.lock().queue.has_pending();
        let result = match has_pending {
            false => Ok(()),
            true => Err(DiskError::Full),
        };
        shared.end(result);
        lock(&self.process).take_if(|process| process.generation == generation);
    }
}

impl Rows {
    /// Makes all changes.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        let generation = self.generation;
        for (key, change) in &batch.changes.sessions {
            self.windows.remove(key);
            match change {
                SessionChange::Put { bound, row } => {
                    let row = SessionRow {
                        generation,
                        bound: *bound,
                        row: row.clone(),
                    };
                    self.sessions.insert(*key, row);
                }
                SessionChange::Delete => {
                    self.sessions.remove(key);
                }
            }
        }
        self.windows.extend(&batch.changes.windows);
        for (key, change) in &batch.changes.records {
            match change {
                RecordChange::Put(value) => self.records.insert(key.clone(), value.clone()),
                RecordChange::Delete => self.records.remove(key),
            };
        }
    }
}

impl Disk for SimulatedDisk {
    fn commit(&mut self, batch: &Batch) -> Result<(), DiskError> {
        let mut rows = lock(&self.rows);
        if rows.commits_fail {
            return Err(DiskError::Full);
        }
        rows.apply(batch);
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// The disk, opened.
struct Simulated {
    disk: SimulatedDisk,
    generation: u32,
}

/// What was opened and never started is closed, as files are.
impl Drop for Simulated {
    fn drop(&mut self) {
        lock(&self.disk.process)
            .take_if(|process| process.generation == self.generation && process.running.is_none());
    }
}

impl Source for Simulated {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn block(&self) -> Block {
        self.disk.block
    }

    fn count_sessions(&self) -> u64 {
        let sessions = lock(&self.disk.rows).sessions.len();
        u64::try_from(sessions).unwrap_or(u64::MAX)
    }

    fn count_records(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for key in lock(&self.disk.rows).records.keys() {
            let count: &mut u64 = counts.entry(key.kind).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    fn records(
        &self,
        kind: Kind,
        each: &mut dyn FnMut(RecordKey, Zeroizing<Vec<u8>>),
    ) -> Result<(), DiskError> {
        let rows = lock(&self.disk.rows);
        let records = rows.records.iter().filter(|(key, _)| key.kind == kind);
        records.for_each(|(key, value)| each(key.clone(), value.clone()));
        Ok(())
    }

    fn sessions(&self, each: &mut dyn FnMut(u64, Option<StoredRow>)) -> Result<(), DiskError> {
        let rows = lock(&self.disk.rows);
        for (key, session) in &rows.sessions {
            let window = rows.windows.get(key);
            let row = StoredRow {
                generation: session.generation,
                bound: session.bound,
                row: session.row.clone(),
                window: window.map(|window| Zeroizing::new(window.bytes().to_vec())),
            };
            each(*key, Some(row));
        }
        Ok(())
    }

    fn start(self: Box<Self>, settings: Settings, on_event: OnEvent) -> Result<Store, DiskError> {
        let shared = Arc::new(Shared::new(Queue::new(settings.capacity)));
        let writer = Writer::new(self.disk.clone(), &settings, on_event);
        let killed = || DiskError::Failed("the process was killed".to_owned());
        lock(&self.disk.process)
            .as_mut()
            .filter(|process| process.generation == self.generation)
            .ok_or_else(killed)?
            .running = Some((Arc::clone(&shared), writer));
        let (disk, generation, of_store) =
            (self.disk.clone(), self.generation, Arc::clone(&shared));
        let at_stop = Box::new(move || disk.stop(generation, &of_store));
        Ok(Store::without_thread(shared, self.disk.block, at_stop))
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = lock(&self.rows);
        f.debug_struct("SimulatedDisk")
            .field("generation", &rows.generation)
            .field("sessions", &rows.sessions.len())
            .field("records", &rows.records.len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
