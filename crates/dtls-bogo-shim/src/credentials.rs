//! The server's certificates and key, from the files that the runner names.

use crate::failure::Failure;
use crate::options::Options;
use dtls_server::config::Identity;
use dtls_server::crypto::signature::{SignatureScheme, Signer, SigningFailed};
use dtls_server::crypto::signing_key::SigningKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// A key that signs with some of its schemes only, in the order that the test wants.
#[derive(Debug)]
struct Narrowed {
    key: SigningKey,
    schemes: Vec<SignatureScheme>,
}

impl Signer for Narrowed {
    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        self.key.sign(scheme, message)
    }
}

/// The identity that the test gives to the server.
pub(crate) fn load(options: &Options) -> Result<Identity, Failure> {
    let (Some(certificate), Some(key)) = (&options.certificate, &options.key) else {
        return Err(Failure::unimplemented("a server without a certificate"));
    };
    if options.credentials > 1 {
        return Err(Failure::unimplemented("several credentials"));
    }
    let chosen = match options.credentials {
        0 => -1,
        _ => 0,
    };
    if options.expected_credential.unwrap_or(chosen) != chosen {
        return Err(Failure::unimplemented("the choice of credentials"));
    }
    let key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| Failure::failed(error.to_string()))?;
    let key = SigningKey::from_der(key.secret_der())
        .map_err(|error| Failure::unimplemented(error.to_string()))?;
    let signer: Arc<dyn Signer> = match options.signing_schemes.as_slice() {
        [] => Arc::new(key),
        numbers => {
            let known = numbers
                .iter()
                .filter_map(|&number| SignatureScheme::from_number(number));
            let schemes = known.filter(|scheme| key.schemes().contains(scheme));
            let schemes = schemes.collect();
            Arc::new(Narrowed { key, schemes })
        }
    };
    Identity::new(&certificates(certificate)?, signer)
        .map_err(|error| Failure::unimplemented(error.to_string()))
}

/// All certificates of a PEM file, in DER.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    CertificateDer::pem_file_iter(path)
        .and_then(|found| found.map(|one| one.map(|der| der.to_vec())).collect())
        .map_err(|error| Failure::failed(error.to_string()))
}
