//! Who waits for the downlink: requests that poll, and callers of commands. Each is a task that sleeps until it is told.

use crate::clock::Clock;
use crate::downlink::{
    Command, CommandId, CommandOutcome, Delays, Downlink, LimitReached, PollEnd, PollId, PollKind,
};
use crate::state::Shared;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// A poll that has begun, and where its end comes from.
pub(super) struct PollStarted {
    poll: PollId,
    ended: oneshot::Receiver<PollEnd>,
}

/// The downlink, at the time it is now, and those who wait for it.
pub(super) struct LongPolls {
    downlink: Downlink,
    clock: Clock,
    polls: HashMap<PollId, oneshot::Sender<PollEnd>>,
    callers: HashMap<CommandId, oneshot::Sender<CommandOutcome>>,
    /// When [`run_timers`] comes by next, if it does.
    next_timer_ms: Option<u64>,
    /// Tells it to come timer_changed.
    timer_changed: Arc<Notify>,
}

impl LongPolls {
    pub(super) fn new(clock: Clock) -> LongPolls {
        LongPolls {
            downlink: Downlink::new(Delays::default()),
            clock,
            polls: HashMap::new(),
            callers: HashMap::new(),
            next_timer_ms: None,
            timer_changed: Arc::default(),
        }
    }

    pub(super) fn delays(&self) -> Delays {
        self.downlink.delays()
    }

    /// Something happens, now.
    pub(super) fn apply<T>(&mut self, happens: impl FnOnce(&mut Downlink) -> T) -> T {
        self.downlink.handle_timeout(self.clock.now_ms());
        let result = happens(&mut self.downlink);
        self.deliver();
        result
    }

    /// A poll begins.
    pub(super) fn open(
        &mut self,
        device: &str,
        kind: PollKind,
        timeout_ms: i64,
    ) -> Result<PollStarted, LimitReached> {
        let now_ms = self.clock.now_ms();
        self.downlink.handle_timeout(now_ms);
        let poll = self.downlink.open(device, kind, timeout_ms, now_ms)?;
        let (sender, ended) = oneshot::channel();
        self.polls.insert(poll, sender);
        self.deliver();
        Ok(PollStarted { poll, ended })
    }

    /// A command is given, to expire after so many milliseconds.
    pub(super) fn command(
        &mut self,
        device: &str,
        mut command: Command,
        lasts_ms: u64,
    ) -> Result<oneshot::Receiver<CommandOutcome>, LimitReached> {
        let now_ms = self.clock.now_ms();
        command.expires_ms = now_ms.saturating_add(lasts_ms);
        self.downlink.handle_timeout(now_ms);
        let id = self.downlink.command(device, command, now_ms)?;
        let (sender, outcome) = oneshot::channel();
        self.callers.insert(id, sender);
        self.deliver();
        Ok(outcome)
    }

    fn abandon(&mut self, poll: PollId) {
        self.polls.remove(&poll);
        self.apply(|downlink| downlink.abandon(poll));
    }

    /// Tells those whose waiting is over, and sees to it that time goes forward.
    fn deliver(&mut self) {
        // One who no longer listens has gone away.
        while let Some((poll, ended)) = self.downlink.pop_poll_end() {
            if let Some(waiting) = self.polls.remove(&poll) {
                let _ = waiting.send(ended);
            }
        }
        while let Some((command, outcome)) = self.downlink.pop_command_outcome() {
            if let Some(caller) = self.callers.remove(&command) {
                let _ = caller.send(outcome);
            }
        }
        let next = self.downlink.next_timeout();
        if next.is_some_and(|at| self.next_timer_ms.is_none_or(|awaited| at < awaited)) {
            self.next_timer_ms = next;
            self.timer_changed.notify_one();
        }
    }

    /// Lets happen what is due; when to come again, if nothing happens before.
    fn advance(&mut self) -> Option<Instant> {
        self.apply(|_| ());
        self.next_timer_ms = self.downlink.next_timeout();
        self.next_timer_ms.map(|at| self.clock.at(at))
    }
}

/// Lets time go forward, for as long as it is polled.
pub(super) async fn run_timers(shared: &Shared) {
    let timer_changed = Arc::clone(&shared.lock().long_polls.timer_changed);
    loop {
        let next = shared.lock().long_polls.advance();
        match next {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = timer_changed.notified() => {}
            },
            None => timer_changed.notified().await,
        }
    }
}

/// A poll whose client is still there. When it goes without having been answered, the client went away.
pub(super) struct OpenPoll {
    shared: Arc<Shared>,
    opened: PollStarted,
}

impl OpenPoll {
    /// Not to be dropped while the state is locked.
    pub(super) fn new(shared: &Arc<Shared>, opened: PollStarted) -> OpenPoll {
        OpenPoll {
            shared: Arc::clone(shared),
            opened,
        }
    }

    pub(super) async fn ended(mut self) -> PollEnd {
        (&mut self.opened.ended).await.unwrap_or(PollEnd::Cut)
    }
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.shared.lock().long_polls.abandon(self.opened.poll);
    }
}
