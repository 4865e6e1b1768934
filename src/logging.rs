//! Log lines on standard error, so that standard output stays for what a command answers.

pub mod churn;
#[cfg(test)]
pub(crate) mod log_lines;
pub mod notices;
mod panics;

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Lines that may wait to be written. Who reads the log may stall; what comes beyond is dropped, and
/// devices are served on.
const WAITING_LINES: usize = 10_000;

/// Starts logging for the whole process, panics included. Once; a second call is refused. What was logged is written
/// before the guard is gone: keep it to the end.
pub fn init(log: &Log) -> Result<WorkerGuard, String> {
    let filter = filter(&log.level)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
    let layer = fmt::layer().with_writer(writer);
    let layer = match log.format {
        // Colours only for eyes: in a file or a journal they are noise (https://no-color.org).
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            layer.with_ansi(colours).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| format!("logging can't be started: {error}"))?;
    panics::log();
    Ok(guard)
}

/// Which lines are written. `Targets` and not `EnvFilter`: no regular expressions over what devices send.
fn filter(level: &str) -> Result<Targets, String> {
    level
        .replace(' ', "")
        .parse()
        .map_err(|error| format!("log.level: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_level_and_a_modules_level_are_understood() {
        let filter = filter("WARN, coaps_gateway::dtls=debug").unwrap();
        assert!(filter.would_enable("coaps_gateway", &Level::WARN));
        assert!(!filter.would_enable("coaps_gateway", &Level::INFO));
        assert!(filter.would_enable("coaps_gateway::dtls::session", &Level::DEBUG));
    }
}
