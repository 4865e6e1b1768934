//! Connections that wait for their next exchange.

use super::connection::Connection;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often idle connections grow older.
const TICK: Duration = Duration::from_secs(5);
/// After so many ticks they are closed. So a connection is idle for ten seconds at most: shorter than servers and
/// proxies wait (Tomcat 20 to 60 s, HAProxy as ThingsBoard ships it 50 s), so that they seldom close one that we are
/// about to use. Long enough for one poll's connection to serve the next: in a fleet, some poll begins at any moment.
const TICKS: u64 = 2;

/// A pool of connections to one server. The one that was used last is used next, so those that are too many grow old.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    /// How many are worth keeping.
    most: usize,
}

#[derive(Default)]
struct Idle {
    /// The oldest first, each with the tick at which it came.
    connections: VecDeque<(u64, Box<Connection>)>,
    now: u64,
    /// A task counts the ticks: not while there is nothing to close.
    is_ticking: bool,
}

impl Pool {
    pub(super) fn new(most: usize) -> Arc<Pool> {
        let idle = Mutex::default();
        Arc::new(Pool { idle, most })
    }

    /// One that is open, if there is one.
    pub(super) async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (_, mut connection) = self.idle().connections.pop_back()?;
            if connection.is_open().await {
                return Some(connection);
            }
        }
    }

    /// Keeps one for the next exchange, if it is good for that.
    pub(super) async fn put(self: &Arc<Self>, mut connection: Box<Connection>) {
        if !connection.is_open().await {
            return;
        }
        let mut idle = self.idle();
        if idle.connections.len() >= self.most {
            return;
        }
        let now = idle.now;
        idle.connections.push_back((now, connection));
        if !idle.is_ticking {
            idle.is_ticking = true;
            tokio::spawn(tick(self.clone()));
        }
    }

    /// A tick is over. Says whether more are wanted.
    fn grow_older(&self) -> bool {
        let mut idle = self.idle();
        idle.now += 1;
        let now = idle.now;
        let is_old = |came: u64| came + TICKS <= now;
        let old = idle.connections.partition_point(|(came, _)| is_old(*came));
        let closed: VecDeque<_> = idle.connections.drain(..old).collect();
        // Devices without traffic are many: nothing of a burst is kept for them.
        if idle.connections.is_empty() {
            idle.connections = VecDeque::new();
        }
        idle.is_ticking = !idle.connections.is_empty();
        let more = idle.is_ticking;
        drop(idle);
        // Closing sockets takes a while.
        drop(closed);
        more
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tick(pool: Arc<Pool>) {
    loop {
        tokio::time::sleep(TICK).await;
        if !pool.grow_older() {
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
            Box::new(Connection::over(stream).await.unwrap()),
            far.unwrap().0,
        )
    }

    async fn is_closed(end: &mut TcpStream) -> bool {
        end.read(&mut [0]).await.unwrap() == 0
    }

    #[tokio::test]
    async fn what_is_idle_for_two_ticks_is_closed_and_what_is_used_is_not() {
        let pool = Pool::new(8);
        let ((first, mut far), (second, mut other)) = (connection().await, connection().await);
        pool.put(first).await;
        pool.put(second).await;
        assert!(pool.grow_older());
        // The one that came last goes first: it is the other that grows old.
        let used = pool.take().await.unwrap();
        pool.put(used).await;
        assert!(pool.grow_older());
        assert!(is_closed(&mut far).await);
        assert!(pool.take().await.is_some());
        assert!(pool.take().await.is_none());
        assert!(is_closed(&mut other).await, "dropped with what was taken");
        assert!(!pool.grow_older(), "nothing is left to grow old");
    }

    #[tokio::test]
    async fn no_more_are_kept_than_may_be_under_way_at_once() {
        let pool = Pool::new(1);
        let ((first, _far), (second, mut other)) = (connection().await, connection().await);
        pool.put(first).await;
        pool.put(second).await;
        assert!(is_closed(&mut other).await);
        assert!(pool.take().await.is_some());
    }

    #[tokio::test]
    async fn what_the_server_has_closed_or_spoken_on_unasked_is_not_used() {
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
