//! The results, as a table and as JSON.

use super::args::{Args, Work};
use super::latencies::{Quantiles, per_second};
use super::tally::Tally;
use super::watch::Watched;
use coap::Code;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long the phases took.
pub(crate) struct Times {
    pub(crate) connecting: Duration,
    pub(crate) measured: Duration,
    /// Processor time of the driver in both phases.
    pub(crate) cpu: Option<Duration>,
    /// Processor time of the driver during the measurement.
    pub(crate) cpu_measured: Option<Duration>,
    /// Processor time of the processes of `--watch` during the measurement.
    pub(crate) watched: Vec<Watched>,
    /// How many sessions were established when the measurement ended.
    pub(crate) established: u32,
    /// When all of them were established for the first time.
    pub(crate) complete: Option<Duration>,
    pub(crate) interrupted: bool,
}

/// The results of a run. Times are in milliseconds where a name says so, in seconds otherwise.
#[derive(Debug, Serialize)]
pub struct Report {
    uri: String,
    work: String,
    /// The DTLS library.
    dtls: &'static str,
    /// Whether Ctrl-C ended it early.
    interrupted: bool,
    sessions: Sessions,
    /// Until each session had been tried once.
    connecting_seconds: f64,
    /// Until all were established at the same time; left out if they never were.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_seconds: Option<f64>,
    measured_seconds: f64,
    requests: Operations,
    handshakes: Operations,
    /// How many of the handshakes have resumed a session.
    resumed: u64,
    /// What became of sessions that got another port.
    #[serde(skip_serializing_if = "Option::is_none")]
    moves: Option<Moves>,
    notifications: Counted,
    /// How many observing sessions had so many notifications.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notified: BTreeMap<u64, u64>,
    retransmissions: u64,
    /// The number of responses with each code.
    responses: BTreeMap<String, u64>,
    /// Error responses (class 4 and 5) by code, and other failures.
    errors: BTreeMap<String, u64>,
    /// The texts of the first few failures.
    failures: Vec<String>,
    driver: Driver,
    /// Processor time of the processes of `--watch` during the measurement.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    watched: Vec<Watched>,
}

#[derive(Debug, Serialize)]
struct Sessions {
    wanted: u32,
    established: u32,
    /// How many answered a ping at the end of an idle run.
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<u64>,
}

/// Sessions that got another port, by what became of their next request.
#[derive(Debug, Serialize)]
struct Moves {
    count: u64,
    /// It was answered with success in the same session.
    served: u64,
    /// It was answered only after another handshake.
    served_after_handshake: u64,
    /// Neither of the two by the end.
    lost: u64,
}

#[derive(Debug, Serialize)]
struct Counted {
    count: u64,
    per_second: f64,
}

/// Requests or handshakes. The quantiles are left out if there were none.
#[derive(Debug, Serialize)]
struct Operations {
    count: u64,
    per_second: f64,
    /// How many had no response yet when the measurement ended.
    unfinished: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<Quantiles>,
}

#[derive(Debug, Serialize)]
struct Driver {
    version: &'static str,
    /// Processor time divided by the time of both phases; `None` where there is no `/proc`.
    cpu_cores: Option<f64>,
    /// Processor time during the measurement.
    measured_cpu_seconds: Option<f64>,
    cores: usize,
}

