//! Signatures and random bytes, as they are recorded and as they are replayed.

use super::Signature;
use dtls_server::crypto::random::{Random, SystemRandom, Unavailable};
use dtls_server::crypto::signature::{SignatureScheme, Signer, SigningFailed};
use std::sync::{Arc, Mutex};

/// Keeps what another one signs.
#[derive(Debug)]
pub(super) struct RecordedSigner {
    pub(super) signer: Arc<dyn Signer>,
    pub(super) signatures: Arc<Mutex<Vec<Signature>>>,
}

impl Signer for RecordedSigner {
    fn schemes(&self) -> &[SignatureScheme] {
        self.signer.schemes()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let signature = self.signer.sign(scheme, message)?;
        self.signatures.lock().unwrap().push(Signature {
            scheme,
            message: message.to_vec(),
            signature: signature.clone(),
        });
        Ok(signature)
    }
}

/// Keeps the system's random bytes.
pub(super) struct RecordedRandom(pub(super) Arc<Mutex<Vec<u8>>>);

impl Random for RecordedRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        SystemRandom.fill(buffer)?;
        self.0.lock().unwrap().extend_from_slice(buffer);
        Ok(())
    }
}

/// Has no key: it knows the signatures of the messages that were signed then, and of no others.
#[derive(Debug)]
pub(super) struct ReplayedSigner {
    schemes: Vec<SignatureScheme>,
    signatures: Vec<Signature>,
}

impl ReplayedSigner {
    pub(super) fn new(signatures: Vec<Signature>) -> ReplayedSigner {
        let mut schemes = Vec::new();
        for signature in &signatures {
            if !schemes.contains(&signature.scheme) {
                schemes.push(signature.scheme);
            }
        }
        ReplayedSigner {
            schemes,
            signatures,
        }
    }
}

impl Signer for ReplayedSigner {
    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let mut signatures = self.signatures.iter();
        signatures
            .find(|signature| signature.scheme == scheme && signature.message == message)
            .map(|signature| signature.signature.clone())
            .ok_or(SigningFailed)
    }
}

/// The random bytes of then, and no others.
pub(super) struct ReplayedRandom(pub(super) Vec<u8>);

impl Random for ReplayedRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        let (bytes, rest) = self.0.split_at_checked(buffer.len()).ok_or(Unavailable)?;
        buffer.copy_from_slice(bytes);
        self.0 = rest.to_vec();
        Ok(())
    }
}
