//! The connections: how many there are, how long each may take, how much of it is read.
//!
//! ```text
//! accepted ──(its head is read)──▶ busy ──(the response is sent)──▶ closing ──(the peer closes)──▶ closed
//!    └──(too slow, or evicted)──▶ closed                               └──(too slow, or evicted)──▶ closed
//! ```
//!
//! A connection that is busy is never evicted.

use super::Source;
use super::counters::{AtomicCounters, count};
use super::routes::{Context, router};
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tower_service::Service;

pub(super) const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head; more is answered 431.
const MAX_HEAD: usize = 16 * 1024;
/// Header fields in it; more are answered 431.
const MAX_HEADERS: usize = 64;
/// How long the head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may last, from its beginning to its end.
const WHOLE_TIME: Duration = Duration::from_secs(60);
/// How long the peer may take to close after the response.
const CLOSING_TIME: Duration = Duration::from_secs(1);
/// How much of a body is read and discarded, so that the response is not lost to a reset.
const MAX_DISCARDED: usize = 256 * 1024;
/// Pause when `accept` fails, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Connection {
    task: AbortHandle,
    is_busy: Arc<AtomicBool>,
}

/// Accepts connections until it is dropped, which ends them.
pub(super) async fn serve<S: Source>(
    listener: TcpListener,
    source: Arc<S>,
    lists_sessions: bool,
) -> Infallible {
    let on_loopback = listener
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    let counters = Arc::new(AtomicCounters::default());
    let router = router(Arc::new(Context {
        source,
        lists_sessions,
        on_loopback,
        counters: counters.clone(),
    }));
    let mut tasks = JoinSet::new();
    let mut connections: VecDeque<Connection> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        if !make_room(&mut connections, &counters) {
            count(&counters.refused);
            continue;
        }
        let is_busy = Arc::new(AtomicBool::new(false));
        let served = serve_connection(stream, router.clone(), counters.clone(), is_busy.clone());
        let task = tasks.spawn(async move {
            let _ = tokio::time::timeout(WHOLE_TIME, served).await;
        });
        connections.push_back(Connection { task, is_busy });
    }
}

/// Evicts the oldest idle connection if there are too many. Returns whether there is room for one more.
fn make_room(connections: &mut VecDeque<Connection>, counters: &AtomicCounters) -> bool {
    connections.retain(|connection| !connection.task.is_finished());
    if connections.len() < MAX_CONNECTIONS {
        return true;
    }
    let idle = connections
        .iter()
        .position(|connection| !connection.is_busy.load(Ordering::Relaxed));
    let Some(evicted) = idle.and_then(|at| connections.remove(at)) else {
        return false;
    };
    evicted.task.abort();
    count(&counters.evicted);
    true
}

/// Serves one request, sends its response, and closes.
async fn serve_connection(
    stream: TcpStream,
    router: Router,
    counters: Arc<AtomicCounters>,
    is_busy: Arc<AtomicBool>,
) {
    let has_request = is_busy.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        has_request.store(true, Ordering::Relaxed);
        count(&counters.requests);
        router.clone().call(request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // An error means that the request is malformed; hyper has sent the response.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    is_busy.store(false, Ordering::Relaxed);
    close(connection.into_parts().io.into_inner()).await;
}

/// Shuts down sending, and waits a moment for the peer to close. Closing with unread bytes would reset the connection, and
/// the response might be lost.
async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let peer_ends = async {
        let (mut unread, mut buffer) = (MAX_DISCARDED, [0; 1024]);
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            let Some(left) = unread.checked_sub(read) else {
                break;
            };
            unread = left;
        }
    };
    let _ = tokio::time::timeout(CLOSING_TIME, peer_ends).await;
}
