//! The thread that calls the store, so that the loop never waits for it.

use crate::about::Warning;
use crate::connection::{Connection, ConnectionName};
use crate::error::ConnectError;
use crate::server::Server;
use crate::tls::{Tls, TlsError};
use replicas::store::{Call, Reply};
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many calls go together.
const BATCH: usize = 256;
/// How long no connection is opened after one that failed: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A connection that has worked for so long is one that works.
const STEADY: Duration = Duration::from_secs(1);

/// The queue of calls is full: this one counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What there is to be said about the store, once for each change.
#[derive(Debug)]
pub enum StoreEvent {
    /// Calls are answered, for the first time or again.
    Connected {
        /// The server, and its version.
        version: String,
    },
    /// It can be used, but should not be as it is.
    Warning(Warning),
    /// It can't be used. All calls fail until it is connected again.
    Failed(ConnectError),
}

/// Why the thread can't be started.
#[derive(Debug)]
pub enum StartError {
    /// TLS can't be used as it is configured.
    Tls(TlsError),
    /// There can be no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Tls(error) => error.fmt(f),
            StartError::Thread(error) => write!(f, "no thread can be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Reads the trust anchors, if the server is reached over TLS.
    ///
    /// # Errors
    /// They can't be used.
    pub fn check(&self) -> Result<(), TlsError> {
        self.tls().map(|_| ())
    }

    fn tls(&self) -> Result<Option<Tls>, TlsError> {
        let tls = self
            .is_tls
            .then(|| Tls::new(&self.host, self.ca.as_deref()));
        tls.transpose()
    }
}

/// The shared store in a Redis server.
#[derive(Debug)]
pub struct RedisStore {
    calls: Option<SyncSender<Waiting>>,
    thread: Option<JoinHandle<()>>,
    /// Nothing is sent on it: it ends with the thread.
    ended: Receiver<()>,
    patience: Duration,
}

/// A call that waits for the thread.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    call: Call,
    made: Instant,
}

impl RedisStore {
    /// Starts the thread. `on_reply` is called on it for each call, with its ticket, in the order of the calls; `on_event` when
    /// there is something to be said.
    ///
    /// # Errors
    /// No thread can be started, or the server's trust anchors can't be used.
    pub fn start(
        server: Server,
        capacity: usize,
        on_reply: impl FnMut(u64, Reply) + Send + 'static,
        on_event: impl FnMut(StoreEvent) + Send + 'static,
    ) -> Result<RedisStore, StartError> {
        let tls = server.tls().map_err(StartError::Tls)?;
        let (sender, receiver) = sync_channel(capacity);
        let (ending, ended) = sync_channel(1);
        let patience = server.timeout.saturating_mul(3);
        let worker = Worker::new(server, tls, on_reply, on_event);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let _ending: SyncSender<()> = ending;
                worker.run(&receiver);
            })
            .map_err(StartError::Thread)?;
        Ok(RedisStore {
            calls: Some(sender),
            thread: Some(thread),
            ended,
            patience,
        })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Too many wait already.
    pub fn call(&self, ticket: u64, call: Call) -> Result<(), Full> {
        let calls = self.calls.as_ref().ok_or(Full)?;
        let made = now();
        let waiting = Waiting { ticket, call, made };
        calls
            .try_send(waiting)
            .map_err(|(TrySendError::Full(_) | TrySendError::Disconnected(_))| Full)
    }
}

impl Drop for RedisStore {
    /// Waits until the calls that were made are answered, or have failed. Not for a name that is still being resolved.
    fn drop(&mut self) {
        self.calls = None;
        let ended = self.ended.recv_timeout(self.patience);
        if let Some(thread) = self.thread.take()
            && ended == Err(RecvTimeoutError::Disconnected)
        {
            // It has panicked: there is nothing to be done about that here.
            _ = thread.join();
        }
    }
}

