//! A DTLS server that sends back what it receives, on one UDP socket and with nothing but the standard library.
//!
//! ```text
//! cargo run -p dtls-server --example echo_server -- 127.0.0.1:5684 server.pem server.key
//! openssl s_client -dtls1_2 -connect 127.0.0.1:5684 -cert client.pem -key client.key
//! ```
//!
//! It takes every client that has its certificate's key. For each handshake it prints a line with what was agreed on.
//! `server.rs` has all that a server needs besides a socket and a clock: start there.

mod arguments;
mod event;
mod server;

use arguments::Arguments;
use server::Server;
use std::error::Error;
use std::io::{ErrorKind, Write, stdout};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// The largest datagram of UDP.
const MAX_DATAGRAM: usize = 65_535;
/// Without a timeout the socket waits at most this long.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let socket = UdpSocket::bind(arguments.address)?;
    let mut server = Server::new(now(), arguments.config()?)?;
    let mut out = stdout().lock();
    writeln!(out, "listening on {}", socket.local_addr()?)?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let wait = server.next_timeout().map_or(LONGEST_WAIT, |timeout| {
            timeout.saturating_duration_since(now())
        });
        // A timeout of zero would mean none.
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((length, source)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                server.receive(now(), source, datagram);
            }
            Err(error) if is_transient(error.kind()) => {}
            Err(error) => return Err(error.into()),
        }
        server.handle_timeout(now());
        while let Some((destination, datagram)) = server.poll_transmit() {
            // A datagram that is not sent is lost, as any other may be.
            let _ = socket.send_to(&datagram, destination);
        }
        while let Some(event) = server.poll_event() {
            writeln!(out, "{event}")?;
        }
    }
}

/// Linux reports a timeout as `WouldBlock`, and an ICMP message about an earlier datagram as `ConnectionRefused`.
fn is_transient(kind: ErrorKind) -> bool {
    [
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::Interrupted,
        ErrorKind::ConnectionRefused,
    ]
    .contains(&kind)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the loop reads the clock, and nothing else does"
)]
fn now() -> Instant {
    Instant::now()
}
