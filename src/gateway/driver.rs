//! The loop around the core: the only place that waits, and the only one in these rooms that reads a clock.
//!
//! Each turn is bounded: one batch of datagrams, of each device no more than its share ([`turns`](crate::quotas::turns)), so
//! many completions, so many timers; then all outputs are sent. So neither a flood of datagrams nor a slow ThingsBoard
//! delays the other.

use super::core::{Core, DownlinkRequest};
use super::group_io::GroupIo;
use super::handle::{Command, SESSIONS_PER_ANSWER};
use super::tap::Tap;
use crate::calls::pushed::Pushed;
use crate::calls::task;
use crate::calls::{Completion, Ticket};
use crate::downlink::Kind;
use crate::dtls::Path;
use crate::gateway::log;
use crate::gateway::report::SessionLine;
use crate::logging::throttle::Throttle;
use crate::udp::{BATCH, Udp};
use crate::upstream::{self, Kinds, Upstream};
use rustls_pki_types::UnixTime;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{debug, error, info, warn};

/// Completions taken in one turn.
const COMPLETIONS_PER_TURN: usize = 256;
/// Datagrams taken from the kernel in one turn, queued ones included.
const DATAGRAMS_PER_TURN: usize = 2048;
/// How often counters (at debug) and reached bounds (at warn) are logged.
const COUNTERS_EVERY: Duration = Duration::from_secs(60);
/// Pause after an error of the socket: an immediate retry would fail again.
const SOCKET_PAUSE: Duration = Duration::from_millis(100);

/// How long devices' connections to ThingsBoard may take to close when the gateway stops.
const CLOSING: Duration = Duration::from_secs(2);

/// How long the disk may take for what is left to be stored when the gateway stops.
const STORING: Duration = Duration::from_secs(10);

/// When and how a gateway stops.
#[derive(Debug)]
pub(crate) struct Shutdown<R, F> {
    /// Resolves when draining is to begin: no new handshakes, and open exchanges end.
    pub requested: R,
    /// The time limit of draining.
    pub drain: Duration,
    /// Resolves when draining is to be cut short.
    pub forced: F,
}

/// The result of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Requests that were in flight to ThingsBoard and are left unanswered.
    pub cut_off: usize,
}

/// How calls to ThingsBoard are made.
pub(super) struct Calls<U> {
    pub(super) upstream: Arc<U>,
    /// Where: what they read must not keep the loop waiting.
    pub(super) workers: Handle,
    pub(super) timeout: Duration,
    /// How many may be open: the channel of completions has room for them.
    pub(super) most: usize,
}

/// A core, its socket and its upstream.
pub(crate) struct Driver<U> {
    core: Core,
    udp: Udp,
    upstream: Arc<U>,
    workers: Handle,
    timeout: Duration,
    completions: mpsc::Receiver<Completion>,
    completed: mpsc::Sender<Completion>,
    commands: mpsc::Receiver<Command>,
    /// What ThingsBoard has sent of its own accord, over MQTT.
    pushed: mpsc::Receiver<Pushed>,
    /// Calls that can be aborted: their session or observation may end first.
    abortable: HashMap<Ticket, AbortHandle>,
    socket_errors: Throttle<io::ErrorKind>,
    /// Set after an error of the socket: it is not used until then.
    paused_until: Option<Instant>,
    /// Datagrams that the kernel did not take: its buffer was full, or it had no route.
    unsent: u64,
    /// How the store of the group and the other gateways are reached.
    group: GroupIo,
}

impl<U: Upstream> Driver<U> {
    pub(super) fn new(
        core: Core,
        udp: Udp,
        calls: Calls<U>,
        commands: mpsc::Receiver<Command>,
        pushed: mpsc::Receiver<Pushed>,
        group: GroupIo,
    ) -> Driver<U> {
        let (completed, completions) = mpsc::channel(calls.most.max(1));
        Driver {
            core,
            udp,
            upstream: calls.upstream,
            workers: calls.workers,
            timeout: calls.timeout,
            completions,
            completed,
            commands,
            pushed,
            abortable: HashMap::new(),
            socket_errors: Throttle::every(Duration::from_secs(60)),
            paused_until: None,
            unsent: 0,
            group,
        }
    }

    pub(super) fn attach_tap(&mut self, tap: Tap) {
        self.core.attach_tap(tap);
    }

