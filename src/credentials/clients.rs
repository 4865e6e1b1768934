//! Which client certificates are let in.

use super::chain::{AnchorsError, Chain};
use super::issuer::contents;
use super::period::{Ends, Moment, Period};
use super::refusal::Refusal;
use super::revocation::RevocationError;
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// The largest certificate looked at. Device certificates have 300 to 2000 bytes.
const LARGEST: usize = 16 * 1024;

/// Whether a client certificate's validity period counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It does.
    Check,
    /// It does not: devices whose certificates outlive their clocks.
    Ignore,
}

/// Which client certificates are let in: the trust anchors, what is revoked, and whether validity counts.
/// A clone costs nothing.
#[derive(Clone)]
pub struct ClientPolicy {
    /// `None`: any issuer will do, the registry alone decides.
    chain: Option<Arc<Chain>>,
    validity: Validity,
}

impl ClientPolicy {
    /// Makes a policy from a PEM file of trust anchors, if chains count.
    ///
    /// The file holds roots and intermediates, because the engine hands over the client's leaf only. A
    /// certificate whose issuer is not another certificate of the file is an anchor; the others are
    /// intermediates, good for nothing unless they chain to an anchor themselves.
    pub fn new(anchors: Option<&[u8]>, validity: Validity) -> Result<Self, AnchorsError> {
        Ok(ClientPolicy {
            chain: anchors.map(Chain::from_pem).transpose()?.map(Arc::new),
            validity,
        })
    }

    /// Reads a file of revocation lists: PEM with any number of them, or one as DER. Each must be signed by a
    /// certificate of the trust anchors' file. If one of them can't be used, none is added.
    ///
    /// A list is for all that was issued under its issuer's name. An issuer without a list revokes nothing, and a
    /// list that is past its nextUpdate counts on; [`ClientPolicy::dates`] tells. Of two lists that follow each
    /// other the newer one counts, in whichever order they are read. Gives the issuers of which an older one is
    /// passed over.
    pub fn add_revocation_lists(&mut self, file: &[u8]) -> Result<Vec<String>, RevocationError> {
        let chain = self.chain.as_mut().ok_or(RevocationError::NoAnchors)?;
        let chain = Arc::make_mut(chain);
        chain.revoked.add(file, &chain.issuers)
    }

    /// Whether dates count.
    pub fn checks_dates(&self) -> bool {
        self.validity == Validity::Check
    }

    /// Whether chains count. If they don't, nothing but its dates can be held against a leaf, and there is no
    /// reason to keep one for [`ClientPolicy::rejudge`].
    pub fn judges_chains(&self) -> bool {
        self.chain.is_some()
    }

    /// When each trust anchor and intermediate ends, and when the successor of each revocation list is due.
    pub fn dates(&self) -> impl Iterator<Item = Ends> {
        let chain = self.chain.iter();
        chain.flat_map(|chain| chain.ends().chain(chain.revoked.ends()))
    }

    /// Judges the leaf a client has shown. Possession of its key is not proven at this point.
    ///
    /// The work is bounded: by the size of a certificate, and by webpki's own limits on a path search.
    pub fn judge(&self, leaf: &[u8], now: UnixTime) -> Result<(), Refusal> {
        let parsed = parsed(leaf)?;
        let (period, now) = (Period::of(parsed.validity()), Moment::from(now));
        if self.validity == Validity::Check {
            // RFC 5280 §4.1.2.5: both ends are included.
            if now > period.not_after {
                return Err(Refusal::Expired {
                    not_after: period.not_after,
                    now,
                });
            }
            if now < period.not_before {
                return Err(Refusal::NotYetValid {
                    not_before: period.not_before,
                    now,
                });
            }
        }
        self.judge_chain(leaf, &parsed, now)
    }

    /// Judges the leaf of a live session again, after anchors or lists were read anew: all of it but its own
    /// period. A session that was let in does not end because its certificate does.
    pub fn rejudge(&self, leaf: &[u8], now: UnixTime) -> Result<(), Refusal> {
        self.judge_chain(leaf, &parsed(leaf)?, Moment::from(now))
    }

    fn judge_chain(
        &self,
        leaf: &[u8],
        parsed: &X509Certificate<'_>,
        now: Moment,
    ) -> Result<(), Refusal> {
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        // First of all a stranger is a stranger, whatever else is odd about its certificate.
        let issuer = contents(parsed.issuer().as_raw());
        if !chain.issuers.iter().any(|known| known.name == issuer) {
            return Err(Refusal::UnknownIssuer);
        }
        if parsed.version() != X509Version::V3 {
            return Err(Refusal::OldVersion);
        }
        let is_ca = parsed.basic_constraints().map_err(|_| Refusal::Malformed)?;
        if is_ca.is_some_and(|constraints| constraints.value.ca) {
            return Err(Refusal::IsAuthority);
        }
        // RFC 5246 §7.4.8, RFC 8446 §4.4.2.2: a client signs with its key.
        let usage = parsed.key_usage().map_err(|_| Refusal::Malformed)?;
        if usage.is_some_and(|usage| !usage.value.digital_signature()) {
            return Err(Refusal::NotForSigning);
        }
        // Now, if the leaf's period counts and was looked at. If it does not count, any moment within it will do.
        let period = Period::of(parsed.validity());
        let mut verdict = chain.verify(leaf, parsed, period.closest(now));
        if self.validity == Validity::Ignore {
            // The intermediates were valid at one of these if they ever were together with the leaf.
            for moment in [period.not_before, period.not_after] {
                if verdict == Err(Refusal::IssuerNotValid) {
                    verdict = chain.verify(leaf, parsed, moment);
                }
            }
        }
        verdict
    }
}

/// Reads a leaf, and nothing but a leaf.
fn parsed(leaf: &[u8]) -> Result<X509Certificate<'_>, Refusal> {
    if leaf.len() > LARGEST {
        return Err(Refusal::Malformed);
    }
    match X509Certificate::from_der(leaf) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(Refusal::Malformed),
    }
}

impl fmt::Debug for ClientPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.chain.as_ref();
        f.debug_struct("ClientPolicy")
            .field("anchors", &chain.map(|chain| chain.anchors.len()))
            .field(
                "intermediates",
                &chain.map(|chain| chain.intermediates.len()),
            )
            .field("revoked", &chain.map(|chain| chain.revoked.revoked()))
            .field("validity", &self.validity)
            .finish()
    }
}
