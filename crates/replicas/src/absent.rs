//! Sessions that the store did not have a moment ago, so that who repeats the connection ID of one that has ended does not
//! cause a call with each datagram.

use crate::id::Name;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a session is taken for absent, at least, and twice that at most. Short, as it may be one that its node could not
/// write yet.
const LENGTH: Duration = Duration::from_secs(1);

/// A bounded set in two halves, of which the older one goes once a second.
#[derive(Debug)]
pub(crate) struct Absent {
    half: usize,
    young: HashSet<Name>,
    old: HashSet<Name>,
    since: Instant,
}

impl Absent {
    pub(crate) fn new(now: Instant, max: usize) -> Absent {
        Absent {
            half: (max / 2).max(1),
            young: HashSet::new(),
            old: HashSet::new(),
            since: now,
        }
    }

    pub(crate) fn insert(&mut self, now: Instant, name: Name) {
        self.turn(now);
        if self.young.len() < self.half {
            self.young.insert(name);
        }
    }

    pub(crate) fn contains(&mut self, now: Instant, name: Name) -> bool {
        self.turn(now);
        self.young.contains(&name) || self.old.contains(&name)
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= LENGTH {
            self.old = std::mem::take(&mut self.young);
            if passed >= LENGTH * 2 {
                self.old.clear();
            }
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionKey;

    #[test]
    fn a_session_is_absent_for_a_second_or_two_and_the_set_is_bounded() {
        let name = |n: u8| Name::Session(SessionKey([n; 8]));
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let begin = Instant::now();
        let at = |tenths: u32| begin + LENGTH * tenths / 10;
        let mut absent = Absent::new(begin, 8);
        absent.insert(at(5), name(1));
        assert!(absent.contains(at(14), name(1)));
        assert!(!absent.contains(at(25), name(1)));
        for n in 0..100 {
            absent.insert(at(30), name(n));
        }
        assert!(absent.young.len() + absent.old.len() <= 8);
        assert!(absent.contains(at(31), name(0)));
        assert!(!absent.contains(at(90), name(0)));
    }
}
