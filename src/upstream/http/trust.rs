//! The trust anchors for the server's certificate.

use crate::upstream::SettingsError;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::fmt::Write as _;
use tokio_rustls::rustls::RootCertStore;

/// Reads the CA file, so that a mistake in it is found now and not at the first handshake.
pub(super) fn read_anchors(pem: &[u8]) -> Result<RootCertStore, SettingsError> {
    let mut anchors = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(pem) {
        let number = anchors.len() + 1;
        let unusable = |error: &dyn ToString| {
            SettingsError::Ca(format!("certificate {number}: {}", error.to_string()))
        };
        let der = der.map_err(|error| unusable(&error))?;
        anchors.add(der).map_err(|error| unusable(&error))?;
    }
    if anchors.is_empty() {
        return Err(SettingsError::Ca(
            "it holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned(),
        ));
    }
    Ok(anchors)
}

/// The certificates that the operating system trusts.
pub(super) fn system_anchors() -> Result<RootCertStore, SettingsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut anchors = RootCertStore::empty();
    // A system's store may hold certificates that rustls can't parse; those are skipped.
    anchors.add_parsable_certificates(found.certs);
    if anchors.is_empty() {
        let mut reasons = "none found".to_owned();
        for error in found.errors {
            // Writing to a String can't fail.
            let _ = write!(reasons, ": {error}");
        }
        return Err(SettingsError::NoTrustAnchors(reasons));
    }
    Ok(anchors)
}
