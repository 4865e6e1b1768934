//! A load driver for any CoAPs server whose clients show X.509 certificates.
//!
//! `cargo run --release --bin load -- --help` says what it can do. It holds sessions, each with a port of its own, and
//! each does one kind of work repeatedly: requests, handshakes, an observation, or nothing at all. The results are
//! written as a table and as JSON.
//!
//! [`args`] becomes a [`target`] and a [`plan`] (each session's address, certificate and [`pace`]). [`session`] runs
//! one session: [`dtls`] carries it, and [`conversation`] does its work through a `coap_client::Endpoint`. All sessions
//! count in one [`tally`], which [`progress`] reads while they run and [`report`] at the end.
//!
//! # What it shares with the gateway
//! The message format (crate `coap`): the driver measures time and counts response codes, so a mistake that both had in
//! it would not change a figure, and its conformance is tested elsewhere (see `coap_client`). By default it shares
//! nothing of DTLS, which takes most of the processor time: that is webrtc-dtls. With `--dtls own` or `dimpl` it uses
//! the records and keys of the gateway's engine, or its library for DTLS 1.3, and the report says so. The report also has the driver's own processor time: a driver that is
//! busy all the time has measured itself.

mod args;
pub mod bench;
mod conversation;
mod dtls;
mod latencies;
mod pace;
mod plan;
mod progress;
mod report;
mod session;
mod tally;
mod target;
mod watch;

pub use args::Args;
use args::Work;
use clap::Parser;
use pace::Pacer;
pub use report::Report;
use session::{Phase, Shared};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tally::Tally;
use tokio::sync::{Semaphore, mpsc};
use watch::Watch;

/// How long sessions may take to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the driver with the arguments of the process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json.clone();
    let ended = run(args).and_then(|report| {
        let table = json.as_deref() != Some("-");
        let text = if table {
            format!("{report}\n")
        } else {
            format!("{}\n", report.json())
        };
        let written = std::io::stdout().write_all(text.as_bytes());
        written.map_err(|error| format!("the report can't be written: {error}"))?;
        if let Some(path) = json.filter(|_| table) {
            std::fs::write(&path, report.json()).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(report)
    });
    match ended {
        Ok(report) if report.has_answers() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs to the end or to Ctrl-C.
///
/// # Errors
/// A file can't be read or the server's name not be resolved: whatever is known before the first datagram.
pub fn run(args: Args) -> Result<Report, String> {
    // A socket for each session. Those beyond what the system allows are counted as failures.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.into());
    }
    let runtime = runtime.enable_all().build();
    runtime
        .map_err(|error| format!("no runtime: {error}"))?
        .block_on(drive(args))
}

async fn drive(args: Args) -> Result<Report, String> {
    args.check()?;
    let target = target::parse(&args.uri)?;
    let slots = plan::slots(&args)?;
    let connector = dtls::Connector::new(&args, &target).await?;
    let (phase, phases) = tokio::sync::watch::channel(Phase::Connecting);
    let shared = Arc::new(Shared {
        connector,
        request: target::request(&args, &target)?,
        work: args.work,
        resumes: args.resume,
        // A session that has made no request has not been served where it was.
        makes_first_request: args.first_request || args.work == Work::Move,
        sessions: args.sessions,
        response_timeout: args.response_timeout,
        handshakes: Semaphore::new(args.connecting.into()),
        tally: Tally::shared()?,
    });

    let began = now();
    let cpu = watch::own_cpu_time();
    // Nothing is sent on it: it is closed when each session has tried to connect and dropped its sender.
    let (tried, mut first_attempts) = mpsc::channel::<()>(1);
    let turns: Vec<_> = (slots.iter())
        .map(|slot| (slot.pace, slot.turns.clone()))
        .collect();
    let mut sessions = tokio::task::JoinSet::new();
    for slot in slots {
        let (shared, phases) = (Arc::clone(&shared), phases.clone());
        sessions.spawn(session::run(slot, shared, phases, tried.clone()));
    }
    drop(tried);
    let progress = tokio::spawn(progress::show(Arc::clone(&shared), phases));

    let mut interrupted = false;
    // A handshake loop is measured from its first handshake on, unless that is only what the others resume.
    if args.work != Work::Handshakes || args.resume {
        tokio::select! {
            () = async { while first_attempts.recv().await.is_some() {} } => {}
            _ = tokio::signal::ctrl_c() => interrupted = true,
        }
    }
    let watch = Watch::begin(&args.watch);
    let connected = now();
    let cpu_connected = watch::own_cpu_time();
    let pacer = Pacer::start(connected, turns).map_err(|error| format!("no thread: {error}"))?;
    let _ = phase.send(Phase::Measuring(connected));
    if !interrupted {
        tokio::select! {
            () = tokio::time::sleep(args.duration) => {}
            _ = tokio::signal::ctrl_c() => interrupted = true,
        }
    }
    let ended = now();
    let watched = watch.end();
    drop(pacer);
    let (established, complete) = {
        let tally = tally::lock(&shared.tally);
        (tally.established, tally.complete)
    };
    let cpu_ended = watch::own_cpu_time();
    let since = |before: Option<Duration>| {
        let both = cpu_ended.zip(before);
        both.map(|(after, before)| after.saturating_sub(before))
    };
    let _ = phase.send(Phase::Ended);
    let all_closed = async { while sessions.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT + args.final_ping_time(), all_closed).await;
    let _ = progress.await;

    let times = report::Times {
        connecting: connected - began,
        measured: ended - connected,
        cpu: since(cpu),
        cpu_measured: since(cpu_connected),
        watched,
        established,
        complete: complete.map(|when| when - began),
        interrupted,
    };
    Ok(Report::new(&args, times, &tally::lock(&shared.tally)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver's clock: it measures in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
