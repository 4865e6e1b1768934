//! Builds a configuration, and refuses one that can't work.

use super::{ClientCertificate, Config, ExtendedMasterSecret, Identity};
use crate::association::MAX_OWN_CONNECTION_ID;
use crate::crypto::key_exchange::NamedGroup;
use crate::suite::{Authentication, CipherSuite};
use std::time::Duration;

/// The smallest datagrams of a handshake: less than a quarter of their bytes is headers.
const MIN_MTU: usize = 128;
/// The largest datagram of UDP over IPv4.
const MAX_MTU: usize = 65_507;

/// A configuration while it is built.
#[derive(Debug, Clone)]
pub struct ConfigBuilder {
    config: Config,
    /// `None`: all for which there is an identity.
    cipher_suites: Option<Vec<CipherSuite>>,
    is_identity_doubled: bool,
}

/// A configuration that can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing signs.
    #[error("there is no identity: a chain of certificates and its private key")]
    NoIdentity,
    /// Only one of them could ever be chosen.
    #[error("there are two identities with keys of the same type")]
    TwoOfAKind,
    /// No client could be answered.
    #[error("there is no cipher suite")]
    NoCipherSuite,
    /// A cipher suite that could never be chosen.
    #[error("{0} needs {needed}", needed = identity_for(*.0))]
    NoIdentityFor(CipherSuite),
    /// No client could be answered.
    #[error("there is no group for the key exchange")]
    NoGroup,
    /// They would not fit into a session.
    #[error("connection IDs have at most {MAX_OWN_CONNECTION_ID} bytes, not {0}")]
    ConnectionIdLength(u8),
    /// No message would get through, or no datagram would be sent.
    #[error("datagrams have from {MIN_MTU} to {MAX_MTU} bytes, not {0}")]
    Mtu(usize),
    /// Flights would be repeated without end at once, or the first repetition would be later than the last.
    #[error("the first timeout is 0, or longer than the longest one")]
    Timeouts,
}

fn identity_for(suite: CipherSuite) -> &'static str {
    match suite.authentication() {
        Authentication::Ecdsa => "an identity with an EC key",
        Authentication::Rsa => "an identity with an RSA key",
    }
}

impl ConfigBuilder {
    pub(super) fn new() -> ConfigBuilder {
        ConfigBuilder {
            config: Config {
                ecdsa: None,
                rsa: None,
                cipher_suites: Vec::new(),
                groups: NamedGroup::ALL.to_vec(),
                extended_master_secret: ExtendedMasterSecret::default(),
                client_certificate: ClientCertificate::default(),
                connection_id_length: Some(8),
                return_routability_check: false,
                session_tickets: false,
                speaks_dtls13: false,
                // IPv6's smallest MTU is 1280 bytes with all headers (RFC 8200 §5).
                mtu: 1200,
                // A modem may need seconds for a round trip; RFC 7925 §11 has longer ones than RFC 6347 §4.2.4.1.
                first_timeout: Duration::from_secs(2),
                longest_timeout: Duration::from_secs(60),
            },
            cipher_suites: None,
            is_identity_doubled: false,
        }
    }

    /// Adds an identity: one with an EC key, one with an RSA key, or both.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> ConfigBuilder {
        let place = match identity.authentication() {
            Authentication::Ecdsa => &mut self.config.ecdsa,
            Authentication::Rsa => &mut self.config.rsa,
        };
        self.is_identity_doubled |= place.replace(identity).is_some();
        self
    }

    /// The cipher suites, best first. Without this, all for which there is an identity, in the order of
    /// [`CipherSuite::ALL`].
    #[must_use]
    pub fn cipher_suites(mut self, suites: &[CipherSuite]) -> ConfigBuilder {
        self.cipher_suites = Some(suites.to_vec());
        self
    }

    /// The groups of the key exchange, best first. Without this, all of [`NamedGroup::ALL`].
    #[must_use]
    pub fn groups(mut self, groups: &[NamedGroup]) -> ConfigBuilder {
        self.config.groups = groups.to_vec();
        self
    }

    /// See [`Config::extended_master_secret`]. Without this, it is preferred.
    #[must_use]
    pub const fn extended_master_secret(mut self, policy: ExtendedMasterSecret) -> ConfigBuilder {
        self.config.extended_master_secret = policy;
        self
    }

    /// See [`Config::client_certificate`]. Without this, it is required.
    #[must_use]
    pub const fn client_certificate(mut self, policy: ClientCertificate) -> ConfigBuilder {
        self.config.client_certificate = policy;
        self
    }

    /// See [`Config::connection_id_length`]. Without this, it is 8.
    #[must_use]
    pub const fn connection_id_length(mut self, length: Option<u8>) -> ConfigBuilder {
        self.config.connection_id_length = length;
        self
    }

    /// See [`Config::return_routability_check`]. Without this, it is off.
    #[must_use]
    pub const fn return_routability_check(mut self, is_on: bool) -> ConfigBuilder {
        self.config.return_routability_check = is_on;
        self
    }

    /// See [`Config::session_tickets`]. Without this, they are off.
    #[must_use]
    pub const fn session_tickets(mut self, is_on: bool) -> ConfigBuilder {
        self.config.session_tickets = is_on;
        self
    }

    /// See [`Config::speaks_dtls13`]. Without this, it does not.
    #[must_use]
    pub const fn speaks_dtls13(mut self, speaks: bool) -> ConfigBuilder {
        self.config.speaks_dtls13 = speaks;
        self
    }

    /// See [`Config::mtu`]. Without this, 1200 bytes.
    #[must_use]
    pub const fn mtu(mut self, mtu: usize) -> ConfigBuilder {
        self.config.mtu = mtu;
        self
    }

    /// See [`Config::first_timeout`] and [`Config::longest_timeout`]. Without this, 2 s and 60 s.
    #[must_use]
    pub const fn timeouts(mut self, first: Duration, longest: Duration) -> ConfigBuilder {
        self.config.first_timeout = first;
        self.config.longest_timeout = longest;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// It can't work: see [`ConfigError`].
    pub fn build(self) -> Result<Config, ConfigError> {
        let mut config = self.config;
        if config.ecdsa.is_none() && config.rsa.is_none() {
            return Err(ConfigError::NoIdentity);
        }
        if self.is_identity_doubled {
            return Err(ConfigError::TwoOfAKind);
        }
        let has_identity = |suite: &CipherSuite| config.identity(suite.authentication()).is_some();
        let suites = match self.cipher_suites {
            Some(suites) => suites,
            None => CipherSuite::ALL.into_iter().filter(has_identity).collect(),
        };
        if let Some(suite) = suites.iter().find(|suite| !has_identity(suite)) {
            return Err(ConfigError::NoIdentityFor(*suite));
        }
        if suites.is_empty() {
            return Err(ConfigError::NoCipherSuite);
        }
        config.cipher_suites = suites;
        if config.groups.is_empty() {
            return Err(ConfigError::NoGroup);
        }
        let length = config.connection_id_length.unwrap_or(0);
        if usize::from(length) > MAX_OWN_CONNECTION_ID {
            return Err(ConfigError::ConnectionIdLength(length));
        }
        if !(MIN_MTU..=MAX_MTU).contains(&config.mtu) {
            return Err(ConfigError::Mtu(config.mtu));
        }
        if config.first_timeout.is_zero() || config.first_timeout > config.longest_timeout {
            return Err(ConfigError::Timeouts);
        }
        Ok(config)
    }
}
