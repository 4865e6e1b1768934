//! `clients.revocation_lists`: one file or several, and their mistakes.

use super::*;
use crate::credentials::certificates;
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use x509_parser::prelude::{FromDer, X509Certificate};

impl Place {
    /// The certificate of meter-17, DER.
    fn meter(&self) -> Vec<u8> {
        let pem = fs::read(self.path("certs/meter-17.pem")).unwrap();
        certificates(&pem).unwrap()[0].to_vec()
    }

    /// A list by the authority of `certs/ca.pem`, PEM: meter-17 is on it or not.
    fn list(&self, number: u64, revoked: bool) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        let key = KeyPair::from_pem(&read("certs/ca.key")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&read("certs/ca.pem"), key).unwrap();
        let meter = self.meter();
        let (_, meter) = X509Certificate::from_der(&meter).unwrap();
        let entry = RevokedCertParams {
            serial_number: SerialNumber::from_slice(meter.raw_serial()),
            revocation_time: date_time_ymd(2025, 12, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 12, 1),
            next_update: date_time_ymd(2026, 2, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.then_some(entry).into_iter().collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&issuer).unwrap().pem().unwrap()
    }

    /// `[clients]` with the authority of `certs/` and this for `revocation_lists`.
    fn with_lists(&self, lists: &str) -> String {
        let anchors = self.path("certs/ca.pem");
        format!("[clients]\ntrust_anchors = {anchors:?}\nrevocation_lists = {lists}\n")
    }
}

#[test]
fn lists_are_named_one_by_one_or_together_in_the_file_or_the_environment() {
    let place = Place::new();
    let one = place.write("one.crl", place.list(1, true));
    let other = place.write("other.crl", place.list(1, true));
    let (meter, variable) = (place.meter(), "COAPS_GATEWAY__CLIENTS__REVOCATION_LISTS");
    let both = format!("{},{}", one.display(), other.display());
    for (text, environment) in [
        (format!("{one:?}"), None),
        (format!("[{one:?}, {other:?}]"), None),
        ("[]".to_owned(), Some(both.as_str())),
    ] {
        let environment: Vec<_> = environment
            .map(|value| (variable, value))
            .into_iter()
            .collect();
        let (config, warnings) = place.load(&place.with_lists(&text), &environment).unwrap();
        let verdict = config.clients.verify_leaf(&meter, now());
        assert_eq!(
            verdict,
            Err(crate::credentials::CertificateError::Revoked),
            "{text}"
        );
        assert!(
            !warnings
                .iter()
                .any(|warning| warning.key.starts_with("clients."))
        );
    }
    for nothing in ["[]", "\"\""] {
        let (config, _) = place.load(&place.with_lists(nothing), &[]).unwrap();
        assert_eq!(config.clients.verify_leaf(&meter, now()), Ok(()));
    }
}

#[test]
fn each_unusable_file_is_a_mistake_of_its_own() {
    let (place, elsewhere) = (Place::new(), Place::new());
    place.write("fine.crl", place.list(1, true));
    place.write("foreign.crl", elsewhere.list(1, true));
    let names = [
        "fine.crl",
        "foreign.crl",
        "nowhere.crl",
        "certs/ca.pem",
        "certs",
    ];
    let paths = names.map(|name| place.path(name));
    let expected: &[&[&str]] = &[
        &[
            "gateway.toml:3: clients.revocation_lists: foreign.crl: the list of",
            "no authority of that name",
        ],
        &[
            "nowhere.crl can't be read: there is no such file",
            "PEM or DER",
        ],
        &["certs/ca.pem: there is no X509 CRL in it"],
        &["certs can't be read: this is a directory"],
    ];
    assert_mistakes(
        place.load(&place.with_lists(&format!("{paths:?}")), &[]),
        expected,
    );
}

#[test]
fn lists_without_anchors_or_with_wrong_ones_are_a_mistake() {
    let place = Place::new();
    let paths = ["a.crl", "b.crl"].map(|name| place.write(name, place.list(1, true)));
    let alone = format!("[clients]\nrevocation_lists = {paths:?}\n");
    let expected: &[&str] = &[
        "gateway.toml:2: clients.revocation_lists:",
        "trust_anchors is not set",
        "; expected clients.trust_anchors with the lists' issuers",
    ];
    assert_mistakes(place.load(&alone, &[]), &[expected]);
    // Of a list that can't be verified, nothing is said but that it is there.
    let text = place.with_lists("[\"nowhere.crl\", \"gateway.toml\"]");
    let leaf = place.path("certs/meter-17.pem");
    let environment = [(
        "COAPS_GATEWAY__CLIENTS__TRUST_ANCHORS",
        leaf.to_str().unwrap(),
    )];
    let expected: &[&[&str]] = &[
        &["clients.trust_anchors:", "not an authority"],
        &["nowhere.crl can't be read"],
        &["gateway.toml can't be read"],
    ];
    assert_mistakes(place.load(&text, &environment), expected);
    assert_mistakes(
        place.load(&place.with_lists("7"), &[]),
        &[&["clients.revocation_lists: this is a number", "certs/ca.crl"]],
    );
}

#[test]
fn a_list_that_is_overdue_or_superseded_works_and_is_warned_about() {
    let place = Place::new();
    let paths = [
        place.write("old.crl", place.list(1, true)),
        place.write("new.crl", place.list(2, false)),
    ];
    let file = place.write("gateway.toml", place.with_lists(&format!("{paths:?}")));
    let day = 24 * 3600;
    for (days, overdue) in [(30, false), (32, true)] {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW + days * day));
        let (config, warnings) = Config::load(Some(&file), place.environment(&[]), now).unwrap();
        assert_eq!(config.clients.verify_leaf(&place.meter(), now), Ok(()));
        let warnings: Vec<String> = warnings
            .iter()
            .filter(|warning| warning.key == "clients.revocation_lists")
            .map(Warning::to_string)
            .collect();
        assert!(
            warnings[0].contains("new.crl: two lists of"),
            "{warnings:#?}"
        );
        let dated = |warning: &String| warning.contains("was due on 2026-02-01 00:00:00 UTC");
        assert_eq!(
            warnings.iter().filter(|warning| dated(warning)).count(),
            usize::from(overdue)
        );
        assert_eq!(warnings.len(), 1 + usize::from(overdue));
    }
}
