//! One connection: where faults below HTTP happen, and where silence and keep-alive end, as in Tomcat.

use crate::connections::Lines;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

/// Tomcat's `connectionTimeout` and `keepAliveTimeout`: how long a connection may be silent between requests, or
/// within one that is still arriving.
const SILENCE: Duration = Duration::from_secs(60);
/// Tomcat's `maxKeepAliveRequests`: the answer to the hundredth request closes the connection.
const MOST_REQUESTS: u32 = 100;
/// How long to wait when the process has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const HTTP: u8 = 0;
const CUT: u8 = 1;
const GARBAGE: u8 = 2;

/// What a peer gets that is no HTTP.
const NOISE: &[u8] = b"\x16\x03\x01 this is no HTTP \xff\xfe\r\n\r\n";

/// A handle on a connection for the request that came over it.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Shared>);

#[derive(Default)]
struct Shared {
    mode: AtomicU8,
    requests: AtomicU32,
    in_work: AtomicUsize,
    /// Whom to wake where the connection is to be cut while it waits for the peer.
    reader: Mutex<Option<Waker>>,
}

impl Line {
    /// The connection is closed, whatever is being answered.
    pub(super) fn cut(&self) {
        self.0.mode.store(CUT, Ordering::Release);
        if let Some(reader) = self.reader().take() {
            reader.wake();
        }
    }

    /// Is this the same connection?
    pub(super) fn is(&self, other: &Line) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn wakes(&self, waker: &Waker) {
        let mut reader = self.reader();
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever is answered from now on, noise is sent instead and the connection closed.
    pub(super) fn garble(&self) {
        self.0.mode.store(GARBAGE, Ordering::Release);
    }

    pub(super) fn count_request(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The next answer is the last one.
    pub(super) fn close_after_answer(&self) {
        self.0.requests.store(MOST_REQUESTS, Ordering::Relaxed);
    }

    /// Has this connection had the requests it may have?
    pub(super) fn is_spent(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) >= MOST_REQUESTS
    }

    /// While the result lives, the peer is not expected to say anything.
    pub(super) fn working(&self) -> Working {
        self.0.in_work.fetch_add(1, Ordering::AcqRel);
        Working(self.clone())
    }
}

/// A request being answered.
pub(super) struct Working(Line);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.in_work.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Line {
        stream.io().line.clone()
    }
}

/// The listening socket, with a bound on its connections.
pub(super) struct Door {
    listener: TcpListener,
    lines: Arc<Lines>,
}

impl Door {
    pub(super) fn new(listener: TcpListener, lines: Arc<Lines>) -> Door {
        Door { listener, lines }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // This one is in hand; those behind it wait in the system's queue.
                    self.lines.room().await;
                    let Some(place) = Place::take(&self.lines) else {
                        // ThingsBoard is down: the socket is closed here.
                        continue;
                    };
                    // Answers are small and wanted at once; a socket without the option works too.
                    let _ = stream.set_nodelay(true);
                    return (Connection::new(stream, place), peer);
                }
                // The peer has gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "simulator: cannot accept a connection, trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection's place among all, given back when it goes.
struct Place {
    lines: Arc<Lines>,
    number: u64,
    line: Line,
}

impl Place {
    fn take(lines: &Arc<Lines>) -> Option<Place> {
        let (number, line) = lines.admit()?;
        Some(Place {
            lines: Arc::clone(lines),
            number,
            line,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lines.leave(self.number);
    }
}

/// The bytes of one connection.
pub(super) struct Connection {
    stream: TcpStream,
    line: Line,
    silence: Option<Pin<Box<Sleep>>>,
    noise_sent: usize,
    _place: Place,
}

impl Connection {
    fn new(stream: TcpStream, place: Place) -> Connection {
        Connection {
            stream,
            line: place.line.clone(),
            silence: None,
            noise_sent: 0,
            _place: place,
        }
    }

    /// `Ready` with the error that ends this connection, if a fault asked for it.
    fn broken(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Error>> {
        let mode = self.line.0.mode.load(Ordering::Acquire);
        if mode == GARBAGE {
            while let Some(rest @ [_, ..]) = NOISE.get(self.noise_sent..) {
                match Pin::new(&mut self.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(sent)) if sent > 0 => self.noise_sent += sent,
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
        self.line.wakes(cx.waker());
        // After the waker is there: a cut that comes now wakes it.
        if self.line.0.mode.load(Ordering::Acquire) == CUT {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.silence = None;
            return polled;
        }
        loop {
            let silence = self
                .silence
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
            if silence.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.line.0.in_work.load(Ordering::Acquire) == 0 {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // We are the silent ones: begin again.
            self.silence = None;
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.broken(cx) {
            Some(broken) => broken.map(Err),
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
