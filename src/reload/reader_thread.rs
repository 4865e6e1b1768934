//! The thread that reads files, and frees registries that are no longer used.
//!
//! It is always the same thread. An allocator that keeps freed memory for each thread, as glibc's does, then finds room
//! for the next registry in that of the last but one; each thread of a pool would keep as much of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The sender of jobs. The thread ends when it is dropped.
pub(super) struct ReaderThread {
    jobs: SyncSender<Job>,
}

/// A job ended with a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

impl ReaderThread {
    pub(super) fn start() -> io::Result<ReaderThread> {
        let (jobs, receiver) = sync_channel::<Job>(1);
        let thread = std::thread::Builder::new().name("reload".to_owned());
        thread.spawn(move || {
            for job in receiver {
                // The caller gets `Panicked`, because its sender is dropped with the job.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(ReaderThread { jobs })
    }

    /// Runs a job there. One at a time: a second would block the caller's thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (sender, result) = oneshot::channel();
        let job = Box::new(move || {
            let _ = sender.send(job());
        });
        self.jobs.send(job).map_err(|_| Panicked)?;
        result.await.map_err(|_| Panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_jobs_run_on_one_thread_which_survives_a_panic() {
        let reader = ReaderThread::start().unwrap();
        let thread = || std::thread::current().id();
        let first = reader.run(thread).await.unwrap();
        assert_ne!(first, thread());
        let failed: Result<(), Panicked> = reader.run(|| panic!("a panic of the test")).await;
        assert_eq!(failed, Err(Panicked));
        assert_eq!(reader.run(thread).await, Ok(first));
    }
}
