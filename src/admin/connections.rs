//! The connections: how many there are, how long each may take, how much of it is read.
//!
//! ```text
//! accepted ──(its head has come)──▶ asked ──(the answer is sent)──▶ answered ──(the peer closes)──▶ closed
//!    └──(too slow, or displaced)──▶ closed                              └──(too slow, or displaced)──▶ closed
//! ```
//!
//! Only one that waits for its answer is never displaced.

use super::Source;
use super::pages::{page, rebound};
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, body};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Connections at once.
pub(super) const MOST: usize = 64;
/// Bytes of a request's head; more is answered 431.
const LARGEST_HEAD: usize = 16 * 1024;
/// Lines in it; more is answered 431.
const MOST_HEADERS: usize = 64;
/// How long the head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may last, from its beginning to its end.
const WHOLE_TIME: Duration = Duration::from_secs(60);
/// How long the peer may take to close after the answer.
const CLOSING_TIME: Duration = Duration::from_secs(1);
/// What is still read of a request that nobody wants to read, so that its answer is not lost to a reset.
const UNREAD_BYTES: usize = 256 * 1024;
/// How long to wait when the process has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What this room counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were answered.
    pub requests: u64,
    /// Connections that waited for no answer, closed for newer ones.
    pub displaced: u64,
    /// Connections closed at once because all others are being answered.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Counting {
    requests: AtomicU64,
    displaced: AtomicU64,
    refused: AtomicU64,
}

impl Counting {
    fn now(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            requests: read(&self.requests),
            displaced: read(&self.displaced),
            refused: read(&self.refused),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What is answered, and to whom.
#[derive(Clone, Copy)]
struct Terms {
    /// Whether `/sessions` is.
    sessions: bool,
    /// Bound to a loopback address: requests by another name come from a page whose name was rebound to it.
    on_loopback: bool,
}

/// One that is open.
struct Open {
    task: AbortHandle,
    awaits_answer: Arc<AtomicBool>,
}

/// Takes connections for ever. They end with it.
pub(super) async fn serve<S: Source>(
    listener: TcpListener,
    source: Arc<S>,
    sessions: bool,
) -> Infallible {
    let on_loopback = listener
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    let counting = Arc::new(Counting::default());
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        if !make_room(&mut open, &counting) {
            count(&counting.refused);
            continue;
        }
        let awaits_answer = Arc::new(AtomicBool::new(false));
        let attended = attend(
            stream,
            source.clone(),
            Terms {
                sessions,
                on_loopback,
            },
            counting.clone(),
            awaits_answer.clone(),
        );
        let task = tasks.spawn(async move {
            // What is not over by then has no right to more.
            let _ = tokio::time::timeout(WHOLE_TIME, attended).await;
        });
        open.push_back(Open {
            task,
            awaits_answer,
        });
    }
}

/// Whether there is room for one more, if need be at the cost of the oldest that waits for no answer: nothing was asked,
/// or all is said and its peer keeps it open.
fn make_room(open: &mut VecDeque<Open>, counting: &Counting) -> bool {
    open.retain(|one| !one.task.is_finished());
    if open.len() < MOST {
        return true;
    }
    let idle = open
        .iter()
        .position(|one| !one.awaits_answer.load(Ordering::Relaxed));
    let Some(displaced) = idle.and_then(|at| open.remove(at)) else {
        return false;
    };
    displaced.task.abort();
    count(&counting.displaced);
    true
}

/// One connection: one request, its answer, the end.
async fn attend<S: Source>(
    stream: TcpStream,
    source: Arc<S>,
    terms: Terms,
    counting: Arc<Counting>,
    awaits_answer: Arc<AtomicBool>,
) {
    let has_asked = awaits_answer.clone();
    let service = service_fn(move |request: Request<body::Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        count(&counting.requests);
        let (source, own) = (source.clone(), counting.now());
        Box::pin(async move {
            let host = request.headers().get(HOST);
            let host = host.map(|host| host.to_str().unwrap_or("?"));
            if cross_site::check(terms.on_loopback, host, None).is_err() {
                return Ok(rebound());
            }
            let (method, path) = (request.method(), request.uri().path());
            Ok::<_, Infallible>(page(&source, terms.sessions, own, method, path).await)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // What can't be read as a request is an error here, and has its answer all the same.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    awaits_answer.store(false, Ordering::Relaxed);
    part(connection.into_parts().io.into_inner()).await;
}

/// Sends the end, and waits a moment for the peer's. Closing while something of it is unread would reset the
/// connection, and the answer might be lost on its way.
async fn part(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let peer_ends = async {
        let (mut unread, mut buffer) = (UNREAD_BYTES, [0; 1024]);
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            let Some(left) = unread.checked_sub(read) else {
                break;
            };
            unread = left;
        }
    };
    let _ = tokio::time::timeout(CLOSING_TIME, peer_ends).await;
}
