//! Posts to an HTTP server without a gateway: the reference for the gateway's figures.
//!
//! It is as cheap as such a client can be in safe Rust: `hyper` without a pool, a connection for each task, and request
//! and connection in the same task. Like the load driver it runs in a closed loop or at a fixed rate; at a fixed rate
//! latency counts from when a request was due, so that a stall shows (coordinated omission).

use super::now;
use crate::latencies::{Latencies, Quantiles, per_second};
use crate::pace::{Pace, Pacer, Turns};
use crate::watch::{self, Watch, Watched};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The URL to post to: http://ADDRESS:PORT/api/v1/TOKEN/telemetry
    url: Url,

    /// Connections, each with one request at a time
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,

    /// How long to measure
    #[arg(long, short = 'd', default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Requests a second, of all connections together and evenly spread; without it, each connection sends its next
    /// request when the last is answered
    #[arg(long)]
    rate: Option<f64>,

    /// The body of each request
    #[arg(long, default_value = "{}")]
    payload: String,

    /// Threads; as many as there are cores unless given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Report the processor time of these processes during the measurement
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    watch: Vec<u32>,

    /// Write the result to this file rather than to standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The results, under the load driver's names.
#[derive(Debug, Serialize)]
struct Outcome {
    connections: u32,
    measured_seconds: f64,
    requests: Requests,
    /// The number of responses with each status other than 200, and of each error that closed a connection.
    errors: BTreeMap<String, u64>,
    driver: Driver,
    watched: Vec<Watched>,
}

#[derive(Debug, Serialize)]
struct Requests {
    count: u64,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<Quantiles>,
}

#[derive(Debug, Serialize)]
struct Driver {
    /// Processor time during the measurement.
    measured_cpu_seconds: Option<f64>,
}

struct Tally {
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
}

/// What all tasks share.
struct Shared {
    url: Url,
    host: String,
    payload: String,
    tally: Mutex<Tally>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: String) {
        *self.tally().errors.entry(what).or_default() += 1;
    }

    fn request(&self) -> Result<Request<String>, hyper::http::Error> {
        Request::post(self.url.path())
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(self.payload.clone())
    }
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.into());
    }
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let outcome = runtime.block_on(measure(args))?;
    super::write_result(&outcome, args.json.as_deref())
}

async fn measure(args: &Args) -> Result<Outcome, String> {
    let address = args.url.socket_addrs(|| None).ok();
    let address = address.and_then(|all| all.first().copied());
    let address = address
        .filter(|_| args.url.scheme() == "http")
        .ok_or_else(|| format!("{}: not the URL of an HTTP server", args.url))?;
    let shared = Arc::new(Shared {
        url: args.url.clone(),
        host: address.to_string(),
        payload: args.payload.clone(),
        tally: Mutex::new(Tally {
            latencies: Latencies::new()?,
            errors: BTreeMap::new(),
        }),
    });
    let mut open = Vec::new();
    for _ in 0..args.connections {
        let connected = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let connected: std::io::Result<TcpStream> = connected.await;
        let stream = connected.map_err(|error| format!("{address}: {error}"))?;
        let pair = handshake::<_, String>(TokioIo::new(stream)).await;
        open.push(pair.map_err(|error| format!("{address}: {error}"))?);
    }

    let turns: Vec<_> = (0..args.connections)
        .map(|index| {
            let pace = Pace::new(args.rate, index, args.connections);
            (pace, Turns::default())
        })
        .collect();
    let (watch, cpu, began) = (Watch::begin(&args.watch), watch::own_cpu_time(), now());
    let mut tasks = JoinSet::new();
    for ((sender, connection), (pace, turns)) in open.into_iter().zip(turns.clone()) {
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let requests = post_repeatedly(sender, &shared, pace, &turns, began);
            if let Err(error) = drive(connection, requests).await {
                shared.error(error.to_string());
            }
        });
    }
    let pacer = Pacer::start(began, turns).map_err(|error| format!("no thread: {error}"))?;
    tokio::time::sleep(args.duration).await;

    let tally = shared.tally();
    let (measured, watched) = (now() - began, watch.end());
    let cpu = watch::own_cpu_time().zip(cpu);
    let outcome = Outcome {
        connections: args.connections,
        measured_seconds: measured.as_secs_f64(),
        requests: Requests {
            count: tally.latencies.count(),
            per_second: per_second(tally.latencies.count(), measured),
            latency_ms: tally.latencies.quantiles(),
        },
        errors: tally.errors.clone(),
        driver: Driver {
            measured_cpu_seconds: cpu
                .map(|(after, before)| after.saturating_sub(before).as_secs_f64()),
        },
        watched,
    };
    drop((tally, pacer, tasks));
    Ok(outcome)
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Drives the connection and the requests over it; ends when either does.
async fn drive(
    connection: Connection<TokioIo<TcpStream>, String>,
    requests: impl Future<Output = Result<(), Failed>>,
) -> Result<(), Failed> {
    let mut connection = pin!(connection);
    tokio::select! {
        result = requests => result,
        ended = &mut connection => ended.map_err(Failed::from),
    }
}

/// Makes one request after the other.
async fn post_repeatedly(
    mut sender: SendRequest<String>,
    shared: &Shared,
    pace: Pace,
    turns: &Turns,
    start: Instant,
) -> Result<(), Failed> {
    for turn in 0.. {
        let due = pace.due(start, turn);
        if due.is_some() {
            turns.take().await;
        }
        let begun = due.unwrap_or_else(now);
        sender.ready().await?;
        let response = sender.send_request(shared.request()?).await?;
        let status = read(response).await?;
        let mut tally = shared.tally();
        tally.latencies.record(now() - begun);
        if status != StatusCode::OK {
            *tally.errors.entry(status.to_string()).or_default() += 1;
        }
    }
    Ok(())
}

/// Reads a response to its end.
async fn read(response: Response<Incoming>) -> Result<StatusCode, hyper::Error> {
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        frame?;
    }
    Ok(status)
}
