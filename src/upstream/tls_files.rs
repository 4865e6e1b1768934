//! What the files of `[upstream]` hold that TLS to ThingsBoard needs.

use super::SettingsError;
use super::http::tls;
use std::fmt;
use zeroize::Zeroizing;

/// The contents of `upstream.ca`, `upstream.client_certificate` and `upstream.client_key`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM of the trust anchors for the server's certificate. `None`: those of the operating system.
    pub ca: Option<Vec<u8>>,
    /// What the gateway shows of itself, if the server asks for it.
    pub client: Option<ClientCertificate>,
}

/// The gateway's certificate for TLS to ThingsBoard, and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// DER: the gateway's own first, and then those of its issuers, if the server does not know them.
    pub chain: Vec<Vec<u8>>,
    /// DER: PKCS#8, SEC1 or PKCS#1.
    pub key: Zeroizing<Vec<u8>>,
}

impl ClientCertificate {
    /// Checks that TLS can use the key, and that it belongs to the certificate.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        tls::check_client(self)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(hidden)")
    }
}
