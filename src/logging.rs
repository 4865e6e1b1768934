//! Log lines on standard error; standard output is for the results of commands.

#[cfg(test)]
pub(crate) mod log_lines;
mod panics;
pub(crate) mod sampler;
mod settings;
pub(crate) mod throttle;

pub(crate) use settings::{Format, Settings};

use std::io::IsTerminal;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Lines that may wait to be written. If the reader of the log stalls, further lines are dropped, and devices are
/// served on.
const WAITING_LINES: usize = 10_000;

/// Starts logging for the whole process, panics included. A second call is an error. Dropping the guard writes the lines
/// that still wait: keep it to the end.
pub fn init(settings: &Settings) -> Result<WorkerGuard, String> {
    let filter = filter(&settings.level)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
    let layer = fmt::layer().with_writer(writer);
    let layer = match settings.format {
        // Colours only for terminals: in a file or a journal they are noise (https://no-color.org).
        Format::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            layer.with_ansi(colours).boxed()
        }
        Format::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| format!("logging can't be started: {error}"))?;
    panics::log();
    Ok(guard)
}

/// Parses a level or directives. `Targets` and not `EnvFilter`: no regular expressions over what devices send.
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
        assert!(filter.would_enable("coaps_gateway::dtls::endpoint", &Level::DEBUG));
    }
}
