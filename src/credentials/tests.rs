//! Certificates and keys of every kind, made here, and what becomes of them.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls_pki_types::UnixTime;
use std::time::Duration;

/// 2026-01-01, in the middle of the certificates made here.
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

fn policy(anchors: &str, validity: Validity) -> ClientPolicy {
    ClientPolicy::new(Some(anchors.as_bytes()), validity).unwrap()
}

fn alert(verdict: Result<(), Refusal>) -> u8 {
    verdict.unwrap_err().alert()
}

#[test]
fn a_device_under_the_anchor_is_let_in_and_one_under_another_authority_gets_alert_48() {
    let (ours, theirs) = (Authority::root("ours"), Authority::root("theirs"));
    let policy = policy(&ours.pem, Validity::Check);
    assert_eq!(policy.judge(&ours.issue(&params("meter")), at(NOW)), Ok(()));
    let refusal = policy.judge(&theirs.issue(&params("meter")), at(NOW));
    assert_eq!(refusal, Err(Refusal::UnknownIssuer));
    assert_eq!(alert(refusal), 48);
}

#[test]
fn an_authority_that_only_has_the_name_of_ours_is_unknown() {
    let (ours, imposter) = (Authority::root("ours"), Authority::root("ours"));
    let refusal =
        policy(&ours.pem, Validity::Check).judge(&imposter.issue(&params("meter")), at(NOW));
    assert_eq!(alert(refusal), 48);
}

#[test]
fn without_anchors_any_issuer_will_do_but_dates_count() {
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    let leaf = Authority::root("anyone").issue(&params("meter"));
    assert_eq!(policy.judge(&leaf, at(NOW)), Ok(()));
    let longer = [leaf.as_slice(), &[0]].concat();
    assert_eq!(policy.judge(&longer, at(NOW)), Err(Refusal::Malformed));
    let late = policy.judge(&leaf, at(NOW + 2 * YEAR)).unwrap_err();
    assert_eq!(late.alert(), 45);
    assert!(
        late.to_string()
            .contains("ended on 2027-01-01 00:00:00 UTC"),
        "{late}"
    );
    let early = policy.judge(&leaf, at(NOW - 2 * YEAR)).unwrap_err();
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
        assert_eq!(policy.judge(&leaf, at(second)).is_ok(), fine, "{second}");
    }
}

#[test]
fn with_validity_ignored_dates_do_not_count_and_chains_still_do() {
    let (ours, theirs) = (Authority::root("ours"), Authority::root("theirs"));
    let policy = policy(&ours.pem, Validity::Ignore);
    for now in [0, NOW - 5 * YEAR, NOW, NOW + 50 * YEAR, u64::MAX] {
        assert_eq!(
            policy.judge(&ours.issue(&params("meter")), at(now)),
            Ok(()),
            "{now}"
        );
        assert_eq!(
            alert(policy.judge(&theirs.issue(&params("meter")), at(now))),
            48,
            "{now}"
        );
    }
}

#[test]
fn an_intermediate_of_the_file_leads_to_its_root_and_is_no_anchor_itself() {
    let root = Authority::root("root");
    let intermediate = Authority::under("intermediate", &root);
    let leaf = intermediate.issue(&params("meter"));
    for file in [
        format!("{}{}", root.pem, intermediate.pem),
        format!("{}{}", intermediate.pem, root.pem),
    ] {
        assert_eq!(policy(&file, Validity::Check).judge(&leaf, at(NOW)), Ok(()));
    }
    // The root alone: the client can't show the intermediate, so there is no path.
    assert_eq!(
        alert(policy(&root.pem, Validity::Check).judge(&leaf, at(NOW))),
        48
    );
    // The intermediate alone has no issuer in the file: it is the anchor.
    assert_eq!(
        policy(&intermediate.pem, Validity::Check).judge(&leaf, at(NOW)),
        Ok(())
    );
    // An intermediate that does not chain to the root of its name vouches for nothing.
    let forged = Authority::under("intermediate", &Authority::root("root"));
    let policy = policy(&format!("{}{}", root.pem, forged.pem), Validity::Check);
    assert!(
        policy
            .judge(&forged.issue(&params("meter")), at(NOW))
            .is_err()
    );
}

