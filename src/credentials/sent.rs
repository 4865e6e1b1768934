//! Intermediates that a client sends with its certificate (RFC 5246 §7.4.2).
//!
//! Nothing vouches for them until a path over them is verified, so a client must not be able to choose how long the search
//! takes: certificates that all have one name, each with another key, would make it try every order of them.

use super::issuer::contents;
use super::policies::{Patches, Policies};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// Most certificates of a client that are looked at, besides its own. Devices send one to three, and webpki follows a path
/// over six.
const MOST: usize = 15;
/// Most of one subject: an authority may be certified by two others. More would multiply the paths at each step.
const MOST_OF_A_SUBJECT: usize = 2;

/// Those intermediates of a client that may issue certificates.
pub(super) struct Sent<'a>(Vec<SentIntermediate<'a>>);

pub(super) struct SentIntermediate<'a> {
    /// As it was sent.
    pub(super) der: &'a [u8],
    /// Its copy for webpki, if it was patched.
    patched: Option<Vec<u8>>,
    pub(super) policies: Policies,
    /// Its subject, DER without the outer tag and length.
    subject: &'a [u8],
}

impl<'a> Sent<'a> {
    /// Chooses those of `sent` that can be of use. All others are ignored: a client may send its root, or certificates of
    /// another path. `known`: whether the trust anchors' file has a certificate. Certificates that have to be patched for
    /// webpki are added to `patches`.
    pub(super) fn choose(
        sent: &[&'a [u8]],
        known: impl Fn(&[u8]) -> bool,
        patches: &mut Patches,
    ) -> Sent<'a> {
        let mut chosen: Vec<SentIntermediate<'a>> = Vec::new();
        for der in sent.iter().copied().take(MOST) {
            let Ok((&[], certificate)) = X509Certificate::from_der(der) else {
                continue;
            };
            let subject = contents(certificate.tbs_certificate.subject.as_raw());
            let of_subject = chosen.iter().filter(|other| other.subject == subject);
            if of_subject.count() >= MOST_OF_A_SUBJECT
                || !may_issue(&certificate)
                || known(der)
                || chosen.iter().any(|other| other.der == der)
            {
                continue;
            }
            let Ok(policies) = Policies::parse(&certificate) else {
                continue;
            };
            chosen.push(SentIntermediate {
                der,
                patched: patches.patch(der, &certificate),
                policies,
                subject,
            });
        }
        Sent(chosen)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has this subject, DER without the outer tag and length.
    pub(super) fn has_subject(&self, name: &[u8]) -> bool {
        self.0.iter().any(|one| one.subject == name)
    }

    /// Each of them, as webpki gets it.
    pub(super) fn for_webpki(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(SentIntermediate::for_webpki)
    }

    /// The one that webpki got as `der`.
    pub(super) fn find(&self, der: &[u8]) -> Option<&SentIntermediate<'a>> {
        self.0.iter().find(|one| one.for_webpki() == der)
    }
}

impl SentIntermediate<'_> {
    fn for_webpki(&self) -> &[u8] {
        self.patched.as_deref().unwrap_or(self.der)
    }
}

/// Whether a certificate says that it may issue others: an authority, and not for other uses alone (RFC 5280 §4.2.1.3, which
/// webpki does not check).
fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    let may_sign = certificate
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    certificate.version() == X509Version::V3 && certificate.is_ca() && may_sign
}
