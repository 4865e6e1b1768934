//! `clients.trust_anchors`: authorities that have ended, or may not sign certificates.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rcgen::{SerialNumber, date_time_ymd};

/// A root that lasts until then.
fn root(name: &str, year: i32, usages: Vec<KeyUsagePurpose>) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(7_u64));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params.key_usages = usages;
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem()
}

fn with_anchors(path: &Path, validity: &str) -> String {
    format!("[clients]\ntrust_anchors = {path:?}\nvalidity = {validity:?}\n")
}

fn anchor_warnings(warnings: &[Warning]) -> Vec<String> {
    let about = |warning: &&Warning| warning.key == "clients.trust_anchors";
    let warnings = warnings.iter().filter(about);
    warnings.map(|warning| format!("{warning:?}")).collect()
}

#[test]
fn an_authority_that_has_ended_is_warned_about_and_the_others_are_used() {
    let place = Place::new();
    let both = root("old", 2025, vec![]) + &root("new", 2030, vec![]);
    let path = place.write("anchors.pem", both);
    let (_, warnings) = place.load(&with_anchors(&path, "check"), &[]).unwrap();
    let found = anchor_warnings(&warnings);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("old") && found[0].contains("ended on 2025-01-01"));
    let (_, warnings) = place.load(&with_anchors(&path, "ignore"), &[]).unwrap();
    assert!(anchor_warnings(&warnings).is_empty());
}

#[test]
fn an_authority_that_may_not_sign_certificates_is_a_mistake() {
    let place = Place::new();
    let path = place.write(
        "anchors.pem",
        root("lists only", 2030, vec![KeyUsagePurpose::CrlSign]),
    );
    let expected: &[&[&str]] = &[&["clients.trust_anchors", "lists only", "no keyCertSign"]];
    assert_mistakes(place.load(&with_anchors(&path, "check"), &[]), expected);
}

#[test]
fn an_authority_with_a_short_rsa_key_is_warned_about() {
    let place = Place::new();
    let fine = root("fine", 2030, vec![]);
    let path = place.write("anchors.pem", format!("{fine}{SHORT}"));
    let (_, warnings) = place.load(&with_anchors(&path, "check"), &[]).unwrap();
    let warnings = anchor_warnings(&warnings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["CN=small", "an RSA key of 1024 bits"] {
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
}

/// A root with an RSA key of 1024 bits.
const SHORT: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIB/DCCAWWgAwIBAgIUKqVtH2O5Yz5d+ayZUotEpSFvEfgwDQYJKoZIhvcNAQEL\n\
BQAwEDEOMAwGA1UEAwwFc21hbGwwHhcNMjYxMTMwMTM1ODE4WhcNMzYxMTI3MTM1\n\
ODE4WjAQMQ4wDAYDVQQDDAVzbWFsbDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkC\n\
gYEA05iRXYD/eZCVwkxn+7Fehreo4xeRQap5dKVycc9nRwa0o0F7R0xbwXAnwN13\n\
TYXMbHKfIJ5dbk1Tn5ciB+do9srO/CelK/i9JnE9MnEnWXuxp0WAMrml/U90suX0\n\
ClzR4LhgDST+Sw1kfMj/UU2Evn9Dkn9NDAQVM8TwLrg2svUCAwEAAaNTMFEwHQYD\n\
VR0OBBYEFOlL/TaS+DKUu1vpAu5vDuufvNDCMB8GA1UdIwQYMBaAFOlL/TaS+DKU\n\
u1vpAu5vDuufvNDCMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADgYEA\n\
L60RKI05llgkxV667jZz4FIsPbrxcQka3wKqelQZ+xasu+CqFCHFKUURmHpIKsef\n\
/Hoxg5NhcGFDHEQG+8pMcUEymv1BJqmSvjsMzLRMlS10tNYDOKjfVA+4fMcnFlAL\n\
zj35fb24aQQbVSH1YKQz8eTZruXlizNyCUUg1nhMzk8=\n\
-----END CERTIFICATE-----\n\
";
