//! A file and the environment in, only valid values out, every mistake reported at once.
//!
//! `gateway.toml` is read first, then the environment over it (`COAPS_GATEWAY__SECTION__KEY`), then the
//! files they name: the gateway's certificate and key, the trust anchors, the revocation lists, the device
//! registry. Paths are relative to the working directory. Each [`Mistake`] says where it is, what is wrong and what
//! would be right; a [`Warning`] is for what works, but hardly as it was meant.

mod admin;
mod calls;
mod certificates;
mod devices;
mod file;
mod keys;
mod layers;
mod mistake;
mod ota;
mod reader;
mod relay;
mod sources;
mod value;

pub use admin::Admin;
pub use calls::Calls;
pub use devices::{ListedDevice, RegistryFile, TokenSource, is_device_name};
pub use file::{Looked, Stamp};
pub use mistake::{Mistake, Mistakes, Warning};
pub use ota::Ota;
pub use relay::{Relay, RelayMode};
pub use sources::{Reading, Sources};

use crate::device::Registry;
use crate::shown::Shown;
use crate::{coap, dtls, upstream};
use reader::Reader;
use rustls_pki_types::UnixTime;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "config/gateway.toml";

/// `gateway.toml` is prose and a few keys; a megabyte of it is a mix-up.
const LARGEST_FILE: u64 = 1024 * 1024;

