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
