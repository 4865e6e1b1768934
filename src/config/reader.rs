//! Key by key: each value within its range, or a mistake and the default in its place.

use super::file::{self, Contents, Looked, Unreadable};
use super::mistake::{Mistake, Mistakes, Warning, Wrong};
use super::sources::Reading;
use super::{Limits, Log, LogFormat, Ota, Shutdown, certificates, value};
use crate::dtls;
use crate::shown::Shown;
use crate::upstream;
use config::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::{Host, Url};

const MIB: usize = 1024 * 1024;

/// The values that were set, and what is found wrong on the way.
pub(super) struct Reader {
    file: String,
    values: BTreeMap<String, Value>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    looked: Vec<Looked>,
}

impl Reader {
    pub(super) fn new(
        file: String,
        values: BTreeMap<String, Value>,
        mistakes: Vec<Mistake>,
        warnings: Vec<Warning>,
    ) -> Self {
        Reader {
            file,
            values,
            mistakes,
            warnings,
            looked: Vec::new(),
        }
    }

    /// The files that were looked at since this was asked last.
    pub(super) fn looked(&mut self) -> Vec<Looked> {
        std::mem::take(&mut self.looked)
    }

    /// Notes that files were looked at.
    pub(super) fn note(&mut self, looked: Vec<Looked>) {
        self.looked.extend(looked);
    }

    /// Reads a file that a key names.
    pub(super) fn file(&mut self, path: &Path, most: u64) -> Result<Contents, Unreadable> {
        file::read(path, most, &mut self.looked)
    }

    /// Takes over what came of reading files: what they hold, unless there are mistakes in them.
    pub(super) fn take<T>(&mut self, reading: Reading<T>) -> (Option<T>, Vec<Looked>) {
        let read = match reading.outcome {
            Ok((read, mut warnings)) => {
                self.warnings.append(&mut warnings);
                Some(read)
            }
            Err(Mistakes(mut mistakes)) => {
                self.mistakes.append(&mut mistakes);
                None
            }
        };
        (read, reading.looked)
    }

    /// What was found: file by file as they were read, and line by line within each.
    pub(super) fn finish(mut self) -> (Vec<Mistake>, Vec<Warning>) {
        let mut files: Vec<String> = Vec::new();
        for mistake in &self.mistakes {
            let file = mistake
                .line()
                .map_or(mistake.place.as_str(), |(file, _)| file);
            if !files.iter().any(|other| other == file) {
                files.push(file.to_owned());
            }
        }
        self.mistakes.sort_by_key(|mistake| {
            let (file, line) = mistake.line().unwrap_or((&mistake.place, 0));
            (files.iter().position(|other| other == file), line)
        });
        (self.mistakes, self.warnings)
    }

    /// Where a key was set; the file as a whole, if it was not.
    pub(super) fn place(&self, key: &str) -> String {
        self.values
            .get(key)
            .and_then(Value::origin)
            .unwrap_or(&self.file)
            .to_owned()
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn mistake(
        &mut self,
        key: &str,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) {
        let place = self.place(key);
        self.mistake_at(place, key, wrong, right);
    }

    pub(super) fn mistake_at(
        &mut self,
        place: String,
        key: &str,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) {
        self.mistakes
            .push(Mistake::new(place, key, Wrong::new(wrong, right)));
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.warn_at(place, key, message);
    }

    pub(super) fn warn_at(&mut self, place: String, key: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// The mistakes so far, for what reads a file of its own.
    pub(super) fn mistakes(&mut self) -> &mut Vec<Mistake> {
        &mut self.mistakes
    }

    /// One key: its value, or its default if it is not set or wrong.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> T {
        match self.values.get(key).map(parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(wrong)) => {
                self.mistake(key, wrong.wrong, wrong.right);
                default
            }
        }
    }

    /// A path that must be set or have a default.
    pub(super) fn path(&mut self, key: &str, default: &str) -> Option<PathBuf> {
        let path = self.read(key, default.to_owned(), value::text);
        if path.is_empty() {
            self.mistake(key, "this is empty", format!("a path like {default:?}"));
        }
        (!path.is_empty()).then(|| PathBuf::from(path))
    }