    /// Serves until the shutdown, then drains: see [`Shutdown`].
    pub(crate) async fn run(
        mut self,
        shutdown: Shutdown<impl Future<Output = ()>, impl Future<Output = ()>>,
    ) -> End {
        let (mut requested, mut forced) = (pin!(shutdown.requested), pin!(shutdown.forced));
        let (mut is_draining, mut is_forced) = (false, false);
        let mut timer = pin!(tokio::time::sleep(COUNTERS_EVERY));
        let mut counters_at = now() + COUNTERS_EVERY;
        let (mut heap, mut heap_at) = (
            heap_trim::Schedule::new(now()),
            now() + heap_trim::CHECK_INTERVAL,
        );
        loop {
            if self.send_all() {
                // Connections in this thread write now, and ThingsBoard need not wait until all datagrams are handled.
                tokio::task::yield_now().await;
            }
            let wanted = [self.core.next_timeout(), self.paused_until];
            let regular = counters_at.min(heap_at);
            let deadline = wanted.into_iter().flatten().fold(regular, Instant::min);
            tokio::select! {
                () = &mut requested, if !is_draining => {
                    is_draining = true;
                    let sessions = self.core.sessions();
                    info!(sessions, in_flight = self.core.in_flight(), "stopping: no new handshakes");
                    self.core.drain(now(), shutdown.drain);
                }
                () = &mut forced, if is_draining => {
                    is_forced = true;
                    break;
                }
                readable = self.udp.readable(), if self.paused_until.is_none() => {
                    self.receive(readable);
                }
                Some(completion) = self.completions.recv() => self.complete(completion),
                Some(pushed) = self.pushed.recv() => self.pushed(pushed),
                Some(command) = self.commands.recv() => self.handle_command(command),
                received = self.group.wait() => self.group.handle(now(), received, &mut self.core),
                () = wait_until(timer.as_mut(), deadline) => {}
            }
            let now = now();
            self.paused_until = self.paused_until.filter(|until| *until > now);
            self.core.set_unix_time(unix_time());
            self.core.handle_timeout(now);
            if self.core.is_drained() {
                break;
            }
            if now >= heap_at {
                heap_at = now + heap_trim::CHECK_INTERVAL;
                if heap.is_due(now, self.core.sessions_and_handshakes_ended()) {
                    // Some milliseconds, in a thread that nothing waits for. malloc_trim(3) locks the heap, arena by arena.
                    tokio::task::spawn_blocking(heap_trim::trim);
                }
            }
            if now >= counters_at {
                counters_at = now + COUNTERS_EVERY;
                let mqtt = self.upstream.counters().unwrap_or_default();
                self.core
                    .log_bounds_reached(self.unsent, mqtt.refused("max_connections"));
                let counters = self.core.counters();
                debug!(
                    sessions = self.core.sessions(),
                    dtls = ?counters.dtls,
                    coap = ?counters.coap,
                    gateway = ?counters.gateway,
                    relay = ?counters.relay,
                    packages = ?counters.packages,
                    "counters"
                );
            }
        }
        let end = End {
            cut_off: self.core.in_flight(),
        };
        self.core.close_all(now());
        self.send_all();
        if !is_forced {
            self.stop_group().await;
        }
        let stored = self.stop_storing();
        if !is_forced {
            // Nothing is received from them any more, so nothing must wait for the loop.
            self.pushed.close();
            self.upstream.close_all(CLOSING).await;
        }
        stored.await;
        let counters = self.core.counters();
        info!(
            unsent = self.unsent,
            dtls = ?counters.dtls,
            coap = ?counters.coap,
            gateway = ?counters.gateway,
            relay = ?counters.relay,
            packages = ?counters.packages,
            "stopped"
        );
        end
    }

    /// Pushes what is left of stored sessions. Nothing may be received or sent in them after it. Resolves when it is on disk.
    fn stop_storing(&mut self) -> impl Future<Output = ()> + use<U> {
        let sessions = self.core.stored_sessions();
        let store = self.core.finish_state(now());
        async move {
            let Some(store) = store else {
                return;
            };
            // It waits for the disk.
            let stopped = tokio::task::spawn_blocking(|| store.stop(STORING)).await;
            match stopped {
                Ok(stopped) => log::state::stopped(sessions, stopped),
                Err(error) => error!("not all sessions are stored: {error}"),
            }
        }
    }

    /// Writes the last rows for other gateways, and lets them take over.
    async fn stop_group(&mut self) {
        let members = self.core.members();
        if !self.group.is_on() {
            return;
        }
        let until = now() + STORING;
        self.core.begin_last_rows(now());
        let mut is_written = self.wait_for_store(until).await;
        self.core.release_members(now());
        is_written &= self.wait_for_store(until).await;
        self.group.stop().await;
        log::group::stopped(members, is_written && self.core.rows_not_written() == 0);
    }

    /// Waits until the store has replied to everything. `false`: it did not in time.
    async fn wait_for_store(&mut self, until: Instant) -> bool {
        let mut timer = pin!(tokio::time::sleep(STORING));
        loop {
            self.core.handle_timeout(now());
            self.send_all();
            if self.core.are_last_rows_written() {
                return true;
            }
            if now() >= until {
                return false;
            }
            let wanted = self.core.next_timeout();
            let deadline = wanted.map_or(until, |wanted| wanted.min(until));
            tokio::select! {
                received = self.group.wait() => self.group.handle(now(), received, &mut self.core),
                () = wait_until(timer.as_mut(), deadline) => {}
            }
        }
    }

