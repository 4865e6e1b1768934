//! Clients for the tests of this room, and of those that have sessions.

use super::Versions;
use crate::credentials::ServerCredentials;
use test_support::dtls::{Config, Versions as Offered};

/// The configuration of a client with these credentials.
pub(crate) fn client_config(
    credentials: &ServerCredentials,
    versions: Versions,
    mtu: usize,
) -> Config {
    let (certificate, key) = (credentials.certificate(), &credentials.ecdsa.private_key);
    let offered = match versions {
        Versions::Only12 => Offered::Only12,
        Versions::Only13 => Offered::Only13,
        Versions::Both => Offered::Both,
    };
    Config::new(certificate.to_vec(), key.to_vec(), offered, mtu)
}
