//! The tools of `benches/run` besides the load driver: an HTTP sink, a direct HTTP client, TLS for a
//! server that has none, and a flood.
//!
//! `cargo run --release --bin bench -- --help` describes them. Their results are JSON. Latencies, pace and processor
//! time are measured by the load driver's code, so that the figures can be compared.

mod direct;
mod flood;
mod sink;
mod tls;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Tools of the gateway's benchmarks.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer every HTTP request with 200 and an empty body: a ThingsBoard that costs nothing
    Sink(sink::Args),
    /// Post to an HTTP server without a gateway, for comparison
    Direct(direct::Args),
    /// Terminate TLS in front of a TCP server
    Tls(tls::Args),
    /// Send forged ClientHellos to a server on this machine
    Flood(flood::Args),
}

/// Runs the tool that the arguments of the process name.
pub fn main() -> ExitCode {
    let ended = match CommandLine::parse().command {
        Command::Sink(args) => sink::run(&args),
        Command::Direct(args) => direct::run(&args),
        Command::Tls(args) => tls::run(&args),
        Command::Flood(args) => flood::run(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Writes a result to a file, or to standard output.
fn write_result(result: &impl serde::Serialize, file: Option<&Path>) -> Result<(), String> {
    let text = serde_json::to_string_pretty(result).map_err(|error| error.to_string())? + "\n";
    match file {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => (std::io::stdout().write_all(text.as_bytes())).map_err(|error| error.to_string()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tools' clock: they measure in real time"
)]
fn now() -> Instant {
    Instant::now()
}
