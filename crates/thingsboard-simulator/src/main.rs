//! The simulator as a program.

use clap::Parser;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use thingsboard_simulator::Simulator;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

/// Descriptors for ThingsBoard's default number of connections, and some for the runtime.
const OPEN_FILES: u64 = 8192 + 64;

/// Run a simulated ThingsBoard device API, in memory, for tests and trials
#[derive(Debug, Parser)]
#[command(version, after_help = thingsboard_simulator::HELP)]
struct CommandLine {
    /// The TCP address to serve on
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    listen: SocketAddr,
    /// The TCP address to serve MQTT on (5 and 3.1.1, without TLS); ThingsBoard's port is 1883 [default: no MQTT]
    #[arg(long, value_name = "ADDRESS:PORT")]
    mqtt: Option<SocketAddr>,
    /// Log lines on standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log: LevelFilter,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(io::stderr)
        .init();
    match run(arguments.listen, arguments.mqtt).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: SocketAddr, mqtt: Option<SocketAddr>) -> Result<(), String> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(granted) if granted < OPEN_FILES => tracing::warn!(
            granted,
            needed = OPEN_FILES,
            "the limit of open files is too low for as many connections as ThingsBoard accepts: raise it (ulimit -Hn)"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("cannot raise the limit of open files: {error}"),
    }
    let shutdown = shutdown().map_err(|error| error.to_string())?;
    let mut simulator = Simulator::bind(address).await.map_err(|error| {
        format!("cannot listen on TCP {address}: {error} (choose another with --listen)")
    })?;
    let mqtt = match mqtt {
        Some(address) => {
            let bound = simulator.bind_mqtt(address).await;
            let bound = bound.map_err(|error| {
                format!("cannot listen on TCP {address}: {error} (choose another with --mqtt)")
            })?;
            format!("\nIts MQTT: mqtt://{bound}")
        }
        None => String::new(),
    };
    // At any log level: the simulator must not be mistaken for ThingsBoard.
    let notice = format!(
        "A simulator of ThingsBoard's device API, not ThingsBoard: http://{}{mqtt}",
        simulator.local_addr()
    );
    writeln!(io::stdout(), "{notice}").map_err(|error| error.to_string())?;
    simulator
        .run(shutdown)
        .await
        .map_err(|error| error.to_string())
}

/// Resolves at the first SIGTERM or SIGINT (Ctrl-C).
fn shutdown() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
