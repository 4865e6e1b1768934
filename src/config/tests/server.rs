//! `[server]`: chains, and the identity with an RSA key.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::os::unix::fs::PermissionsExt;

fn params(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params
}

/// Writes a chain of the server, its issuer and its root, and the key. The issuer ends at the beginning of that year.
fn write_chain(place: &Place, name: &str, key: &KeyPair, issuer_ends: i32, certificates: usize) {
    let authority = |name: &str, year| {
        let mut params = params(name, year);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let (root_key, issuer_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority("root", 2040).self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(authority("root", 2040), root_key);
    let issuer = authority("issuer", issuer_ends);
    let issuer = issuer.signed_by(&issuer_key, &root_issuer).unwrap();
    let signer = Issuer::new(authority("issuer", issuer_ends), issuer_key);
    let own = params("server", 2040).signed_by(key, &signer).unwrap();
    let all = [own.pem(), issuer.pem(), root.pem()];
    let text: String = all.into_iter().take(certificates).collect();
    place.write(&format!("{name}.pem"), text);
    let path = place.write(&format!("{name}.key"), key.serialize_pem());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn ec() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn rsa() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap()
}

/// Sets `server.{prefix}certificate` and its key to what [`write_chain`] has written.
fn set(place: &Place, prefix: &str, name: &str) -> Vec<(String, String)> {
    let path = |end: &str| place.path(&format!("{name}.{end}")).display().to_string();
    let variable = |key: &str| format!("COAPS_GATEWAY__SERVER__{prefix}{key}");
    vec![
        (variable("CERTIFICATE"), path("pem")),
        (variable("PRIVATE_KEY"), path("key")),
    ]
}

fn load(
    place: &Place,
    text: &str,
    environment: &[(String, String)],
) -> Result<(Config, Vec<String>), Vec<String>> {
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (config, warnings) = place.load(text, &environment)?;
    let about = |warning: &&Warning| {
        ["server.", "dtls."]
            .iter()
            .any(|start| warning.key.starts_with(start))
    };
    let warnings = warnings.iter().filter(about);
    Ok((config, warnings.map(Warning::to_string).collect()))
}

const ONLY_12: &str = "[dtls]\nversions = [\"1.2\"]\n";

#[test]
fn chains_are_read_with_warnings_of_what_clients_may_not_like() {
    let place = Place::new();
    write_chain(&place, "chain", &ec(), 2040, 2);
    let chain = set(&place, "", "chain");
    let (config, warnings) = load(&place, ONLY_12, &chain).unwrap();
    assert_eq!(config.server.ecdsa.chain.len(), 2);
    assert!(config.server.rsa.is_none());
    assert!(warnings.is_empty(), "{warnings:?}");
    let (_, warnings) = load(&place, "", &chain).unwrap();
    assert!(
        warnings.len() == 1 && warnings[0].contains("sends the first certificate alone"),
        "{warnings:?}"
    );
    write_chain(&place, "expired", &ec(), 2025, 3);
    let (_, warnings) = load(&place, ONLY_12, &set(&place, "", "expired")).unwrap();
    for part in [
        "certificate 2 in ",
        "ended on 2025-01-01 00:00:00 UTC",
        "certificate 3 in ",
        "is a root",
    ] {
        assert!(warnings.iter().any(|it| it.contains(part)), "{warnings:?}");
    }
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn a_key_on_p521_is_for_dtls_1_2_alone() {
    let place = Place::new();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    write_chain(&place, "large", &key, 2040, 1);
    let large = set(&place, "", "large");
    load(&place, ONLY_12, &large).unwrap();
    for text in ["", "[dtls]\nversions = [\"1.3\"]\n"] {
        let parts: &[&str] = &["server.certificate:", "P-521", "dtls.versions = [\"1.2\"]"];
        assert_mistakes(load(&place, text, &large), &[parts]);
    }
}

#[test]
fn a_second_identity_has_an_rsa_key_and_needs_both_files() {
    let place = Place::new();
    write_chain(&place, "rsa", &rsa(), 2040, 2);
    let both = set(&place, "RSA_", "rsa");
    let (config, warnings) = load(&place, "", &both).unwrap();
    let identity = config.server.rsa.unwrap();
    assert_eq!(identity.chain.len(), 2);
    assert!(warnings.is_empty(), "{warnings:?}");
    for (alone, missing) in [(0, "server.rsa_private_key"), (1, "server.rsa_certificate")] {
        let result = load(&place, "", &both[alone..=alone]);
        let missing = format!("{missing} is not set");
        assert_mistakes(result, &[&[&missing, "both of them, or none"]]);
    }
    // Empty is the same as not set.
    let empty: Vec<_> = both
        .iter()
        .map(|(name, _)| (name.clone(), String::new()))
        .collect();
    assert!(load(&place, "", &empty).unwrap().0.server.rsa.is_none());
    // Each in the other's place: every mistake is reported.
    let mut swapped = set(&place, "", "rsa");
    write_chain(&place, "ec", &ec(), 2040, 1);
    swapped.extend(set(&place, "RSA_", "ec"));
    assert_mistakes(
        load(&place, "", &swapped),
        &[
            &[
                "server.certificate:",
                "an RSA key of 2048 bits",
                "server.rsa_certificate",
            ],
            &["server.private_key:", "it is an RSA key"],
            &["server.rsa_certificate:", "an EC key", "server.certificate"],
            &["server.rsa_private_key:", "it is an EC key"],
        ],
    );
    let (_, warnings) = load(&place, "[dtls]\nversions = \"1.3\"\n", &both).unwrap();
    assert!(
        warnings.len() == 1
            && warnings[0].contains("RSA_CERTIFICATE: server.rsa_certificate: without effect"),
        "{warnings:?}"
    );
}

#[test]
fn both_identities_are_read_again() {
    let place = Place::new();
    write_chain(&place, "rsa", &rsa(), 2040, 1);
    let (config, _) = load(&place, "", &set(&place, "RSA_", "rsa")).unwrap();
    let names = config.watched.server.iter();
    assert_eq!(names.count(), 4);
    let before = config.server.rsa.unwrap();
    write_chain(&place, "rsa", &rsa(), 2040, 2);
    let (again, _) = config.sources.read_server(now()).outcome.unwrap();
    let again = again.rsa.unwrap();
    assert_ne!(again.certificate(), before.certificate());
    assert_eq!(again.chain.len(), 2);
    // A key that does not match yet: nothing is replaced.
    place.write("rsa.key", rsa().serialize_pem());
    let refused = config.sources.read_server(now()).outcome.unwrap_err();
    assert!(refused.to_string().contains("does not belong"), "{refused}");
}

#[test]
fn suites_need_a_certificate_with_their_kind_of_key() {
    let place = Place::new();
    let names = |text: &str, environment: &[(String, String)]| {
        let (config, warnings) = load(&place, text, environment)?;
        let suites = config.dtls.cipher_suites.iter();
        let names: Vec<&str> = suites.map(|suite| suite.name()).collect();
        Ok::<_, Vec<String>>((names.join(" "), warnings))
    };
    let with = |list: &str| format!("[dtls]\ncipher_suites = [{list}]\n");
    let (ecdsa, rsa_suite) = (
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    );
    let (both, alone) = (
        with(&format!("{rsa_suite:?}, {ecdsa:?}")),
        with(&format!("{rsa_suite:?}")),
    );
    let (list, warnings) = names(&both, &[]).unwrap();
    assert_eq!(list, ecdsa);
    assert!(
        warnings.len() == 1
            && warnings[0].contains("is never chosen: server.rsa_certificate is not set"),
        "{warnings:?}"
    );
    assert_mistakes(
        names(&alone, &[]),
        &[&[
            "gateway.toml:2: dtls.cipher_suites: each suite",
            "server.rsa_certificate as well",
        ]],
    );
    write_chain(&place, "rsa", &rsa(), 2040, 1);
    let identity = set(&place, "RSA_", "rsa");
    let (list, warnings) = names(&both, &identity).unwrap();
    assert_eq!((list, warnings), (format!("{rsa_suite} {ecdsa}"), vec![]));
    assert_eq!(names(&alone, &identity).unwrap().0, rsa_suite);
    let (_, warnings) = names(&with(&format!("{ecdsa:?}")), &identity).unwrap();
    assert!(
        warnings.len() == 1 && warnings[0].contains("server.rsa_certificate: never used"),
        "{warnings:?}"
    );
}
