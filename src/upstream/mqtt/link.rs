//! What is demanded of a device's connection, whether it is open or not. The device's task takes it from here.

use super::super::{Error, Operation};
use super::connection::{Kinds, Numbers};
use super::encode::Outgoing;
use super::members::Members;
use super::notice::Notice;
use super::waiter::Waiter;
use crate::device::Device;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Request {
    pub(super) waiter: Waiter,
    pub(super) message: Message,
    pub(super) deadline: Instant,
}

/// What a request sends.
pub(super) enum Message {
    Checked(Outgoing),
    /// To be checked and encoded in the connection's task: that reads the whole body.
    Unchecked(Operation),
}

impl Message {
    pub(super) fn check(self) -> Result<Outgoing, Error> {
        match self {
            Message::Checked(outgoing) => Ok(outgoing),
            Message::Unchecked(operation) => Outgoing::new(&operation),
        }
    }
}

/// A link whose connection is open.
pub(super) struct Open<'a>(MutexGuard<'a, State>);

impl Open<'_> {
    /// Adds a request, and wakes the task. Until then the device counts as alive.
    pub(super) fn push(self, request: Request, alive_until: Instant) {
        let Open(mut state) = self;
        let demand = &mut state.demand;
        demand.alive_until = demand.alive_until.max(Some(alive_until));
        demand.push_request(request);
        state.has_changed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

pub(super) struct Link {
    state: Mutex<State>,
}

struct State {
    demand: Demand,
    has_changed: bool,
    waker: Option<Waker>,
    is_up: bool,
    is_backing_off: bool,
    /// Its connection was lost, is still needed, and is not open again.
    is_missing: bool,
    /// Its task has ended.
    is_retired: bool,
}

/// What is demanded. The requests and acknowledgements are new ones.
#[derive(Default)]
pub(super) struct Demand {
    pub(super) requests: Vec<Request>,
    /// Packet ids of messages, each with the number of its connection.
    pub(super) acknowledgements: Vec<(u64, u16)>,
    pub(super) members: Members,
    /// Until when the device counts as alive.
    pub(super) alive_until: Option<Instant>,
    /// The connection is to be closed.
    pub(super) is_close: bool,
}

/// What the task takes of it.
pub(super) struct Taken {
    pub(super) requests: Vec<Request>,
    pub(super) acknowledgements: Vec<(u64, u16)>,
    pub(super) subscriptions: Numbers,
    /// Until when the device counts as alive.
    pub(super) alive_until: Option<Instant>,
    /// The connection is to be closed, and nothing was wanted of it since.
    pub(super) is_close: bool,
}

impl Demand {
    pub(super) fn push_request(&mut self, request: Request) {
        self.requests.push(request);
        self.is_close = false;
    }

    pub(super) fn subscribe(
        &mut self,
        device: &Arc<Device>,
        kinds: Kinds,
        number: u64,
    ) -> Result<(), Error> {
        self.is_close = false;
        self.members.subscribe(device, kinds, number)
    }

    fn has_requests(&self) -> bool {
        !self.requests.iter().all(Request::is_given_up)
    }

    /// Nothing is to be subscribed to, and the connection is to be closed.
    pub(super) fn close(&mut self) {
        self.members.unsubscribe_all();
        self.is_close = true;
    }
}

/// Whether a connection is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Now,
    /// Something is to be subscribed to, but the device has sent nothing for long. A CONNECT would make it active.
    OnceAlive,
    None,
}

/// The state of a device's connection to ThingsBoard, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// ThingsBoard has accepted it.
    Open,
    /// It waits to be opened, or is being opened.
    Waiting,
    /// It has failed, and is tried again later.
    BackingOff,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Waiting => "waiting",
            Status::BackingOff => "backing_off",
        }
    }
}

/// The link's task has ended, so another link is needed.
pub(super) struct Retired;

impl Request {
    /// Whether its outcome is of no interest any more.
    fn is_given_up(&self) -> bool {
        self.waiter.is_closed()
    }
}

impl Link {
    /// Of no device.
    pub(super) fn new() -> Link {
        Link::with(Members::default())
    }

    /// Of this device first.
    pub(super) fn of(device: Arc<Device>) -> Link {
        Link::with(Members::new(device))
    }

    fn with(members: Members) -> Link {
        let demand = Demand {
            members,
            ..Demand::default()
        };
        Link {
            state: Mutex::new(State {
                demand,
                has_changed: false,
                waker: None,
                is_up: false,
                is_backing_off: false,
                is_missing: false,
                is_retired: false,
            }),
        }
    }

