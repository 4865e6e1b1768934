//! An observation, and whether its device is known to be alive.
//!
//! ```text
//! live ──(nothing received for relay.alive_for)──▶ pinged ──(anything received)──▶ live
//!   │                                                 │ no answer
//!   └──(a Confirmable notification unacknowledged)──▶ parked ──(anything received)──▶ live
//! ```
//!
//! Every poll makes ThingsBoard show the device as active, so polls stop when it is parked. A parked observation is kept,
//! although RFC 7641 §4.5 would remove it: a device that sleeps or loses its network does not know that it should
//! register again, and would never be notified again.

use crate::dtls::SessionId;
use coap::ObservationId;
use std::time::{Duration, Instant};

/// An observation of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Observation {
    pub session: SessionId,
    /// Assigned by the session's endpoint.
    pub id: ObservationId,
}

/// An observation and its liveness.
#[derive(Debug)]
pub(crate) struct Observer {
    pub observation: Observation,
    liveness: Liveness,
}

#[derive(Debug, Clone, Copy)]
enum Liveness {
    /// At this time the device is pinged, if nothing was received from it for `relay.alive_for`.
    Live { check_at: Instant },
    /// Polls go on until the ping has failed.
    Pinged,
    /// Nothing is requested for it.
    Parked,
}

impl Observer {
    /// It has just registered, and so it is live.
    pub(crate) fn new(now: Instant, observation: Observation, alive_for: Duration) -> Observer {
        let check_at = now + alive_for;
        Observer {
            observation,
            liveness: Liveness::Live { check_at },
        }
    }

    /// Whether polls and notifications go on for it.
    pub(crate) fn is_live(&self) -> bool {
        match self.liveness {
            Liveness::Live { .. } | Liveness::Pinged => true,
            Liveness::Parked => false,
        }
    }

    /// Whether anything that is received from the device changes its state.
    pub(crate) fn awaits_sign_of_life(&self) -> bool {
        match self.liveness {
            Liveness::Live { .. } => false,
            Liveness::Pinged | Liveness::Parked => true,
        }
    }

    /// Whether to ping it now; `last_received`: when something was last received from the device.
    pub(crate) fn ping_due(
        &mut self,
        now: Instant,
        last_received: Instant,
        alive_for: Duration,
    ) -> bool {
        match self.liveness {
            Liveness::Live { check_at } if check_at <= now => {
                let check_at = last_received + alive_for;
                let is_silent = check_at <= now;
                self.liveness = match is_silent {
                    true => Liveness::Pinged,
                    false => Liveness::Live { check_at },
                };
                is_silent
            }
            Liveness::Live { .. } | Liveness::Pinged | Liveness::Parked => false,
        }
    }

    /// When [`ping_due`](Self::ping_due) has something to decide.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.liveness {
            Liveness::Live { check_at } => Some(check_at),
            Liveness::Pinged | Liveness::Parked => None,
        }
    }

    /// Its session has received something. Returns whether it was parked.
    pub(crate) fn received(&mut self, now: Instant, alive_for: Duration) -> bool {
        let was_parked = !self.is_live();
        if self.awaits_sign_of_life() {
            let check_at = now + alive_for;
            self.liveness = Liveness::Live { check_at };
        }
        was_parked
    }

    /// It does not answer. Returns whether it was live until now.
    pub(crate) fn park(&mut self) -> bool {
        let was_live = self.is_live();
        self.liveness = Liveness::Parked;
        was_live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_observer_is_pinged_once_then_parked_and_is_live_again_when_something_is_received() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let alive_for = 15 * minute;
        let observation = Observation {
            session: SessionId(1),
            id: ObservationId(1),
        };
        let mut observer = Observer::new(start, observation, alive_for);
        assert_eq!(observer.next_timeout(), Some(start + alive_for));
        // Something was received in the tenth minute: the ping waits until the twenty-fifth.
        let received = start + 10 * minute;
        assert!(!observer.ping_due(start + alive_for, received, alive_for));
        assert_eq!(observer.next_timeout(), Some(received + alive_for));
        assert!(observer.ping_due(received + alive_for, received, alive_for));
        assert!(
            !observer.ping_due(received + 2 * alive_for, received, alive_for),
            "once"
        );
        assert_eq!(observer.next_timeout(), None);
        assert!(observer.park());
        assert!(!observer.park() && !observer.is_live());
        let again = received + 3 * alive_for;
        assert!(observer.received(again, alive_for), "it was parked");
        assert!(observer.is_live());
        assert_eq!(observer.next_timeout(), Some(again + alive_for));
    }
}
