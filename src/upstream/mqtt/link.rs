//! What others want of a device's connection, whether there is one or not. The device's task takes it from here.

use super::super::{Answer, Error};
use super::connection::Kinds;
use super::encode::Outgoing;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::sync::oneshot;

/// Who waits for the outcome of a request.
pub(super) type Waiter = oneshot::Sender<Result<Answer, Error>>;

pub(super) struct Request {
    pub(super) waiter: Waiter,
    pub(super) outgoing: Outgoing,
    pub(super) deadline: Instant,
}

pub(super) struct Link {
    state: Mutex<State>,
}

struct State {
    wants: Wants,
    has_changed: bool,
    waker: Option<Waker>,
    is_up: bool,
    /// Its task has ended.
    is_retired: bool,
}

/// What is wanted. The requests and acknowledgements are new ones.
#[derive(Default)]
pub(super) struct Wants {
    pub(super) requests: Vec<Request>,
    /// Acknowledgements of messages, each with the number of its connection.
    pub(super) acknowledgements: Vec<(u64, u16)>,
    pub(super) kinds: Kinds,
    /// `None`: the device was not heard.
    pub(super) alive_until: Option<Instant>,
    /// The connection is to be closed.
    pub(super) is_close: bool,
}

/// The link's task has ended, so another link is needed.
pub(super) struct Retired;

impl Link {
    pub(super) fn new() -> Link {
        Link {
            state: Mutex::new(State {
                wants: Wants::default(),
                has_changed: false,
                waker: None,
                is_up: false,
                is_retired: false,
            }),
        }
    }

    /// Changes what is wanted, and wakes the task.
    pub(super) fn change(&self, change: impl FnOnce(&mut Wants)) -> Result<(), Retired> {
        let mut state = self.state();
        if state.is_retired {
            return Err(Retired);
        }
        change(&mut state.wants);
        state.has_changed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes what is wanted, if anything has changed.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Wants> {
        let mut state = self.state();
        match state.has_changed {
            true => Poll::Ready(state.take()),
            false => {
                state.wake_later(context);
                Poll::Pending
            }
        }
    }

    /// Ready when there is a request. Nothing is taken.
    pub(super) fn poll_request(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        match state.wants.requests.is_empty() {
            true => {
                state.wake_later(context);
                Poll::Pending
            }
            false => Poll::Ready(()),
        }
    }

    /// Takes what is wanted.
    pub(super) fn take(&self) -> Wants {
        self.state().take()
    }

    /// Gives requests back that were taken and not sent. They come before newer ones.
    pub(super) fn give_back(&self, mut requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut state = self.state();
        requests.append(&mut state.wants.requests);
        state.wants.requests = requests;
        state.has_changed = true;
    }

    /// Takes all requests and answers them with this error.
    pub(super) fn refuse_requests(&self, error: &Error) {
        let requests = std::mem::take(&mut self.state().wants.requests);
        for request in requests {
            // Whoever does not wait any more needs no answer.
            let _ = request.waiter.send(Err(error.clone()));
        }
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.state().wants.requests.is_empty()
    }

    /// Whether there is no reason for a connection.
    pub(super) fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    /// Retires the link if there is no reason for a connection. Returns whether it is retired.
    pub(super) fn retire(&self) -> bool {
        let mut state = self.state();
        state.is_retired = state.is_idle();
        state.is_retired
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.state().is_up = is_up;
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().is_up
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_later(&mut self, context: &Context<'_>) {
        let is_known = |waker: &Waker| waker.will_wake(context.waker());
        if !self.waker.as_ref().is_some_and(is_known) {
            self.waker = Some(context.waker().clone());
        }
    }

    fn take(&mut self) -> Wants {
        self.has_changed = false;
        Wants {
            requests: std::mem::take(&mut self.wants.requests),
            acknowledgements: std::mem::take(&mut self.wants.acknowledgements),
            kinds: self.wants.kinds,
            alive_until: self.wants.alive_until,
            is_close: std::mem::take(&mut self.wants.is_close),
        }
    }

    fn is_idle(&self) -> bool {
        self.wants.requests.is_empty() && self.wants.kinds.is_empty()
    }
}
