//! One revocation list (RFC 5280 §5.1), read and verified.

use crate::credentials::issuer::{Issuer, Signature, contents};
use crate::credentials::period::{Moment, shown};
use webpki::{BorrowedCertRevocationList, Error};
use x509_parser::asn1_rs::{Any, BitString, FromDer, Tag};
use x509_parser::extensions::X509Extension;
use x509_parser::oid_registry::{OID_X509_EXT_CRL_NUMBER, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

/// A number of at most 20 octets, as serial numbers (RFC 5280 §4.1.2.2) and list numbers (§5.2.3) are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Serial([u8; 20]);

impl Serial {
    /// From the octets of an INTEGER; `None` if they are too many.
    pub(super) fn of(octets: &[u8]) -> Option<Self> {
        let leading = octets.iter().take_while(|&&octet| octet == 0).count();
        let octets = octets.get(leading..)?;
        let mut number = [0; 20];
        let from = number.len().checked_sub(octets.len())?;
        number.get_mut(from..)?.copy_from_slice(octets);
        Some(Serial(number))
    }
}

/// A list that its issuer has signed.
#[derive(Clone)]
pub(super) struct RevocationList {
    /// The issuer's name, DER without the outer tag and length.
    pub(super) issuer: Vec<u8>,
    /// The issuer's name for people.
    pub(super) shown: String,
    /// When its successor is due.
    pub(super) next_update: Moment,
    this_update: Moment,
    number: Option<Serial>,
    /// The issuer's key, and which part of its certificates the list is for (the issuing distribution point
    /// extension): lists that agree in both follow each other.
    series: (Vec<u8>, Option<Vec<u8>>),
    /// Sorted.
    serials: Box<[Serial]>,
}

/// One list beside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It supersedes the other: younger by number and date, or by one of them and the other doesn't tell.
    Newer,
    /// It is superseded by the other.
    Older,
    /// It is the other.
    Same,
    /// Another series; or number and date contradict each other, and both lists count to be safe.
    Apart,
}

impl RevocationList {
    /// Reads a list, which must be signed by one of `issuers` and have no more than `most` entries. What is wrong
    /// comes with the issuer's name, if that can be read.
    pub(super) fn read(
        der: &[u8],
        issuers: &[Issuer],
        most: usize,
    ) -> Result<Self, (Option<String>, ListFault)> {
        let outline = Outline::of(der).ok_or((None, ListFault::Malformed))?;
        let shown = shown(&outline.issuer);
        outline
            .list(der, issuers, most, &shown)
            .map_err(|fault| (Some(shown), fault))
    }

    /// How many certificates are on it.
    pub(super) fn serials(&self) -> usize {
        self.serials.len()
    }

    pub(super) fn has(&self, serial: Serial) -> bool {
        self.serials.binary_search(&serial).is_ok()
    }

    /// Which of two counts.
    pub(super) fn age_beside(&self, other: &RevocationList) -> Age {
        let dates = self.this_update.cmp(&other.this_update);
        // RFC 5280 §5.2.3: within a series, the higher number supersedes. An issuer may leave numbers out.
        let numbers = match (self.number, other.number) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => dates,
        };
        if self.series != other.series {
            Age::Apart
        } else if dates.is_eq() && numbers.is_eq() {
            if self.serials == other.serials {
                Age::Same
            } else {
                Age::Apart
            }
        } else if dates.is_ge() && numbers.is_ge() {
            Age::Newer
        } else if dates.is_le() && numbers.is_le() {
            Age::Older
        } else {
            Age::Apart
        }
    }
}

/// What webpki keeps to itself of a list.
struct Outline<'a> {
    /// tbsCertList, DER: what is signed.
    signed: &'a [u8],
    /// signatureAlgorithm, DER without the outer tag and length.
    algorithm: &'a [u8],
    signature: BitString<'a>,
    has_version: bool,
    issuer: X509Name<'a>,
    this_update: Moment,
    next_update: Option<Moment>,
    number: Option<Serial>,
    scope: Option<&'a [u8]>,
}

impl<'a> Outline<'a> {
    fn of(der: &'a [u8]) -> Option<Self> {
        let whole = contents(der);
        let (after, tbs) = Any::from_der(whole).ok()?;
        let signed = whole.get(..whole.len().checked_sub(after.len())?)?;
        let (after, algorithm) = Any::from_der(after).ok()?;
        let (_, signature) = BitString::from_der(after).ok()?;

        // RFC 5280 §5.1.2.1: without the field it is version 1.
        let rest = tbs.data;
        let (after_version, first) = Any::from_der(rest).ok()?;
        let has_version = first.tag() == Tag::Integer;
        let rest = if has_version { after_version } else { rest };
        let (rest, _signature) = Any::from_der(rest).ok()?;
        let (rest, issuer) = X509Name::from_der(rest).ok()?;
        let (mut rest, this_update) = ASN1Time::from_der(rest).ok()?;
        let mut outline = Outline {
            signed,
            algorithm: algorithm.data,
            signature,
            has_version,
            issuer,
            this_update: Moment::from_seconds(this_update.timestamp()),
            next_update: None,
            number: None,
            scope: None,
        };
        // nextUpdate, revokedCertificates and extensions may each be left out. webpki looks at their order.
        while !rest.is_empty() {
            let (after, part) = Any::from_der(rest).ok()?;
            match part.tag() {
                Tag::UtcTime | Tag::GeneralizedTime => {
                    let (_, time) = ASN1Time::from_der(rest).ok()?;
                    outline.next_update = Some(Moment::from_seconds(time.timestamp()));
                }
                Tag(0) => outline.read_extensions(contents(part.data))?,
                _ => {}
            }
            rest = after;
        }
        Some(outline)
    }

