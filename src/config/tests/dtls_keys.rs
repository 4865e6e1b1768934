//! `[dtls]`: suites, connection IDs, extended master secret, resumption.

use super::*;
use crate::dtls::{CipherSuite, ExtendedMasterSecret, Parameters};

fn dtls(text: &str) -> Result<(Parameters, Vec<String>), Vec<String>> {
    let (config, warnings) = Place::new().load(&format!("[dtls]\n{text}\n"), &[])?;
    let about =
        |warning: &&Warning| warning.key.starts_with("dtls.") || warning.key.starts_with("limits.");
    let warnings = warnings.iter().filter(about);
    Ok((config.dtls, warnings.map(Warning::to_string).collect()))
}

#[test]
fn suites_are_named_as_iana_names_them() {
    let list: Vec<&str> = CipherSuite::ALL
        .iter()
        .rev()
        .map(|suite| suite.name())
        .collect();
    let place = Place::new();
    let ecdsa: Vec<&str> = list
        .iter()
        .copied()
        .filter(|name| name.contains("ECDSA"))
        .collect();
    for (text, environment) in [
        (format!("[dtls]\ncipher_suites = {ecdsa:?}\n"), vec![]),
        (
            String::new(),
            vec![("COAPS_GATEWAY__DTLS__CIPHER_SUITES", ecdsa.join(", "))],
        ),
    ] {
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (config, _) = place.load(&text, &environment).unwrap();
        let names: Vec<&str> = config
            .dtls
            .cipher_suites
            .iter()
            .map(CipherSuite::name)
            .collect();
        assert_eq!(names, ecdsa);
    }
    assert_eq!(dtls("cipher_suites = []").unwrap().0, Parameters::default());
    for (text, parts) in [
        (
            "cipher_suites = [\"TLS_RSA_WITH_AES_128_CBC_SHA\"]",
            [
                "is no suite the gateway has",
                "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, TLS_",
            ],
        ),
        (
            "cipher_suites = [\"TLS_AES_128_GCM_SHA256\"]",
            [
                "is no suite of DTLS 1.2",
                "those of 1.3 are not chosen here",
            ],
        ),
        (
            "cipher_suites = [\"TLS_ECDHE_ECDSA_WITH_AES_128_CCM\", \"TLS_ECDHE_ECDSA_WITH_AES_128_CCM\"]",
            ["is in the list twice", "each suite once"],
        ),
        ("cipher_suites = 7", ["this is a number", "a list like"]),
    ] {
        let expected: Vec<&str> = ["dtls.cipher_suites:"].into_iter().chain(parts).collect();
        assert_mistakes(dtls(text), &[&expected]);
    }
}

#[test]
fn connection_ids_have_enough_bytes_or_none() {
    for length in [0, 4, 5, 6, 7, 8] {
        let (dtls, warnings) = dtls(&format!("connection_id = {length}")).unwrap();
        assert_eq!(dtls.connection_id, length);
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    for (length, found) in [
        ("1", "1 bytes are too few"),
        ("3", "3 bytes"),
        ("9", "out of range"),
        ("-1", "out of range"),
    ] {
        let parts = [
            "dtls.connection_id:",
            found,
            "0, or a number from 4 to 8",
            "guessed easily",
        ];
        assert_mistakes(dtls(&format!("connection_id = {length}")), &[&parts]);
    }
    let most = 1 << 20;
    for (sessions, is_warned) in [(most, false), (most + 1, true)] {
        let text = format!("connection_id = 4\n[limits]\nsessions = {sessions}");
        let (_, warnings) = dtls(&text).unwrap();
        assert_eq!(warnings.len(), usize::from(is_warned), "{warnings:?}");
        assert!(
            warnings.iter().all(|it| it.contains("are guessed easily")),
            "{warnings:?}"
        );
    }
}

#[test]
fn extended_master_secret_and_resumption_are_set() {
    let text = "extended_master_secret = \"require\"\nresumption_lifetime = \"1h\"\n[limits]\nresumable_sessions = 0";
    let (dtls, _) = dtls(text).unwrap();
    assert_eq!(dtls.extended_master_secret, ExtendedMasterSecret::Require);
    assert_eq!(dtls.resumption_lifetime, Duration::from_secs(3600));
    assert_eq!(dtls.resumable_sessions, 0);
}

#[test]
fn keys_of_dtls_1_2_have_no_effect_without_it() {
    let text = "versions = \"1.3\"\ncipher_suites = []\nextended_master_secret = \"prefer\"\nconnection_id = 0\n\
        resumption_lifetime = \"1h\"\n[limits]\nresumable_sessions = 0";
    let (_, warnings) = dtls(text).unwrap();
    assert_eq!(warnings.len(), 5, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .all(|it| it.contains("this is for DTLS 1.2")),
        "{warnings:?}"
    );
}
