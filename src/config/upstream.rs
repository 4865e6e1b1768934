//! `[upstream]`: ThingsBoard, or its HTTP or MQTT transport.

use super::key::{Section, key};
use super::kind::{Choice, FilePath, Kind, Number, OrEmpty, Time};
use super::mistake::Problem;
use super::reader::Reader;
use super::value::Value;
use crate::credentials::certificates;
use crate::ota;
use crate::shown::Shown;
use crate::upstream::{BaseUrl, BaseUrlError, CallLimits, HttpVersion, Settings};
use std::path::PathBuf;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A file of public authorities has a few hundred kilobytes.
const LARGEST: u64 = 1024 * 1024;

const URL_KEY: &str = "upstream.url";
const CA: &str = "upstream.ca";
const HTTP_VERSION: &str = "upstream.http_version";

/// `[upstream]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) url: BaseUrl,
    pub(super) ca: Option<PathBuf>,
    pub(super) http_version: HttpVersion,
    pub(super) timeout: Duration,
    pub(super) max_in_flight: usize,
    pub(super) calls: CallLimits,
    pub(super) max_connections: usize,
    pub(super) connects_per_second: u32,
}

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream {
            url: BaseUrl::default(),
            ca: None,
            http_version: HttpVersion::Auto,
            timeout: Duration::from_secs(10),
            max_in_flight: 1024,
            calls: CallLimits::default(),
            max_connections: 20_000,
            connects_per_second: 500,
        }
    }
}

impl Upstream {
    /// The settings of the client. `ca`: the authorities, as [`read_ca`] read them.
    pub(super) fn settings(
        &self,
        ca: Option<Vec<u8>>,
        max_downlink: usize,
        alive_for: Duration,
    ) -> Settings {
        Settings {
            url: self.url.clone(),
            ca,
            http_version: self.http_version,
            timeout: self.timeout,
            max_in_flight: self.max_in_flight,
            max_downlink,
            max_packages: ota::Settings::CONNECTIONS,
            max_connections: self.max_connections,
            connects_per_second: self.connects_per_second,
            alive_for,
        }
    }
}

pub(super) fn section() -> Section<Upstream> {
    Section {
        name: "upstream",
        doc: "ThingsBoard, or its HTTP or MQTT transport",
        keys: vec![
            key(
                URL_KEY,
                Url,
                |upstream: &mut Upstream| &mut upstream.url,
                "http, https, mqtt or mqtts, host and port; with http a path if ThingsBoard is on one: the gateway appends \
                 /api/v1/…",
            ),
            key(
                CA,
                OrEmpty(FilePath("certs/upstream-ca.pem")),
                |upstream: &mut Upstream| &mut upstream.ca,
                "PEM, for an https or mqtts upstream with a private authority. Not set by default",
            )
            .example("\"certs/upstream-ca.pem\""),
            key(
                HTTP_VERSION,
                Choice(&[
                    ("auto", HttpVersion::Auto),
                    ("1.1", HttpVersion::Http1),
                    ("2", HttpVersion::Http2),
                ]),
                |upstream: &mut Upstream| &mut upstream.http_version,
                "http: `\"auto\"`: over https HTTP/2 if the server has it, over http HTTP/1.1; `\"1.1\"`; or `\"2\"`: HTTP/2 \
                 also over http, without asking (ThingsBoard's port 8080 speaks it)",
            ),
            key(
                "upstream.timeout",
                Time(Duration::from_millis(1)..=Duration::from_secs(3600)),
                |upstream: &mut Upstream| &mut upstream.timeout,
                "for one request; a GET of attributes has half of it",
            ),
            key(
                "upstream.max_in_flight",
                Number(1..=65_536),
                |upstream: &mut Upstream| &mut upstream.max_in_flight,
                "concurrent requests; beyond it devices get 5.03 and try again later",
            ),
            key(
                "upstream.max_in_flight_per_device",
                Number(1..=65_536),
                |upstream: &mut Upstream| &mut upstream.calls.per_device,
                "concurrent requests of one device, over all its sessions; once half of max_in_flight is in use, a device \
                 has an even share of it. GETs and client-side RPCs: a quarter of that each",
            ),
            key(
                "upstream.max_client_rpc",
                Number(1..=65_536),
                |upstream: &mut Upstream| &mut upstream.calls.client_rpc,
                "of max_in_flight, requests that wait for a rule chain's answer",
            ),
            key(
                "upstream.max_connections",
                Number(1..=60_000),
                |upstream: &mut Upstream| &mut upstream.max_connections,
                "mqtt: devices that are connected to ThingsBoard at a time; beyond it a device gets 5.03. One local \
                 address has 28,000 ports",
            ),
            key(
                "upstream.connects_per_second",
                Number(1..=10_000),
                |upstream: &mut Upstream| &mut upstream.connects_per_second,
                "mqtt: how many connections are opened in a second",
            ),
        ],
    }
}

/// Warns of an upstream that tokens reach unencrypted. `ca`: whether authorities were read for it.
pub(super) fn check(reader: &mut Reader, upstream: &Upstream, ca: bool) {
    if upstream.url.is_mqtt() && upstream.http_version != HttpVersion::Auto {
        let message = "has no effect: upstream.url is not http or https";
        reader.warn(HTTP_VERSION, message);
    }
    if upstream.url.is_tls() {
        return;
    }
    if ca {
        let message = "has no effect: upstream.url is not https or mqtts";
        reader.warn(CA, message);
    }
    if !upstream.url.is_local() {
        let message = "unencrypted to another machine: anyone on the network between can read the access tokens";
        reader.warn(URL_KEY, message);
    }
}

/// Reads the upstream's authorities. They stay PEM for the HTTP client, but are known to parse.
pub(super) fn read_ca(reader: &mut Reader, upstream: &Upstream) -> Option<Vec<u8>> {
    let path = upstream.ca.as_deref()?;
    let expected = "a PEM file of the upstream's authorities, or leave the key out";
    let pem = reader.contents(CA, path, LARGEST, expected)?;
    let found = match certificates(&pem.bytes) {
        Err(error) => error.to_string(),
        Ok(all)
            if all
                .iter()
                .any(|der| X509Certificate::from_der(der).is_err()) =>
        {
            "one of its certificates is malformed".to_owned()
        }
        Ok(_) => return Some(pem.bytes.to_vec()),
    };
    reader.mistake(CA, format!("{}: {found}", Shown::path(path)), "");
    None
}

/// The URL of ThingsBoard.
struct Url;

impl Kind<BaseUrl> for Url {
    fn read(&self, value: &Value) -> Result<BaseUrl, Problem> {
        let Some(text) = value.text() else {
            return Err(value.is_not("text in quotes"));
        };
        let expected =
            "http://HOST:PORT or https://HOST, perhaps with a path, or mqtt://HOST or mqtts://HOST";
        text.parse()
            .map_err(|error: BaseUrlError| Problem::new(error.to_string(), expected))
    }

    fn write(&self, value: &BaseUrl) -> Option<String> {
        Some(format!("\"{value}\""))
    }

    fn range(&self) -> String {
        "a URL".to_owned()
    }
}