impl Report {
    pub(crate) fn new(args: &Args, times: Times, tally: &Tally) -> Report {
        let error_responses = tally.codes.iter().filter(|(code, _)| **code >= 0x80);
        let error_responses =
            error_responses.map(|(code, count)| (Code(*code).to_string(), *count));
        let other_errors = tally.errors.iter();
        let other_errors = other_errors.map(|(kind, count)| (kind.name().to_owned(), *count));
        // In a handshake loop the measured handshakes count; elsewhere those before the measurement.
        let (handshakes, over) = if args.work == Work::Handshakes {
            (tally.handshakes_measured, times.measured)
        } else {
            (
                tally.handshakes.count() - tally.handshakes_measured,
                times.connecting,
            )
        };
        let all = times.connecting + times.measured;
        Report {
            uri: args.uri.clone(),
            work: format!("{:?}", args.work).to_lowercase(),
            dtls: args.dtls.name(),
            interrupted: times.interrupted,
            sessions: Sessions {
                wanted: args.sessions,
                established: times.established,
                alive: (args.work == Work::Idle).then_some(tally.alive),
            },
            complete_seconds: times.complete.map(|time| time.as_secs_f64()),
            connecting_seconds: times.connecting.as_secs_f64(),
            measured_seconds: times.measured.as_secs_f64(),
            requests: Operations {
                count: tally.latencies.count(),
                per_second: per_second(tally.latencies.count(), times.measured),
                unfinished: tally.unfinished,
                latency_ms: tally.latencies.quantiles(),
            },
            handshakes: Operations {
                count: tally.handshakes.count(),
                per_second: per_second(handshakes, over),
                unfinished: 0,
                latency_ms: tally.handshakes.quantiles(),
            },
            resumed: tally.resumed,
            moves: (args.work == Work::Move).then(|| Moves {
                count: tally.moved,
                served: tally.served,
                served_after_handshake: tally.served_after_handshake,
                lost: (tally.moved)
                    .saturating_sub(tally.served.saturating_add(tally.served_after_handshake)),
            }),
            notifications: Counted {
                count: tally.notifications,
                per_second: per_second(tally.notifications, times.measured),
            },
            notified: tally.notified.clone(),
            retransmissions: tally.retransmissions,
            responses: tally
                .codes
                .iter()
                .map(|(code, count)| (Code(*code).to_string(), *count))
                .collect(),
            errors: error_responses.chain(other_errors).collect(),
            failures: tally.texts.clone(),
            driver: Driver {
                version: env!("CARGO_PKG_VERSION"),
                cpu_cores: times
                    .cpu
                    .map(|cpu| cpu.as_secs_f64() / all.as_secs_f64().max(f64::EPSILON)),
                measured_cpu_seconds: times.cpu_measured.map(|cpu| cpu.as_secs_f64()),
                cores: std::thread::available_parallelism().map_or(1, Into::into),
            },
            watched: times.watched,
        }
    }

    /// The report as one line of JSON, for programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self)
            .unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    }

    /// Whether anything was answered at all. It decides the exit code.
    pub fn has_answers(&self) -> bool {
        self.handshakes.count > 0 && (self.work != "requests" || self.requests.count > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let early = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        writeln!(f, "{} ({}{early})", self.uri, self.work)?;
        writeln!(f, "DTLS             {}", self.dtls)?;
        let Sessions {
            wanted,
            established,
            alive,
        } = &self.sessions;
        write!(f, "sessions         {established} of {wanted} at the end")?;
        match alive {
            Some(alive) => writeln!(f, ", {alive} answered a ping")?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "time             {:.1} s connecting, {:.1} s measured",
            self.connecting_seconds, self.measured_seconds
        )?;
        writeln!(
            f,
            "                      count     a second    p50 ms    p99 ms  p99.9 ms    max ms"
        )?;
        for (name, operations) in [
            ("handshakes", &self.handshakes),
            ("requests", &self.requests),
        ] {
            write!(
                f,
                "{name:<16} {:>10} {:>12.1}",
                operations.count, operations.per_second
            )?;
            match &operations.latency_ms {
                Some(Quantiles {
                    p50,
                    p99,
                    p99_9,
                    max,
                }) => writeln!(f, "{p50:>10.2}{p99:>10.2}{p99_9:>10.2}{max:>10.2}")?,
                None => writeln!(f)?,
            }
        }
        if self.resumed > 0 {
            writeln!(f, "resumed          {:>10}", self.resumed)?;
        }
        if let Some(moves) = &self.moves {
            writeln!(
                f,
                "moved            {:>10}: {} served at once, {} after a handshake, {} lost",
                moves.count, moves.served, moves.served_after_handshake, moves.lost
            )?;
        }
        let Counted { count, per_second } = &self.notifications;
        writeln!(f, "notifications    {count:>10} {per_second:>12.1}")?;
        writeln!(f, "retransmissions  {:>10}", self.retransmissions)?;
        writeln!(f, "unfinished       {:>10}", self.requests.unfinished)?;
        for (code, count) in &self.responses {
            writeln!(f, "response {code:<8}{count:>10}")?;
        }
        for (what, count) in self
            .errors
            .iter()
            .filter(|(what, _)| !self.responses.contains_key(*what))
        {
            writeln!(f, "error: {what}: {count}")?;
        }
        for text in &self.failures {
            writeln!(f, "  {text:?}")?;
        }
        match self.driver.cpu_cores {
            Some(cpu) => write!(
                f,
                "driver           {cpu:.2} of {} cores busy",
                self.driver.cores
            )?,
            None => write!(f, "driver           its processor time is not known here")?,
        }
        match self.driver.cpu_cores {
            // A driver whose only thread is busy, or that shares its cores with the server, limits the server.
            Some(cpu) if cpu > 0.8 => write!(f, ": it may have limited what was measured"),
            Some(_) | None => Ok(()),
        }
    }
}
