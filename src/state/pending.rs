//! What is to be pushed to the store, and when.
//!
//! A row is due as soon as something in it has changed. What changes with each record is pushed for all sessions together,
//! once in `state.window`: the more neighbours are in one commit, the less each costs.

use crate::credentials::ChangedPath;
use crate::dtls::SessionId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Rows pushed in one turn of the loop.
pub(crate) const ROWS_PER_TURN: usize = 128;
/// Records pushed in one turn.
pub(crate) const RECORDS_PER_TURN: usize = 64;
/// Windows pushed in one turn.
pub(crate) const WINDOWS_PER_TURN: usize = 512;
/// How many changes may wait for the disk before rows wait in the loop: a start has all rows written again, and they need not
/// all be in memory at once.
pub(crate) const CROWDED: usize = 16_384;
/// How long to wait then, and after a refusal.
const PAUSE: Duration = Duration::from_millis(50);

/// What has become of a path of certificates.
#[derive(Debug)]
pub(crate) enum PathChange {
    Changed(ChangedPath),
    /// No client has the path of this name any more.
    Unused([u8; 32]),
}

/// What is to be pushed.
#[derive(Debug)]
pub(crate) struct Pending {
    /// A time that has passed: what is due at once is due then.
    start: Instant,
    window: Duration,
    /// Sessions whose row is due, in the order in which they became so.
    rows: VecDeque<SessionId>,
    /// Rows of sessions that have ended.
    deletions: VecDeque<u32>,
    paths: VecDeque<PathChange>,
    /// Rows are not pushed until then.
    paused_until: Option<Instant>,
    /// When windows are pushed next. `None`: no session was used since.
    windows_at: Option<Instant>,
    /// The sessions of this time that are left.
    windows_left: usize,
}

impl Pending {
    pub(crate) fn new(start: Instant, window: Duration) -> Pending {
        Pending {
            start,
            window,
            rows: VecDeque::new(),
            deletions: VecDeque::new(),
            paths: VecDeque::new(),
            paused_until: None,
            windows_at: None,
            windows_left: 0,
        }
    }

    /// A session's row is due. It must not be in the list.
    pub(crate) fn add_row(&mut self, session: SessionId) {
        self.rows.push_back(session);
    }

    /// A row is to be deleted.
    pub(crate) fn add_deletion(&mut self, key: u32) {
        self.deletions.push_back(key);
    }

    /// The next row to delete.
    pub(crate) fn pop_deletion(&mut self) -> Option<u32> {
        self.deletions.pop_front()
    }

    /// Paths have changed.
    pub(crate) fn add_paths(&mut self, changes: impl Iterator<Item = PathChange>) {
        self.paths.extend(changes);
    }

    /// The next change of a path.
    pub(crate) fn pop_path(&mut self) -> Option<PathChange> {
        self.paths.pop_front()
    }

    /// A change of a path that can't be pushed yet.
    pub(crate) fn return_path(&mut self, change: PathChange) {
        self.paths.push_front(change);
    }

    /// The next session whose row is due.
    pub(crate) fn pop_row(&mut self) -> Option<SessionId> {
        self.rows.pop_front()
    }

    /// Whether rows may be pushed now.
    pub(crate) fn may_push(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| until <= now)
    }

    /// Rows wait for the disk.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + PAUSE);
    }

    /// Whether anything is to be pushed now. `used` sessions are waiting, and perhaps there are records. The time at which the
    /// windows are due begins with the first session.
    pub(crate) fn is_due(&mut self, now: Instant, used: usize, more: bool) -> bool {
        if used > 0 && self.windows_left == 0 && self.windows_at.is_none() {
            self.windows_at = Some(now + self.window);
        }
        self.next_timeout(more).is_some_and(|at| at <= now)
    }

    /// How many of the sessions that were used have their windows pushed now, if there are so many.
    pub(crate) fn windows_due(&mut self, now: Instant, used: usize) -> usize {
        if self.windows_left == 0 && self.windows_at.is_some_and(|at| at <= now) {
            (self.windows_at, self.windows_left) = (None, used);
        }
        let due = self.windows_left.min(WINDOWS_PER_TURN);
        self.windows_left = self.windows_left.saturating_sub(due);
        due
    }

    /// When something is to be pushed next. `more`: there are records to push.
    pub(crate) fn next_timeout(&self, more: bool) -> Option<Instant> {
        let has_rows =
            more || !self.rows.is_empty() || !self.deletions.is_empty() || !self.paths.is_empty();
        let rows = has_rows.then(|| self.paused_until.unwrap_or(self.start));
        let windows = match self.windows_left {
            0 => self.windows_at,
            _ => Some(self.start),
        };
        [rows, windows].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_pushed_together_once_in_the_interval() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut pending = Pending::new(start, 5 * second);
        assert!(!pending.is_due(start, 0, false));
        assert_eq!(pending.next_timeout(false), None);
        assert!(!pending.is_due(start, 3, false));
        assert_eq!(pending.next_timeout(false), Some(start + 5 * second));
        assert_eq!(pending.windows_due(start + 4 * second, 900), 0);
        assert!(!pending.is_due(start + 4 * second, 900, false));
        // Those that are used meanwhile wait for the next time.
        let at = start + 5 * second;
        assert!(pending.is_due(at, 700, false));
        assert_eq!(pending.windows_due(at, 700), WINDOWS_PER_TURN);
        assert_eq!(pending.next_timeout(false), Some(start));
        assert!(pending.is_due(at, 1_000, false));
        assert_eq!(pending.windows_due(at, 1_000), 700 - WINDOWS_PER_TURN);
        assert!(!pending.is_due(at, 800, false));
        assert_eq!(pending.windows_due(at, 800), 0);
        assert_eq!(pending.next_timeout(false), Some(at + 5 * second));
    }

    #[test]
    fn rows_are_due_at_once_unless_the_disk_is_behind() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut pending = Pending::new(now, Duration::from_secs(5));
        pending.add_row(SessionId(1));
        assert_eq!(pending.next_timeout(false), Some(now));
        assert!(pending.is_due(now, 0, false));
        pending.pause(now);
        assert!(!pending.is_due(now, 0, true));
        assert!(!pending.may_push(now));
        assert_eq!(pending.next_timeout(false), Some(now + PAUSE));
        assert!(pending.may_push(now + PAUSE));
        assert_eq!(pending.pop_row(), Some(SessionId(1)));
        assert_eq!(pending.next_timeout(false), None);
    }
}
