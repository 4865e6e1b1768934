//! Verification of certificates and keys that are made here.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls_pki_types::UnixTime;
use std::time::Duration;

mod keys;
mod sent;

/// 2026-01-01, in the middle of the validity periods of the certificates made here.
pub(super) const NOW: u64 = 1_767_225_600;
pub(super) const YEAR: u64 = 365 * 24 * 3600;

pub(super) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(super) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

pub(super) fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A certificate of its own making, which can issue others.
pub(super) struct Authority {
    pub(super) pem: String,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = authority_params(name).self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(authority_params(name), key),
        }
    }

    pub(super) fn under(name: &str, parent: &Authority) -> Self {
        Self::with(authority_params(name), parent)
    }

    pub(super) fn with(params: CertificateParams, parent: &Authority) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &parent.issuer).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn issue(&self, params: &CertificateParams) -> Vec<u8> {
        params
            .signed_by(&KeyPair::generate().unwrap(), &self.issuer)
            .unwrap()
            .der()
            .to_vec()
    }
}

impl ClientPolicy {
    /// Verifies a client that sends its own certificate alone.
    pub(crate) fn verify_leaf(&self, leaf: &[u8], now: UnixTime) -> Result<(), CertificateError> {
        self.known(&[leaf], now).map(drop)
    }

    /// Verifies a client with these certificates, its own first.
    pub(crate) fn known(
        &self,
        chain: &[&[u8]],
        now: UnixTime,
    ) -> Result<KnownClient, CertificateError> {
        self.verify(chain, now, &mut AuthorityPaths::default())
    }
}

impl KnownClient {
    /// The intermediates of its path that it has sent, its issuer first.
    pub(crate) fn sent(&self) -> Vec<&[u8]> {
        let verified = self.verified.iter();
        verified.flat_map(|verified| verified.path.sent()).collect()
    }
}

fn policy(anchors: &str, validity: Validity) -> ClientPolicy {
    ClientPolicy::new(Some(anchors.as_bytes()), validity).unwrap()
}

fn alert(verdict: Result<(), CertificateError>) -> u8 {
    verdict.unwrap_err().alert()
}

#[test]
fn a_device_under_the_anchor_is_accepted_and_one_under_another_authority_gets_alert_48() {
    let (ours, theirs) = (Authority::root("ours"), Authority::root("theirs"));
    let policy = policy(&ours.pem, Validity::Check);
    assert_eq!(
        policy.verify_leaf(&ours.issue(&params("meter")), at(NOW)),
        Ok(())
    );
    let refusal = policy.verify_leaf(&theirs.issue(&params("meter")), at(NOW));
    assert_eq!(refusal, Err(CertificateError::UnknownIssuer));
    assert_eq!(alert(refusal), 48);
}

#[test]
fn another_authority_with_the_anchors_name_is_unknown() {
    let (ours, impostor) = (Authority::root("ours"), Authority::root("ours"));
    let refusal =
        policy(&ours.pem, Validity::Check).verify_leaf(&impostor.issue(&params("meter")), at(NOW));
    assert_eq!(alert(refusal), 48);
}

#[test]
fn without_anchors_any_issuer_is_accepted_but_dates_are_checked() {
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    let leaf = Authority::root("anyone").issue(&params("meter"));
    assert_eq!(policy.verify_leaf(&leaf, at(NOW)), Ok(()));
    let longer = [leaf.as_slice(), &[0]].concat();
    assert_eq!(
        policy.verify_leaf(&longer, at(NOW)),
        Err(CertificateError::Malformed)
    );
    let late = policy.verify_leaf(&leaf, at(NOW + 2 * YEAR)).unwrap_err();
    assert_eq!(late.alert(), 45);
    assert!(
        late.to_string()
            .contains("ended on 2027-01-01 00:00:00 UTC"),
        "{late}"
    );
    let early = policy.verify_leaf(&leaf, at(NOW - 2 * YEAR)).unwrap_err();
    assert_eq!(early.alert(), 45);
    assert!(
        early
            .to_string()
            .contains("begins on 2025-01-01 00:00:00 UTC"),
        "{early}"
    );
}

