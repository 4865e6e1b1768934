//! The pieces that `benches/run` needs and nobody else has.
//!
//! `cargo run --release --example bench -- --help` says what they are.

mod flood;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Pieces of the gateway's benchmarks.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send forged ClientHellos to a server on this machine
    Flood(flood::Args),
}

fn main() -> ExitCode {
    let ended = match CommandLine::parse().command {
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
