//! When to ping, and when to close a connection that nothing is sent on.
//!
//! ThingsBoard closes a connection after 600 s without a packet, and takes a PINGREQ for the device's activity. So a ping is
//! sent only while the device has sent something lately, and a connection without pings is closed from this side first.

use std::time::{Duration, Instant};

/// After so long without a packet a ping is sent, or earlier if the server says so, but not earlier than the second.
const PING_AFTER: Duration = Duration::from_secs(240);
const LEAST_PING_AFTER: Duration = Duration::from_secs(10);
/// After so long without a packet the connection is closed.
const CLOSE_AFTER: Duration = Duration::from_secs(540);
/// How long a PINGRESP may take.
const PONG: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    /// Nothing was sent for too long, or the device is gone.
    Close,
    /// A ping was not answered.
    Silent,
}

#[derive(Debug)]
pub(super) struct KeepAlive {
    last_sent: Instant,
    /// Until when the device counts as alive.
    alive_until: Instant,
    pong_until: Option<Instant>,
    ping_after: Duration,
    close_after: Duration,
}

impl KeepAlive {
    pub(super) fn new(now: Instant) -> KeepAlive {
        KeepAlive {
            last_sent: now,
            alive_until: now,
            pong_until: None,
            ping_after: PING_AFTER,
            close_after: CLOSE_AFTER,
        }
    }

    /// The server closes after one and a half of this time without a packet (MQTT 5 §3.2.2.3.14). Zero: it does not.
    pub(super) fn set_server_keep_alive(&mut self, time: Duration) {
        if !time.is_zero() {
            let time = time.max(LEAST_PING_AFTER);
            self.ping_after = time.min(PING_AFTER);
            self.close_after = (time + time / 4).min(CLOSE_AFTER);
        }
    }

    /// The device has sent something: it counts as alive until then, or longer if it did already.
    pub(super) fn alive_until(&mut self, until: Instant) {
        self.alive_until = self.alive_until.max(until);
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        self.last_sent = now;
        self.pong_until = Some(now + PONG);
    }

    pub(super) fn received(&mut self) {
        self.pong_until = None;
    }

    /// What is to be done now. `is_used`: whether anything is subscribed to or in flight.
    pub(super) fn due(&self, now: Instant, is_used: bool) -> Option<Due> {
        if self.pong_until.is_some_and(|until| until <= now) {
            return Some(Due::Silent);
        }
        if self.close_at(is_used) <= now {
            return Some(Due::Close);
        }
        self.ping_at()
            .is_some_and(|at| at <= now)
            .then_some(Due::Ping)
    }

    /// `None`: the device will not count as alive then, or a ping was not answered yet.
    fn ping_at(&self) -> Option<Instant> {
        let at = self.last_sent + self.ping_after;
        (at < self.alive_until && self.pong_until.is_none()).then_some(at)
    }

    fn close_at(&self, is_used: bool) -> Instant {
        let unused = (!is_used).then_some(self.alive_until);
        let silent = self.last_sent + self.close_after;
        unused.map_or(silent, |unused| unused.min(silent))
    }

    pub(super) fn next_timeout(&self, is_used: bool) -> Instant {
        let all = [
            self.ping_at(),
            self.pong_until,
            Some(self.close_at(is_used)),
        ];
        all.into_iter().flatten().min().unwrap_or(self.last_sent)
    }
}
