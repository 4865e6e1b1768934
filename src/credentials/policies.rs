//! Certificate policies (RFC 5280 §4.2.1.4, §4.2.1.11 and §4.2.1.14). A verifier must process them where they are critical
//! (§4.2); webpki does not, and rejects such certificates.
//!
//! So webpki gets a patched copy of these certificates, with the extensions marked as not critical, which is one byte in
//! each; their signatures are still verified over the original ([`Patches`]). The extensions are processed here, for the
//! path that webpki has found. Any policy is acceptable (§6.1.1: user-initial-policy-set is any-policy), so a path is
//! rejected only if one of its certificates requires a policy: requireExplicitPolicy. Policy mappings (§4.2.1.5) are not
//! supported: a path with both is rejected.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use std::collections::BTreeSet;
use webpki::ALL_VERIFICATION_ALGS;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ParsedExtension, X509Extension};

/// certificatePolicies, policyConstraints and inhibitAnyPolicy, DER: 2.5.29.32, 36 and 54.
const POLICY_EXTENSIONS: [[u8; 3]; 3] = [[0x55, 0x1d, 32], [0x55, 0x1d, 36], [0x55, 0x1d, 54]];
/// anyPolicy, DER: 2.5.29.32.0.
const ANY_POLICY: [u8; 4] = [0x55, 0x1d, 32, 0];
/// The criticality of an extension, DER: the BOOLEAN TRUE.
const CRITICAL: [u8; 3] = [0x01, 0x01, 0xff];

/// The policy extensions of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    /// Its policies without anyPolicy, as the DER of their identifiers. `None`: it has no such extension.
    named: Option<BTreeSet<Vec<u8>>>,
    any: bool,
    /// It has policy mappings.
    has_mappings: bool,
    require_explicit: Option<u32>,
    inhibit_any: Option<u32>,
    /// Its subject is its issuer (§6.1: then it is not counted).
    is_self_issued: bool,
}

/// A policy extension is malformed, or there are two of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Policies {
    pub(super) fn parse(certificate: &X509Certificate<'_>) -> Result<Policies, Malformed> {
        let mut policies = Policies {
            is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            ..Policies::default()
        };
        let mut seen = BTreeSet::new();
        for extension in certificate.extensions() {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "webpki checks all other extensions"
            )]
            match extension.parsed_extension() {
                ParsedExtension::CertificatePolicies(all) => {
                    let oids = all.iter().map(|one| one.policy_id.as_bytes().to_vec());
                    let mut named: BTreeSet<_> = oids.collect();
                    policies.any = named.remove(&ANY_POLICY[..]);
                    policies.named = Some(named);
                }
                ParsedExtension::PolicyConstraints(constraints) => {
                    policies.require_explicit = constraints.require_explicit_policy;
                }
                ParsedExtension::InhibitAnyPolicy(inhibit) => {
                    policies.inhibit_any = Some(inhibit.skip_certs);
                }
                ParsedExtension::PolicyMappings(_) => policies.has_mappings = true,
                _ if is_known(extension) => return Err(Malformed),
                _ => continue,
            }
            if !seen.insert(extension.oid.as_bytes().to_vec()) {
                return Err(Malformed);
            }
        }
        Ok(policies)
    }
}

