//! The files that are read again while the gateway runs: four sources, each replaced as a whole or not at all.

use super::clients::{self, Clients};
use super::devices::{self, Devices};
use super::file::WatchedFile;
use super::layers::Environment;
use super::reader::{Reader, Reading};
use super::server::{self, ServerFiles};
use super::upstream::{self, Upstream};
use crate::credentials::{ClientPolicy, ServerCredentials};
use crate::device::Registry;
use crate::dtls::Versions;
use crate::upstream::TlsFiles;
use rustls_pki_types::UnixTime;
use std::fmt;

/// Reads the registry, the certificates and the trust anchors. Their paths are those of the start: `gateway.toml` and
/// the environment are read once.
pub struct Sources {
    /// Has the settings, to say where a path was set.
    reader: Reader,
    server: ServerFiles,
    clients: Clients,
    devices: Devices,
    upstream: Upstream,
    /// What certificates must be fit for.
    versions: Versions,
    environment: Environment,
}

/// The files of each source.
#[derive(Debug, Default, Clone)]
pub struct WatchedFiles {
    /// `gateway.toml` itself.
    pub configuration: Vec<WatchedFile>,
    /// The gateway's certificates and keys.
    pub server: Vec<WatchedFile>,
    /// The trust anchors and revocation lists.
    pub clients: Vec<WatchedFile>,
    /// The registry and the files that it names.
    pub registry: Vec<WatchedFile>,
    /// Authorities, certificate and key for TLS to the upstream.
    pub upstream: Vec<WatchedFile>,
}

impl Sources {
    pub(super) fn new(
        reader: &Reader,
        server: ServerFiles,
        clients: Clients,
        devices: Devices,
        upstream: Upstream,
        versions: Versions,
        environment: Environment,
    ) -> Sources {
        Sources {
            reader: reader.again(),
            server,
            clients,
            devices,
            upstream,
            versions,
            environment,
        }
    }

    /// Reads the gateway's certificates and keys.
    pub fn read_server(&self, now: UnixTime) -> Reading<ServerCredentials> {
        let mut reader = self.reader.again();
        let credentials = server::read(&mut reader, &self.server, self.versions, now);
        reader.reading(credentials)
    }

    /// Reads the trust anchors and the revocation lists.
    pub fn read_clients(&self, now: UnixTime) -> Reading<ClientPolicy> {
        let mut reader = self.reader.again();
        let policy = clients::read(&mut reader, &self.clients, now);
        reader.reading(policy)
    }

    /// Whether there are any.
    pub fn has_upstream_files(&self) -> bool {
        let Upstream {
            ca,
            client_certificate,
            ..
        } = &self.upstream;
        ca.is_some() || client_certificate.is_some()
    }

    /// Reads the files for TLS to the upstream.
    pub fn read_upstream(&self, now: UnixTime) -> Reading<TlsFiles> {
        let mut reader = self.reader.again();
        let files = upstream::read_tls(&mut reader, &self.upstream, now);
        reader.reading(Some(files))
    }

    /// Reads the registry. `former` is the one that was read before: if it has devices, the file must still be there,
    /// and unchanged devices are shared with it.
    pub fn read_registry(&self, former: &Registry) -> Reading<Registry> {
        let mut reader = self.reader.again();
        let registry = devices::load(&mut reader, &self.devices, &self.environment, former);
        reader.reading(Some(registry))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold tokens.
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}
