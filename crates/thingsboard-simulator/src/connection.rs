//! One TCP connection. Applies faults below HTTP, and Tomcat's limits on idle time and keep-alive requests. A fault ends all
//! that goes on over it, with HTTP/2 up to a hundred requests.

use crate::connections::Connections;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

/// Tomcat's `connectionTimeout` and `keepAliveTimeout`: how long a client may send nothing between requests, or
/// within one that is incomplete.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Tomcat's `maxKeepAliveRequests`: the response to the hundredth request of HTTP/1.1 closes the connection.
const MAX_KEEP_ALIVE_REQUESTS: u32 = 100;
/// How long to wait before the next attempt when `accept` fails, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const HTTP: u8 = 0;
const CUT: u8 = 1;
const GARBAGE: u8 = 2;

/// What is sent for [`FaultAction::Garbage`](crate::FaultAction::Garbage).
const GARBAGE_BYTES: &[u8] = b"\x16\x03\x01 this is no HTTP \xff\xfe\r\n\r\n";

/// A handle on a connection, for the handlers of its requests.
#[derive(Clone, Default)]
pub(super) struct ConnectionHandle(Arc<HandleState>);

#[derive(Default)]
struct HandleState {
    mode: AtomicU8,
    requests: AtomicU32,
    requests_in_progress: AtomicUsize,
    /// Wakes the task that reads from the connection, so that it sees a cut.
    reader: Mutex<Option<Waker>>,
}

impl ConnectionHandle {
    /// Closes the connection at once, without a response to what is in progress.
    pub(super) fn cut(&self) {
        self.0.mode.store(CUT, Ordering::Release);
        if let Some(reader) = self.reader().take() {
            reader.wake();
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.0.mode.load(Ordering::Acquire) == CUT
    }

    /// Whether both handles are of the same connection.
    pub(super) fn is(&self, other: &ConnectionHandle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn set_reader_waker(&self, waker: &Waker) {
        let mut reader = self.reader();
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends [`GARBAGE_BYTES`] instead of the next response, then closes the connection.
    pub(super) fn send_garbage(&self) {
        self.0.mode.store(GARBAGE, Ordering::Release);
    }

    pub(super) fn count_request(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the connection after the next response.
    pub(super) fn close_after_response(&self) {
        self.0
            .requests
            .store(MAX_KEEP_ALIVE_REQUESTS, Ordering::Relaxed);
    }

    /// Whether the connection has had all requests that keep-alive allows.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) >= MAX_KEEP_ALIVE_REQUESTS
    }

    /// Suspends the idle timeout while the guard lives: a request is in progress, and the client has nothing to send.
    pub(super) fn request_guard(&self) -> RequestGuard {
        self.0.requests_in_progress.fetch_add(1, Ordering::AcqRel);
        RequestGuard(self.clone())
    }
}

/// Held while a request is in progress.
pub(super) struct RequestGuard(ConnectionHandle);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.requests_in_progress.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The listening socket, with a limit on its connections.
pub(super) struct LimitedListener {
    listener: TcpListener,
    connections: Arc<Connections>,
}

impl LimitedListener {
    pub(super) fn new(listener: TcpListener, connections: Arc<Connections>) -> LimitedListener {
        LimitedListener {
            listener,
            connections,
        }
    }

    pub(super) async fn accept(&mut self) -> Connection {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // This one is accepted already; further ones wait in the system's backlog.
                    self.connections.wait_for_room().await;
                    let Some(slot) = ConnectionSlot::take(&self.connections) else {
                        // ThingsBoard is down: dropping the socket closes it.
                        continue;
                    };
                    // Responses are small and must not be delayed; a socket without the option works too.
                    let _ = stream.set_nodelay(true);
                    return Connection::new(stream, slot);
                }
                // The client has gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection, trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A connection's entry among [`Connections`], removed when it is dropped.
struct ConnectionSlot {
    connections: Arc<Connections>,
    number: u64,
    connection: ConnectionHandle,
}

impl ConnectionSlot {
    fn take(connections: &Arc<Connections>) -> Option<ConnectionSlot> {
        let (number, connection) = connections.register()?;
        Some(ConnectionSlot {
            connections: Arc::clone(connections),
            number,
            connection,
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.unregister(self.number);
    }
}

/// The byte stream of one connection.
pub(super) struct Connection {
    stream: TcpStream,
    connection: ConnectionHandle,
    idle_timer: Option<Pin<Box<Sleep>>>,
    garbage_sent: usize,
    _slot: ConnectionSlot,
}

impl Connection {
    pub(super) fn handle(&self) -> ConnectionHandle {
        self.connection.clone()
    }

    fn new(stream: TcpStream, slot: ConnectionSlot) -> Connection {
        Connection {
            stream,
            connection: slot.connection.clone(),
            idle_timer: None,
            garbage_sent: 0,
            _slot: slot,
        }
    }

    /// Sends garbage if that is due. `None` if the connection carries HTTP, else the error that ends it.
    fn poll_fault(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Error>> {
        let mode = self.connection.0.mode.load(Ordering::Acquire);
        if mode == GARBAGE {
            while let Some(rest @ [_, ..]) = GARBAGE_BYTES.get(self.garbage_sent..) {
                match Pin::new(&mut self.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(sent)) if sent > 0 => self.garbage_sent += sent,
                    Poll::Ready(_) => break,
                    Poll::Pending => return Some(Poll::Pending),
                }
            }
        }
        (mode != HTTP).then(|| Poll::Ready(io::Error::from(io::ErrorKind::ConnectionAborted)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.set_reader_waker(cx.waker());
        // After the waker is stored: a cut from now on wakes it.
        if self.connection.0.mode.load(Ordering::Acquire) == CUT {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.idle_timer = None;
            return polled;
        }
        loop {
            let idle_timer = self
                .idle_timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(IDLE_TIMEOUT)));
            if idle_timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self
                .connection
                .0
                .requests_in_progress
                .load(Ordering::Acquire)
                == 0
            {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // A request is in progress: start the timer again.
            self.idle_timer = None;
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_fault(cx) {
            Some(ended) => ended.map(Err),
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
