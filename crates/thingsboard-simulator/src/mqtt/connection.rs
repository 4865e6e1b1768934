//! The stream of one MQTT connection: passes bytes, messages of the downlink and the time to its session.

use super::session::{Context, Session};
use crate::clock::epoch_ms;
use crate::downlink::Push;
use crate::state::Shared;
use bytes::Buf;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
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
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    stream: S,
    cuts: watch::Receiver<u64>,
) {
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

struct Connection<'a, S> {
    shared: &'a Shared,
    stream: S,
    session: Session,
    mailbox: mpsc::Receiver<Push>,
    /// Changes when ThingsBoard restarts.
    cuts: watch::Receiver<u64>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Runs until the session is closed; an error if the connection has ended, or is cut.
    async fn run(&mut self) -> io::Result<()> {
        let mut closing = self.shared.closing.subscribe();
        let Connection {
            shared,
            stream,
            session,
            mailbox,
            cuts,
        } = self;
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        while !session.is_closed() {
            let timeout = session.next_timeout();
            if let Some(at) = timeout.map(|at| shared.clock.at(at)) {
                // Each packet moves the timeout for silence. A timer that is early costs less than one that is moved with it.
                if at < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(at);
                }
            }
            // In this order, so that a run in simulated time is the same each time.
            tokio::select! {
                biased;
                progress = poll_fn(|cx| poll_stream(cx, stream, shared, session)) => progress?,
                push = mailbox.recv() => {
                    let Some(push) = push else {
                        // The connection is too far behind.
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    };
                    handle_pushes(shared, session, push, mailbox);
                }
                () = timer.as_mut(), if timeout.is_some() => {
                    with_context(shared, |cx| session.handle_timeout(cx));
                }
                _ = cuts.changed() => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ = closing.wait_for(|closing| *closing) => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        Ok(())
    }

    /// Sends the last bytes, and waits until the client closes, which is an error.
    async fn finish(&mut self) -> io::Result<()> {
        let output = std::mem::take(self.session.output());
        self.stream.write_all(&output).await?;
        self.stream.shutdown().await?;
        // Bytes that come are thrown away.
        let mut discard = |cx: &mut std::task::Context<'_>| {
            let mut bytes = [0; READ_SIZE];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            Poll::Ready(read.map(|()| buffer.filled().is_empty()))
        };
        while !poll_fn(&mut discard).await? {}
        Ok(())
    }
}

/// Writes what the stream takes, and reads once. Ready if anything was read, and with an error at the stream's end.
fn poll_stream<S: AsyncRead + AsyncWrite + Unpin>(
    cx: &mut std::task::Context<'_>,
    stream: &mut S,
    shared: &Shared,
    session: &mut Session,
) -> Poll<io::Result<()>> {
    let output = session.output();
    while !output.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, output) {
            Poll::Ready(written) => output.advance(written?),
            Poll::Pending => break,
        }
    }
    if output.is_empty() {
        *output = bytes::BytesMut::new();
    }
    let mut bytes = [0; READ_SIZE];
    let mut buffer = ReadBuf::new(&mut bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    let read = buffer.filled();
    if read.is_empty() {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    with_context(shared, |cx| session.receive(cx, read));
    Poll::Ready(Ok(()))
}

fn handle_pushes(
    shared: &Shared,
    session: &mut Session,
    first: Push,
    mailbox: &mut mpsc::Receiver<Push>,
) {
    with_context(shared, |cx| {
        session.handle_push(cx, first);
        for _ in 1..BATCH {
            let Ok(push) = mailbox.try_recv() else {
                break;
            };
            session.handle_push(cx, push);
        }
    });
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
