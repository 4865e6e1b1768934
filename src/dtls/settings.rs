//! What all handshakes of a gateway share, from its certificates and parameters.

use super::dtls13::engine;
use super::dtls13::supported::Supported;
use super::{Parameters, Versions};
use crate::credentials::{ServerCredentials, ServerIdentity};
use dtls_server::config::{Config, ConfigError, Identity, IdentityError};
use dtls_server::crypto::signing_key::{KeyRefused, SigningKey};
use dtls_server::suite::CipherSuite;
use std::sync::Arc;

/// Settings of both versions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) versions: Versions,
    pub(super) dtls12: Arc<Config>,
    /// `None`: DTLS 1.3 is not offered.
    pub(super) dtls13: Option<Dtls13>,
}

/// Settings of DTLS 1.3.
#[derive(Debug, Clone)]
pub(super) struct Dtls13 {
    pub(super) engine: engine::Settings,
    /// What the engine supports.
    pub(super) supported: Arc<Supported>,
}

/// The certificates and parameters can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the private key can't be used: {0}")]
    Key(#[from] KeyRefused),
    #[error("the certificate can't be used: {0}")]
    Identity(#[from] IdentityError),
    #[error("the DTLS settings can't be used: {0}")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Dtls13(#[from] engine::SettingsError),
}

impl Settings {
    /// Settings from the configuration.
    pub fn new(
        credentials: &ServerCredentials,
        parameters: &Parameters,
    ) -> Result<Settings, SettingsError> {
        let versions = parameters.versions;
        let dtls13 = match versions {
            Versions::Only12 => None,
            Versions::Only13 | Versions::Both => {
                let engine = engine::Settings::new(credentials, parameters)?;
                let supported = Arc::new(engine.supported());
                Some(Dtls13 { engine, supported })
            }
        };
        Ok(Settings {
            versions,
            dtls12: Arc::new(dtls12(credentials, parameters)?),
            dtls13,
        })
    }
}

fn dtls12(
    credentials: &ServerCredentials,
    parameters: &Parameters,
) -> Result<Config, SettingsError> {
    let mut builder = Config::builder()
        .identity(identity(&credentials.ecdsa)?)
        .extended_master_secret(parameters.extended_master_secret)
        .connection_id_length((parameters.connection_id > 0).then_some(parameters.connection_id))
        .return_routability_check(parameters.connection_id > 0)
        .session_tickets(parameters.resumable_sessions > 0)
        .speaks_dtls13(parameters.versions != Versions::Only12)
        .mtu(parameters.mtu);
    if let Some(rsa) = &credentials.rsa {
        builder = builder.identity(identity(rsa)?);
    }
    let suites: Vec<CipherSuite> = parameters.cipher_suites.iter().collect();
    if !suites.is_empty() {
        builder = builder.cipher_suites(&suites);
    }
    Ok(builder.build()?)
}

fn identity(identity: &ServerIdentity) -> Result<Identity, SettingsError> {
    let key = SigningKey::from_der(&identity.private_key)?;
    Ok(Identity::new(&identity.chain, Arc::new(key))?)
}
