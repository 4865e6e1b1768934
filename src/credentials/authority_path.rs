//! Paths from the issuer of clients' certificates to a trust anchor, each kept once for all clients below it.
//!
//! A client was verified over its path. What has been signed stays so, but the trust anchors' file, the revocation lists and
//! the time change. So a path is judged again by what it consists of; only if the file no longer has that, another one from
//! the same issuer's key is searched for. This is done once for each path and policy, not for each client.

mod changes;
mod encoding;

use super::certificate_error::CertificateError;
use super::chain::Chain;
use super::clients::ClientPolicy;
use super::issuer::contents;
use super::known_client::KnownClient;
use super::period::{Moment, Period};
use super::policies;
use super::revocation::Serial;
use aws_lc_rs::digest::{Context, SHA256};
pub use changes::ChangedPath;
use changes::Changes;
use rustls_pki_types::{TrustAnchor, UnixTime};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// A path as it was found: without the leaf.
pub(super) struct FoundPath {
    /// The leaf's issuer first. Empty: the anchor has issued it.
    pub(super) intermediates: Vec<FoundIntermediate>,
    pub(super) anchor: TrustAnchor<'static>,
}

/// An intermediate of a path.
pub(super) struct FoundIntermediate {
    /// As the client has sent it. One of the trust anchors' file is as webpki gets it.
    pub(super) der: Vec<u8>,
    /// The client has sent it, and the file does not have it.
    pub(super) is_sent: bool,
}

/// A path with what is needed of its certificates to judge it.
pub(super) struct Path {
    pub(super) intermediates: Vec<Intermediate>,
    pub(super) anchor: TrustAnchor<'static>,
    has_name_constraints: bool,
}

/// An intermediate of a [`Path`].
pub(super) struct Intermediate {
    /// As in [`FoundIntermediate`].
    pub(super) der: Vec<u8>,
    pub(super) is_sent: bool,
    /// Names and keys are DER without the outer tag and length, as in webpki.
    subject: Vec<u8>,
    key: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) serial: Option<Serial>,
    pub(super) period: Period,
}

impl Path {
    fn read(found: FoundPath) -> Result<Path, CertificateError> {
        let mut path = Path {
            intermediates: Vec::new(),
            has_name_constraints: found.anchor.name_constraints.is_some(),
            anchor: found.anchor,
        };
        for FoundIntermediate { der, is_sent } in found.intermediates {
            let (_, parsed) =
                X509Certificate::from_der(&der).map_err(|_| CertificateError::Malformed)?;
            path.has_name_constraints |= !matches!(parsed.name_constraints(), Ok(None));
            path.intermediates.push(Intermediate {
                is_sent,
                subject: contents(parsed.subject().as_raw()).to_vec(),
                key: contents(parsed.public_key().raw).to_vec(),
                issuer: contents(parsed.issuer().as_raw()).to_vec(),
                serial: Serial::of(parsed.raw_serial()),
                period: Period::of(parsed.validity()),
                der,
            });
        }
        Ok(path)
    }

    /// The name of the leaf's issuer.
    pub(super) fn issuer(&self) -> &[u8] {
        let first = self.intermediates.first();
        first.map_or(&self.anchor.subject, |one| &one.subject)
    }

    /// The key by which the leaf is signed.
    fn issuer_key(&self) -> &[u8] {
        let first = self.intermediates.first();
        first.map_or(&self.anchor.subject_public_key_info, |one| &one.key)
    }
}

/// A path that clients were verified over.
pub(crate) struct AuthorityPath {
    name: PathName,
    verified: Arc<Path>,
    /// To search another one by.
    leaf: Mutex<Leaf>,
    judged: Mutex<Option<Judged>>,
}

/// The certificate of a client: the one of its path that ends last, as another path must be found when the others have ended.
struct Leaf {
    der: Box<[u8]>,
    not_after: Moment,
}

impl Leaf {
    fn of(der: &[u8], parsed: &X509Certificate<'_>) -> Leaf {
        Leaf {
            der: der.into(),
            not_after: Period::of(parsed.validity()).not_after,
        }
    }
}

/// What is the case under one set of anchors and lists.
struct Judged {
    /// Compared by its address, which no other has as long as this exists.
    under: Weak<Chain>,
    verdict: Result<Arc<Path>, CertificateError>,
}

/// The digest of a path, and of the policy extensions of the leaves below it.
pub(super) type PathName = [u8; 32];

impl AuthorityPath {
    pub(super) fn name(&self) -> &PathName {
        &self.name
    }

    /// The path by which its clients are accepted under these anchors and lists, whatever the time.
    pub(super) fn under(
        &self,
        policy: &ClientPolicy,
        chain: &Arc<Chain>,
        now: UnixTime,
    ) -> Result<Arc<Path>, CertificateError> {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let under = Arc::downgrade(chain);
        if let Some(judged) = judged.as_ref().filter(|one| one.under.ptr_eq(&under)) {
            return judged.verdict.clone();
        }
        let verdict = match chain.has_path(&self.verified) {
            Ok(()) => Ok(self.verified.clone()),
            Err(_) => self.search(policy, now).map(Arc::new),
        };
        // That depends on the time.
        if verdict != Err(CertificateError::IssuerNotValid) {
            let verdict = verdict.clone();
            *judged = Some(Judged { under, verdict });
        }
        verdict
    }

