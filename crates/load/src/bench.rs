//! The pieces that `benches/run` needs and nobody else has.
//!
//! `cargo run --release --bin bench -- --help` says what they are. Each tells what came of it as JSON. Latencies, pace
//! and processor time are measured by the same files as the load driver's, so that both mean the same by them.

mod direct;
mod flood;
mod sink;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Pieces of the gateway's benchmarks.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer every HTTP request with 200 and nothing, as a ThingsBoard that costs nothing would
    Sink(sink::Args),
    /// Post straight to an HTTP server, without a gateway: what the gateway is compared with
    Direct(direct::Args),
    /// Send forged ClientHellos to a server on this machine
    Flood(flood::Args),
}

/// Reads the process's arguments and does what they say.
pub fn main() -> ExitCode {
    let ended = match CommandLine::parse().command {
        Command::Sink(args) => sink::run(&args),
        Command::Direct(args) => direct::run(&args),
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
fn tell(result: &impl serde::Serialize, file: Option<&Path>) -> Result<(), String> {
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
    reason = "it measures, and it paces, in real time"
)]
fn now() -> Instant {
    Instant::now()
}
