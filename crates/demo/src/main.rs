//! The command `demo`, and every command of the gateway, because `cargo run` in the workspace starts this program.

use clap::{Args, Parser, Subcommand};
use coaps_gateway::facade::config;
use coaps_gateway_demo::Options;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};

/// Shows the gateway at work, with nothing to set up.
#[derive(Debug, Parser)]
#[command(
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(after_help = "\
Any other command is passed on to the gateway: `run`, `check`, `certs`, `device`, … `help` lists them.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work, in the terminal and on a page: simulator, gateway and one device, on loopback
    #[command(after_help = "\
Certificates are made under certs/demo/ the first time and kept. Nothing else is needed; Ctrl-C
ends it. The terminal shows what happens; the link it prints shows it in a browser on this machine.
If a port is in use, choose another:
  cargo run --release -- demo --coaps-port 15684 --http-port 18080 --page-port 18081
With --mqtt the gateway reaches ThingsBoard over MQTT, at TCP 1883 or --mqtt-port.
With --restart it is stopped and started every 20 seconds, with its sessions under certs/demo/state/.")]
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// The UDP port the gateway listens on
    #[arg(long, value_name = "PORT", default_value_t = 5684)]
    coaps_port: u16,
    /// The TCP port the simulated ThingsBoard listens on
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http_port: u16,
    /// Let the gateway reach ThingsBoard over MQTT
    #[arg(long)]
    mqtt: bool,
    /// The TCP port of ThingsBoard's MQTT
    #[arg(long, value_name = "PORT", default_value_t = 1883, requires = "mqtt")]
    mqtt_port: u16,
    /// Restart the gateway every 20 seconds, or as many as given: its device does not notice
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "20")]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=3600))]
    restart: Option<u64>,
    /// The TCP port of the page
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    page_port: u16,
}

fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    let own = ["demo", "--help", "-h", "--version", "-V"];
    if first.is_some_and(|first| own.iter().all(|name| first != *name)) {
        return coaps_gateway::facade::cli::main();
    }
    let Command::Demo(arguments) = CommandLine::parse().command;
    match demo(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn demo(arguments: &DemoArgs) -> Result<(), String> {
    // What happens goes to standard output; the log is for warnings.
    let log = config::log_settings(std::env::vars_os(), "warn").map_err(|mistakes| {
        let lines: Vec<String> = mistakes.0.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let _log = coaps_gateway::facade::logging::init(&log)?;
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let options = Options {
        directory: PathBuf::from("certs/demo"),
        coaps: loopback(arguments.coaps_port),
        http: loopback(arguments.http_port),
        mqtt: arguments.mqtt.then(|| loopback(arguments.mqtt_port)),
        page: loopback(arguments.page_port),
        restart: arguments.restart.map(Duration::from_secs),
        today: today(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    let ended = runtime.block_on(async {
        let shutdown = shutdown().map_err(|error| error.to_string())?;
        let ended = coaps_gateway_demo::run(&options, shutdown).await;
        ended.map_err(|error| error.to_string())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
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

fn today() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
