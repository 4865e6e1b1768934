//! All connections that are open: how many there may be, and their end when ThingsBoard restarts.

use crate::clock::Clock;
use crate::connection::Line;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Tomcat's `maxConnections`.
const MOST_CONNECTIONS: usize = 8192;

/// The connections, each with a number of its own.
pub(super) struct Lines {
    open: Mutex<Open>,
    clock: Clock,
    /// There may be room for one more.
    room: Notify,
}

struct Open {
    lines: HashMap<u64, Line>,
    last: u64,
    most: usize,
    /// Until then ThingsBoard is down.
    down_until_ms: u64,
}

impl Lines {
    pub(super) fn new(clock: Clock) -> Lines {
        Lines {
            open: Mutex::new(Open {
                lines: HashMap::new(),
                last: 0,
                most: MOST_CONNECTIONS,
                down_until_ms: 0,
            }),
            clock,
            room: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once one more connection may be accepted.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.room.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    fn has_room(&self) -> bool {
        let open = self.lock();
        open.lines.len() < open.most
    }

    /// A connection was accepted; `None` while ThingsBoard is down.
    pub(super) fn admit(&self) -> Option<(u64, Line)> {
        let mut open = self.lock();
        if self.clock.now_ms() < open.down_until_ms {
            return None;
        }
        open.last += 1;
        let (number, line) = (open.last, Line::default());
        open.lines.insert(number, line.clone());
        Some((number, line))
    }

    /// A connection is gone.
    pub(super) fn leave(&self, number: u64) {
        self.lock().lines.remove(&number);
        self.room.notify_one();
    }

    /// Cuts all connections but one, and for a while all that come.
    pub(super) fn go_down(&self, lasts_ms: u64, but: Option<&Line>) {
        let mut open = self.lock();
        open.down_until_ms = self.clock.now_ms().saturating_add(lasts_ms);
        let lines: Vec<Line> = open.lines.values().cloned().collect();
        drop(open);
        for line in lines {
            if but.is_none_or(|but| !but.is(&line)) {
                line.cut();
            }
        }
    }

    /// How many there are, and how many there may be.
    pub(super) fn count(&self) -> (usize, usize) {
        let open = self.lock();
        (open.lines.len(), open.most)
    }

    /// Those beyond the new bound stay; none comes until there is room again.
    pub(super) fn set_most(&self, most: usize) {
        self.lock().most = most;
        self.room.notify_one();
    }
}