/// Whether a path satisfies the policy extensions of its certificates (RFC 5280 §6.1.3 to §6.1.5). The path begins with the
/// certificate that the anchor has issued, and ends with the leaf.
pub(super) fn are_satisfied(path: &[&Policies]) -> bool {
    let is_required = path
        .iter()
        .any(|policies| policies.require_explicit.is_some());
    if !is_required {
        return true;
    }
    if path.iter().any(|policies| policies.has_mappings) {
        return false;
    }
    let steps = u32::try_from(path.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    // Certificates that may still follow before a policy is required (explicit_policy), and before anyPolicy is ignored
    // (inhibit_anyPolicy).
    let (mut until_required, mut until_inhibited) = (steps, steps);
    // `None`: any policy.
    let mut valid: Option<BTreeSet<Vec<u8>>> = None;
    for (index, certificate) in path.iter().enumerate() {
        let is_leaf = index + 1 == path.len();
        let any_counts =
            certificate.any && (until_inhibited > 0 || (!is_leaf && certificate.is_self_issued));
        valid = match (&certificate.named, valid) {
            (None, _) => Some(BTreeSet::new()),
            (Some(_), valid) if any_counts => valid,
            (Some(named), None) => Some(named.clone()),
            (Some(named), Some(valid)) => Some(valid.intersection(named).cloned().collect()),
        };
        let has_policy = valid.as_ref().is_none_or(|valid| !valid.is_empty());
        if until_required == 0 && !has_policy {
            return false;
        }
        if is_leaf || !certificate.is_self_issued {
            until_required = until_required.saturating_sub(1);
            until_inhibited = until_inhibited.saturating_sub(1);
        }
        match certificate.require_explicit {
            // §6.1.5 (b): in a leaf only zero has an effect.
            Some(skip) if !is_leaf || skip == 0 => until_required = until_required.min(skip),
            Some(_) | None => {}
        }
        if let Some(skip) = certificate.inhibit_any {
            until_inhibited = until_inhibited.min(skip);
        }
        if is_leaf && until_required == 0 && !has_policy {
            return false;
        }
    }
    true
}

/// The policy extensions of a certificate, one after another. Certificates with the same ones have the same [`Policies`].
pub(super) fn extensions_of(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let known = certificate.extensions().iter().filter(|one| is_known(one));
    known
        .flat_map(|one| {
            let length = u64::try_from(one.value.len()).unwrap_or(u64::MAX);
            [one.oid.as_bytes(), &length.to_be_bytes(), one.value].concat()
        })
        .collect()
}

fn is_known(extension: &X509Extension<'_>) -> bool {
    POLICY_EXTENSIONS
        .iter()
        .any(|oid| extension.oid.as_bytes() == oid)
}

/// Certificates that were patched for webpki, with what was signed originally.
#[derive(Debug, Clone, Default)]
pub(super) struct Patches(Vec<Patch>);

#[derive(Debug, Clone)]
struct Patch {
    /// The TBSCertificate that webpki gets.
    patched: Vec<u8>,
    /// The TBSCertificate that was signed.
    signed: Vec<u8>,
}

impl Patches {
    /// Returns a copy of a certificate whose policy extensions are not critical, and records the original; `None` if it has
    /// no critical ones. `der` is what `certificate` was parsed from.
    pub(super) fn patch(
        &mut self,
        der: &[u8],
        certificate: &X509Certificate<'_>,
    ) -> Option<Vec<u8>> {
        let offset = |part: &[u8]| part.as_ptr().addr().checked_sub(der.as_ptr().addr());
        let mut patched = der.to_vec();
        for extension in certificate.extensions() {
            if !extension.critical || !is_known(extension) {
                continue;
            }
            // The value is preceded by the tag and length of its OCTET STRING, and these by the criticality.
            let header = match extension.value.len() {
                0..0x80 => 2,
                0x80..0x100 => 3,
                _ => 4,
            };
            let end = offset(extension.value)?.checked_sub(header)?;
            let critical = patched.get_mut(end.checked_sub(CRITICAL.len())?..end)?;
            if critical != CRITICAL {
                return None;
            }
            critical.last_mut().map(|value| *value = 0)?;
        }
        if patched == der {
            return None;
        }
        let signed = certificate.tbs_certificate.as_ref();
        let begin = offset(signed)?;
        let tbs = patched.get(begin..begin.checked_add(signed.len())?)?;
        self.0.push(Patch {
            patched: tbs.to_vec(),
            signed: signed.to_vec(),
        });
        Some(patched)
    }

    pub(super) fn extend(&mut self, others: &Patches) {
        self.0.extend_from_slice(&others.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All signature algorithms, each wrapped so that it verifies the original instead of the patched certificate.
    pub(super) fn algorithms(&self) -> Vec<OverSigned<'_>> {
        let over = |known: &&'static dyn SignatureVerificationAlgorithm| OverSigned {
            known: *known,
            patches: self,
        };
        ALL_VERIFICATION_ALGS.iter().map(over).collect()
    }
}

/// A signature algorithm that verifies the original certificate.
#[derive(Debug)]
pub(super) struct OverSigned<'a> {
    known: &'static dyn SignatureVerificationAlgorithm,
    patches: &'a Patches,
}

impl SignatureVerificationAlgorithm for OverSigned<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let patch = self.patches.0.iter().find(|patch| patch.patched == message);
        let message = patch.map_or(message, |patch| &patch.signed);
        self.known.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.known.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.known.signature_alg_id()
    }
}

#[cfg(test)]
mod tests;