#[test]
fn an_intermediate_that_ended_is_refused_unless_validity_is_ignored() {
    let root = Authority::root("root");
    let mut short = authority_params("short");
    short.not_after = date_time_ymd(2025, 6, 1);
    let intermediate = Authority::with(short, &root);
    let file = format!("{}{}", root.pem, intermediate.pem);
    let leaf = intermediate.issue(&params("meter"));
    let refusal = policy(&file, Validity::Check).judge(&leaf, at(NOW));
    assert_eq!(refusal, Err(Refusal::IssuerNotValid));
    assert_eq!(alert(refusal), 42);
    assert_eq!(
        policy(&file, Validity::Ignore).judge(&leaf, at(NOW)),
        Ok(())
    );
}

#[test]
fn a_certificate_for_servers_and_one_of_an_authority_are_refused_with_the_reason() {
    let root = Authority::root("root");
    let policy = policy(&root.pem, Validity::Check);
    let mut server = params("server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(
        policy.judge(&root.issue(&server), at(NOW)),
        Err(Refusal::WrongUsage)
    );
    let authority = root.issue(&authority_params("sub"));
    assert_eq!(policy.judge(&authority, at(NOW)), Err(Refusal::IsAuthority));
    assert_eq!(Refusal::WrongUsage.alert(), 42);
}

#[test]
fn a_self_signed_certificate_as_openssl_makes_it_is_a_stranger_before_it_is_an_authority() {
    // `openssl req -x509` says CA:TRUE; its owner must hear unknown_ca, not bad_certificate.
    let root = Authority::root("root");
    let stranger = Authority::root("stranger");
    let leaf = stranger.issue(&authority_params("self"));
    let refusal = policy(&root.pem, Validity::Check).judge(&leaf, at(NOW));
    assert_eq!(refusal, Err(Refusal::UnknownIssuer));
    assert_eq!(Refusal::UnknownIssuer.alert(), 48);
}

#[test]
fn a_version_1_certificate_is_refused_where_anchors_are_set() {
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
        policy(&root.pem, Validity::Check).judge(&leaf, at(NOW)),
        Err(Refusal::OldVersion)
    );
}

#[test]
fn no_damage_to_a_certificate_makes_the_judge_panic_or_let_it_in() {
    let root = Authority::root("root");
    let leaf = root.issue(&params("meter"));
    let policy = policy(&root.pem, Validity::Ignore);
    assert_eq!(policy.judge(&leaf, at(NOW)), Ok(()));
    for index in 0..leaf.len() {
        assert!(
            policy.judge(&leaf[..index], at(NOW)).is_err(),
            "cut at {index}"
        );
        for bit in [0x01, 0x80, 0xff] {
            let mut damaged = leaf.clone();
            damaged[index] ^= bit;
            assert!(
                policy.judge(&damaged, at(NOW)).is_err(),
                "byte {index} ^ {bit:#x}"
            );
        }
    }
    let mut longer = leaf.clone();
    longer.push(0);
    for bad in [vec![], vec![0x30; 100], vec![0xff; 1 << 20], longer] {
        assert_eq!(policy.judge(&bad, at(NOW)), Err(Refusal::Malformed));
    }
}

#[test]
fn an_anchors_file_of_the_wrong_kind_is_refused_with_the_reason() {
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
    // The same certificate twice does no harm.
    assert!(
        ClientPolicy::new(
            Some(format!("{}{}", a.pem, a.pem).as_bytes()),
            Validity::Check
        )
        .is_ok()
    );
}

fn pair_of(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    (
        params("server").self_signed(&key).unwrap().pem(),
        key.serialize_pem(),
    )
}

fn read(certificate: &str, key: &str) -> Result<ServerCredentials, String> {
    ServerCredentials::from_pem(certificate.as_bytes(), key.as_bytes())
        .map_err(|error| error.to_string())
}

#[test]
fn p256_and_p384_keys_are_taken_and_never_shown() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
    ] {
        let (certificate, key) = pair_of(algorithm);
        let credentials = read(&certificate, &key).unwrap();
        assert_eq!(format!("{credentials:?}"), "ServerCredentials(hidden)");
    }
}

