//! TLS to the server.

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Why TLS can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// The file of trust anchors can't be used.
    Ca(String),
    /// The operating system trusts no certificate.
    NoTrustAnchors(String),
    /// The host is no name that a certificate can have.
    Host,
    /// The cryptographic library fails.
    Library(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Ca(why) => write!(f, "the file of trust anchors can't be used: {why}"),
            TlsError::NoTrustAnchors(why) => {
                write!(f, "the operating system has no trust anchors: {why}")
            }
            TlsError::Host => f.write_str("the host is no name that a certificate can have"),
            TlsError::Library(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TlsError {}

/// How a server is reached over TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// `ca`: PEM. `None`: what the operating system trusts.
    pub(crate) fn new(host: &str, ca: Option<&[u8]>) -> Result<Tls, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host)?;
        let roots = match ca {
            Some(pem) => read_anchors(pem)?,
            None => system_anchors()?,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Library(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A connection lives for days: there is nothing to save.
        config.resumption = Resumption::disabled();
        Ok(Tls {
            config: Arc::new(config),
            name,
        })
    }

    /// Shakes hands.
    pub(crate) fn connect<S: Read + Write>(&self, mut socket: S) -> io::Result<TlsStream<S>> {
        let session = ClientConnection::new(self.config.clone(), self.name.clone());
        let mut session = session.map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(TlsStream(StreamOwned::new(session, socket)))
    }
}

/// A connection over TLS.
pub(crate) struct TlsStream<S: Read + Write>(StreamOwned<ClientConnection, S>);

impl<S: Read + Write> TlsStream<S> {
    pub(crate) const fn socket_mut(&mut self) -> &mut S {
        &mut self.0.sock
    }
}

impl<S: Read + Write> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What an operator may have overlooked, to be added to the message of an error.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref());
    match error {
        Some(rustls::Error::InvalidMessage(_)) => " (it seems not to expect TLS: redis://)",
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            " (it expects a client certificate: tls-auth-clients)"
        }
        Some(rustls::Error::InvalidCertificate(_)) => " (the CA file must have its issuer)",
        _ => "",
    }
}

fn read_anchors(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut anchors = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(pem) {
        let number = anchors.len().saturating_add(1);
        let unusable =
            |why: &dyn ToString| TlsError::Ca(format!("certificate {number}: {}", why.to_string()));
        let der = der.map_err(|error| unusable(&error))?;
        anchors.add(der).map_err(|error| unusable(&error))?;
    }
    if anchors.is_empty() {
        let why = "it holds no certificate (-----BEGIN CERTIFICATE-----)";
        return Err(TlsError::Ca(why.to_owned()));
    }
    Ok(anchors)
}

fn system_anchors() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut anchors = RootCertStore::empty();
    // A system's store may have certificates that rustls can't read; those are skipped.
    anchors.add_parsable_certificates(found.certs);
    if anchors.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = if reasons.is_empty() {
            "none found".to_owned()
        } else {
            reasons.join("; ")
        };
        return Err(TlsError::NoTrustAnchors(why));
    }
    Ok(anchors)
}