struct Worker<R, E> {
    server: Server,
    tls: Option<Tls>,
    connection: Option<(Connection, Instant)>,
    former: Option<ConnectionName>,
    back_off: Duration,
    /// No connection is opened before this.
    retry_at: Option<Instant>,
    /// What was said last: why it can't be used, or that it can. `None`: nothing.
    reported: Option<Result<(), String>>,
    warned: Option<Warning>,
    on_reply: R,
    on_event: E,
}

impl<R: FnMut(u64, Reply), E: FnMut(StoreEvent)> Worker<R, E> {
    const fn new(server: Server, tls: Option<Tls>, on_reply: R, on_event: E) -> Worker<R, E> {
        Worker {
            server,
            tls,
            connection: None,
            former: None,
            back_off: BACK_OFF.0,
            retry_at: None,
            reported: None,
            warned: None,
            on_reply,
            on_event,
        }
    }

    fn run(mut self, calls: &Receiver<Waiting>) {
        while let Ok(first) = calls.recv() {
            let rest = calls.try_iter().take(BATCH - 1);
            let batch: Vec<Waiting> = std::iter::once(first).chain(rest).collect();
            let answered = self.answer(&batch);
            for waiting in batch.iter().skip(answered) {
                (self.on_reply)(waiting.ticket, Reply::Failed);
            }
        }
    }

    /// Returns how many calls of the batch have got their reply. The others have failed.
    fn answer(&mut self, batch: &[Waiting]) -> usize {
        let now = now();
        // Who made them has given them up. They are the first, and there is no hurry with what is useless.
        let timeout = self.server.timeout;
        let is_old = |waiting: &&Waiting| now.saturating_duration_since(waiting.made) > timeout;
        let mut answered = 0;
        for waiting in batch.iter().take_while(is_old) {
            (self.on_reply)(waiting.ticket, Reply::Failed);
            answered += 1;
        }
        let rest = batch.get(answered..).unwrap_or_default();
        if rest.is_empty() || !self.connect(now) {
            return answered;
        }
        let Some((connection, since)) = &mut self.connection else {
            return answered;
        };
        let mut tickets = rest.iter().map(|waiting| waiting.ticket);
        let on_reply = &mut self.on_reply;
        let result = connection.calls(rest.iter().map(|waiting| &waiting.call), |reply| {
            if let Some(ticket) = tickets.next() {
                answered += 1;
                on_reply(ticket, reply);
            }
        });
        match result {
            Ok(()) => {
                let is_steady = now.saturating_duration_since(*since) >= STEADY;
                let is_first = self.reported.is_none();
                if is_steady || is_first {
                    self.back_off = BACK_OFF.0;
                    self.works();
                }
            }
            Err(error) => self.fails(error),
        }
        answered
    }

    /// Opens a connection, unless there is one. `false`: there is none.
    fn connect(&mut self, at: Instant) -> bool {
        if self.connection.is_some() {
            return true;
        }
        if self.retry_at.is_some_and(|retry_at| at < retry_at) {
            return false;
        }
        match Connection::open(&self.server, self.tls.as_ref(), self.former) {
            Ok(opened) => {
                self.former = Some(opened.name());
                let warning = opened.about().warning.clone();
                if let Some(warning) = warning.clone()
                    && self.warned != Some(warning.clone())
                {
                    (self.on_event)(StoreEvent::Warning(warning));
                }
                self.warned = warning;
                self.connection = Some((opened, now()));
                true
            }
            Err(error) => {
                self.fails(error);
                false
            }
        }
    }

    fn works(&mut self) {
        if self.reported != Some(Ok(()))
            && let Some((connection, _)) = &self.connection
        {
            self.reported = Some(Ok(()));
            let version = connection.about().version.clone();
            (self.on_event)(StoreEvent::Connected { version });
        }
    }

    fn fails(&mut self, error: ConnectError) {
        self.connection = None;
        self.retry_at = now().checked_add(self.back_off);
        self.back_off = self.back_off.saturating_mul(2).min(BACK_OFF.1);
        let why = Err(error.to_string());
        if self.reported.as_ref() != Some(&why) {
            self.reported = Some(why);
            (self.on_event)(StoreEvent::Failed(error));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the thread is the loop")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
