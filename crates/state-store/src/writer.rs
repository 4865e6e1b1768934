//! The thread that puts changes on disk.
//!
//! ```text
//!  wait for a change ──▶ wait for more (the interval) ──▶ commit ──┬─ done ──▶ …
//!        │                                                  ▲      └─ failed: wait 1 s, 2 s, … 30 s
//!        └─ none for a while: tidy                          └──────────────────────────┘
//! ```

use crate::disk_error::DiskError;
use crate::queue::{Batch, Queue, Synced};
use crate::store::{Event, Report, Settings};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest wait after a commit that failed.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How long there is no change until the log is emptied and space given back.
const IDLE: Duration = Duration::from_secs(10);

/// What changes are put on.
pub(crate) trait Disk: Send + 'static {
    /// Makes all changes or none, and returns when they are synced. After an error it is not known which.
    fn commit(&mut self, batch: &Batch) -> Result<(), DiskError>;

    /// Gives space back that is not needed. It may take a while.
    fn tidy(&mut self) -> Result<(), DiskError>;
}

/// What the loop and the thread share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is something to do for the thread.
    changed: Condvar,
    /// The thread has ended.
    ended: Condvar,
    /// [`Queue::synced`], to be read without the lock.
    synced: AtomicU64,
}

pub(crate) struct State {
    pub(crate) queue: Queue,
    /// The thread writes what is pending, and ends.
    pub(crate) is_stopping: bool,
    /// The thread has ended, with this. Nothing is written any more.
    pub(crate) ended: Option<Result<(), DiskError>>,
    pub(crate) report: Report,
}

impl Shared {
    pub(crate) fn new(queue: Queue) -> Shared {
        Shared {
            state: Mutex::new(State {
                queue,
                is_stopping: false,
                ended: None,
                report: Report::default(),
            }),
            changed: Condvar::new(),
            ended: Condvar::new(),
            synced: AtomicU64::new(0),
        }
    }

    /// Nothing panics while it has the lock, so what a poisoned lock holds is whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn synced(&self) -> Synced {
        Synced(self.synced.load(Ordering::Acquire))
    }

    /// The thread has ended, unless it has before.
    pub(crate) fn end(&self, result: Result<(), DiskError>) {
        self.lock().ended.get_or_insert(result);
        self.ended.notify_all();
    }

    /// Waits until the thread has ended. `None`: it has not, in this time.
    pub(crate) fn wait_for_end(&self, at_most: Duration) -> Option<Result<(), DiskError>> {
        let goes_on = |state: &mut State| state.ended.is_none();
        let waited = (self.ended).wait_timeout_while(self.lock(), at_most, goes_on);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended.clone()
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, at_most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Says that a thread has ended, however it does.
pub(crate) struct EndOfThread(pub(crate) Arc<Shared>);

impl Drop for EndOfThread {
    fn drop(&mut self) {
        let panicked = "the thread that writes has panicked".to_owned();
        self.0.end(Err(DiskError::Failed(panicked)));
    }
}

/// Called with what the operator should know.
pub(crate) type OnEvent = Box<dyn FnMut(Event) + Send>;

/// The thread's own state.
pub(crate) struct Writer<D> {
    disk: D,
    interval: Duration,
    first_retry: Duration,
    on_event: OnEvent,
    failed: Option<Failed>,
}

impl<D: Disk> Writer<D> {
    pub(crate) fn new(disk: D, settings: &Settings, on_event: OnEvent) -> Writer<D> {
        Writer {
            disk,
            interval: settings.interval,
            first_retry: settings.first_retry,
            on_event,
            failed: None,
        }
    }

    /// Runs until the store is stopped, and returns whether everything is on disk.
    pub(crate) fn run(mut self, shared: &Shared) -> Result<(), DiskError> {
        let mut is_tidy = false;
        loop {
            let state = shared.lock();
            if !state.queue.has_pending() {
                if state.is_stopping {
                    drop(state);
                    // Everything is on disk, tidy or not.
                    let _ = self.disk.tidy();
                    return Ok(());
                }
                let state = shared.wait(state, IDLE);
                if !is_tidy && !state.queue.has_pending() && !state.is_stopping {
                    drop(state);
                    // Where it fails, so do commits, which report it.
                    is_tidy = self.disk.tidy().is_ok();
                }
                continue;
            }
            let mut state = self.pause(shared, state);
            let stops = state.is_stopping;
            let batch = state.queue.take();
            drop(state);
            is_tidy = false;
            match self.write(shared, batch) {
                Err(error) if stops => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Waits, but not when the store stops, nor, unless a commit has failed, when the queue gets full.
    fn pause<'a>(&self, shared: &Shared, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let failed = self.failed.as_ref();
        let pause = failed.map_or(self.interval, |failed| failed.retry);
        let goes_on = |state: &mut State| {
            !state.is_stopping && (failed.is_some() || !state.queue.is_half_full())
        };
        let waited = (shared.changed).wait_timeout_while(state, pause, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Commits a batch, or puts it back, and says so.
    pub(crate) fn write(&mut self, shared: &Shared, batch: Batch) -> Result<(), DiskError> {
        let result = self.disk.commit(&batch);
        count(shared, batch, result.is_ok());
        match (&result, self.failed.take()) {
            (Ok(()), None) => {}
            (Ok(()), Some(before)) => (self.on_event)(Event::WorksAgain {
                failed: before.commits,
            }),
            (Err(error), before) => {
                if before.is_none() {
                    (self.on_event)(Event::Failing(error.clone()));
                }
                self.failed = Some(Failed::again(before, self.first_retry));
            }
        }
        result
    }
}

fn count(shared: &Shared, batch: Batch, is_committed: bool) {
    let rows = u64::try_from(batch.changes.len()).unwrap_or(u64::MAX);
    let mut state = shared.lock();
    let State { queue, report, .. } = &mut *state;
    // Dropped after the lock: there may be many rows, each of which is overwritten.
    let mut written = None;
    if is_committed {
        queue.committed(&batch);
        written = Some(batch);
        report.commits = report.commits.saturating_add(1);
        report.changes = report.changes.saturating_add(rows);
    } else {
        queue.failed(batch);
        report.failed_commits = report.failed_commits.saturating_add(1);
    }
    report.is_failing = !is_committed;
    shared.synced.store(queue.synced().0, Ordering::Release);
    drop(state);
    drop(written);
}

/// Commits that failed, one after the other.
struct Failed {
    commits: u64,
    /// How long to wait until the next.
    retry: Duration,
}

impl Failed {
    fn again(before: Option<Failed>, first: Duration) -> Failed {
        match before {
            None => Failed {
                commits: 1,
                retry: first,
            },
            Some(before) => Failed {
                commits: before.commits.saturating_add(1),
                retry: before.retry.saturating_mul(2).min(LONGEST_RETRY),
            },
        }
    }
}
