//! The policy for client certificates.

use super::authority_path::{AuthorityPaths, FoundPath, Path};
use super::certificate_error::CertificateError;
use super::chain::{AnchorsError, Chain};
use super::issuer::contents;
use super::known_client::{KnownClient, Verified};
use super::period::{Expiry, Moment, Period};
use super::policies::Patches;
use super::revocation::{RevocationError, Serial};
use crate::device::CertificateId;
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// The most bytes of a client's certificates that are parsed. A device's certificate has 300 to 2000.
const LARGEST: usize = 16 * 1024;

/// Whether a client certificate's validity period is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It is checked.
    Check,
    /// It is ignored: for devices that can't renew their certificates.
    Ignore,
}

/// Which client certificates are accepted: trust anchors, revocation lists, and whether validity is checked. Cheap to
/// clone.
#[derive(Clone)]
pub struct ClientPolicy {
    /// `None`: any issuer is accepted, and only the registry decides.
    chain: Option<Arc<Chain>>,
    validity: Validity,
}

impl ClientPolicy {
    /// Creates a policy from a PEM file of trust anchors; without one, chains are not verified.
    ///
    /// The file has roots, and intermediates for clients that do not send theirs. A certificate whose issuer is not in the
    /// file is an anchor; the others are intermediates, used only if they chain to an anchor.
    pub fn new(anchors: Option<&[u8]>, validity: Validity) -> Result<Self, AnchorsError> {
        Ok(ClientPolicy {
            chain: anchors.map(Chain::from_pem).transpose()?.map(Arc::new),
            validity,
        })
    }

    /// Adds a file of revocation lists: PEM with any number of them, or one as DER. Each must be signed by a certificate of
    /// the trust anchors' file. If one of them can't be used, none is added.
    ///
    /// A list covers all certificates of its issuer's name. An issuer without a list revokes nothing, and a list is used
    /// after its nextUpdate; [`ClientPolicy::expiries`] reports it. Newer lists supersede older ones, in whichever order
    /// they are read. Returns the issuers with a superseded list.
    pub fn add_revocation_lists(&mut self, file: &[u8]) -> Result<Vec<String>, RevocationError> {
        let chain = self.chain.as_mut().ok_or(RevocationError::NoAnchors)?;
        let chain = Arc::make_mut(chain);
        chain.revoked.add(file, &chain.issuers)
    }

    /// Whether validity periods are checked.
    pub fn checks_validity(&self) -> bool {
        self.validity == Validity::Check
    }

    /// Whether chains are verified.
    pub fn verifies_chains(&self) -> bool {
        self.chain.is_some()
    }

    /// The authorities with whose keys no signature counts, and why.
    pub fn useless_authorities(&self) -> impl Iterator<Item = (&str, &str)> {
        let issuers = self.chain.iter().flat_map(|chain| &chain.issuers);
        issuers.filter_map(|issuer| Some((&*issuer.display_name, issuer.useless_key()?)))
    }

    /// When each trust anchor, intermediate and revocation list expires.
    pub fn expiries(&self) -> impl Iterator<Item = Expiry> {
        let chain = self.chain.iter();
        chain.flat_map(|chain| chain.expiries().chain(chain.revoked.expiries()))
    }

    /// Verifies the certificates of a client: its own first, then any others, in any order. That the client has its key is
    /// not proven at this point. Returns what it can be judged by again. Its path goes to `paths`. Without trust anchors its own
    /// certificate alone is looked at.
    ///
    /// The work is bounded: by the size of all certificates, by the number that is looked at, and by webpki's own limits on
    /// a path search.
    pub fn verify(
        &self,
        chain: &[&[u8]],
        now: UnixTime,
        paths: &mut AuthorityPaths,
    ) -> Result<KnownClient, CertificateError> {
        let (leaf, sent) = split(chain)?;
        let parsed = parse(leaf)?;
        let period = Period::of(parsed.validity());
        self.check_period(period, now)?;
        let mut verified = None;
        if let Some(chain) = &self.chain {
            let found = self.search_path(chain, leaf, &parsed, sent, Moment::from(now))?;
            let serial = Serial::of(parsed.raw_serial());
            if (chain.revoked).is_revoked(contents(parsed.issuer().as_raw()), serial) {
                return Err(CertificateError::Revoked);
            }
            let path = paths.intern(found, leaf, &parsed)?;
            verified = Some(Box::new(Verified { path, serial }));
        }
        Ok(KnownClient {
            id: CertificateId::of(leaf),
            period,
            verified,
        })
    }

    /// Verifies a client again that was accepted before, by this policy or another one: the period of its certificate, whether
    /// it is revoked, and its path. Signatures are not verified again, except where the path has changed.
    ///
    /// A client that was accepted when there were no trust anchors can't be judged, and neither can one if the authorities
    /// of its path have changed in certain ways. Then it is refused, and has to send its certificates.
    pub fn verify_again(
        &self,
        client: &KnownClient,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        self.check_period(client.period, now)?;
        let Some((chain, path)) = self.path_of(client.verified.as_deref(), now)? else {
            return Ok(());
        };
        let mut moments = self.moments(client.period, Moment::from(now));
        match moments.any(|at| chain.is_valid_at(&path, at)) {
            true => Ok(()),
            false => Err(CertificateError::IssuerNotValid),
        }
    }