/// All the gateway needs to know, valid as it is.
#[derive(Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[admin]`
    pub admin: Admin,
    /// `[server]`: the certificate and key shown to devices.
    pub server: dtls::ServerCredentials,
    /// `[clients]`: which certificates are let in.
    pub clients: dtls::ClientPolicy,
    /// `clients.provision`: may an unregistered certificate POST `api/v1/provision`?
    pub provision: bool,
    /// `[devices]`: which certificate is which device. Empty if there is no file.
    pub registry: Arc<Registry>,
    /// `[upstream]`
    pub upstream: upstream::Settings,
    /// Those of `[upstream]` that concern devices.
    pub calls: Calls,
    /// `[relay]`: Observe.
    pub relay: Relay,
    /// `[ota]`: packages.
    pub ota: Ota,
    /// `[coap]`
    pub coap: coap::Parameters,
    /// `[dtls]`, and those of `[limits]` that concern handshakes and sessions as such.
    pub dtls: dtls::Parameters,
    /// The rest of `[limits]`.
    pub limits: Limits,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[log]`
    pub log: Log,
    /// The files all that was read from, to be read again.
    pub sources: Sources,
}

/// `[listen]`: where devices, and those who operate it, reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// `coaps`: the UDP address; port 0 lets the system choose.
    pub coaps: SocketAddr,
    /// `admin`: the TCP address for probes and metrics, if there is to be one.
    pub admin: Option<SocketAddr>,
}

/// Bounds that concern identities, which only the joining of sessions and devices knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `sessions_per_device`: at once, 1 or more; beyond it the longest silent one goes.
    pub sessions_per_device: usize,
    /// `unregistered_sessions`: of certificates that are not registered, in all; 0 lets none in.
    pub unregistered_sessions: usize,
}

/// `[shutdown]`: how the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// `drain`: how long what is under way may take to its end; zero: no time at all.
    pub drain: Duration,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `level`: a level, or directives such as `info,coaps_gateway::dtls=debug`.
    pub level: String,
    /// `format`
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads everything: the file, the environment over it, and the files they name.
    ///
    /// `file`: a file that must be there, or `None` for [`DEFAULT_FILE`], which may be missing: a sidecar is
    /// configured by the environment alone. `environment`: names and values, as `std::env::vars_os()`
    /// gives them. `now`: to warn about certificates that have ended or soon will.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        now: UnixTime,
    ) -> Result<(Config, Vec<Warning>), Mistakes> {
        let environment: layers::Environment = environment.into_iter().collect();
        let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
        let name = Shown::path(file.unwrap_or(Path::new(DEFAULT_FILE))).to_string();
        let mut looked = Vec::new();
        let Some(text) = text_of(file, &name, &mut looked, &mut mistakes, &mut warnings) else {
            // Without the file, keys that it may well set would look forgotten; only the environment's
            // names can still be checked.
            layers::merge(&name, "", &environment, &mut mistakes, &mut warnings);
            return Err(Mistakes(mistakes));
        };
        let values = layers::merge(&name, &text, &environment, &mut mistakes, &mut warnings);
        let mut sources = Sources::new(name.clone(), values.clone(), environment, looked);
        let mut reader = Reader::new(name, values, mistakes, warnings);

        let listen = Listen {
            coaps: reader.listen(),
            admin: reader.listen_admin(),
        };
        let admin = reader.admin(&listen);
        let (server, looked) = reader.take(sources.read_server(now));
        sources.server = looked;
        let (clients, looked) = reader.take(sources.read_clients(now));
        sources.clients = looked;
        let provision = reader.read("clients.provision", false, value::boolean);
        let (registry, looked) = reader.take(sources.read_registry(&Registry::default()));
        sources.registry = looked;
        let relay = reader.relay();
        let upstream = reader.upstream(relay.connections());
        let calls = reader.calls();
        reader.warn_about_polls(&relay, upstream.max_in_flight);
        let ota = reader.ota();
        let (coap, dtls) = (reader.coap(), reader.dtls());
        let (limits, shutdown) = (reader.limits(), reader.shutdown());
        let log = reader.log("info");

        let (mistakes, warnings) = reader.finish();
        match (server, clients, registry) {
            (Some(server), Some(clients), Some(registry)) if mistakes.is_empty() => {
                let config = Config {
                    listen,
                    admin,
                    server,
                    clients,
                    provision,
                    registry: Arc::new(registry),
                    upstream,
                    calls,
                    relay,
                    ota,
                    coap,
                    dtls,
                    limits,
                    shutdown,
                    log,
                    sources,
                };
                Ok((config, warnings))
            }
            _ => Err(Mistakes(mistakes)),
        }
    }
}

/// What the configuration file says. `None`: it can't be read, and the mistake is told.
fn text_of(
    file: Option<&Path>,
    name: &str,
    looked: &mut Vec<Looked>,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Warning>,
) -> Option<String> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let contents = file::read(path, LARGEST_FILE, looked);
    let wrong = match contents.map(|contents| String::from_utf8(contents.bytes.to_vec())) {
        Ok(Ok(text)) => return Some(text),
        Err(file::Unreadable::Missing) if file.is_none() => {
            warnings.push(Warning {
                place: name.to_owned(),
                key: String::new(),
                message: "not there; the environment and the defaults are used alone".to_owned(),
            });
            return Some(String::new());
        }
        Err(reason) => format!("the configuration can't be read: {reason}"),
        Ok(Err(_)) => "this is not text (UTF-8)".to_owned(),
    };
    mistakes.push(Mistake {
        place: name.to_owned(),
        key: String::new(),
        wrong,
        right: format!("a file like the one that comes with the gateway, {DEFAULT_FILE}"),
    });
    None
}

impl Log {
    /// For commands that need no other configuration: `[log]` from the environment alone, or `default` for the
    /// level.
    pub fn from_environment(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        default: &str,
    ) -> Result<Log, Mistakes> {
        let environment: layers::Environment = environment.into_iter().collect();
        let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
        let values = layers::merge("", "", &environment, &mut mistakes, &mut warnings);
        let mut reader = Reader::new(String::new(), values, mistakes, warnings);
        let log = reader.log(default);
        match reader.finish() {
            (mistakes, _) if mistakes.is_empty() => Ok(log),
            (mistakes, _) => Err(Mistakes(mistakes)),
        }
    }
}

#[cfg(test)]
mod tests;
