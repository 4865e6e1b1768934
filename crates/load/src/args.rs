//! The command line.

use super::dtls;
use clap::{Parser, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Puts a CoAPs server under load, and measures how it responds.
///
/// Each session has a UDP port of its own. First all sessions are established, then what they do is measured for
/// --duration. Ctrl-C ends it early, with a report.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "load",
    after_help = "Examples:\n  load coaps://gw.example/api/v1/telemetry --method post --payload '{\"t\":1}' \\\n       \
                  --certificate meter.pem --key meter.key --ca ca.pem --sessions 100 --duration 30s\n  \
                  load coaps://127.0.0.1/api/v1/attributes --work observe --sessions 1000 \\\n       \
                  --identities fleet/ --insecure --from 127.0.0.1-127.0.0.40 --json result.json"
)]
#[allow(
    rustdoc::broken_intra_doc_links,
    reason = "what it reads as a link is the help of an argument"
)]
pub struct Args {
    /// The resource: coaps://HOST[:PORT]/PATH[?QUERY]; the port is 5684 unless given
    pub(crate) uri: String,

    /// The work of each session
    #[arg(long, value_enum, default_value_t = Work::Requests)]
    pub(crate) work: Work,

    /// How many sessions at a time
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sessions: u32,

    /// How long to measure, from when all sessions are established
    #[arg(long, short = 'd', default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,

    /// Requests (or handshakes) a second, of all sessions together and evenly spread; latency then counts from when
    /// each was due. Without it, each session sends its next request when the last is answered (closed loop)
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// The request's method
    #[arg(long, value_enum, default_value_t = Method::Get)]
    pub(crate) method: Method,

    /// The request's payload, as text
    #[arg(long, conflicts_with = "payload_file")]
    pub(crate) payload: Option<String>,

    /// The request's payload, from a file; up to 1024 bytes, which one message holds
    #[arg(long, value_name = "FILE")]
    pub(crate) payload_file: Option<PathBuf>,

    /// The payload's Content-Format, by its number (50 is JSON)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) content_format: Option<u16>,

    /// How long to wait for a response once the request is acknowledged
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) response_timeout: Duration,

    /// The certificate that all sessions show, PEM, with its chain
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        required_unless_present = "identities"
    )]
    pub(crate) certificate: Option<PathBuf>,

    /// Its private key, PEM (PKCS#8, EC)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,

    /// A certificate for each session: a directory of pairs NAME.pem and NAME.key, taken in the order of their names
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "certificate")]
    pub(crate) identities: Option<PathBuf>,

    /// The CA certificates that the server's certificate must chain to, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Accept any server certificate
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,

    /// The name in the server's certificate; the URI's host unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Source addresses, taken in turn: one, several with commas, or a range as 127.0.0.1-127.0.0.40
    #[arg(long, value_name = "ADDRESSES", value_parser = super::plan::addresses)]
    pub(crate) from: Option<Sources>,

    /// How many handshakes may be in progress at a time
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connecting: u16,

    /// The DTLS library
    #[arg(long, value_enum, default_value_t = dtls::Library::Webrtc)]
    pub(crate) dtls: dtls::Library,

    /// The only cipher suite to offer, by its registered name (--dtls own)
    #[arg(long, value_name = "NAME", value_parser = dtls::suite)]
    pub(crate) suite: Option<dtls::Suite>,

    /// Offer no connection ID (--dtls own)
    #[arg(long)]
    pub(crate) no_connection_id: bool,

    /// Resume the session in each handshake of a loop; each session's first handshake comes before the measurement
    /// (--dtls own)
    #[arg(long)]
    pub(crate) resume: bool,

    /// Make one request as soon as a session is established, before the measurement; --work move always does
    #[arg(long)]
    pub(crate) first_request: bool,

    /// Threads of the driver; as many as there are cores unless given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// Report the processor time of these processes during the measurement; for a server on this machine
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) watch: Vec<u32>,

    /// Write the results as JSON to this file, too; - writes them to standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<String>,
}

/// The addresses of a `--from`.
pub(crate) type Sources = std::sync::Arc<[IpAddr]>;

