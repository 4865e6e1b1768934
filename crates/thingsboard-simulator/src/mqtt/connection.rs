//! The socket of one MQTT connection: passes bytes, messages of the downlink and the time to its session.

use super::session::{Context, Session};
use crate::clock::epoch_ms;
use crate::downlink::Push;
use crate::state::Shared;
use bytes::Buf;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// The messages of the downlink that wait for a connection's task. One that is further behind is closed.
const MAILBOX: usize = 4096;
/// How many of them are handled under one lock.
const BATCH: usize = 256;
/// The bytes that are read at once, on the stack.
const READ_SIZE: usize = 4 * 1024;
/// How long a closed connection may take to send its last bytes, and then to be closed by the client. A socket that is
/// closed with bytes unread resets the connection, and the client may lose the DISCONNECT.
const LINGER: Duration = Duration::from_millis(500);

/// Serves a connection until its end.
pub(super) async fn serve(shared: &Shared, stream: TcpStream, cuts: watch::Receiver<u64>) {
    let (sender, mailbox) = mpsc::channel(MAILBOX);
    let session = with_context(shared, |cx| Session::new(cx, sender));
    let mut connection = Connection {
        shared,
        stream,
        session,
        mailbox,
        cuts,
    };
    // An error means that the client is gone.
    let ended = connection.run().await;
    with_context(shared, |cx| {
        connection.session.handle_end(cx, ended.is_err())
    });
    if ended.is_ok() {
        let _ = tokio::time::timeout(LINGER, connection.finish()).await;
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    session: Session,
    mailbox: mpsc::Receiver<Push>,
    /// Changes when ThingsBoard restarts.
    cuts: watch::Receiver<u64>,
}

impl Connection<'_> {
    /// Runs until the session is closed; an error if the connection has ended, or is cut.
    async fn run(&mut self) -> io::Result<()> {
        let mut closing = self.shared.closing.subscribe();
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        while !self.session.is_closed() {
            let interest = if self.session.output().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let timeout = self.session.next_timeout();
            if let Some(at) = timeout.map(|at| self.shared.clock.at(at)) {
                // Each packet moves the timeout for silence. A timer that is early costs less than one that is moved with it.
                if at < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(at);
                }
            }
            tokio::select! {
                ready = self.stream.ready(interest) => {
                    let ready = ready?;
                    if ready.is_writable() {
                        self.write()?;
                    }
                    if ready.is_readable() {
                        self.read()?;
                    }
                }
                push = self.mailbox.recv() => {
                    let Some(push) = push else {
                        // The connection is too far behind.
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    };
                    self.handle_pushes(push);
                }
                () = timer.as_mut(), if timeout.is_some() => {
                    with_context(self.shared, |cx| self.session.handle_timeout(cx));
                }
                _ = self.cuts.changed() => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ = closing.wait_for(|closing| *closing) => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            // Most replies fit into the socket's buffer.
            self.write()?;
        }
        Ok(())
    }

    fn handle_pushes(&mut self, first: Push) {
        with_context(self.shared, |cx| {
            self.session.handle_push(cx, first);
            for _ in 1..BATCH {
                let Ok(push) = self.mailbox.try_recv() else {
                    break;
                };
                self.session.handle_push(cx, push);
            }
        });
    }

    /// Reads once.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_SIZE];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                with_context(self.shared, |cx| self.session.receive(cx, bytes));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self) -> io::Result<()> {
        let output = self.session.output();
        while !output.is_empty() {
            match self.stream.try_write(output) {
                Ok(written) => output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        *output = bytes::BytesMut::new();
        Ok(())
    }

    /// Sends the last bytes, and waits until the client closes, which is an error.
    async fn finish(&mut self) -> io::Result<()> {
        loop {
            self.write()?;
            if self.session.output().is_empty() {
                break;
            }
            self.stream.writable().await?;
        }
        self.stream.shutdown().await?;
        loop {
            self.stream.readable().await?;
            self.discard()?;
        }
    }

    /// Reads once, and throws that away; an error at the end.
    fn discard(&self) -> io::Result<()> {
        match self.stream.try_read(&mut [0; READ_SIZE]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn with_context<T>(shared: &Shared, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let mut state = shared.lock();
    work(&mut Context {
        state: &mut state,
        now_ms: shared.clock.now_ms(),
        clock: shared.clock,
        epoch_ms: epoch_ms(),
    })
}
