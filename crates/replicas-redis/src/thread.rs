//! The thread that calls the store, so that the loop never waits for it.

use crate::connection::{ConnectError, Connection, Server};
use replicas::store::{Call, Reply};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// How many calls go together.
const BATCH: usize = 256;

/// The queue of calls is full: this one counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The shared store in a Redis server.
#[derive(Debug)]
pub struct RedisStore {
    calls: Option<SyncSender<(u64, Call)>>,
    thread: Option<JoinHandle<()>>,
}

impl RedisStore {
    /// Starts the thread. `on_reply` is called on it for each call, with its ticket, in the order of the calls; and `on_error`
    /// when the server can't be used, with the reason.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        server: Server,
        capacity: usize,
        on_reply: impl FnMut(u64, Reply) + Send + 'static,
        on_error: impl FnMut(ConnectError) + Send + 'static,
    ) -> io::Result<RedisStore> {
        let (sender, receiver) = sync_channel(capacity);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(&server, &receiver, on_reply, on_error))?;
        Ok(RedisStore {
            calls: Some(sender),
            thread: Some(thread),
        })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Too many wait already.
    pub fn call(&self, ticket: u64, call: Call) -> Result<(), Full> {
        let calls = self.calls.as_ref().ok_or(Full)?;
        calls
            .try_send((ticket, call))
            .map_err(|(TrySendError::Full(_) | TrySendError::Disconnected(_))| Full)
    }
}

impl Drop for RedisStore {
    /// Waits until the calls that were made are answered, or have failed.
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // It has panicked: there is nothing to be done about that here.
            _ = thread.join();
        }
    }
}

fn run(
    server: &Server,
    calls: &Receiver<(u64, Call)>,
    mut on_reply: impl FnMut(u64, Reply),
    mut on_error: impl FnMut(ConnectError),
) {
    let mut connection = None;
    let mut former = None;
    while let Ok(first) = calls.recv() {
        let rest = calls.try_iter().take(BATCH - 1);
        let (tickets, batch): (Vec<u64>, Vec<Call>) = std::iter::once(first).chain(rest).unzip();
        match call(server, &mut connection, &mut former, &batch) {
            Ok(replies) => {
                for (ticket, reply) in tickets.into_iter().zip(replies) {
                    on_reply(ticket, reply);
                }
            }
            Err(error) => {
                connection = None;
                on_error(error);
                for ticket in tickets {
                    on_reply(ticket, Reply::Failed);
                }
            }
        }
    }
}

fn call(
    server: &Server,
    connection: &mut Option<Connection>,
    former: &mut Option<i64>,
    batch: &[Call],
) -> Result<Vec<Reply>, ConnectError> {
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let opened = Connection::open(server, *former)?;
            *former = Some(opened.id());
            connection.insert(opened)
        }
    };
    connection.calls(batch)
}
