//! Certificates, the request for them, and the proof of their key (RFC 5246 §7.4.2, §7.4.4, §7.4.8).

use super::Numbers;
use crate::alert::AlertDescription;
use crate::wire::{Malformed, Reader, Writer, vector8, vector16, vector24};

/// The most certificates in a chain. Devices have one to three.
pub const MAX_CERTIFICATES: usize = 16;

/// A Certificate message: a chain of certificates in DER, the sender's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The chain. Empty: the client has no certificate that it could send (RFC 5246 §7.4.6).
    pub chain: Vec<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// decode_error: it is malformed. bad_certificate: it has more than [`MAX_CERTIFICATES`] certificates.
    pub fn parse(body: &'a [u8]) -> Result<Certificate<'a>, AlertDescription> {
        let mut reader = Reader::new(body);
        let mut list = reader.vector24()?;
        reader.end()?;
        let mut chain = Vec::new();
        while !list.is_empty() {
            if chain.len() == MAX_CERTIFICATES {
                return Err(AlertDescription::BAD_CERTIFICATE);
            }
            let certificate = list.vector24()?.rest();
            if certificate.is_empty() {
                return Err(AlertDescription::DECODE_ERROR);
            }
            chain.push(certificate);
        }
        Ok(Certificate { chain })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// The chain is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        write_chain(buffer, self.chain.iter().copied())
    }
}

/// Appends the body of a Certificate message with this chain.
///
/// # Errors
/// The chain is too long.
pub fn write_chain<'a>(
    buffer: &mut Vec<u8>,
    chain: impl Iterator<Item = &'a [u8]>,
) -> Result<(), Malformed> {
    let mut result = Ok(());
    vector24(buffer, |buffer| {
        for certificate in chain {
            result = result.and(vector24(buffer, |buffer| buffer.bytes(certificate)));
        }
    })?;
    result
}

/// The key of a certificate that a client may have (RFC 5246 §7.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCertificateType(pub u8);

impl ClientCertificateType {
    /// RSA.
    pub const RSA_SIGN: ClientCertificateType = ClientCertificateType(1);
    /// ECDSA, and Ed25519 as well (RFC 8422 §5.5).
    pub const ECDSA_SIGN: ClientCertificateType = ClientCertificateType(64);
}

/// A CertificateRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateRequest<'a> {
    /// The types of keys, as [`ClientCertificateType`] has them.
    pub certificate_types: &'a [u8],
    /// What the server can verify.
    pub signature_algorithms: Numbers<'a>,
    /// The names of authorities, as they are. This server names none: clients whose issuer is not among the names send an
    /// empty Certificate, although the server would have accepted theirs.
    pub authorities: &'a [u8],
}

impl<'a> CertificateRequest<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<CertificateRequest<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let certificate_types = reader.vector8()?.rest();
        let signature_algorithms = Numbers::new(reader.vector16()?)?;
        let authorities = reader.vector16()?.rest();
        reader.end()?;
        if certificate_types.is_empty() {
            return Err(Malformed);
        }
        Ok(CertificateRequest {
            certificate_types,
            signature_algorithms,
            authorities,
        })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// A field is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        vector8(buffer, |buffer| buffer.bytes(self.certificate_types))?;
        vector16(buffer, |buffer| {
            buffer.bytes(self.signature_algorithms.as_bytes());
        })?;
        vector16(buffer, |buffer| buffer.bytes(self.authorities))
    }
}

/// A CertificateVerify: the signature over all messages before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateVerify<'a> {
    /// The number of the scheme, which the client chose.
    pub scheme: u16,
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> CertificateVerify<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<CertificateVerify<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let scheme = reader.u16()?;
        let signature = reader.vector16()?.rest();
        reader.end()?;
        Ok(CertificateVerify { scheme, signature })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// The signature is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.u16(self.scheme);
        vector16(buffer, |buffer| buffer.bytes(self.signature))
    }
}
