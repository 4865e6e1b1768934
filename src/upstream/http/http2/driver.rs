//! The task of one connection.

use super::traffic::{Counted, Traffic};
use bytes::Bytes;
use h2::{Ping, PingPong};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

#[cfg(test)]
mod tests;

/// PINGs beyond one for each exchange. Tomcat begins with an allowance of ten, of which SETTINGS takes some.
const SPARE_PINGS: u64 = 4;

/// Reads and writes a connection's socket until it ends.
pub(super) struct Driver {
    socket: h2::client::Connection<Counted, Bytes>,
    traffic: Arc<Traffic>,
    /// Notified to close the connection at once.
    close: Arc<Notify>,
    /// With streams open and nothing received for this long, up to twice that, a PING is sent; with nothing received for
    /// this long after it, the connection is dead.
    quiet: Duration,
}

impl Driver {
    pub(super) fn new(
        socket: h2::client::Connection<Counted, Bytes>,
        traffic: Arc<Traffic>,
        close: Arc<Notify>,
        quiet: Duration,
    ) -> Driver {
        Driver {
            socket,
            traffic,
            close,
            quiet,
        }
    }

    /// Returns when the connection has ended. What goes on then breaks.
    pub(super) async fn run(mut self) {
        let mut pings = self.socket.ping_pong();
        let mut silence = Silence::default();
        let mut ticks = tokio::time::interval(self.quiet);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.close.notified() => return,
                // Each exchange has its error.
                _ended = &mut self.socket => return,
                _ = ticks.tick() => match silence.tick(&self.traffic) {
                    Step::Wait => {}
                    Step::Ping => {
                        if let Some(pings) = &mut pings {
                            send(pings).await;
                        }
                    }
                    Step::Close => return,
                },
            }
        }
    }
}

/// Queues a PING. Its answer counts as something received, like all else.
async fn send(pings: &mut PingPong) {
    // The answer to the last one makes room for this one.
    poll_fn(|context| {
        let _ = pings.poll_pong(context);
        Poll::Ready(())
    })
    .await;
    // Fails only where the connection has ended, which its socket says.
    let _ = pings.send_ping(Ping::opaque());
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Wait,
    Ping,
    Close,
}

/// How long nothing was received, in ticks.
#[derive(Default)]
struct Silence {
    /// Bytes received at the last tick.
    read: u64,
    /// Since then, or since a tick before.
    is_pinged: bool,
    pings: u64,
}

impl Silence {
    fn tick(&mut self, traffic: &Traffic) -> Step {
        let read = traffic.read();
        if read != self.read || !traffic.has_open() {
            self.read = read;
            self.is_pinged = false;
            return Step::Wait;
        }
        if self.is_pinged {
            return Step::Close;
        }
        if self.pings >= traffic.begun().saturating_add(SPARE_PINGS) {
            return Step::Wait;
        }
        self.is_pinged = true;
        self.pings += 1;
        Step::Ping
    }
}