    /// A path that may be left out. Empty text means the same: an environment variable can't say "not set" otherwise.
    pub(super) fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.read(key, String::new(), value::text);
        (!path.is_empty()).then(|| PathBuf::from(path))
    }

    pub(super) fn listen(&mut self) -> SocketAddr {
        let default = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5684));
        self.read("listen.coaps", default, |value| {
            let text = value::text(value)?;
            text.parse().map_err(|_| {
                let right =
                    "an IP address and a port: \"[::]:5684\", \"0.0.0.0:5684\", \"192.0.2.1:5684\"";
                Wrong::new(
                    format!("{} is no address with a port", Shown::misplaced(&text)),
                    right,
                )
            })
        })
    }

    pub(super) fn upstream(&mut self, max_downlink: usize) -> upstream::Settings {
        let default = "http://127.0.0.1:8080".to_owned();
        let url = self.read("upstream.url", default, |value| {
            base_url(&value::text(value)?)
        });
        let ca = certificates::upstream(self);
        if url.starts_with("http:") {
            if ca.is_some() {
                self.warn(
                    "upstream.ca",
                    "has no effect: upstream.url is http, not https",
                );
            }
            if !is_local(&url) {
                self.warn("upstream.url", "http to another machine: access tokens travel there readable for anyone between");
            }
        }
        let range = Duration::from_millis(1)..=Duration::from_secs(3600);
        upstream::Settings {
            url,
            ca,
            timeout: self.read("upstream.timeout", Duration::from_secs(10), |v| {
                value::duration(v, range)
            }),
            max_in_flight: self.read("upstream.max_in_flight", 1024, |v| {
                value::number(v, 1..=65_536)
            }),
            max_downlink,
            max_packages: Ota::CONNECTIONS,
        }
    }

    pub(super) fn coap(&mut self) -> coap::Parameters {
        let default = coap::Parameters::default();
        let read = coap::Parameters {
            piggyback_timeout: self.read(
                "coap.piggyback_timeout",
                default.piggyback_timeout,
                |v| value::duration(v, Duration::ZERO..=Duration::from_secs(60)),
            ),
            ack_timeout: self.read("coap.ack_timeout", default.ack_timeout, |v| {
                value::duration(v, Duration::from_millis(10)..=Duration::from_secs(300))
            }),
            ack_random_factor: self.read(
                "coap.ack_random_factor",
                default.ack_random_factor,
                |v| value::number(v, 1.0..=10.0),
            ),
            max_retransmit: self.read("coap.max_retransmit", default.max_retransmit, |v| {
                value::number(v, 0..=20)
            }),
            nstart: self.read("coap.nstart", default.nstart, |v| value::number(v, 1..=256)),
            max_exchanges: self.read("coap.max_exchanges", default.max_exchanges, |v| {
                value::number(v, 1..=1024)
            }),
            queue: self.read("coap.queue", default.queue, |v| {
                value::number(v, 0..=65_536)
            }),
            max_body: self.read("coap.max_body", default.max_body, |v| {
                value::size(v, 64..=16 * MIB)
            }),
            body_bytes: self.read("coap.body_bytes", default.body_bytes, |v| {
                value::size(v, 64 * 1024..=16 * 1024 * MIB)
            }),
            ..default
        };
        if read.body_bytes < read.max_body {
            let key = if self.is_set("coap.body_bytes") {
                "coap.body_bytes"
            } else {
                "coap.max_body"
            };
            self.mistake(
                key,
                format!(
                    "bodies of up to {} bytes, and {} bytes for those of all devices",
                    read.max_body, read.body_bytes
                ),
                "coap.body_bytes at least coap.max_body, better a hundred times that",
            );
        }
        if read.piggyback_timeout >= read.ack_timeout {
            // RFC 7252 §5.2.1: the acknowledgement has to come before the client sends again.
            let message = "not shorter than coap.ack_timeout: devices send again before they are acknowledged";
            self.warn("coap.piggyback_timeout", message);
        }
        read
    }

    pub(super) fn dtls(&mut self) -> dtls::Parameters {
        let default = dtls::Parameters::default();
        let second = Duration::from_secs(1);
        let handshake = || Duration::from_millis(100)..=Duration::from_secs(600);
        dtls::Parameters {
            mtu: self.read("dtls.mtu", default.mtu, |v| value::number(v, 256..=16_384)),
            versions: self.read("dtls.versions", default.versions, versions),
            unproven_timeout: self.read("dtls.unproven_timeout", default.unproven_timeout, |v| {
                value::duration(v, handshake())
            }),
            handshake_timeout: self.read(
                "dtls.handshake_timeout",
                default.handshake_timeout,
                |v| value::duration(v, handshake()),
            ),
            sessions: self.read("limits.sessions", default.sessions, |v| {
                value::number(v, 1..=10_000_000)
            }),
            handshakes: self.read("limits.handshakes", default.handshakes, |v| {
                value::number(v, 1..=1_000_000)
            }),
            hellos: self.read("limits.hellos", default.hellos, |v| {
                value::number(v, 1..=1_000_000)
            }),
            handshakes_per_address: self.read(
                "limits.handshakes_per_address",
                default.handshakes_per_address,
                |v| value::number(v, 1..=1_000_000),
            ),
            session_idle: self.read("limits.session_idle", default.session_idle, |v| {
                value::duration(v, second..=second * 365 * 24 * 3600)
            }),
        }
    }

    pub(super) fn limits(&mut self) -> Limits {
        Limits {
            sessions_per_device: self.read("limits.sessions_per_device", 4, |v| {
                value::number(v, 1..=10_000)
            }),
            unregistered_sessions: self.read("limits.unregistered_sessions", 100, |v| {
                value::number(v, 0..=1_000_000)
            }),
        }
    }

    pub(super) fn shutdown(&mut self) -> Shutdown {
        let range = Duration::ZERO..=Duration::from_secs(3600);
        Shutdown {
            drain: self.read("shutdown.drain", Duration::from_secs(10), |v| {
                value::duration(v, range)
            }),
        }
    }

    pub(super) fn log(&mut self, default: &str) -> Log {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        Log {
            level: self.read("log.level", default.to_owned(), |v| level(value::text(v)?)),
            format: self.read("log.format", LogFormat::Text, |v| {
                value::choice(v, &formats)
            }),
        }
    }
}

