//! All open connections: limits their number, and cuts them when ThingsBoard restarts.

use crate::clock::Clock;
use crate::connection::ConnectionHandle;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Tomcat's `maxConnections`.
const DEFAULT_MAX_CONNECTIONS: usize = 8192;

/// The open connections, by a number of their own.
pub(super) struct Connections {
    open: Mutex<Open>,
    clock: Clock,
    /// Notified when there may be room for one more.
    room: Notify,
}

struct Open {
    connections: HashMap<u64, ConnectionHandle>,
    last_number: u64,
    max: usize,
    /// Connections are refused until then: ThingsBoard is down.
    down_until_ms: u64,
}

impl Connections {
    pub(super) fn new(clock: Clock) -> Connections {
        Connections {
            open: Mutex::new(Open {
                connections: HashMap::new(),
                last_number: 0,
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

    /// Whether ThingsBoard is down.
    pub(super) fn is_down(&self) -> bool {
        self.clock.now_ms() < self.lock().down_until_ms
    }

    /// Adds a connection; `None` while ThingsBoard is down.
    pub(super) fn register(&self) -> Option<(u64, ConnectionHandle)> {
        let mut open = self.lock();
        if self.clock.now_ms() < open.down_until_ms {
            return None;
        }
        open.last_number += 1;
        let (number, connection) = (open.last_number, ConnectionHandle::default());
        open.connections.insert(number, connection.clone());
        Some((number, connection))
    }

    /// Removes a connection.
    pub(super) fn unregister(&self, number: u64) {
        self.lock().connections.remove(&number);
        self.room.notify_one();
    }

    /// Cuts all connections except one, and refuses new ones for `down_ms`.
    pub(super) fn cut_all(&self, down_ms: u64, except: Option<&ConnectionHandle>) {
        let mut open = self.lock();
        open.down_until_ms = self.clock.now_ms().saturating_add(down_ms);
        let connections: Vec<ConnectionHandle> = open.connections.values().cloned().collect();
        drop(open);
        for connection in connections {
            if except.is_none_or(|except| !except.is(&connection)) {
                connection.cut();
            }
        }
    }

    /// The number of connections, and the limit.
    pub(super) fn count(&self) -> (usize, usize) {
        let open = self.lock();
        (open.connections.len(), open.max)
    }

    /// Sets the limit. Connections beyond it stay open; new ones wait until there is room.
    pub(super) fn set_max(&self, max: usize) {
        self.lock().max = max;
        self.room.notify_one();
    }
}
