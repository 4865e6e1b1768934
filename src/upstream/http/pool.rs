//! Idle connections, kept for the next exchange.

use super::connection::Connection;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often expired connections are closed.
const TICK: Duration = Duration::from_secs(5);
/// An idle connection is closed after this many ticks, ten seconds at most. That is shorter than servers and proxies wait
/// (Tomcat 20 to 60 s, HAProxy as ThingsBoard ships it 50 s), so that they seldom close one that is about to be used; and
/// long enough for one poll's connection to serve the next: in a fleet, polls begin all the time.
const MAX_IDLE_TICKS: u64 = 2;

/// A pool of connections to one server. The one that was used last is used next, so that surplus ones expire.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    max_idle: usize,
}

#[derive(Default)]
struct Idle {
    /// Oldest first, each with the tick at which it was put.
    connections: VecDeque<(u64, Box<Connection>)>,
    now: u64,
    /// Whether a task counts the ticks. Not while the pool is empty.
    is_ticking: bool,
}

impl Pool {
    pub(super) fn new(max_idle: usize) -> Arc<Pool> {
        let idle = Mutex::default();
        Arc::new(Pool { idle, max_idle })
    }

    /// Takes the connection that was put last and is still open.
    pub(super) async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (_, mut connection) = self.idle().connections.pop_back()?;
            if connection.is_open().await {
                return Some(connection);
            }
        }
    }

    /// Keeps an open connection for the next exchange, unless the pool is full.
    pub(super) async fn put(self: &Arc<Self>, mut connection: Box<Connection>) {
        if !connection.is_open().await {
            return;
        }
        let mut idle = self.idle();
        if idle.connections.len() >= self.max_idle {
            return;
        }
        let now = idle.now;
        idle.connections.push_back((now, connection));
        if !idle.is_ticking {
            idle.is_ticking = true;
            tokio::spawn(count_ticks(self.clone()));
        }
    }

    /// Counts a tick and closes expired connections. Returns whether any are left.
    fn tick(&self) -> bool {
        let mut idle = self.idle();
        idle.now += 1;
        let now = idle.now;
        let is_expired = |put: u64| put + MAX_IDLE_TICKS <= now;
        let expired = idle
            .connections
            .partition_point(|(put, _)| is_expired(*put));
        let closed: VecDeque<_> = idle.connections.drain(..expired).collect();
        // Frees the memory that a burst has left.
        if idle.connections.is_empty() {
            idle.connections = VecDeque::new();
        }
        idle.is_ticking = !idle.connections.is_empty();
        let is_ticking = idle.is_ticking;
        drop(idle);
        // Sockets are closed without the lock.
        drop(closed);
        is_ticking
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn count_ticks(pool: Arc<Pool>) {
    loop {
        tokio::time::sleep(TICK).await;
        if !pool.tick() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::Stream;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A connection, and its server's end.
    async fn connection() -> (Box<Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let stream = Stream::plain(near.unwrap());
        (
            Box::new(Connection::new(stream).await.unwrap()),
            far.unwrap().0,
        )
    }

    async fn is_closed(end: &mut TcpStream) -> bool {
        end.read(&mut [0]).await.unwrap() == 0
    }

    #[tokio::test]
    async fn a_connection_is_closed_after_two_idle_ticks_unless_it_is_used() {
        let pool = Pool::new(8);
        let ((first, mut far), (second, mut other)) = (connection().await, connection().await);
        pool.put(first).await;
        pool.put(second).await;
        assert!(pool.tick());
        // The second was put last, and is taken first; the first one ages.
        let used = pool.take().await.unwrap();
        pool.put(used).await;
        assert!(pool.tick());
        assert!(is_closed(&mut far).await);
        assert!(pool.take().await.is_some());
        assert!(pool.take().await.is_none());
        assert!(is_closed(&mut other).await, "dropped with what was taken");
        assert!(!pool.tick(), "the pool is empty");
    }

    #[tokio::test]
    async fn no_more_than_max_idle_connections_are_kept() {
        let pool = Pool::new(1);
        let ((first, _far), (second, mut other)) = (connection().await, connection().await);
        pool.put(first).await;
        pool.put(second).await;
        assert!(is_closed(&mut other).await);
        assert!(pool.take().await.is_some());
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_or_sent_an_unsolicited_reply_on_is_not_used() {
        let pool = Pool::new(8);
        for spoken in [&b""[..], b"HTTP/1.1 408 \r\n\r\n"] {
            let (idle, mut far) = connection().await;
            pool.put(idle).await;
            far.write_all(spoken).await.unwrap();
            far.shutdown().await.unwrap();
            // Until the runtime has seen it.
            while pool.idle().connections.len() == 1 {
                if let Some(taken) = pool.take().await {
                    pool.put(taken).await;
                }
                tokio::task::yield_now().await;
            }
            assert!(pool.take().await.is_none());
        }
    }
}
