//! When to read all attributes of a device: polls lose what falls between them, and a read finds it.

use std::time::Instant;

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Due(Instant),
    /// And when the next is due, if one is.
    UnderWay(u64, Option<Instant>),
}

/// Reads of one device: one at a time, and wishes for more become one.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    /// A read that begins earlier does not show all.
    settled_at: Option<Instant>,
    last_number: u64,
    /// In a row.
    pub failures: u32,
}

impl Reader {
    /// A read is wanted at this time; an earlier wish stands.
    pub fn want(&mut self, at: Instant) {
        let earlier = |other: Option<Instant>| Some(other.map_or(at, |other| other.min(at)));
        self.state = match self.state {
            State::Idle => State::Due(at),
            State::Due(other) => State::Due(other.min(at)),
            State::UnderWay(number, next) => State::UnderWay(number, earlier(next)),
        };
    }

    /// A read is wanted that begins at this time or later, whether or not an earlier one is wanted as well:
    /// what changes up to then is nowhere else to be found.
    pub fn want_settled(&mut self, at: Instant) {
        self.settled_at = self.settled_at.max(Some(at));
        self.want(at);
    }

    /// The read to begin now, if its time has come.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        match self.state {
            State::Due(at) if at <= now => {
                self.last_number += 1;
                self.settled_at = self.settled_at.filter(|settled| *settled > now);
                self.state = State::UnderWay(self.last_number, self.settled_at);
                Some(self.last_number)
            }
            State::Idle | State::Due(_) | State::UnderWay(..) => None,
        }
    }

    /// A read has come to its end; false if it is none of ours (any more).
    pub fn ended(&mut self, number: u64) -> bool {
        match self.state {
            State::UnderWay(own, next) if own == number => {
                self.state = next.map_or(State::Idle, State::Due);
                true
            }
            State::Idle | State::Due(_) | State::UnderWay(..) => false,
        }
    }

    /// Whether a read is under way.
    pub fn is_under_way(&self) -> bool {
        matches!(self.state, State::UnderWay(..))
    }

    /// What is wanted and not yet under way is wanted no more.
    pub fn call_off(&mut self) {
        self.settled_at = None;
        self.state = match self.state {
            State::UnderWay(number, _) => State::UnderWay(number, None),
            State::Idle | State::Due(_) => State::Idle,
        };
    }

    /// No read is wanted; the one under way, if any, is not waited for.
    pub fn cancel(&mut self) {
        self.settled_at = None;
        self.state = State::Idle;
    }

    /// When [`due`](Self::due) has something, if time alone decides.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Idle | State::UnderWay(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn wishes_become_one_read_at_the_earliest_time_and_one_after_it() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut reader = Reader::default();
        reader.want(at(300));
        reader.want(at(900));
        assert_eq!(reader.due(at(299)), None);
        assert_eq!(reader.due(at(300)), Some(1));
        assert_eq!(reader.due(at(900)), None, "one at a time");
        reader.want(at(700));
        reader.want(at(600));
        assert!(!reader.ended(7), "none of ours");
        assert!(reader.ended(1));
        assert_eq!(reader.next_timeout(), Some(at(600)));
        assert_eq!(reader.due(at(600)), Some(2));
        reader.cancel();
        assert!(!reader.ended(2), "not waited for any more");
        assert_eq!(reader.next_timeout(), None);
    }

    #[test]
    fn a_read_that_begins_too_early_to_show_all_is_followed_by_another() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut reader = Reader::default();
        reader.want(at(0));
        reader.want_settled(at(300));
        assert_eq!(reader.due(at(0)), Some(1));
        assert!(reader.ended(1));
        assert_eq!(reader.next_timeout(), Some(at(300)));
        assert_eq!(reader.due(at(300)), Some(2));
        assert!(reader.ended(2));
        assert_eq!(reader.next_timeout(), None);
    }
}
