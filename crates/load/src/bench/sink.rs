//! An HTTP server that does as little as possible, so that what is measured is the gateway before it.
//!
//! It has one thread. Clients, gateway and sink share the machine's cores, and a sink that spreads over all of them
//! competes with them; and one thread answers several times as many requests as the gateway forwards.
//!
//! A GET of any path is answered with the number of posts so far, from which the rate in any interval follows.

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// The pause before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Requests other than GET that were received to their end.
static POSTS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address to listen on; port 0 means any free port. The address is the first line on standard output
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let ended = runtime.block_on(serve(args.listen));
    ended.map_err(|error| format!("{}: {error}", args.listen))
}

async fn serve(address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(answer);
    // A client may close its connection at any time.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Answers a request after its end: a server that answers earlier has not received it.
async fn answer(request: Request<Incoming>) -> Result<Response<String>, hyper::Error> {
    let is_get = request.method() == Method::GET;
    let mut body = request.into_body();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        frame?;
    }
    Ok(Response::new(if is_get {
        POSTS.load(Ordering::Relaxed).to_string()
    } else {
        POSTS.fetch_add(1, Ordering::Relaxed);
        String::new()
    }))
}