/// What a session does repeatedly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Sends a Confirmable request, awaits its response
    Requests,
    /// Performs a handshake, closes the session
    Handshakes,
    /// Does nothing, and pings at the end to see which sessions still exist
    Idle,
    /// Observes the resource, and acknowledges its notifications
    Observe,
    /// Gets another port, as by a NAT that forgets, then sends the next request; by a handshake if that is not answered
    /// (--dtls own). All sessions move at the same time, when each has made a request
    Move,
}

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
}

impl Args {
    /// Whether the library can do what is asked for.
    ///
    /// # Errors
    /// Says what it can't do.
    pub(crate) fn check(&self) -> Result<(), String> {
        let only_own = [
            (self.suite.is_some(), "--suite"),
            (self.no_connection_id, "--no-connection-id"),
            (self.resume, "--resume"),
            (self.work == Work::Move, "--work move"),
        ];
        let asked = only_own.iter().find(|(is_asked, _)| *is_asked);
        match asked {
            Some((_, option)) if self.dtls != dtls::Library::Own => {
                Err(format!("{option} needs --dtls own"))
            }
            _ if self.dtls != dtls::Library::Webrtc && !self.insecure => Err(
                "only webrtc verifies the server: with another library, --insecure must be given, too".to_owned(),
            ),
            _ if self.resume && self.work != Work::Handshakes => {
                Err("--resume needs --work handshakes".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// How long idle sessions may take for their ping after the measurement.
    pub(crate) fn final_ping_time(&self) -> Duration {
        match self.work {
            Work::Idle => Duration::from_secs(11),
            Work::Requests | Work::Handshakes | Work::Observe | Work::Move => Duration::ZERO,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    // Slower than once a day, or faster than one in ten nanoseconds, is a mistake.
    if (1e-5..=1e8).contains(&rate) {
        Ok(rate)
    } else {
        Err("a rate is between 0.00001 and 100000000 a second".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Args, String> {
        let all = ["load", "coaps://localhost/x"].iter().chain(more);
        Args::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_needs_its_key_and_a_server_a_ca_or_insecure() {
        let pair = ["--certificate", "a.pem", "--key", "a.key"];
        let with = |more: &[&str]| parse(&[pair.as_slice(), more].concat());
        assert!(with(&["--ca", "ca.pem"]).is_ok());
        assert!(with(&["--insecure"]).is_ok());
        assert!(with(&[]).unwrap_err().contains("--ca"));
        assert!(with(&["--ca", "x", "--insecure"]).is_err());
        assert!(with(&["--insecure", "--identities", "d"]).is_err());
        assert!(
            parse(&["--insecure"])
                .unwrap_err()
                .contains("--certificate")
        );
        assert!(parse(&["--insecure", "--certificate", "a"]).is_err());
        assert!(parse(&["--insecure", "--identities", "d"]).is_ok());
    }

    #[test]
    fn what_only_one_library_can_do_is_refused_with_another() {
        let check = |more: &[&str]| {
            let all = [&["--insecure", "--identities", "d"], more].concat();
            let all = ["load", "coaps://localhost/x"].into_iter().chain(all);
            Args::try_parse_from(all).unwrap().check()
        };
        let suite = "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8";
        for more in [
            &["--suite", suite][..],
            &["--no-connection-id"],
            &["--work", "handshakes", "--resume"],
            &["--work", "move"],
        ] {
            let refused = check(more).unwrap_err();
            assert!(refused.ends_with("needs --dtls own"), "{refused}");
            assert_eq!(check(&[more, &["--dtls", "own"]].concat()), Ok(()));
        }
        assert!(check(&["--dtls", "own", "--resume"]).is_err());
        assert!(parse(&["--insecure", "--identities", "d", "--suite", "AES"]).is_err());
    }

    #[test]
    fn a_rate_outside_the_range_is_refused() {
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "many"] {
            let rate = format!("--rate={wrong}");
            assert!(
                parse(&["--insecure", "--identities", "d", &rate]).is_err(),
                "{wrong}"
            );
        }
        assert_eq!(rate("0.5"), Ok(0.5));
    }
}
