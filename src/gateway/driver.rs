//! The loop around the core: the only place that waits, and the only one in these rooms that reads
//! a clock.
//!
//! Each turn is bounded: one batch of datagrams, and of each device no more than its share ([`turns`](crate::quotas::turns)), so
//! many completions, so many timers; then all that came of it goes out. So neither a flood of datagrams nor a slow upstream keeps the other waiting.

use super::call::{Completion, Ticket};
use super::core::Core;
use super::handle::{Order, SESSIONS_PER_ANSWER};
use super::tap::Tap;
use crate::dtls::Path;
use crate::gateway::upstream_call::forward;
use crate::logging::notices::Notices;
use crate::udp::{BATCH, Udp};
use crate::upstream::Upstream;
use rustls_pki_types::UnixTime;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

/// Completions taken in one turn.
const COMPLETIONS_PER_TURN: usize = 256;
/// Datagrams taken from the kernel in one turn, those included that are more than their device's share.
const DATAGRAMS_PER_TURN: usize = 2048;
/// How often the counters are shown (at debug), and bounds that were reached (at warn).
const COUNTERS_EVERY: Duration = Duration::from_secs(60);
/// Pause after an error of the socket that a retry at once would only repeat.
const SOCKET_PAUSE: Duration = Duration::from_millis(100);

/// When and how a gateway stops.
#[derive(Debug)]
pub struct Stop<A, I> {
    /// Resolves when it is to stop: nobody new is let in, and what is under way comes to its end.
    pub asked: A,
    /// How long that may take.
    pub drain: Duration,
    /// Resolves when there is no time for that any more.
    pub insisted: I,
}

/// How a gateway has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Requests of devices that were on their way to ThingsBoard and are left unanswered.
    pub cut_off: usize,
}

/// A core, its socket and its upstream.
pub struct Shard<U> {
    core: Core,
    udp: Udp,
    upstream: Arc<U>,
    timeout: Duration,
    completions: mpsc::Receiver<Completion>,
    completed: mpsc::Sender<Completion>,
    orders: mpsc::Receiver<Order>,
    /// Calls that can be aborted, by what their answer is for: a session or an observation may end before they do.
    abortable: HashMap<Ticket, AbortHandle>,
    socket_errors: Notices<io::ErrorKind>,
    /// Until when the socket is left alone after an error.
    paused_until: Option<Instant>,
    /// Datagrams the kernel would not take: its buffer was full, or there was no way to the peer.
    unsent: u64,
}

impl<U: Upstream> Shard<U> {
    /// `most_calls` is how many the core may have under way: the channel of completions has room for so many.
    pub(super) fn new(
        core: Core,
        udp: Udp,
        upstream: Arc<U>,
        timeout: Duration,
        most_calls: usize,
        orders: mpsc::Receiver<Order>,
    ) -> Shard<U> {
        let (completed, completions) = mpsc::channel(most_calls.max(1));
        Shard {
            core,
            udp,
            upstream,
            timeout,
            completions,
            completed,
            orders,
            abortable: HashMap::new(),
            socket_errors: Notices::every(Duration::from_secs(60)),
            paused_until: None,
            unsent: 0,
        }
    }

    pub(super) fn open_tap(&mut self, tap: Tap) {
        self.core.open_tap(tap);
    }

    /// Serves until it is to stop, then drains: see [`Stop`].
    pub async fn run(
        mut self,
        stop: Stop<impl Future<Output = ()>, impl Future<Output = ()>>,
    ) -> End {
        let (mut asked, mut insisted) = (pin!(stop.asked), pin!(stop.insisted));
        let mut was_asked = false;
        let mut timer = pin!(tokio::time::sleep(COUNTERS_EVERY));
        let mut counters_at = now() + COUNTERS_EVERY;
        let (mut heap, mut heap_at) = (
            heap_trim::Schedule::new(now()),
            now() + heap_trim::LOOK_EVERY,
        );
        loop {
            self.send_all();
            let wanted = [self.core.next_timeout(), self.paused_until];
            let regular = counters_at.min(heap_at);
            let deadline = wanted.into_iter().flatten().fold(regular, Instant::min);
            tokio::select! {
                () = &mut asked, if !was_asked => {
                    was_asked = true;
                    let sessions = self.core.sessions();
                    info!(sessions, in_flight = self.core.in_flight(), "stopping: no new handshakes");
                    self.core.drain(now(), stop.drain);
                }
                () = &mut insisted, if was_asked => break,
                readable = self.udp.readable(), if self.paused_until.is_none() => {
                    self.receive(readable);
                }
                Some(completion) = self.completions.recv() => self.complete(completion),
                Some(order) = self.orders.recv() => self.obey(order),
                () = wait_until(timer.as_mut(), deadline) => {}
            }
            let now = now();
            self.paused_until = self.paused_until.filter(|until| *until > now);
            self.core.handle_timeout(now);
            if self.core.is_drained() {
                break;
            }
            if now >= heap_at {
                heap_at = now + heap_trim::LOOK_EVERY;
                if heap.is_due(now, self.core.sessions_and_handshakes_ended()) {
                    // Some milliseconds, in a thread that nothing waits for. malloc_trim(3) locks the heap, arena by arena.
                    tokio::task::spawn_blocking(heap_trim::trim);
                }
            }
            if now >= counters_at {
                counters_at = now + COUNTERS_EVERY;
                self.core.tell_pressure(self.unsent);
                let (dtls, coap, gateway) = self.core.counters();
                debug!(
                    sessions = self.core.sessions(),
                    ?dtls,
                    ?coap,
                    ?gateway,
                    relay = ?self.core.relay_counters(),
                    packages = ?self.core.package_counters(),
                    "counters"
                );
            }
        }
        let end = End {
            cut_off: self.core.in_flight(),
        };
        self.core.close_all(now());
        self.send_all();
        let (dtls, coap, gateway) = self.core.counters();
        let relay = self.core.relay_counters();
        info!(
            unsent = self.unsent,
            ?dtls,
            ?coap,
            ?gateway,
            ?relay,
            packages = ?self.core.package_counters(),
            "stopped"
        );
        end
    }

