//! Reads the configuration: all of it for the gateway, or a part for commands that need no more.

use super::file::{self, Unreadable, WatchedFile};
use super::layers::{Environment, Settings, merge};
use super::mistake::{Mistake, Mistakes, Problem, Warning};
use super::reader::Reader;
use super::sections::{NAMES, SECTIONS, Values};
use super::sources::{Sources, WatchedFiles};
use super::{
    Config, DEFAULT_FILE, RegistryFile, admin, coap, devices, dtls, group, listen, log, ota, relay,
    state, upstream,
};
use crate::device::Registry;
use crate::logging;
use crate::shown::Shown;
use rustls_pki_types::UnixTime;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// `gateway.toml` is prose and a few keys; a megabyte of it is a mix-up.
const LARGEST_FILE: u64 = 1024 * 1024;

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
        let environment: Environment = environment.into_iter().collect();
        let Opened {
            mut reader,
            is_readable,
            configuration,
        } = Opened::new(file, &environment);
        if !is_readable {
            // Keys that the file may well set would look missing.
            return Err(Mistakes(reader.finish().0));
        }
        let mut values = Values::default();
        for section in SECTIONS.iter() {
            reader.read(section, &mut values);
        }
        let has_rsa = values.server.has_rsa();
        let sources = Sources::new(
            &reader,
            values.server,
            values.clients.clone(),
            values.devices,
            values.upstream.clone(),
            values.bounds.dtls.versions,
            environment.clone(),
        );
        admin::check(&mut reader, values.admin, &values.listen);
        let (server, server_files) = reader.take(sources.read_server(now));
        let (clients, clients_files) = reader.take(sources.read_clients(now));
        let (registry, registry_files) = reader.take(sources.read_registry(&Registry::default()));
        let (tls, upstream_files) = reader.take(sources.read_upstream(now));
        upstream::check(&mut reader, &values.upstream);
        // There are no polls over MQTT.
        if !values.upstream.url.is_mqtt() {
            relay::check(&mut reader, &values.relay, values.upstream.max_in_flight);
        }
        ota::check(&mut reader, &values.ota);
        coap::check(&mut reader, &values.coap);
        dtls::check(&mut reader, &mut values.bounds.dtls, has_rsa);
        let state = state::read(&mut reader, &values.state, &environment);
        let group = group::read(
            &mut reader,
            &values.state,
            (values.listen.coaps, &values.bounds.dtls),
            &environment,
        );

        let (mistakes, warnings) = reader.finish();
        let (Some(server), Some(clients), Some(registry), Some(tls), []) =
            (server, clients, registry, tls, mistakes.as_slice())
        else {
            return Err(Mistakes(mistakes));
        };
        let config = Config {
            listen: values.listen,
            admin: values.admin,
            server,
            clients,
            provision: values.clients.provision,
            registry: Arc::new(registry),
            upstream: values.upstream.settings(
                tls,
                values.relay.connections(),
                values.relay.alive_for,
            ),
            calls: values.upstream.calls,
            relay: values.relay,
            ota: values.ota,
            coap: values.coap,
            dtls: values.bounds.dtls,
            limits: values.bounds.limits,
            state,
            group,
            shutdown: values.shutdown,
            log: values.log,
            sources,
            watched: WatchedFiles {
                configuration,
                server: server_files,
                clients: clients_files,
                registry: registry_files,
                upstream: upstream_files,
            },
        };
        Ok((config, warnings))
    }
}

/// Reads `listen.admin` for commands that query a running gateway. Mistakes in other keys are ignored, and no file but
/// the configuration is read.
pub(crate) fn admin_address(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Option<SocketAddr>, Mistakes> {
    let environment: Environment = environment.into_iter().collect();
    let mut reader = Opened::new(file, &environment).reader;
    let mut listen = listen::Listen::default();
    reader.read(&listen::section(), &mut listen);
    let (mut mistakes, _) = reader.finish();
    // Without a key it is the file as a whole that can't be read.
    mistakes.retain(|mistake| mistake.key.is_empty() || mistake.key == listen::ADMIN);
    if mistakes.is_empty() {
        Ok(listen.admin)
    } else {
        Err(Mistakes(mistakes))
    }
}

/// Reads `[log]` from the environment, for commands without a configuration file. `level`: the default.
pub fn log_settings(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    level: &str,
) -> Result<logging::Settings, Mistakes> {
    let environment: Environment = environment.into_iter().collect();
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let settings = merge("", "", &environment, &NAMES, &mut mistakes, &mut warnings);
    let mut reader = Reader::new(String::new(), settings, mistakes, warnings);
    let mut log = logging::Settings {
        level: level.to_owned(),
        ..logging::Settings::default()
    };
    reader.read(&log::section(), &mut log);
    match reader.finish() {
        (mistakes, _) if mistakes.is_empty() => Ok(log),
        (mistakes, _) => Err(Mistakes(mistakes)),
    }
}

impl RegistryFile {
    /// Finds the registry that the configuration names, as [`Config::load`] does. The configuration's other values may
    /// be wrong, and the files it names missing; but all its keys must be known, or the registry's may be among those
    /// that are not.
    pub(crate) fn named_by(
        config: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<RegistryFile, Mistakes> {
        let environment: Environment = environment.into_iter().collect();
        let mut reader = Opened::new(config, &environment).reader;
        let mut devices = devices::Devices::default();
        reader.read(&devices::section(), &mut devices);
        let is_set = reader.is_set(devices::KEY);
        if devices.file.is_none() {
            reader.mistake(
                devices::KEY,
                "this is empty: the gateway has no registry",
                "the path of a file, like \"config/devices.toml\"",
            );
        }
        match (devices.file, reader.finish().0) {
            (Some(path), mistakes) if mistakes.is_empty() => {
                Ok(RegistryFile::new(path, is_set, environment))
            }
            (_, mistakes) => Err(Mistakes(mistakes)),
        }
    }
}

/// The configuration file and the environment, merged.
struct Opened {
    reader: Reader,
    /// Whether the file could be read. If not, that is a mistake, and the environment alone was read.
    is_readable: bool,
    configuration: Vec<WatchedFile>,
}

impl Opened {
    fn new(file: Option<&Path>, environment: &Environment) -> Opened {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let name = Shown::path(path).to_string();
        let (mut mistakes, mut warnings, mut configuration) = (Vec::new(), Vec::new(), Vec::new());
        let contents = file::read(path, LARGEST_FILE, &mut configuration);
        let text = match contents.map(|contents| String::from_utf8(contents.bytes.to_vec())) {
            Ok(Ok(text)) => Ok(text),
            Err(Unreadable::Missing) if file.is_none() => {
                warnings.push(Warning {
                    place: name.clone(),
                    key: String::new(),
                    message: "not there; the environment and the defaults are used alone"
                        .to_owned(),
                });
                Ok(String::new())
            }
            Err(reason) => Err(format!("the configuration can't be read: {reason}")),
            Ok(Err(_)) => Err("this is not text (UTF-8)".to_owned()),
        };
        let is_readable = text.is_ok();
        let text = text.unwrap_or_else(|found| {
            let expected =
                format!("a file like the one that comes with the gateway, {DEFAULT_FILE}");
            mistakes.push(Mistake::new(&*name, "", Problem::new(found, expected)));
            String::new()
        });
        let settings: Settings = merge(
            &name,
            &text,
            environment,
            &NAMES,
            &mut mistakes,
            &mut warnings,
        );
        Opened {
            reader: Reader::new(name, settings, mistakes, warnings),
            is_readable,
            configuration,
        }
    }
}
