//! What is kept of a client whose certificates were accepted: enough to judge it again, without its certificates.

use super::authority_path::{AuthorityPath, AuthorityPaths};
use super::period::{Moment, Period};
use super::revocation::Serial;
use crate::device::CertificateId;
use std::fmt;
use std::sync::Arc;

/// A client whose certificates a [`ClientPolicy`](super::ClientPolicy) has accepted.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// The fingerprints of its certificate.
    pub id: CertificateId,
    /// The validity period of its certificate.
    pub period: Period,
    /// `None`: there were no trust anchors.
    pub verified: Option<Box<Verified>>,
}

/// How a client's certificate was verified.
#[derive(Clone)]
pub struct Verified {
    pub(super) path: Arc<AuthorityPath>,
    /// Its serial number, if that has at most 20 octets. Its issuer is the first of the path.
    pub(super) serial: Option<Serial>,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The form of an encoded client that is written, and the only one that is read.
const FORM: u8 = 1;
/// What follows the period: nothing, a path and a serial number, or a path alone.
const NOT_VERIFIED: u8 = 0;
const VERIFIED: u8 = 1;
const VERIFIED_WITHOUT_SERIAL: u8 = 2;

/// ```text
/// form (1) ‖ SHA-256 (32) ‖ SHA3-256 (32) ‖ notBefore (8) ‖ notAfter (8) ‖ kind (1) ‖ path's name (32) ‖ serial number (20)
/// ```
impl KnownClient {
    /// Encodes it. Its path is named alone: it is [kept for a ticket](AuthorityPaths::keep_for_ticket), or
    /// [stored](AuthorityPaths::take_changed) by itself.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend(self.id.sha256);
        bytes.extend(self.id.sha3);
        bytes.extend(self.period.not_before.seconds().to_be_bytes());
        bytes.extend(self.period.not_after.seconds().to_be_bytes());
        let Some(verified) = &self.verified else {
            bytes.push(NOT_VERIFIED);
            return bytes;
        };
        bytes.push(match verified.serial {
            Some(_) => VERIFIED,
            None => VERIFIED_WITHOUT_SERIAL,
        });
        bytes.extend(verified.path.name());
        bytes.extend(verified.serial.iter().flat_map(Serial::octets));
        bytes
    }

    /// Its path, encoded, for who does not store that by itself. `None`: it has none, or that is too large.
    pub(crate) fn encoded_path(&self) -> Option<Vec<u8>> {
        self.verified.as_ref()?.path.encode()
    }

    /// Decodes it. `None`: it is malformed, or its path is not kept any more.
    pub(crate) fn decode(bytes: &[u8], paths: &AuthorityPaths) -> Option<KnownClient> {
        let mut rest = bytes;
        let [FORM] = take(&mut rest)? else {
            return None;
        };
        let id = CertificateId {
            sha256: take(&mut rest)?,
            sha3: take(&mut rest)?,
        };
        let period = Period {
            not_before: Moment::from_seconds(i64::from_be_bytes(take(&mut rest)?)),
            not_after: Moment::from_seconds(i64::from_be_bytes(take(&mut rest)?)),
        };
        let [kind] = take(&mut rest)?;
        let verified = match kind {
            NOT_VERIFIED => None,
            VERIFIED | VERIFIED_WITHOUT_SERIAL => {
                let path = paths.find(&take(&mut rest)?)?;
                let serial = match kind {
                    VERIFIED => Serial::of(&take::<20>(&mut rest)?),
                    _ => None,
                };
                Some(Box::new(Verified { path, serial }))
            }
            _ => return None,
        };
        rest.is_empty().then_some(KnownClient {
            id,
            period,
            verified,
        })
    }
}

/// Takes bytes from the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::{Authority, NOW, at, params};
    use crate::credentials::{ClientPolicy, Validity};

    /// A session keeps all of it but the fingerprints.
    #[test]
    fn what_is_kept_is_small() {
        let in_session = size_of::<Period>() + size_of::<Option<Box<Verified>>>();
        assert!(in_session <= 24, "{in_session}");
        let boxed = size_of::<Verified>();
        assert!(boxed <= 32, "{boxed}");
    }

    #[test]
    fn a_client_is_encoded_and_decoded() {
        let root = Authority::root("root");
        let leaf = root.issue(&params("meter"));
        let anchors = [None, Some(root.pem.as_bytes())];
        let mut paths = AuthorityPaths::default();
        let mut encoded = Vec::new();
        for anchors in anchors {
            let policy = ClientPolicy::new(anchors, Validity::Check).unwrap();
            let mut client = policy.verify(&[&leaf], at(NOW), &mut paths).unwrap();
            paths.keep_for_ticket(&client);
            encoded.push(client.encode());
            if let Some(verified) = &mut client.verified {
                verified.serial = None;
                encoded.push(client.encode());
            }
        }
        for bytes in &encoded {
            assert!(bytes.len() <= 134, "{}", bytes.len());
            let decoded = KnownClient::decode(bytes, &paths).unwrap();
            assert_eq!(decoded.id, CertificateId::of(&leaf));
            assert_eq!(decoded.encode(), *bytes);
            for length in 0..bytes.len() {
                assert!(KnownClient::decode(&bytes[..length], &paths).is_none());
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(KnownClient::decode(&longer, &paths).is_none());
            for (place, value) in [(0, 2), (81, 3)] {
                let mut other = bytes.clone();
                other[place] = value;
                assert!(KnownClient::decode(&other, &paths).is_none());
            }
        }
        // After a restart no path has a client yet.
        let others = AuthorityPaths::default();
        let is_known = |bytes: &Vec<u8>| KnownClient::decode(bytes, &others).is_some();
        let known: Vec<bool> = encoded.iter().map(is_known).collect();
        assert_eq!(known, [true, false, false]);
    }
}
