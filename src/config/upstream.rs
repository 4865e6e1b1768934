//! `[upstream]`: ThingsBoard, or its HTTP or MQTT transport.

use super::certificates::{warn_of_dates, warn_of_open_key};
use super::key::{Section, key};
use super::kind::{Choice, FilePath, Kind, Number, OrEmpty, Time};
use super::mistake::Problem;
use super::reader::Reader;
use super::value::Value;
use crate::credentials::{Period, certificates, private_key};
use crate::ota;
use crate::shown::Shown;
use crate::upstream::{
    BaseUrl, BaseUrlError, CallLimits, ClientCertificate, HttpVersion, Settings, TlsFiles,
};
use rustls_pki_types::UnixTime;
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// A file of public authorities has a few hundred kilobytes.
const LARGEST: u64 = 1024 * 1024;

const URL_KEY: &str = "upstream.url";
const HTTP_URL: &str = "upstream.http_url";
const CA: &str = "upstream.ca";
const CLIENT_CERTIFICATE: &str = "upstream.client_certificate";
const CLIENT_KEY: &str = "upstream.client_key";
const HTTP_VERSION: &str = "upstream.http_version";

/// `[upstream]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) url: BaseUrl,
    pub(super) http_url: Option<BaseUrl>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
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
            http_url: None,
            ca: None,
            client_certificate: None,
            client_key: None,
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
    /// Whether any server is reached over TLS.
    fn is_tls(&self) -> bool {
        self.url.is_tls() || self.http_url.as_ref().is_some_and(BaseUrl::is_tls)
    }

    /// The settings of the client. `tls`: the files for TLS, as [`read_tls`] read them.
    pub(super) fn settings(
        &self,
        tls: TlsFiles,
        max_downlink: usize,
        alive_for: Duration,
    ) -> Settings {
        Settings {
            url: self.url.clone(),
            http_url: self.http_url.clone(),
            tls,
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
                HTTP_URL,
                OrEmpty(Url),
                |upstream: &mut Upstream| &mut upstream.http_url,
                "mqtt: http or https, where requests go whose bodies are too large for MQTT, above 64 KiB; without it \
                 these get 4.13. Not set by default",
            )
            .example("\"http://127.0.0.1:8080\""),
            key(
                CA,
                OrEmpty(FilePath("certs/upstream-ca.pem")),
                |upstream: &mut Upstream| &mut upstream.ca,
                "PEM, for an https or mqtts upstream with a private authority. Not set by default",
            )
            .example("\"certs/upstream-ca.pem\""),
            key(
                CLIENT_CERTIFICATE,
                OrEmpty(FilePath("certs/upstream-client.pem")),
                |upstream: &mut Upstream| &mut upstream.client_certificate,
                "PEM: the gateway's certificate, and perhaps its issuers', for an https or mqtts proxy that asks for one. \
                 Not for ThingsBoard's own MQTT, which would take it instead of the access tokens. Not set by default",
            )
            .example("\"certs/upstream-client.pem\""),
            key(
                CLIENT_KEY,
                OrEmpty(FilePath("certs/upstream-client.key")),
                |upstream: &mut Upstream| &mut upstream.client_key,
                "its key: PEM, not encrypted. Not set by default",
            )
            .example("\"certs/upstream-client.key\""),
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

/// Checks keys that belong together. Warns of an upstream that tokens reach unencrypted, and of keys without effect.
pub(super) fn check(reader: &mut Reader, upstream: &Upstream) {
    check_http_url(reader, upstream);
    let is_http = !upstream.url.is_mqtt() || upstream.http_url.is_some();
    if !is_http && upstream.http_version != HttpVersion::Auto {
        let message = "has no effect: upstream.url is not http or https";
        reader.warn(HTTP_VERSION, message);
    }
    let Upstream {
        ca,
        client_certificate,
        client_key,
        ..
    } = upstream;
    match (client_certificate, client_key) {
        (Some(_), None) if !reader.is_wrong(CLIENT_KEY) => {
            let expected = "upstream.client_key as well, or neither";
            reader.mistake(CLIENT_CERTIFICATE, "it has no key", expected);
        }
        (None, Some(_)) if !reader.is_wrong(CLIENT_CERTIFICATE) => {
            let expected = "upstream.client_certificate as well, or neither";
            reader.mistake(CLIENT_KEY, "it has no certificate", expected);
        }
        _ => {}
    }
    if !upstream.is_tls() {
        for (key, path) in [(CA, ca), (CLIENT_CERTIFICATE, client_certificate)] {
            if path.is_some() {
                let message = "has no effect: upstream.url is not https or mqtts";
                reader.warn(key, message);
            }
        }
    }
    let urls = [
        (URL_KEY, Some(&upstream.url)),
        (HTTP_URL, upstream.http_url.as_ref()),
    ];
    for (key, url) in urls {
        if url.is_some_and(|url| !url.is_tls() && !url.is_local()) {
            let message = "unencrypted to another machine: anyone on the network between can read the access tokens";
            reader.warn(key, message);
        }
    }
}

fn check_http_url(reader: &mut Reader, upstream: &Upstream) {
    let Some(http_url) = &upstream.http_url else {
        return;
    };
    if http_url.is_mqtt() {
        let found = "this is a URL of MQTT";
        reader.mistake(HTTP_URL, found, "http://HOST:PORT or https://HOST");
    } else if !upstream.url.is_mqtt() && !reader.is_wrong(URL_KEY) {
        let found = "upstream.url is no URL of MQTT, so that all requests go there";
        let expected = "mqtt:// or mqtts:// in upstream.url, or no upstream.http_url";
        reader.mistake(HTTP_URL, found, expected);
    }
}

/// Reads the files for TLS to the upstream. The authorities stay PEM for the client, but are known to parse.
pub(super) fn read_tls(reader: &mut Reader, upstream: &Upstream, now: UnixTime) -> TlsFiles {
    let ca = read_ca(reader, upstream);
    let client = read_client(reader, upstream, now);
    TlsFiles { ca, client }
}

fn read_ca(reader: &mut Reader, upstream: &Upstream) -> Option<Vec<u8>> {
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

/// Reads the gateway's certificate for TLS and its key, also if something is wrong with the first.
fn read_client(
    reader: &mut Reader,
    upstream: &Upstream,
    now: UnixTime,
) -> Option<ClientCertificate> {
    let chain = upstream.client_certificate.as_deref();
    let chain = chain.and_then(|path| read_chain(reader, path, now));
    let key = upstream.client_key.as_deref();
    let key = key.and_then(|path| read_key(reader, path));
    let client = ClientCertificate {
        chain: chain?,
        key: key?,
    };
    match client.check() {
        Ok(()) => Some(client),
        Err(error) => {
            let expected = "the key that upstream.client_certificate was made for";
            reader.mistake(CLIENT_KEY, error.to_string(), expected);
            None
        }
    }
}

fn read_chain(reader: &mut Reader, path: &Path, now: UnixTime) -> Option<Vec<Vec<u8>>> {
    let key = CLIENT_CERTIFICATE;
    let expected = "a PEM file of the gateway's certificate, or leave the key out";
    let pem = reader.contents(key, path, LARGEST, expected)?;
    let path = Shown::path(path).to_string();
    let chain = match certificates(&pem.bytes) {
        Ok(chain) => chain,
        Err(error) => {
            reader.mistake(key, format!("{path}: {error}"), "");
            return None;
        }
    };
    let Some(period) = chain.first().and_then(|own| Period::of_certificate(own)) else {
        reader.mistake(key, format!("{path}: the certificate is malformed"), "");
        return None;
    };
    warn_of_dates(reader, key, &path, period, now, "the upstream");
    Some(chain.iter().map(|der| der.to_vec()).collect())
}

fn read_key(reader: &mut Reader, path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let expected = "a PEM file of the key of upstream.client_certificate";
    let contents = reader.contents(CLIENT_KEY, path, LARGEST, expected)?;
    let path = Shown::path(path).to_string();
    match private_key(&contents.bytes) {
        Ok((_, key)) => {
            if contents.open_to_all {
                warn_of_open_key(reader, CLIENT_KEY, &path);
            }
            Some(key)
        }
        Err(error) => {
            reader.mistake(CLIENT_KEY, format!("{path}: {error}"), "");
            None
        }
    }
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
