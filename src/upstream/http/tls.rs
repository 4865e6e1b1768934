//! TLS to ThingsBoard: which servers are trusted, and what the gateway shows of itself. Its files can be replaced while the
//! gateway runs.

use super::trust;
use crate::upstream::{ClientCertificate, SettingsError, TlsFiles};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ClientConfig};

/// The configuration in use, shared by all connectors.
#[derive(Clone)]
pub(in crate::upstream) struct Tls(Arc<Shared>);

struct Shared {
    /// Whether any server is reached over TLS.
    is_used: bool,
    /// `None`: no server is reached over TLS.
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl Tls {
    /// `is_used`: whether any server is reached over TLS. If not, the operating system need not trust any certificate.
    pub(in crate::upstream) fn new(files: &TlsFiles, is_used: bool) -> Result<Tls, SettingsError> {
        let config = Mutex::new(config(files, is_used)?);
        Ok(Tls(Arc::new(Shared { is_used, config })))
    }

    /// Uses other files for connections that are opened from now on.
    pub(in crate::upstream) fn replace(&self, files: &TlsFiles) -> Result<(), SettingsError> {
        let config = config(files, self.0.is_used)?;
        *self.config() = config;
        Ok(())
    }

    fn config(&self) -> MutexGuard<'_, Option<Arc<ClientConfig>>> {
        self.0.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(hidden)")
    }
}

/// TLS to one server.
pub(super) struct TlsToServer {
    tls: Tls,
    name: ServerName<'static>,
    /// Offered by ALPN.
    protocols: Vec<Vec<u8>>,
    /// The last configuration of [`Tls`], and what was made of it.
    last: Mutex<Option<(Arc<ClientConfig>, Arc<ClientConfig>)>>,
}

impl TlsToServer {
    /// `host`: the name or address that the server's certificate must have.
    pub(super) fn new(
        tls: &Tls,
        host: &str,
        protocols: &[&[u8]],
    ) -> Result<TlsToServer, SettingsError> {
        let name = ServerName::try_from(host.to_owned());
        Ok(TlsToServer {
            tls: tls.clone(),
            name: name.map_err(|error| SettingsError::Url(error.to_string()))?,
            protocols: protocols.iter().map(|name| name.to_vec()).collect(),
            last: Mutex::default(),
        })
    }

    /// What opens the next connection, and the name of the server. `None`: TLS was not expected to be used.
    pub(super) fn connector(&self) -> Option<(TlsConnector, ServerName<'static>)> {
        let shared = self.tls.config().clone()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &shared));
        let config = match known {
            Some((_, config)) => config.clone(),
            None => {
                let mut config = ClientConfig::clone(&shared);
                config.alpn_protocols.clone_from(&self.protocols);
                // Sessions are resumed by the server's name alone, and there may be two servers at one name.
                config.resumption = Resumption::default();
                let config = Arc::new(config);
                *last = Some((shared, config.clone()));
                config
            }
        };
        Some((TlsConnector::from(config), self.name.clone()))
    }
}

fn config(files: &TlsFiles, is_used: bool) -> Result<Option<Arc<ClientConfig>>, SettingsError> {
    let roots = match &files.ca {
        // A file that can't be used is a mistake even where it is not used.
        Some(pem) => trust::read_anchors(pem)?,
        None if is_used => trust::system_anchors()?,
        None => rustls::RootCertStore::empty(),
    };
    let client = files.client.as_ref();
    let client = client.map(|client| Ok((chain(client), key(client)?)));
    let client = client.transpose()?;
    if !is_used {
        return Ok(None);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::NoTrustAnchors(error.to_string()))?
        .with_root_certificates(roots);
    let config = match client {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(&error))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Some(Arc::new(config)))
}

/// Checks that the key can be used, and that it belongs to the certificate.
pub(in crate::upstream) fn check_client(client: &ClientCertificate) -> Result<(), SettingsError> {
    let provider: CryptoProvider = aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain(client), key(client)?, &provider)
        .map(|_| ())
        .map_err(|error| unusable(&error))
}

fn chain(client: &ClientCertificate) -> Vec<CertificateDer<'static>> {
    let chain = client.chain.iter();
    chain.map(|der| CertificateDer::from(der.clone())).collect()
}

fn key(client: &ClientCertificate) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let der: &[u8] = &client.key;
    match PrivateKeyDer::try_from(der) {
        Ok(key) => Ok(key.clone_key()),
        Err(why) => Err(SettingsError::ClientCertificate(why.to_owned())),
    }
}

fn unusable(error: &rustls::Error) -> SettingsError {
    let why = if matches!(error, rustls::Error::InconsistentKeys(_)) {
        "the private key does not belong to the certificate".to_owned()
    } else {
        error.to_string()
    };
    SettingsError::ClientCertificate(why)
}
