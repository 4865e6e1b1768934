//! All connections that are open: how many there may be, and their end when ThingsBoard restarts.

use crate::clock::Clock;
use crate::connection::ConnectionHandle;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Tomcat's `maxConnections`.
const DEFAULT_MAX_CONNECTIONS: usize = 8192;

/// The connections, each with a number of its own.
pub(super) struct Connections {
    open: Mutex<Open>,
    clock: Clock,
    /// There may be room for one more.
    room: Notify,
}

struct Open {
    connections: HashMap<u64, ConnectionHandle>,
    last: u64,
    max: usize,
    /// Until then ThingsBoard is down.
    down_until_ms: u64,
}

impl Connections {
    pub(super) fn new(clock: Clock) -> Connections {
        Connections {
            open: Mutex::new(Open {
                connections: HashMap::new(),
                last: 0,
                max: DEFAULT_MAX_CONNECTIONS,
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
    pub(super) async fn wait_for_room(&self) {
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
        open.connections.len() < open.max
    }

    /// A connection was accepted; `None` while ThingsBoard is down.
    pub(super) fn register(&self) -> Option<(u64, ConnectionHandle)> {
        let mut open = self.lock();
        if self.clock.now_ms() < open.down_until_ms {
            return None;
        }
        open.last += 1;
        let (number, connection) = (open.last, ConnectionHandle::default());
        open.connections.insert(number, connection.clone());
        Some((number, connection))
    }

    /// A connection is gone.
    pub(super) fn unregister(&self, number: u64) {
        self.lock().connections.remove(&number);
        self.room.notify_one();
    }

    /// Cuts all connections but one, and for a while all that come.
    pub(super) fn cut_all(&self, lasts_ms: u64, except: Option<&ConnectionHandle>) {
        let mut open = self.lock();
        open.down_until_ms = self.clock.now_ms().saturating_add(lasts_ms);
        let connections: Vec<ConnectionHandle> = open.connections.values().cloned().collect();
        drop(open);
        for connection in connections {
            if except.is_none_or(|except| !except.is(&connection)) {
                connection.cut();
            }
        }
    }

    /// How many there are, and how many there may be.
    pub(super) fn count(&self) -> (usize, usize) {
        let open = self.lock();
        (open.connections.len(), open.max)
    }

    /// Those beyond the new bound stay; none comes until there is room again.
    pub(super) fn set_max(&self, max: usize) {
        self.lock().max = max;
        self.room.notify_one();
    }
}
