//! A connection's bytes: with a deadline for all that goes on until it is set again, and a bound on what is read.
//!
//! The deadline is that of the whole exchange, not of one read: a server that sends a byte now and then would hold the
//! thread for ever otherwise, and all calls behind.

use crate::server::Server;
use crate::tls::{Tls, TlsStream};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// No socket has a timeout of nothing.
const SHORTEST: Duration = Duration::from_millis(1);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A socket with a deadline.
pub(crate) struct Socket {
    socket: TcpStream,
    deadline: Instant,
}

impl Socket {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.checked_duration_since(now());
        let left = left.filter(|left| *left >= SHORTEST);
        left.map(Some).ok_or_else(late)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(self.left()?)?;
            match self.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(in_time),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A connection to the server.
pub(crate) struct Stream {
    transport: Transport,
    /// How many bytes may still be read.
    left: usize,
    /// Why reading failed last: the parser would give a text for it.
    failure: Option<io::Error>,
}

/// The reply is longer than it may be.
#[derive(Debug)]
pub(crate) struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reply is longer than it may be")
    }
}

impl std::error::Error for TooLong {}

impl Stream {
    /// Resolves the server's name and connects, within the server's timeout (a name that is resolved may take longer, by what
    /// the system's resolver is configured to).
    pub(crate) fn open(server: &Server, tls: Option<&Tls>) -> io::Result<Stream> {
        let addresses: Vec<SocketAddr> = (server.host.as_str(), server.port)
            .to_socket_addrs()?
            .take(MAX_ADDRESSES)
            .collect();
        let deadline = after(server.timeout);
        let socket = Socket {
            socket: connect(&addresses, deadline)?,
            deadline,
        };
        socket.socket.set_nodelay(true)?;
        let transport = match tls {
            None => Transport::Plain(socket),
            Some(tls) => Transport::Tls(Box::new(tls.connect(socket).map_err(no_tls)?)),
        };
        Ok(Stream {
            transport,
            left: 0,
            failure: None,
        })
    }

    /// What follows must be over in this time, and be no longer than that.
    pub(crate) fn begin(&mut self, length: Duration) {
        let deadline = after(length);
        match &mut self.transport {
            Transport::Plain(socket) => socket.deadline = deadline,
            Transport::Tls(stream) => stream.socket_mut().deadline = deadline,
        }
    }

    /// So many bytes may be read now.
    pub(crate) const fn limit(&mut self, bytes: usize) {
        self.left = bytes;
    }

    /// Why reading failed.
    pub(crate) const fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.left);
        if length == 0 && !buffer.is_empty() {
            return Err(io::Error::other(TooLong));
        }
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        let read = match &mut self.transport {
            Transport::Plain(socket) => socket.read(buffer)?,
            Transport::Tls(stream) => stream.read(buffer)?,
        };
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(error);
            kind.into()
        })
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.transport {
            Transport::Plain(socket) => socket.write(bytes),
            Transport::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.transport {
            Transport::Plain(socket) => socket.flush(),
            Transport::Tls(stream) => stream.flush(),
        }
    }
}

/// The first of the addresses that accepts a connection. One that does not answer leaves time for the others.
fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for (remaining, address) in (1..=addresses.len()).rev().zip(addresses) {
        let left = deadline.saturating_duration_since(now());
        let share = left / u32::try_from(remaining).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share.max(SHORTEST)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not reply in time")
}

/// A socket whose timeout is over says that it would block.
fn in_time(error: io::Error) -> io::Error {
    let is_late = matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    );
    if is_late { late() } else { error }
}

/// A server that does not expect TLS waits for the rest of what it takes for a command.
fn no_tls(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::TimedOut {
        let text = "no reply to the TLS handshake in time; it may not expect TLS (redis://)";
        return io::Error::new(io::ErrorKind::TimedOut, text);
    }
    error
}

fn after(length: Duration) -> Instant {
    let now = now();
    now.checked_add(length).unwrap_or(now)
}

#[expect(clippy::disallowed_methods, reason = "the thread is the loop")]
fn now() -> Instant {
    Instant::now()
}
