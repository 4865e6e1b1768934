//! The files that are read again while the gateway runs: three things, each whole or not at all.

use super::file::Looked;
use super::layers::Environment;
use super::mistake::{Mistake, Mistakes, Warning};
use super::reader::Reader;
use super::{certificates, devices};
use crate::device::Registry;
use crate::dtls::engine::SettingsError;
use crate::dtls::{ClientPolicy, ServerCredentials};
use config::Value;
use rustls_pki_types::UnixTime;
use std::collections::BTreeMap;
use std::fmt;

/// What came of reading, and which files were looked at for it.
#[derive(Debug)]
pub struct Reading<T> {
    /// What they hold, or every mistake in them.
    pub outcome: Result<(T, Vec<Warning>), Mistakes>,
    /// The files, in no order.
    pub looked: Vec<Looked>,
}

impl<T> Reading<T> {
    /// Makes something else of what was read, if that can be done.
    pub fn and_then<U>(self, make: impl FnOnce(T) -> Result<U, SettingsError>) -> Reading<U> {
        let outcome = self.outcome.and_then(|(read, warnings)| {
            let made = make(read).map_err(|error| {
                Mistakes(vec![Mistake {
                    place: "server.certificate".to_owned(),
                    key: String::new(),
                    wrong: error.to_string(),
                    right: String::new(),
                }])
            });
            Ok((made?, warnings))
        });
        Reading {
            outcome,
            looked: self.looked,
        }
    }
}

/// Where the registry, certificates and trust anchors come from. What `gateway.toml` and the environment said of
/// that at the start holds to the end.
#[derive(Default)]
pub struct Sources {
    name: String,
    values: BTreeMap<String, Value>,
    environment: Environment,
    /// `gateway.toml` itself, as it was read.
    pub configuration: Vec<Looked>,
    /// The gateway's certificate and key, as they were read first.
    pub server: Vec<Looked>,
    /// The trust anchors and revocation lists, as they were read first.
    pub clients: Vec<Looked>,
    /// The registry and the files it names, as they were read first.
    pub registry: Vec<Looked>,
}

impl Sources {
    pub(super) fn new(
        name: String,
        values: BTreeMap<String, Value>,
        environment: Environment,
        configuration: Vec<Looked>,
    ) -> Sources {
        Sources {
            name,
            values,
            environment,
            configuration,
            ..Sources::default()
        }
    }

    /// Reads the gateway's certificate and key.
    pub fn read_server(&self, now: UnixTime) -> Reading<ServerCredentials> {
        self.read(|reader| certificates::server(reader, now))
    }

    /// Reads the trust anchors and the revocation lists.
    pub fn read_clients(&self, now: UnixTime) -> Reading<ClientPolicy> {
        self.read(|reader| certificates::clients(reader, now))
    }

    /// Reads the registry. `former` is the one that was read before: if it has devices, the file must still be there,
    /// and what has not changed is shared with it.
    pub fn read_registry(&self, former: &Registry) -> Reading<Registry> {
        self.read(|reader| Some(devices::load(reader, &self.environment, former)))
    }

    fn read<T>(&self, read: impl FnOnce(&mut Reader) -> Option<T>) -> Reading<T> {
        let values = self.values.clone();
        let mut reader = Reader::new(self.name.clone(), values, Vec::new(), Vec::new());
        let read = read(&mut reader);
        let looked = reader.looked();
        let outcome = match (read, reader.finish()) {
            (Some(read), (mistakes, warnings)) if mistakes.is_empty() => Ok((read, warnings)),
            (_, (mistakes, _)) => Err(Mistakes(mistakes)),
        };
        Reading { outcome, looked }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold tokens.
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}
