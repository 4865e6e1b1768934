//! `clients.trust_anchors`: what is told of authorities that can't vouch for anyone.

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

fn told_of_anchors(warnings: &[Warning]) -> Vec<String> {
    let about = |warning: &&Warning| warning.key == "clients.trust_anchors";
    let warnings = warnings.iter().filter(about);
    warnings.map(|warning| format!("{warning:?}")).collect()
}

#[test]
fn an_authority_that_has_ended_is_told_and_the_others_count() {
    let place = Place::new();
    let both = root("old", 2025, vec![]) + &root("new", 2030, vec![]);
    let path = place.write("anchors.pem", both);
    let (_, warnings) = place.load(&with_anchors(&path, "check"), &[]).unwrap();
    let told = told_of_anchors(&warnings);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("old") && told[0].contains("ended on 2025-01-01"));
    let (_, warnings) = place.load(&with_anchors(&path, "ignore"), &[]).unwrap();
    assert!(told_of_anchors(&warnings).is_empty());
}

#[test]
fn an_authority_that_may_not_sign_certificates_is_a_mistake() {
    let place = Place::new();
    let path = place.write(
        "anchors.pem",
        root("lists only", 2030, vec![KeyUsagePurpose::CrlSign]),
    );
    let expected: &[&[&str]] = &[&["clients.trust_anchors", "lists only", "no keyCertSign"]];
    assert_told(place.load(&with_anchors(&path, "check"), &[]), expected);
}
