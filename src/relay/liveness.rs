//! Who observes, and whether it is known to live.
//!
//! ```text
//! live ──(nothing heard for alive_for)──▶ pinged ──(heard)──▶ live
//!   │                                       │ no answer
//!   └──(a Confirmable notification unanswered)──▶ parked ──(heard)──▶ live
//! ```
//!
//! Every poll makes ThingsBoard take the device for active. So polls go on only while the device is known
//! to live. A parked observation is kept, though RFC 7641 §4.5 would have it removed: devices that sleep
//! or lose their network don't know that they should register anew, and would hear nothing for ever.

use crate::dtls::SessionId;
use coap::ObservationId;
use std::time::{Duration, Instant};

/// An observation: of which session, and which of its.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The session.
    pub session: SessionId,
    /// The session's endpoint's name for it.
    pub id: ObservationId,
}

/// An observation and its liveness.
#[derive(Debug)]
pub struct Observer {
    /// Which.
    pub observation: Observation,
    parked: bool,
    questioned: bool,
    check_at: Instant,
}

impl Observer {
    /// It has just registered, and so it lives.
    pub fn new(now: Instant, observation: Observation, alive_for: Duration) -> Observer {
        Observer {
            observation,
            parked: false,
            questioned: false,
            check_at: now + alive_for,
        }
    }

    /// Whether it is known to live.
    pub fn is_live(&self) -> bool {
        !self.parked
    }

    /// Whether it is asked for a sign of life, or has failed to give one.
    pub fn is_in_question(&self) -> bool {
        self.parked || self.questioned
    }

    /// Whether a sign of life is wanted now; `last_heard` is when its session was heard last.
    pub fn wants_sign(&mut self, now: Instant, last_heard: Instant, alive_for: Duration) -> bool {
        if self.parked || self.questioned || now < self.check_at {
            return false;
        }
        self.check_at = last_heard + alive_for;
        self.questioned = now >= self.check_at;
        self.questioned
    }

    /// When to look whether it was heard.
    pub fn next_timeout(&self) -> Option<Instant> {
        (!self.parked && !self.questioned).then_some(self.check_at)
    }

    /// Its session was heard. Returns whether it was parked.
    pub fn heard(&mut self, now: Instant, alive_for: Duration) -> bool {
        if self.questioned || self.parked {
            self.check_at = now + alive_for;
        }
        self.questioned = false;
        std::mem::take(&mut self.parked)
    }

    /// It does not answer. Returns whether that is news.
    pub fn park(&mut self) -> bool {
        !std::mem::replace(&mut self.parked, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_observer_is_pinged_once_then_parked_and_lives_again_when_heard() {
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
        // Heard in the tenth minute: the ping waits until the twenty-fifth.
        let heard = start + 10 * minute;
        assert!(!observer.wants_sign(start + alive_for, heard, alive_for));
        assert_eq!(observer.next_timeout(), Some(heard + alive_for));
        assert!(observer.wants_sign(heard + alive_for, heard, alive_for));
        assert!(
            !observer.wants_sign(heard + 2 * alive_for, heard, alive_for),
            "once"
        );
        assert_eq!(observer.next_timeout(), None);
        assert!(observer.park());
        assert!(!observer.park() && !observer.is_live());
        let again = heard + 3 * alive_for;
        assert!(observer.heard(again, alive_for), "it was parked");
        assert!(observer.is_live());
        assert_eq!(observer.next_timeout(), Some(again + alive_for));
    }
}
