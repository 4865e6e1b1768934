//! Connects the tasks of polls, of callers and of MQTT connections with the [`Downlink`], and drives its timers.

use crate::clock::Clock;
use crate::downlink::{
    Command, CommandId, CommandOutcome, Delays, Downlink, LimitReached, PollEnd, PollId, PollKind,
    Push, PushId,
};
use crate::state::Shared;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// A poll that was opened, and the channel on which its end is sent.
pub(super) struct PollStarted {
    poll: PollId,
    end: oneshot::Receiver<PollEnd>,
}

/// The downlink with the clock, and the channels of the requests that wait for it.
pub(super) struct LongPolls {
    downlink: Downlink,
    clock: Clock,
    polls: HashMap<PollId, oneshot::Sender<PollEnd>>,
    callers: HashMap<CommandId, oneshot::Sender<CommandOutcome>>,
    /// The mailboxes of MQTT connections.
    mailboxes: HashMap<PushId, mpsc::Sender<Push>>,
    /// When [`run_timers`] runs next, if a timer is set.
    next_timer_ms: Option<u64>,
    /// Wakes [`run_timers`] for an earlier timer.
    timer_changed: Arc<Notify>,
}

impl LongPolls {
    pub(super) fn new(clock: Clock) -> LongPolls {
        LongPolls {
            downlink: Downlink::new(Delays::default()),
            clock,
            polls: HashMap::new(),
            callers: HashMap::new(),
            mailboxes: HashMap::new(),
            next_timer_ms: None,
            timer_changed: Arc::default(),
        }
    }

    pub(super) fn delays(&self) -> Delays {
        self.downlink.delays()
    }

    /// Runs the timers that are due, calls `event` on the downlink, and sends the results to the waiting requests.
    pub(super) fn apply<T>(&mut self, event: impl FnOnce(&mut Downlink) -> T) -> T {
        self.downlink.handle_timeout(self.clock.now_ms());
        let result = event(&mut self.downlink);
        self.deliver();
        result
    }

    pub(super) fn open(
        &mut self,
        device: &str,
        kind: PollKind,
        timeout_ms: i64,
    ) -> Result<PollStarted, LimitReached> {
        let now_ms = self.clock.now_ms();
        self.downlink.handle_timeout(now_ms);
        let poll = self.downlink.open(device, kind, timeout_ms, now_ms)?;
        let (sender, end) = oneshot::channel();
        self.polls.insert(poll, sender);
        self.deliver();
        Ok(PollStarted { poll, end })
    }

    /// Sends a command that expires after `lasts_ms`.
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

    /// Sends a persistent command that expires after `lasts_ms`.
    pub(super) fn persistent_command(
        &mut self,
        device: &str,
        mut command: Command,
        lasts_ms: u64,
        retries: Option<u32>,
    ) -> Result<CommandId, LimitReached> {
        let now_ms = self.clock.now_ms();
        command.expires_ms = now_ms.saturating_add(lasts_ms);
        self.apply(|downlink| downlink.persistent_command(device, &command, retries, now_ms))
    }

    /// Opens the session of an MQTT connection, and ends the one that the device has.
    pub(super) fn open_push(
        &mut self,
        device: &str,
        mailbox: mpsc::Sender<Push>,
    ) -> Result<PushId, LimitReached> {
        let push = self.apply(|downlink| downlink.open_push(device))?;
        self.mailboxes.insert(push, mailbox);
        Ok(push)
    }

    /// Removes the session of an MQTT connection.
    pub(super) fn close_push(&mut self, push: PushId) {
        self.mailboxes.remove(&push);
        self.apply(|downlink| downlink.close_push(push));
    }

    fn abandon(&mut self, poll: PollId) {
        self.polls.remove(&poll);
        self.apply(|downlink| downlink.abandon(poll));
    }

    /// Sends results to the waiting requests, and wakes [`run_timers`] if its next timer is now earlier.
    fn deliver(&mut self) {
        // A send fails where the receiver is gone: a client that closed its connection.
        while let Some((poll, end)) = self.downlink.pop_poll_end() {
            if let Some(sender) = self.polls.remove(&poll) {
                let _ = sender.send(end);
            }
        }
        while let Some((command, outcome)) = self.downlink.pop_command_outcome() {
            if let Some(caller) = self.callers.remove(&command) {
                let _ = caller.send(outcome);
            }
        }
        while let Some((push, message)) = self.downlink.pop_push() {
            if let Some(mailbox) = self.mailboxes.get(&push)
                && mailbox.try_send(message).is_err()
            {
                tracing::warn!("an MQTT connection is too far behind the downlink: it is cut");
                self.mailboxes.remove(&push);
            }
        }
        let next = self.downlink.next_timeout();
        if next.is_some_and(|at| self.next_timer_ms.is_none_or(|awaited| at < awaited)) {
            self.next_timer_ms = next;
            self.timer_changed.notify_one();
        }
    }

    /// Runs the timers that are due; when the next one is.
    fn run_due_timers(&mut self) -> Option<Instant> {
        self.apply(|_| ());
        self.next_timer_ms = self.downlink.next_timeout();
        self.next_timer_ms.map(|at| self.clock.at(at))
    }
}

/// Runs the downlink's timers. Never returns.
pub(super) async fn run_timers(shared: &Shared) {
    let timer_changed = Arc::clone(&shared.lock().long_polls.timer_changed);
    loop {
        let next = shared.lock().long_polls.run_due_timers();
        match next {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = timer_changed.notified() => {}
            },
            None => timer_changed.notified().await,
        }
    }
}

/// An open poll. Dropping it before its end means that the client closed its connection.
pub(super) struct OpenPoll {
    shared: Arc<Shared>,
    started: PollStarted,
}

impl OpenPoll {
    /// Must not be dropped while the state is locked: dropping locks it.
    pub(super) fn new(shared: &Arc<Shared>, started: PollStarted) -> OpenPoll {
        OpenPoll {
            shared: Arc::clone(shared),
            started,
        }
    }

    pub(super) async fn end(mut self) -> PollEnd {
        (&mut self.started.end).await.unwrap_or(PollEnd::Cut)
    }
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.shared.lock().long_polls.abandon(self.started.poll);
    }
}
