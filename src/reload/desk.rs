//! The thread on which files are read, and registries freed that are no longer wanted.
//!
//! It is one and the same each time. An allocator that keeps what is freed by thread, as glibc's does, then finds room
//! for the next registry in what the last but one has left; each thread of a pool would keep as much of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The way to that thread, which ends with it.
pub(super) struct Desk {
    works: SyncSender<Work>,
}

/// The work was not done to its end, for a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

impl Desk {
    /// Starts the thread.
    pub(super) fn new() -> io::Result<Desk> {
        let (works, arriving) = sync_channel::<Work>(1);
        let thread = std::thread::Builder::new().name("reload".to_owned());
        thread.spawn(move || {
            for work in arriving {
                // Who waits for it hears of a panic; what it has worked on is gone with it.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        })?;
        Ok(Desk { works })
    }

    /// Has something done there. For one at a time: what is done for another keeps the caller's thread waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            let _ = answer.send(work());
        });
        self.works.send(work).map_err(|_| Panicked)?;
        answered.await.map_err(|_| Panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_work_is_done_on_one_thread_which_outlives_a_panic() {
        let desk = Desk::new().unwrap();
        let here = || std::thread::current().id();
        let first = desk.run(here).await.unwrap();
        assert_ne!(first, here());
        let failed: Result<(), Panicked> = desk.run(|| panic!("a panic of the test")).await;
        assert_eq!(failed, Err(Panicked));
        assert_eq!(desk.run(here).await, Ok(first));
    }
}