    /// Searches for another path from the same issuer: it has another certificate, or has become an anchor.
    ///
    /// Clients of this path differ in their names alone, so that one stands for all if there are no constraints on names.
    fn search(&self, policy: &ClientPolicy, now: UnixTime) -> Result<Path, CertificateError> {
        let sent = self.verified.intermediates.iter().filter(|one| one.is_sent);
        let sent: Vec<&[u8]> = sent.map(|one| one.der.as_slice()).collect();
        let found = policy.find_path(&self.leaf().der, &sent, now)?;
        let path = Path::read(found)?;
        if path.has_name_constraints || path.issuer_key() != self.verified.issuer_key() {
            return Err(CertificateError::authorities_changed());
        }
        Ok(path)
    }

    fn leaf(&self) -> MutexGuard<'_, Leaf> {
        self.leaf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another client has this path. Whether its certificate is the one to search by from now on.
    fn offer_leaf(&self, der: &[u8], parsed: &X509Certificate<'_>) -> bool {
        let mut leaf = self.leaf();
        let is_later = Period::of(parsed.validity()).not_after > leaf.not_after;
        if is_later {
            *leaf = Leaf::of(der, parsed);
        }
        is_later
    }

    /// The intermediates that its clients have sent.
    #[cfg(test)]
    pub(super) fn sent(&self) -> impl Iterator<Item = &[u8]> {
        let sent = self.verified.intermediates.iter().filter(|one| one.is_sent);
        sent.map(|one| one.der.as_slice())
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        let ders = |path: &Path| -> Vec<Vec<u8>> {
            let all = path.intermediates.iter();
            all.map(|one| one.der.clone()).collect()
        };
        self.anchor == other.anchor && ders(self) == ders(other)
    }
}

impl fmt::Debug for AuthorityPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPath")
            .field("intermediates", &self.verified.intermediates.len())
            .finish_non_exhaustive()
    }
}

/// All paths that clients have.
#[derive(Debug)]
pub struct AuthorityPaths {
    paths: HashMap<PathName, Weak<AuthorityPath>>,
    /// Paths that tickets name, those of the last ones at the end: a ticket alone does not keep its path.
    in_tickets: VecDeque<Arc<AuthorityPath>>,
    /// The number of paths at which those that no client has are removed.
    remove_unused_at: usize,
    changes: Changes,
}

/// The most paths that are kept for tickets. The fleet of an operator has a few.
const MOST_IN_TICKETS: usize = 64;

/// Below this many paths, unused ones are not worth a search.
const FEW: usize = 16;

impl Default for AuthorityPaths {
    fn default() -> AuthorityPaths {
        AuthorityPaths {
            paths: HashMap::new(),
            in_tickets: VecDeque::new(),
            remove_unused_at: FEW,
            changes: Changes::default(),
        }
    }
}

impl AuthorityPaths {
    /// The path that was found for a leaf. `parsed` is the parsed `leaf`.
    pub(super) fn intern(
        &mut self,
        found: FoundPath,
        leaf: &[u8],
        parsed: &X509Certificate<'_>,
    ) -> Result<Arc<AuthorityPath>, CertificateError> {
        let name = name(&found, &policies::extensions_of(parsed));
        if let Some(path) = self.paths.get(&name).and_then(Weak::upgrade) {
            if path.offer_leaf(leaf, parsed) {
                self.changes.changed(&name);
            }
            return Ok(path);
        }
        if self.paths.len() >= self.remove_unused_at {
            self.remove_unused();
            self.remove_unused_at = self.paths.len().saturating_mul(2).max(FEW);
        }
        let path = Arc::new(AuthorityPath {
            name,
            verified: Arc::new(Path::read(found)?),
            leaf: Mutex::new(Leaf::of(leaf, parsed)),
            judged: Mutex::new(None),
        });
        self.paths.insert(name, Arc::downgrade(&path));
        self.changes.changed(&name);
        Ok(path)
    }

    /// Keeps the path of a client for a ticket that names it. The one that no ticket has named for longest gives way: who has a
    /// ticket of that makes a full handshake, unless another client still has the path.
    pub(crate) fn keep_for_ticket(&mut self, client: &KnownClient) {
        let Some(path) = client.verified.as_ref().map(|verified| &verified.path) else {
            return;
        };
        self.in_tickets.retain(|other| !Arc::ptr_eq(other, path));
        if self.in_tickets.len() >= MOST_IN_TICKETS {
            self.in_tickets.pop_front();
        }
        self.in_tickets.push_back(path.clone());
    }

    /// The path with this name.
    pub(super) fn find(&self, name: &PathName) -> Option<Arc<AuthorityPath>> {
        self.paths.get(name)?.upgrade()
    }

    /// The number of paths, unused ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }
}

fn name(path: &FoundPath, leaf_policies: &[u8]) -> PathName {
    let mut context = Context::new(&SHA256);
    let mut field = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(bytes);
    };
    for intermediate in &path.intermediates {
        field(&[u8::from(intermediate.is_sent)]);
        field(&intermediate.der);
    }
    // No intermediate begins with an empty field.
    field(&[]);
    field(&path.anchor.subject);
    field(&path.anchor.subject_public_key_info);
    field(path.anchor.name_constraints.as_deref().unwrap_or_default());
    field(leaf_policies);
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