#[test]
fn both_ends_of_the_period_are_within_it() {
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    let leaf = Authority::root("anyone").issue(&params("meter"));
    let (first, last) = (1_735_689_600, 1_798_761_600);
    for (second, fine) in [
        (first - 1, false),
        (first, true),
        (last, true),
        (last + 1, false),
    ] {
        assert_eq!(
            policy.verify_leaf(&leaf, at(second)).is_ok(),
            fine,
            "{second}"
        );
    }
}

#[test]
fn with_validity_ignored_chains_are_still_verified() {
    let (ours, theirs) = (Authority::root("ours"), Authority::root("theirs"));
    let policy = policy(&ours.pem, Validity::Ignore);
    for now in [0, NOW - 5 * YEAR, NOW, NOW + 50 * YEAR, u64::MAX] {
        assert_eq!(
            policy.verify_leaf(&ours.issue(&params("meter")), at(now)),
            Ok(()),
            "{now}"
        );
        assert_eq!(
            alert(policy.verify_leaf(&theirs.issue(&params("meter")), at(now))),
            48,
            "{now}"
        );
    }
}

#[test]
fn an_intermediate_of_the_file_chains_to_its_root_and_is_not_an_anchor() {
    let root = Authority::root("root");
    let intermediate = Authority::under("intermediate", &root);
    let leaf = intermediate.issue(&params("meter"));
    for file in [
        format!("{}{}", root.pem, intermediate.pem),
        format!("{}{}", intermediate.pem, root.pem),
    ] {
        assert_eq!(
            policy(&file, Validity::Check).verify_leaf(&leaf, at(NOW)),
            Ok(())
        );
    }
    // The root alone: the client's intermediate is not used, so there is no path.
    assert_eq!(
        alert(policy(&root.pem, Validity::Check).verify_leaf(&leaf, at(NOW))),
        48
    );
    // The intermediate alone has no issuer in the file, so it is the anchor.
    assert_eq!(
        policy(&intermediate.pem, Validity::Check).verify_leaf(&leaf, at(NOW)),
        Ok(())
    );
    // An intermediate that does not chain to the root of its issuer's name is not used.
    let forged = Authority::under("intermediate", &Authority::root("root"));
    let policy = policy(&format!("{}{}", root.pem, forged.pem), Validity::Check);
    assert!(
        policy
            .verify_leaf(&forged.issue(&params("meter")), at(NOW))
            .is_err()
    );
}

#[test]
fn an_expired_intermediate_is_rejected_unless_validity_is_ignored() {
    let root = Authority::root("root");
    let mut short = authority_params("short");
    short.not_after = date_time_ymd(2025, 6, 1);
    let intermediate = Authority::with(short, &root);
    let file = format!("{}{}", root.pem, intermediate.pem);
    let leaf = intermediate.issue(&params("meter"));
    let refusal = policy(&file, Validity::Check).verify_leaf(&leaf, at(NOW));
    assert_eq!(refusal, Err(CertificateError::IssuerNotValid));
    assert_eq!(alert(refusal), 42);
    assert_eq!(
        policy(&file, Validity::Ignore).verify_leaf(&leaf, at(NOW)),
        Ok(())
    );
}

#[test]
fn server_and_authority_certificates_are_rejected_with_the_reason() {
    let root = Authority::root("root");
    let policy = policy(&root.pem, Validity::Check);
    let mut server = params("server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(
        policy.verify_leaf(&root.issue(&server), at(NOW)),
        Err(CertificateError::WrongUsage)
    );
    let authority = root.issue(&authority_params("sub"));
    assert_eq!(
        policy.verify_leaf(&authority, at(NOW)),
        Err(CertificateError::IsAuthority)
    );
    assert_eq!(CertificateError::WrongUsage.alert(), 42);
}