    /// Does what it is told from outside, and answers what it is asked. Who has asked may have gone since.
    fn obey(&mut self, order: Order) {
        let now = now();
        match order {
            Order::Change(change, done) => {
                self.core.change(now, change);
                let _ = done.send(());
            }
            Order::Report(answer) => {
                let mut report = self.core.report(self.unsent);
                report.levels.completions_waiting = self.completions.len();
                let _ = answer.send(Box::new(report));
            }
            Order::Sessions(answer) => {
                let _ = answer.send(self.core.session_ids());
            }
            Order::Describe(sessions, answer) => {
                let known = sessions.into_iter().take(SESSIONS_PER_ANSWER);
                let lines = known.filter_map(|session| self.core.describe(now, session));
                let _ = answer.send(lines.collect());
            }
        }
    }

    /// Takes one batch of datagrams; and more, while devices have sent beyond their share: what others have sent stands
    /// behind it in the kernel's buffer.
    fn receive(&mut self, readable: io::Result<()>) {
        let now = now();
        self.core.set_unix_time(unix_time());
        let core = &mut self.core;
        let received = readable.and_then(|()| {
            let mut taken = 0;
            loop {
                let count = self.udp.receive(|received| {
                    let path = Path {
                        remote: received.remote,
                        local: received.local,
                    };
                    core.receive(now, path, received.datagram);
                })?;
                taken += count;
                if count < BATCH || taken >= DATAGRAMS_PER_TURN || core.handled_in_turn() >= BATCH {
                    return Ok(());
                }
            }
        });
        if let Err(error) = received {
            if self.socket_errors.is_first(now, error.kind()) {
                warn!("the UDP socket reports: {error}");
            }
            self.paused_until = Some(now + SOCKET_PAUSE);
        }
    }

    /// Takes one completion and those that wait behind it.
    fn complete(&mut self, completion: Completion) {
        let now = now();
        self.abortable.remove(&completion.ticket);
        self.core.complete(now, completion);
        for _ in 1..COMPLETIONS_PER_TURN {
            let Ok(completion) = self.completions.try_recv() else {
                break;
            };
            self.abortable.remove(&completion.ticket);
            self.core.complete(now, completion);
        }
    }

    /// Sends all datagrams and makes all calls the core wants.
    fn send_all(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            let path = transmit.path;
            let sent = self.udp.send(path.remote, path.local, &transmit.datagram);
            self.unsent += u64::from(!sent);
        }
        while let Some(call) = self.core.poll_call() {
            let ticket = call.ticket;
            let (upstream, completed) = (self.upstream.clone(), self.completed.clone());
            let task = tokio::spawn(forward(upstream, self.timeout, call, completed));
            if ticket.may_be_given_up() {
                self.abortable.insert(ticket, task.abort_handle());
            }
        }
        while let Some(ticket) = self.core.poll_abort() {
            if let Some(call) = self.abortable.remove(&ticket) {
                call.abort();
            }
        }
    }
}

/// Resolves at the deadline. A timer of tokio's counts in milliseconds and rounds up: what is due already is not left to it,
/// or the loop would do one thing a millisecond where it could do five.
async fn wait_until(mut timer: Pin<&mut tokio::time::Sleep>, deadline: Instant) {
    if deadline <= now() {
        // Not at once: datagrams and completions that are there go first.
        tokio::task::yield_now().await;
    } else {
        timer.as_mut().reset(deadline.into());
        timer.await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the loop owns the clock")]
fn now() -> Instant {
    Instant::now()
}

fn unix_time() -> UnixTime {
    UnixTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_due_does_not_wait_for_the_timers_next_millisecond() {
        let mut timer = pin!(tokio::time::sleep(COUNTERS_EVERY));
        let start = now();
        for _ in 0..1_000 {
            let due = now();
            wait_until(timer.as_mut(), due).await;
        }
        let passed = start.elapsed();
        assert!(passed < Duration::from_millis(500), "{passed:?}");
        let later = now() + Duration::from_millis(20);
        wait_until(timer.as_mut(), later).await;
        assert!(now() >= later);
    }
}