    /// Carries out a command. The receiver of its answer may be gone by now.
    fn handle_command(&mut self, command: Command) {
        let now = now();
        match command {
            Command::Change(change, done) => {
                self.core.change(now, change);
                let _ = done.send(());
            }
            Command::Report(answer) => {
                let mut report = self.core.report(self.unsent);
                report.levels.completions_waiting = self.completions.len();
                report.add_mqtt(self.upstream.counters());
                let _ = answer.send(Box::new(report));
            }
            Command::Sessions(answer) => {
                let _ = answer.send(self.core.session_ids());
            }
            Command::Describe(sessions, answer) => {
                let known = sessions.into_iter().take(SESSIONS_PER_ANSWER);
                let lines = known.filter_map(|session| {
                    let device = self.core.device_of(session);
                    let connection =
                        device.and_then(|device| self.upstream.connection_status(&device));
                    let line = self.core.describe(now, session)?;
                    Some(SessionLine { connection, ..line })
                });
                let _ = answer.send(lines.collect());
            }
        }
    }

    /// Receives one batch of datagrams; and more, while some are only queued: those of other devices may be behind them
    /// in the kernel's buffer.
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
                        via: None,
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
            if self.socket_errors.admits(now, error.kind()) {
                warn!("the UDP socket reports: {error}");
            }
            self.paused_until = Some(now + SOCKET_PAUSE);
        }
    }

    /// Handles one completion, and those that wait behind it.
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

    fn run_downlink_request(&mut self, request: DownlinkRequest) {
        match request {
            DownlinkRequest::Subscribe {
                device,
                kind,
                number,
            } => {
                if self
                    .upstream
                    .subscribe(&device, kinds(kind), number)
                    .is_err()
                {
                    self.core.subscription_refused(now(), &device, kind);
                }
            }
            DownlinkRequest::Unsubscribe { device, kind } => {
                self.upstream.unsubscribe(&device, kinds(kind));
            }
            DownlinkRequest::Acknowledge(acknowledgement) => {
                self.upstream.acknowledge(upstream::Acknowledgement {
                    connection: acknowledgement.connection.0,
                    packet: acknowledgement.packet,
                });
            }
            DownlinkRequest::AliveUntil(device, until) => {
                self.upstream.alive_until(&device, until);
            }
            DownlinkRequest::Close(device) => self.upstream.close(&device),
        }
    }

    /// Handles what ThingsBoard has sent of its own accord, and what waits behind it.
    fn pushed(&mut self, pushed: Pushed) {
        let now = now();
        self.core.pushed(now, pushed);
        for _ in 1..COMPLETIONS_PER_TURN {
            let Ok(pushed) = self.pushed.try_recv() else {
                break;
            };
            self.core.pushed(now, pushed);
        }
    }

    /// Sends all datagrams, and begins and aborts calls. Returns whether any call is on a connection already.
    fn send_all(&mut self) -> bool {
        let mut is_posted = false;
        while let Some(transmit) = self.core.poll_transmit() {
            let path = transmit.path;
            let sent = self.udp.send(path.remote, path.local, &transmit.datagram);
            self.unsent += u64::from(!sent);
        }
        self.group.send_all(now(), &mut self.core);
        while let Some(call) = self.core.poll_call() {
            let Some(call) = task::try_post(&*self.upstream, call, &self.completed) else {
                is_posted = true;
                continue;
            };
            let ticket = call.ticket;
            let (upstream, completed) = (self.upstream.clone(), self.completed.clone());
            let task = self
                .workers
                .spawn(task::run(upstream, self.timeout, call, completed));
            if ticket.is_abortable() {
                self.abortable.insert(ticket, task.abort_handle());
            }
        }
        while let Some(request) = self.core.poll_downlink() {
            self.run_downlink_request(request);
        }
        while let Some(ticket) = self.core.poll_abort() {
            if let Some(call) = self.abortable.remove(&ticket) {
                call.abort();
            }
        }
        is_posted
    }
}

/// As the upstream has it.
fn kinds(kind: Kind) -> Kinds {
    Kinds {
        attributes: kind == Kind::Attributes,
        commands: kind == Kind::Commands,
    }
}

/// Resolves at the deadline. tokio's timer rounds up to milliseconds: a deadline that has passed is not left to it, or the
/// loop would turn once a millisecond where it could turn five times.
async fn wait_until(mut timer: Pin<&mut tokio::time::Sleep>, deadline: Instant) {
    if deadline <= now() {
        // Not at once: datagrams and completions go first.
        tokio::task::yield_now().await;
    } else {
        timer.as_mut().reset(deadline.into());
        timer.await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the loop owns the clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn unix_time() -> UnixTime {
    UnixTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_that_has_passed_does_not_wait_for_the_next_millisecond() {
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