    fn read_extensions(&mut self, mut rest: &'a [u8]) -> Option<()> {
        while !rest.is_empty() {
            let (after, extension) = X509Extension::from_der(rest).ok()?;
            if extension.oid == OID_X509_EXT_CRL_NUMBER {
                self.number = Serial::of(contents(extension.value));
            } else if extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
                self.scope = Some(extension.value);
            }
            rest = after;
        }
        Some(())
    }

    fn list(
        &self,
        der: &[u8],
        issuers: &[Issuer],
        most: usize,
        shown: &str,
    ) -> Result<RevocationList, ListFault> {
        if !self.has_version {
            return Err(ListFault::Version1);
        }
        let next_update = self.next_update.ok_or(ListFault::NoNextUpdate)?;
        let list = BorrowedCertRevocationList::from_der(der).map_err(fault)?;
        let issuer = self.signer(issuers)?;
        // Looked at only now: a list that nobody has signed is not worth the work.
        let mut serials = Vec::new();
        for revoked in &list {
            if serials.len() >= most {
                return Err(ListFault::TooManyRevoked);
            }
            let serial = revoked.map_err(fault)?.serial_number;
            serials.push(Serial::of(serial).ok_or(ListFault::Malformed)?);
        }
        serials.sort_unstable();
        serials.dedup();
        Ok(RevocationList {
            issuer: issuer.name.clone(),
            shown: shown.to_owned(),
            next_update,
            this_update: self.this_update,
            number: self.number,
            series: (issuer.key.clone(), self.scope.map(<[u8]>::to_vec)),
            serials: serials.into_boxed_slice(),
        })
    }

    /// The authority that has signed the list, and may. Several may have its name: one that got a new key.
    fn signer<'i>(&self, issuers: &'i [Issuer]) -> Result<&'i Issuer, ListFault> {
        let name = contents(self.issuer.as_raw());
        let mut wrong = ListFault::UnknownIssuer;
        for issuer in issuers.iter().filter(|issuer| issuer.name == name) {
            let signature = &self.signature;
            match issuer.has_signed(self.signed, self.algorithm, signature.as_ref()) {
                Signature::Right if issuer.signs_lists() => return Ok(issuer),
                // Said before anything else that is wrong with other authorities of the name.
                Signature::Right => wrong = ListFault::NotListSigner,
                _ if wrong == ListFault::NotListSigner => {}
                Signature::Wrong => wrong = ListFault::WrongSignature,
                Signature::UnknownAlgorithm if wrong == ListFault::WrongSignature => {}
                Signature::UnknownAlgorithm => wrong = ListFault::UnknownAlgorithm,
            }
        }
        Err(wrong)
    }
}

/// Why a list can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// It is by a stranger.
    #[error("no authority of that name is in clients.trust_anchors")]
    UnknownIssuer,
    /// It is damaged, forged, or signed with another key of the issuer.
    #[error(
        "its signature does not verify with the key of the authority of that name in clients.trust_anchors"
    )]
    WrongSignature,
    /// Its signature can't be verified.
    #[error("it is signed with an algorithm that the gateway can't verify")]
    UnknownAlgorithm,
    /// RFC 5280 §4.2.1.3: key usage without cRLSign.
    #[error(
        "the certificate of the authority that signed it does not let it sign lists (key usage without cRLSign)"
    )]
    NotListSigner,
    /// Version 1 has no extensions.
    #[error("it is version 1, version 2 is needed (`openssl ca` makes it where crlnumber is set)")]
    Version1,
    /// Nothing says how long it is good for.
    #[error("it does not say when the next one is due (nextUpdate)")]
    NoNextUpdate,
    /// RFC 5280 §5.2.4.
    #[error("it is a delta list, which tells changes alone; the complete list is needed")]
    Delta,
    /// RFC 5280 §5.2.5: it speaks of other issuers' certificates.
    #[error("it is an indirect list, which speaks of other issuers' certificates")]
    Indirect,
    /// RFC 5280 §5.2.5: onlySomeReasons, or a distribution point without a full name.
    #[error(
        "it is one part of a list in a way the gateway does not know (its issuing distribution point is limited to \
         some reasons, or has no full name)"
    )]
    Part,
    /// RFC 5280 §5.2: then it must not be used.
    #[error("it, or an entry of it, has a critical extension that the gateway does not know")]
    CriticalExtension,
    /// More than all lists together may have.
    #[error("there are more than 4 million revoked certificates on the lists")]
    TooManyRevoked,
    /// Anything else.
    #[error("it is malformed")]
    Malformed,
}

/// What webpki found, in our words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is open; a list that is not understood is not used"
)]
fn fault(error: Error) -> ListFault {
    match error {
        Error::UnsupportedCrlVersion => ListFault::Version1,
        Error::UnsupportedDeltaCrl => ListFault::Delta,
        Error::UnsupportedIndirectCrl => ListFault::Indirect,
        Error::UnsupportedRevocationReasonsPartitioning
        | Error::UnsupportedCrlIssuingDistributionPoint => ListFault::Part,
        Error::UnsupportedCriticalExtension => ListFault::CriticalExtension,
        _ => ListFault::Malformed,
    }
}
