//! Parses and verifies a revocation list (RFC 5280 §5.1).

use crate::credentials::issuer::{Issuer, Signature, contents};
use crate::credentials::period::{Moment, display_name};
use webpki::{BorrowedCertRevocationList, Error};
use x509_parser::asn1_rs::{Any, BitString, FromDer, Tag};
use x509_parser::extensions::X509Extension;
use x509_parser::oid_registry::{OID_X509_EXT_CRL_NUMBER, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

/// A number of at most 20 octets: a serial number (RFC 5280 §4.1.2.2) or a CRL number (§5.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::credentials) struct Serial([u8; 20]);

impl Serial {
    /// From the octets of an INTEGER; `None` if it has more than 20.
    pub(in crate::credentials) fn of(octets: &[u8]) -> Option<Self> {
        let leading = octets.iter().take_while(|&&octet| octet == 0).count();
        let octets = octets.get(leading..)?;
        let mut number = [0; 20];
        let from = number.len().checked_sub(octets.len())?;
        number.get_mut(from..)?.copy_from_slice(octets);
        Some(Serial(number))
    }

    /// Right-aligned.
    pub(in crate::credentials) fn octets(&self) -> &[u8; 20] {
        &self.0
    }
}

/// A list whose signature was verified.
#[derive(Clone)]
pub(super) struct RevocationList {
    /// The issuer's name, DER without the outer tag and length.
    pub(super) issuer: Vec<u8>,
    /// The issuer's name for messages.
    pub(super) display_name: String,
    /// When the next list is due.
    pub(super) next_update: Moment,
    this_update: Moment,
    number: Option<Serial>,
    /// The issuer's key and the list's scope (the issuing distribution point extension). A list supersedes another one only
    /// if both are equal.
    series: (Vec<u8>, Option<Vec<u8>>),
    /// Sorted, without duplicates.
    serials: Box<[Serial]>,
}

/// How old a list is relative to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It supersedes the other: it has a later number and date, or one is later and the other equal or absent.
    Newer,
    /// It is superseded by the other.
    Older,
    /// It is equal to the other.
    Same,
    /// It has another issuer or scope; or number and date contradict each other, and both lists are used to be safe.
    Apart,
}

impl RevocationList {
    /// Reads a list, which must be signed by one of `issuers` and have at most `most` entries. An error comes with the
    /// issuer's name, if that can be parsed.
    pub(super) fn read(
        der: &[u8],
        issuers: &[Issuer],
        most: usize,
    ) -> Result<Self, (Option<String>, ListFault)> {
        let outline = Outline::of(der).ok_or((None, ListFault::Malformed))?;
        let display_name = display_name(&outline.issuer);
        outline
            .list(der, issuers, most, &display_name)
            .map_err(|fault| (Some(display_name), fault))
    }

    /// The number of revoked certificates.
    pub(super) fn serials(&self) -> usize {
        self.serials.len()
    }

    pub(super) fn contains(&self, serial: Serial) -> bool {
        self.serials.binary_search(&serial).is_ok()
    }

    /// Compares it with another list.
    pub(super) fn age_relative_to(&self, other: &RevocationList) -> Age {
        let dates = self.this_update.cmp(&other.this_update);
        // RFC 5280 §5.2.3: the higher number supersedes. An issuer may omit numbers.
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

/// The fields of a list that webpki does not expose.
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
        // nextUpdate, revokedCertificates and extensions are optional. webpki checks their order.
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
        display_name: &str,
    ) -> Result<RevocationList, ListFault> {
        if !self.has_version {
            return Err(ListFault::Version1);
        }
        let next_update = self.next_update.ok_or(ListFault::NoNextUpdate)?;
        let list = BorrowedCertRevocationList::from_der(der).map_err(fault)?;
        let issuer = self.signer(issuers)?;
        // Parsed only after the signature is verified, because a list may be large.
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
            display_name: display_name.to_owned(),
            next_update,
            this_update: self.this_update,
            number: self.number,
            series: (issuer.key.clone(), self.scope.map(<[u8]>::to_vec)),
            serials: serials.into_boxed_slice(),
        })
    }

    /// The authority that has signed the list and may do so. Several may have its name, if it got a new key.
    fn signer<'i>(&self, issuers: &'i [Issuer]) -> Result<&'i Issuer, ListFault> {
        let name = contents(self.issuer.as_raw());
        let mut error = ListFault::UnknownIssuer;
        for issuer in issuers.iter().filter(|issuer| issuer.name == name) {
            let signature = &self.signature;
            match issuer.verify(self.signed, self.algorithm, signature.as_ref()) {
                Signature::Valid if issuer.signs_lists() => return Ok(issuer),
                // Takes precedence over errors with other authorities of that name.
                Signature::Valid => error = ListFault::NotListSigner,
                _ if error == ListFault::NotListSigner => {}
                Signature::Invalid => error = ListFault::WrongSignature,
                Signature::UnsupportedAlgorithm if error == ListFault::WrongSignature => {}
                Signature::UnsupportedAlgorithm => error = ListFault::UnknownAlgorithm,
            }
        }
        Err(error)
    }
}

/// Why a list can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// Its issuer is not a trust anchor.
    #[error("no authority of that name is in clients.trust_anchors")]
    UnknownIssuer,
    /// It is damaged, forged, or signed with another key of the issuer.
    #[error(
        "its signature does not verify with the key of the authority of that name in clients.trust_anchors"
    )]
    WrongSignature,
    /// Its signature algorithm is not supported.
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
    /// It has no nextUpdate.
    #[error("it does not say when the next one is due (nextUpdate)")]
    NoNextUpdate,
    /// RFC 5280 §5.2.4.
    #[error("it is a delta list, which has only changes; the complete list is needed")]
    Delta,
    /// RFC 5280 §5.2.5: it has other issuers' certificates.
    #[error("it is an indirect list, which has other issuers' certificates")]
    Indirect,
    /// RFC 5280 §5.2.5: onlySomeReasons, or a distribution point without a full name.
    #[error(
        "it is one part of a list in a way the gateway does not know (its issuing distribution point is limited to \
         some reasons, or has no full name)"
    )]
    Part,
    /// RFC 5280 §5.2: a list with an unknown critical extension must not be used.
    #[error("it, or an entry of it, has a critical extension that the gateway does not know")]
    CriticalExtension,
    /// All lists together have too many entries.
    #[error("there are more than 4 million revoked certificates on the lists")]
    TooManyRevoked,
    #[error("it is malformed")]
    Malformed,
}

/// Converts an error of webpki.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive; with any error the list is not used"
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
