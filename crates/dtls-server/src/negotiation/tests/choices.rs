use super::*;
use crate::config::tests::identity;
use crate::suite::Authentication;
use rcgen::PKCS_ECDSA_P384_SHA384;

const P256: u16 = 23;
const P384: u16 = 24;
const X25519: u16 = 29;

fn offering(suites: &[CipherSuite]) -> Hello {
    Hello {
        suites: suites.iter().map(|suite| suite.number()).collect(),
        ..Hello::default()
    }
}

#[test]
fn the_server_orders_the_suites() {
    let mut backwards = CipherSuite::ALL;
    backwards.reverse();
    let choice = offering(&backwards).choice(both()).unwrap();
    assert_eq!(choice.suite, CipherSuite::EcdheEcdsaAes128Ccm8);
    let own_order = both().cipher_suites(&backwards);
    let choice = offering(&CipherSuite::ALL).choice(own_order).unwrap();
    assert_eq!(choice.suite, CipherSuite::EcdheRsaChaCha20Poly1305);
    for suite in CipherSuite::ALL {
        assert_eq!(offering(&[suite]).choice(both()).unwrap().suite, suite);
    }
}

/// BoringSSL's UnknownCipher, and a client that has only what is obsolete.
#[test]
fn suites_that_are_unknown_are_skipped() {
    let mut hello = offering(&[CipherSuite::EcdheEcdsaAes128Gcm]);
    hello.suites.insert(0, 0x1a1a);
    assert!(hello.choice(both()).is_ok());
    // AES-CBC, static RSA, TLS 1.3's.
    hello.suites = vec![0xc023, 0x003c, 0x1301];
    assert_eq!(
        hello.choice(both()),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

/// Class 37: every subset of groups and of some schemes, with every suite and two kinds of EC keys.
#[test]
fn class_37_nothing_is_signed_that_the_client_did_not_offer() {
    let p384 = identity(&PKCS_ECDSA_P384_SHA384);
    let other = Config::builder().identity(p384).identity(rsa());
    let schemes = [0x0403, 0x0503, 0x0603, 0x0401, 0x0805, 0x0201, 0x0203];
    let groups = NamedGroup::ALL.map(NamedGroup::number);
    let subset = |all: &[u16], bits: usize| -> Vec<u16> {
        let chosen = all
            .iter()
            .enumerate()
            .filter(|(index, _)| bits >> index & 1 == 1);
        chosen.map(|(_, number)| *number).collect()
    };
    let mut answered = 0;
    for (builder, curve) in [(both(), P256), (other, P384)] {
        for suite in CipherSuite::ALL {
            for scheme_bits in 1..1 << schemes.len() {
                for group_bits in 1..1 << groups.len() {
                    let (schemes, groups) =
                        (subset(&schemes, scheme_bits), subset(&groups, group_bits));
                    let hello = Hello {
                        groups: Some(groups.clone()),
                        schemes: Some(schemes.clone()),
                        ..offering(&[suite])
                    };
                    let is_ecdsa = suite.authentication() == Authentication::Ecdsa;
                    let matching = match (is_ecdsa, curve) {
                        (true, P256) => schemes.contains(&0x0403),
                        (true, _) => schemes.contains(&0x0503),
                        (false, _) => {
                            schemes.contains(&0x0401)
                                || schemes.contains(&0x0501)
                                || schemes.contains(&0x0805)
                        }
                    };
                    match hello.choice(builder.clone()) {
                        Ok(choice) => {
                            answered += 1;
                            assert!(schemes.contains(&choice.scheme.number()));
                            assert!(groups.contains(&choice.group.number()));
                            assert!(!is_ecdsa || groups.contains(&curve));
                            assert!(matching);
                        }
                        Err(alert) => {
                            assert_eq!(alert, AlertDescription::HANDSHAKE_FAILURE);
                            assert!(
                                !matching || is_ecdsa && !groups.contains(&curve),
                                "{suite} {schemes:04x?} {groups:?}"
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(answered > 1000);
}

/// The client can't verify the one identity, but the other: because of its suites, schemes, or groups.
#[test]
fn the_identity_is_one_that_the_client_can_verify() {
    let authentication = |hello: &Hello| {
        hello
            .choice(both())
            .map(|choice| choice.suite.authentication())
    };
    let hello = Hello::default();
    assert_eq!(authentication(&hello), Ok(Authentication::Ecdsa));
    let only_rsa_suites = offering(&CipherSuite::ALL[7..]);
    assert_eq!(authentication(&only_rsa_suites), Ok(Authentication::Rsa));
    let only_rsa_schemes = Hello {
        schemes: Some(vec![0x0401]),
        ..Hello::default()
    };
    assert_eq!(authentication(&only_rsa_schemes), Ok(Authentication::Rsa));
    let without_our_curve = Hello {
        groups: Some(vec![X25519, P384]),
        ..Hello::default()
    };
    assert_eq!(authentication(&without_our_curve), Ok(Authentication::Rsa));
    let only_sha1 = Hello {
        schemes: Some(vec![0x0201, 0x0203]),
        ..Hello::default()
    };
    assert_eq!(
        authentication(&only_sha1),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

/// BoringSSL's CertificateSelection-Server-CipherSuite-Prefs, which needs AES-CBC.
#[test]
fn a_suite_that_is_not_configured_chooses_no_identity() {
    let offered = offering(&[
        CipherSuite::EcdheEcdsaAes128Gcm,
        CipherSuite::EcdheRsaAes128Gcm,
    ]);
    let other_ecdsa = CipherSuite::EcdheEcdsaAes256Gcm;
    let with_rsa = both().cipher_suites(&[other_ecdsa, CipherSuite::EcdheRsaAes128Gcm]);
    let choice = offered.choice(with_rsa).unwrap();
    assert_eq!(choice.suite, CipherSuite::EcdheRsaAes128Gcm);
    assert_eq!(
        offered.choice(both().cipher_suites(&[other_ecdsa])),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

#[test]
fn the_best_scheme_of_the_key_is_used() {
    let scheme = |numbers: &[u16]| {
        let hello = Hello {
            schemes: Some(numbers.to_vec()),
            ..offering(&[CipherSuite::EcdheRsaAes128Gcm])
        };
        hello.choice(both()).map(|choice| choice.scheme)
    };
    assert_eq!(scheme(&[0x0401, 0x0804]), Ok(SignatureScheme::RsaPssSha256));
    assert_eq!(
        scheme(&[0x0601, 0x0401]),
        Ok(SignatureScheme::RsaPkcs1Sha256)
    );
}

#[test]
fn the_server_orders_the_groups() {
    let group = |groups: &[u16], builder: ConfigBuilder| {
        let hello = Hello {
            groups: Some(groups.to_vec()),
            ..Hello::default()
        };
        hello.choice(builder).map(|choice| choice.group)
    };
    assert_eq!(
        group(&[X25519, P384, P256], both()),
        Ok(NamedGroup::Secp256r1)
    );
    let x25519_first = both().groups(&[NamedGroup::X25519, NamedGroup::Secp256r1]);
    assert_eq!(group(&[P256, X25519], x25519_first), Ok(NamedGroup::X25519));
    // BoringSSL's UnknownCurve.
    assert_eq!(group(&[0x4242, P256], both()), Ok(NamedGroup::Secp256r1));
    // Brainpool and secp256k1.
    assert_eq!(
        group(&[26, 22], both()),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

/// BoringSSL's OmitExtensions-ClientHello-TLS12 and EmptyExtensions-ClientHello-TLS12.
#[test]
fn a_hello_without_extensions_gets_p256_and_sha256() {
    let bare = Hello {
        groups: None,
        schemes: None,
        ..Hello::default()
    };
    let (choice, answers) = bare.negotiate(both()).unwrap();
    assert_eq!(choice.group, NamedGroup::Secp256r1);
    assert_eq!(choice.scheme, SignatureScheme::EcdsaSha256);
    assert_eq!(answers, ServerExtensions::default());
    let rsa_suite = CipherSuite::EcdheRsaAes256Gcm.number();
    let with_rsa = Hello {
        suites: vec![rsa_suite],
        ..bare
    };
    let scheme = with_rsa.choice(both()).map(|choice| choice.scheme);
    assert_eq!(scheme, Ok(SignatureScheme::RsaPkcs1Sha256));
    let without_p256 = both().groups(&[NamedGroup::X25519]);
    assert_eq!(
        with_rsa.choice(without_p256),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}