/// Scheme, host and port of an upstream, and the path before `/api/v1` where a proxy has it on one.
fn base_url(text: &str) -> Result<String, Wrong> {
    let right = "http://HOST:PORT or https://HOST, or with the path ThingsBoard has there";
    // The text is never repeated: a password may stand in it.
    let url =
        Url::parse(text).map_err(|error| Wrong::new(format!("this is no URL: {error}"), right))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(Wrong::new("this is no http or https URL", right));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new(
            "there is a user name or password in it; devices' tokens are all the API asks for",
            right,
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("there is a query or fragment in it", right));
    }
    let path = url.path().trim_end_matches('/');
    if path.contains("/api/v1") {
        return Err(Wrong::new("the gateway adds /api/v1/… itself", right));
    }
    Ok(url.origin().ascii_serialization() + path)
}

/// Whether an upstream is on this machine.
fn is_local(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback() || address == Ipv4Addr::UNSPECIFIED,
        Some(Host::Ipv6(address)) => address.is_loopback() || address == Ipv6Addr::UNSPECIFIED,
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn versions(value: &Value) -> Result<dtls::Versions, Wrong> {
    let right = "[\"1.2\", \"1.3\"], or one of the two";
    let list = value::list(
        value,
        "a list like [\"1.2\", \"1.3\"], or 1.2,1.3 in the environment",
    )?;
    if let Some(unknown) = list
        .iter()
        .find(|version| !["1.2", "1.3"].contains(&version.as_str()))
    {
        return Err(Wrong::new(
            format!(
                "{} is no DTLS version the gateway speaks",
                Shown::misplaced(unknown)
            ),
            right,
        ));
    }
    match (
        list.iter().any(|version| version == "1.2"),
        list.iter().any(|version| version == "1.3"),
    ) {
        (true, true) => Ok(dtls::Versions::Both),
        (true, false) => Ok(dtls::Versions::Only12),
        (false, true) => Ok(dtls::Versions::Only13),
        (false, false) => Err(Wrong::new("the list is empty", right)),
    }
}

/// A level, or directives with commas between. Checked here because the filter takes a mistyped level
/// for the name of a module, and then logs nothing.
fn level(text: String) -> Result<String, Wrong> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let right = "off, error, warn, info, debug or trace; or with modules: \"info,coaps_gateway::dtls=debug\"";
    for directive in text.split(',') {
        let (module, level) = directive
            .rsplit_once('=')
            .map_or((None, directive), |(module, level)| (Some(module), level));
        let level = level.trim().to_lowercase();
        if !levels.contains(&level.as_str()) {
            return Err(Wrong::new(
                format!("{} is no level", Shown::misplaced(&level)),
                right,
            ));
        }
        if module.is_some_and(|module| {
            module.trim().is_empty()
                || !module
                    .trim()
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
        }) {
            return Err(Wrong::new(
                format!("{} names no module", Shown::misplaced(directive)),
                right,
            ));
        }
    }
    Ok(text)
}