    /// Verifies the client of an established session again, after anchors or lists have changed: whether its certificate is
    /// revoked, and its path. Periods are not checked: a session does not end because a certificate expires.
    pub fn verify_authorities(
        &self,
        verified: Option<&Verified>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        self.path_of(verified, now).map(drop)
    }

    /// The path by which a client is accepted now. `None`: there are no trust anchors.
    fn path_of(
        &self,
        verified: Option<&Verified>,
        now: UnixTime,
    ) -> Result<Option<(&Chain, Arc<Path>)>, CertificateError> {
        let Some(chain) = &self.chain else {
            return Ok(None);
        };
        let Some(verified) = verified else {
            return Err(CertificateError::authorities_changed());
        };
        let path = verified.path.under(self, chain, now)?;
        match (chain.revoked).is_revoked(path.issuer(), verified.serial) {
            true => Err(CertificateError::Revoked),
            false => Ok(Some((chain, path))),
        }
    }

    fn check_period(&self, period: Period, now: UnixTime) -> Result<(), CertificateError> {
        let now = Moment::from(now);
        if self.validity == Validity::Check {
            // RFC 5280 §4.1.2.5: both ends are included.
            if now > period.not_after {
                return Err(CertificateError::Expired {
                    not_after: period.not_after,
                    now,
                });
            }
            if now < period.not_before {
                return Err(CertificateError::NotYetValid {
                    not_before: period.not_before,
                    now,
                });
            }
        }
        Ok(())
    }

    /// When the authorities of a leaf with this period have to be valid: now, if the leaf's period was checked. If it is
    /// ignored, any moment within it will do. Intermediates that were ever valid together with the leaf were so at one of these.
    fn moments(&self, leaf: Period, now: Moment) -> impl Iterator<Item = Moment> {
        let ends = [leaf.not_before, leaf.not_after];
        let ends = ends.into_iter();
        let ends = ends.filter(|_| self.validity == Validity::Ignore);
        std::iter::once(leaf.clamp(now)).chain(ends)
    }

    /// Finds a path for the certificates of a client, whether or not its own is valid now or revoked.
    pub(super) fn find_path(
        &self,
        leaf: &[u8],
        sent: &[&[u8]],
        now: UnixTime,
    ) -> Result<FoundPath, CertificateError> {
        match &self.chain {
            Some(chain) => self.search_path(chain, leaf, &parse(leaf)?, sent, Moment::from(now)),
            None => Err(CertificateError::UnknownIssuer),
        }
    }

    fn search_path(
        &self,
        chain: &Chain,
        leaf: &[u8],
        parsed: &X509Certificate<'_>,
        sent: &[&[u8]],
        now: Moment,
    ) -> Result<FoundPath, CertificateError> {
        let mut patches = Patches::default();
        let sent = chain.choose(sent, &mut patches);
        // Checked first: an unknown issuer is reported as that, whatever else is wrong with the certificate.
        let issuer = contents(parsed.issuer().as_raw());
        let is_known = chain.issuers.iter().any(|known| known.name == issuer);
        if !is_known && !sent.has_subject(issuer) {
            return Err(CertificateError::UnknownIssuer);
        }
        if parsed.version() != X509Version::V3 {
            return Err(CertificateError::OldVersion);
        }
        let is_ca = parsed
            .basic_constraints()
            .map_err(|_| CertificateError::Malformed)?;
        if is_ca.is_some_and(|constraints| constraints.value.ca) {
            return Err(CertificateError::IsAuthority);
        }
        // RFC 5246 §7.4.8, RFC 8446 §4.4.2.2: a client signs with its key.
        let usage = parsed
            .key_usage()
            .map_err(|_| CertificateError::Malformed)?;
        if usage.is_some_and(|usage| !usage.value.digital_signature()) {
            return Err(CertificateError::NotForSigning);
        }
        let mut refusal = None;
        for at in self.moments(Period::of(parsed.validity()), now) {
            match chain.find_path(leaf, parsed, &sent, patches.clone(), at) {
                Ok(found) => return Ok(found),
                // At no moment there is another issuer.
                Err(CertificateError::UnknownIssuer) => {
                    return Err(CertificateError::UnknownIssuer);
                }
                // A path that is refused for another reason may hide one that is valid at another moment.
                Err(CertificateError::IssuerNotValid) => {}
                Err(other) => refusal = refusal.or(Some(other)),
            }
        }
        Err(refusal.unwrap_or(CertificateError::IssuerNotValid))
    }
}

/// The client's own certificate, and the others. Together they are as large as a Certificate message may be.
fn split<'a, 'c>(chain: &'c [&'a [u8]]) -> Result<(&'a [u8], &'c [&'a [u8]]), CertificateError> {
    let (leaf, others) = chain.split_first().ok_or(CertificateError::Malformed)?;
    let length = chain
        .iter()
        .fold(0, |sum: usize, der| sum.saturating_add(der.len()));
    if length > LARGEST {
        return Err(CertificateError::Malformed);
    }
    Ok((leaf, others))
}

/// Parses a certificate, without trailing bytes.
fn parse(leaf: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(leaf) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(CertificateError::Malformed),
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
