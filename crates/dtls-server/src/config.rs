//! What a server is and offers: its identities, cipher suites and groups, and the bounds of its handshakes.

mod builder;
mod identity;

pub use builder::{ConfigBuilder, ConfigError};
pub use identity::{Identity, IdentityError};

use crate::crypto::key_exchange::NamedGroup;
use crate::suite::{Authentication, CipherSuite};
use std::time::Duration;

/// Whether a client must bind the master secret to its handshake (RFC 7627).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtendedMasterSecret {
    /// It is used where the client offers it. Sessions without it are not resumed.
    #[default]
    Prefer,
    /// Clients that do not offer it are refused.
    Require,
}

/// Whether clients get a CertificateRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// Clients without one are refused.
    #[default]
    Required,
    /// Clients may come without one.
    Requested,
    /// There is no CertificateRequest.
    NotRequested,
}

/// The configuration of a server: [built](Config::builder) once, used by all handshakes.
#[derive(Debug, Clone)]
pub struct Config {
    ecdsa: Option<Identity>,
    rsa: Option<Identity>,
    cipher_suites: Vec<CipherSuite>,
    groups: Vec<NamedGroup>,
    extended_master_secret: ExtendedMasterSecret,
    client_certificate: ClientCertificate,
    connection_id_length: Option<u8>,
    return_routability_check: bool,
    session_tickets: bool,
    speaks_dtls13: bool,
    mtu: usize,
    first_timeout: Duration,
    longest_timeout: Duration,
}

impl Config {
    /// Begins a configuration with the defaults and no identity.
    #[must_use]
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::new()
    }

    /// The identity with a key of this type.
    #[must_use]
    pub const fn identity(&self, authentication: Authentication) -> Option<&Identity> {
        match authentication {
            Authentication::Ecdsa => self.ecdsa.as_ref(),
            Authentication::Rsa => self.rsa.as_ref(),
        }
    }

    /// The cipher suites, best first. There is an identity for each.
    #[must_use]
    pub fn cipher_suites(&self) -> &[CipherSuite] {
        &self.cipher_suites
    }

    /// The groups of the key exchange, best first.
    #[must_use]
    pub fn groups(&self) -> &[NamedGroup] {
        &self.groups
    }

    /// Whether the extended master secret is required.
    #[must_use]
    pub const fn extended_master_secret(&self) -> ExtendedMasterSecret {
        self.extended_master_secret
    }

    /// Whether clients get a CertificateRequest.
    #[must_use]
    pub const fn client_certificate(&self) -> ClientCertificate {
        self.client_certificate
    }

    /// Bytes of the connection IDs in records from clients. 0: they have none, but the server puts theirs into its records.
    /// `None`: connection IDs are not negotiated.
    #[must_use]
    pub const fn connection_id_length(&self) -> Option<u8> {
        self.connection_id_length
    }

    /// Whether clients may check and be checked by RFC 9853, when their address changes.
    #[must_use]
    pub const fn return_routability_check(&self) -> bool {
        self.return_routability_check
    }

    /// Whether clients that ask for a ticket get one (RFC 5077).
    #[must_use]
    pub const fn session_tickets(&self) -> bool {
        self.session_tickets
    }

    /// Whether the same server speaks DTLS 1.3 by other means, so that a client which does as well was downgraded by an
    /// attacker if it is served by this one (RFC 8446 §4.1.3).
    #[must_use]
    pub const fn speaks_dtls13(&self) -> bool {
        self.speaks_dtls13
    }

    /// Bytes of the largest datagram of a handshake, without the headers of UDP and IP.
    #[must_use]
    pub const fn mtu(&self) -> usize {
        self.mtu
    }

    /// When a flight is sent again if it is not answered. The time doubles with each repetition.
    #[must_use]
    pub const fn first_timeout(&self) -> Duration {
        self.first_timeout
    }

    /// The longest time between repetitions.
    #[must_use]
    pub const fn longest_timeout(&self) -> Duration {
        self.longest_timeout
    }
}

#[cfg(test)]
pub(crate) mod tests;