#[test]
fn a_self_signed_certificate_of_openssl_is_reported_as_unknown_issuer() {
    // `openssl req -x509` makes CA:TRUE; the alert must be unknown_ca, not bad_certificate.
    let root = Authority::root("root");
    let other = Authority::root("other");
    let leaf = other.issue(&authority_params("self"));
    let refusal = policy(&root.pem, Validity::Check).verify_leaf(&leaf, at(NOW));
    assert_eq!(refusal, Err(CertificateError::UnknownIssuer));
    assert_eq!(CertificateError::UnknownIssuer.alert(), 48);
}

#[test]
fn a_version_1_certificate_is_rejected_where_anchors_are_set() {
    // openssl x509 -req without -extfile makes version 1. Made here from a version 3 one: the [0]
    // version field says 0, which only the parser looks at before a signature is.
    let root = Authority::root("root");
    let mut leaf = root.issue(&params("meter"));
    let version = leaf
        .windows(5)
        .position(|bytes| bytes == [0xa0, 0x03, 0x02, 0x01, 0x02])
        .unwrap();
    leaf[version + 4] = 0;
    assert_eq!(
        policy(&root.pem, Validity::Check).verify_leaf(&leaf, at(NOW)),
        Err(CertificateError::OldVersion)
    );
}

#[test]
fn a_damaged_certificate_is_rejected_without_a_panic() {
    let root = Authority::root("root");
    let leaf = root.issue(&params("meter"));
    let policy = policy(&root.pem, Validity::Ignore);
    assert_eq!(policy.verify_leaf(&leaf, at(NOW)), Ok(()));
    for index in 0..leaf.len() {
        assert!(
            policy.verify_leaf(&leaf[..index], at(NOW)).is_err(),
            "cut at {index}"
        );
        for bit in [0x01, 0x80, 0xff] {
            let mut damaged = leaf.clone();
            damaged[index] ^= bit;
            assert!(
                policy.verify_leaf(&damaged, at(NOW)).is_err(),
                "byte {index} ^ {bit:#x}"
            );
        }
    }
    let mut longer = leaf.clone();
    longer.push(0);
    for bad in [vec![], vec![0x30; 100], vec![0xff; 1 << 20], longer] {
        assert_eq!(
            policy.verify_leaf(&bad, at(NOW)),
            Err(CertificateError::Malformed)
        );
    }
}

#[test]
fn an_invalid_anchors_file_is_rejected_with_the_reason() {
    let wrong = |pem: &str| {
        ClientPolicy::new(Some(pem.as_bytes()), Validity::Check)
            .unwrap_err()
            .to_string()
    };
    let leaf = params("meter")
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .pem();
    assert!(
        wrong(&leaf).contains("not an authority's certificate"),
        "{}",
        wrong(&leaf)
    );
    assert!(wrong("").contains("no CERTIFICATE"));
    assert!(
        wrong(&KeyPair::generate().unwrap().serialize_pem())
            .contains("private key, not a certificate")
    );
    let (a, b) = (Authority::root("a"), Authority::root("b"));
    let circle = format!(
        "{}{}",
        Authority::under("b", &a).pem,
        Authority::under("a", &b).pem
    );
    assert!(wrong(&circle).contains("none is a root"));
    // The same certificate twice is accepted.
    assert!(
        ClientPolicy::new(
            Some(format!("{}{}", a.pem, a.pem).as_bytes()),
            Validity::Check
        )
        .is_ok()
    );
}

#[test]
fn display_names_are_short_and_have_no_invisible_characters() {
    use super::period::display_name;
    use x509_parser::prelude::{FromDer, X509Certificate};
    let key = KeyPair::generate().unwrap();
    let long = "x".repeat(100);
    for (name, wanted) in [
        (
            "meter\u{202e}71\u{1b}[2J",
            "CN=meter\u{fffd}71\u{fffd}[2J".to_owned(),
        ),
        (long.as_str(), format!("CN={}", "x".repeat(61))),
    ] {
        let certificate = params(name).self_signed(&key).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(display_name(parsed.subject()), wanted);
    }
}