    /// `None`: its connection is not open.
    pub(super) fn if_open(&self) -> Option<Open<'_>> {
        let state = self.state();
        state.is_up.then(|| Open(state))
    }

    /// Changes what is wanted, and wakes the task.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Demand) -> R) -> Result<R, Retired> {
        let mut state = self.state();
        if state.is_retired {
            return Err(Retired);
        }
        let result = change(&mut state.demand);
        state.has_changed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(result)
    }

    /// The device counts as alive until then. Each of its messages says so, so the task is woken only if that is much longer
    /// than it knows.
    pub(super) fn extend_alive(&self, now: Instant, until: Instant) {
        let tolerance = until.saturating_duration_since(now) / 16;
        let known = self.state().demand.alive_until;
        if known.is_none_or(|known| known + tolerance < until) {
            // Without its task there is no connection.
            let _ = self.change(|demand| demand.alive_until = demand.alive_until.max(Some(until)));
        }
    }

    /// Takes what is wanted, if anything has changed. In any case the task is woken at the next change.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Option<Taken> {
        let mut state = self.state();
        state.wake_later(context);
        state.has_changed.then(|| state.take())
    }

    /// Ready when the need is another one. Nothing is taken.
    pub(super) fn poll_need(
        &self,
        now: Instant,
        known: Need,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut state = self.state();
        match state.need(now) == known {
            true => {
                state.wake_later(context);
                Poll::Pending
            }
            false => Poll::Ready(()),
        }
    }

    /// Ready when there is a request. Nothing is taken.
    pub(super) fn poll_request(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        match state.demand.has_requests() {
            true => Poll::Ready(()),
            false => {
                state.wake_later(context);
                Poll::Pending
            }
        }
    }

    /// Takes what is wanted.
    pub(super) fn take(&self) -> Taken {
        self.state().take()
    }

    /// Gives requests back that were taken and not sent. They come before newer ones. All wait for another connection.
    pub(super) fn give_back(&self, mut requests: Vec<Request>) {
        let mut state = self.state();
        requests.append(&mut state.demand.requests);
        for request in &mut requests {
            request.waiter.await_deadline(request.deadline);
        }
        state.has_changed |= !requests.is_empty();
        state.demand.requests = requests;
    }

    /// Takes all requests and answers them with this error. Returns their number.
    pub(super) fn refuse_requests(&self, error: &Error) -> usize {
        let requests = std::mem::take(&mut self.state().demand.requests);
        let number = requests.len();
        for request in requests {
            request.waiter.finish(Err(error.clone()));
        }
        number
    }

    /// Removes the requests that were given up.
    pub(super) fn remove_given_up(&self) {
        let requests = &mut self.state().demand.requests;
        requests.retain(|request| !request.is_given_up());
    }

    pub(super) fn has_requests(&self) -> bool {
        self.state().demand.has_requests()
    }

    /// Whether anything is to be subscribed to.
    pub(super) fn has_subscriptions(&self) -> bool {
        !self.state().demand.members.wanted().is_empty()
    }

    /// Nothing is to be subscribed to any more.
    pub(super) fn clear_subscriptions(&self) {
        self.state().demand.members.unsubscribe_all();
    }

    /// Those that a notice is for, each with the notice in its own form.
    pub(super) fn recipients(&self, notice: &Notice) -> Vec<(Arc<Device>, Notice)> {
        self.state().demand.members.recipients(notice)
    }

    /// How many recipients a notice may have.
    pub(super) fn most_recipients(&self) -> usize {
        self.state().demand.members.len()
    }

    pub(super) fn need(&self, now: Instant) -> Need {
        self.state().need(now)
    }

    /// Retires the link if no connection is needed. Returns whether it is retired.
    pub(super) fn retire(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.is_retired = state.need(now) == Need::None;
        state.is_retired
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.state().is_up = is_up;
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().is_up
    }

    pub(super) fn set_backing_off(&self, is_backing_off: bool) {
        self.state().is_backing_off = is_backing_off;
    }

    /// Sets whether its connection is missing. Returns whether it was.
    pub(super) fn replace_missing(&self, is_missing: bool) -> bool {
        std::mem::replace(&mut self.state().is_missing, is_missing)
    }

    /// Its state, for operators.
    pub(super) fn status(&self) -> Status {
        let state = self.state();
        match (state.is_up, state.is_backing_off) {
            (true, _) => Status::Open,
            (false, true) => Status::BackingOff,
            (false, false) => Status::Waiting,
        }
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

    fn take(&mut self) -> Taken {
        self.has_changed = false;
        Taken {
            requests: std::mem::take(&mut self.demand.requests),
            acknowledgements: std::mem::take(&mut self.demand.acknowledgements),
            subscriptions: self.demand.members.wanted(),
            alive_until: self.demand.alive_until,
            is_close: std::mem::take(&mut self.demand.is_close),
        }
    }

    fn need(&self, now: Instant) -> Need {
        let demand = &self.demand;
        if demand.has_requests() {
            Need::Now
        } else if demand.members.wanted().is_empty() {
            Need::None
        } else if demand.alive_until.is_some_and(|until| until > now) {
            Need::Now
        } else {
            Need::OnceAlive
        }
    }
}
