//! [`Opening`] with a clock: tasks wait here until they may open a connection.

use super::opening::Opening;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often waiting tasks are looked at. Not while none waits.
const TICK: Duration = Duration::from_millis(10);

type Waiter = oneshot::Sender<Option<Permit>>;

pub(super) struct Opener {
    state: Mutex<State>,
}

struct State {
    opening: Opening<Waiter>,
    is_ticking: bool,
}

/// Allows to open one connection. Dropped, it counts as not opened.
pub(super) struct Permit {
    opener: Arc<Opener>,
    is_reported: bool,
}

impl Opener {
    pub(super) fn new(now: Instant, per_second: u32) -> Arc<Opener> {
        let opening = Opening::new(now, per_second);
        let is_ticking = false;
        Arc::new(Opener {
            state: Mutex::new(State {
                opening,
                is_ticking,
            }),
        })
    }

    /// Waits until a connection may be opened. `None`: ThingsBoard can't be reached, and requests (`is_busy`) are not to
    /// wait for that.
    pub(super) async fn acquire(self: &Arc<Self>, is_busy: bool) -> Option<Permit> {
        let (waiter, woken) = oneshot::channel();
        {
            let mut state = self.state();
            state.opening.push(waiter, is_busy);
            if !state.is_ticking {
                state.is_ticking = true;
                tokio::spawn(tick(self.clone()));
            }
        }
        self.release();
        woken.await.ok().flatten()
    }

    /// Whether a request that needs a new connection would wait for ThingsBoard to be reachable again.
    pub(super) fn is_out(&self) -> bool {
        self.state().opening.is_out(super::now())
    }

    /// Connections that wait to be opened.
    pub(super) fn waiting(&self) -> usize {
        self.state().opening.waiting()
    }

    /// Wakes all that may open a connection now, and those that are not to wait.
    fn release(self: &Arc<Self>) {
        let now = super::now();
        loop {
            let mut state = self.state();
            let (waiter, permit) = if let Some(waiter) = state.opening.pop(now) {
                if waiter.is_closed() {
                    state.opening.refund();
                    continue;
                }
                let opener = self.clone();
                let is_reported = false;
                let permit = Permit {
                    opener,
                    is_reported,
                };
                (waiter, Some(permit))
            } else if let Some(waiter) = state.opening.pop_refused(now) {
                (waiter, None)
            } else {
                return;
            };
            drop(state);
            // Without the lock: if the receiver is gone, the permit is dropped here, which takes it.
            let _ = waiter.send(permit);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tick(opener: Arc<Opener>) {
    loop {
        tokio::time::sleep(TICK).await;
        opener.release();
        let mut state = opener.state();
        if state.opening.is_empty() {
            state.is_ticking = false;
            return;
        }
    }
}

impl Permit {
    /// ThingsBoard has answered, even if it has refused the connection.
    pub(super) fn succeeded(self) {
        self.report(Opening::succeeded);
    }

    /// ThingsBoard can't be reached.
    pub(super) fn failed(self) {
        self.report(|opening| opening.failed(super::now(), fastrand::f64()));
    }

    /// The connection is not needed any more, so another one may be opened instead.
    pub(super) fn unused(self) {
        self.report(Opening::refund);
    }

    fn report(mut self, report: impl FnOnce(&mut Opening<Waiter>)) {
        self.is_reported = true;
        report(&mut self.opener.state().opening);
        self.opener.release();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_reported {
            self.opener.state().opening.cancelled();
        }
    }
}