#[test]
fn credentials_say_when_their_certificate_ends() {
    let (certificate, key) = pair_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    let credentials = read(&certificate, &key).unwrap();
    let period = Period {
        not_before: Moment::from_seconds(1_735_689_600),
        not_after: Moment::from_seconds(1_798_761_600),
    };
    assert_eq!(credentials.period(), Some(period));
    let ends = credentials.ends().unwrap();
    assert_eq!((ends.what, ends.at), (What::Server, period.not_after));
    assert!(ends.name.contains("CN=server"), "{}", ends.name);
}

#[test]
fn keys_the_engine_would_panic_on_are_refused_with_what_they_are() {
    let (certificate, key) = pair_of(&rcgen::PKCS_ED25519);
    assert!(read(&certificate, &key).unwrap_err().contains("Ed25519"));
    let (good, _) = pair_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    assert!(
        read(&good, &key)
            .unwrap_err()
            .contains("it is an Ed25519 key")
    );
    let (_, p521) = pair_of(&rcgen::PKCS_ECDSA_P521_SHA512);
    assert!(read(&good, &p521).unwrap_err().contains("another curve"));
    let (rsa_certificate, rsa) = pair_of(&rcgen::PKCS_RSA_SHA256);
    assert!(read(&good, &rsa).unwrap_err().contains("it is an RSA key"));
    assert!(
        read(&rsa_certificate, &rsa)
            .unwrap_err()
            .contains("an RSA key")
    );
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ((one, _), (_, other)) = (
        pair_of(&rcgen::PKCS_ECDSA_P256_SHA256),
        pair_of(&rcgen::PKCS_ECDSA_P256_SHA256),
    );
    assert!(read(&one, &other).unwrap_err().contains("does not belong"));
}

#[test]
fn the_usual_mix_ups_of_files_are_named() {
    let (certificate, key) = pair_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    let chain = format!("{certificate}{certificate}");
    let cases = [
        (chain.as_str(), key.as_str(), "2 certificates"),
        (&key, &key, "private key, not a certificate"),
        (&certificate, &certificate, "certificate, not a private key"),
        (&certificate, &format!("{key}{key}"), "2 private keys"),
        (&certificate, "", "no PRIVATE KEY"),
        (&certificate, "0\u{1}\u{2}", "it is DER, not PEM"),
        (
            &certificate,
            &key.replace("PRIVATE KEY-----\n", "ENCRYPTED PRIVATE KEY-----\n"),
            "encrypted",
        ),
        (
            &certificate,
            &key[..key.len() - 30],
            "-----END …----- line is missing",
        ),
        (
            &certificate,
            "-----BEGIN PRIVATE KEY-----\nSECRET!!\n-----END PRIVATE KEY-----",
            "not base64",
        ),
        (
            &certificate,
            "-----BEGIN EC PRIVATE KEY-----\nU0VDUkVU\n-----END EC PRIVATE KEY-----",
            "damaged EC key",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            &key,
            "malformed",
        ),
    ];
    for (certificate, key, message) in cases {
        let wrong = read(certificate, key).unwrap_err();
        assert!(
            wrong.contains(message) && !wrong.contains("SECRET"),
            "{message}: {wrong}"
        );
    }
    // A key and its certificate in one file are fine, in either order.
    let both = format!("{key}{certificate}");
    assert!(read(&both, &both).is_ok());
}

#[test]
fn a_sec1_key_is_taken_and_kept_as_pkcs8() {
    // RFC 5915's form, cut out of PKCS#8: SEQUENCE { version, algorithm, OCTET STRING { ECPrivateKey } }.
    let key = KeyPair::generate().unwrap();
    let certificate = params("server").self_signed(&key).unwrap().pem();
    let pkcs8 = key.serialize_der();
    let inner = pkcs8
        .windows(2)
        .rposition(|bytes| bytes == [0x30, 0x6b])
        .unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &pkcs8[inner..]);
    let sec1 = format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let credentials = read(&certificate, &format!("{parameters}{sec1}")).unwrap();
    let again = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        &credentials.private_key,
    );
    assert!(again.is_ok());
}

#[test]
fn a_name_in_a_certificate_is_shown_short_and_without_what_is_not_visible() {
    use super::period::shown;
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
        assert_eq!(shown(parsed.subject()), wanted);
    }
}
