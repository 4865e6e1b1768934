//! Certificates and keys of the gateway that are made here.

use super::*;
use crate::credentials::tests::{Authority, authority_params, params};
use crate::credentials::{Moment, certificates};
use rcgen::{IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize};

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
fn keys_on_each_curve_are_accepted_and_debug_hides_them() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
    ] {
        let (certificate, key) = pair_of(algorithm);
        let credentials = read(&certificate, &key).unwrap();
        assert_eq!(format!("{credentials:?}"), "ServerCredentials(hidden)");
    }
}

#[test]
fn credentials_have_an_expiry() {
    let (certificate, key) = pair_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    let credentials = read(&certificate, &key).unwrap();
    let period = Period {
        not_before: Moment::from_seconds(1_735_689_600),
        not_after: Moment::from_seconds(1_798_761_600),
    };
    assert_eq!(credentials.period(), Some(period));
    let expiry = credentials.expiries().next().unwrap();
    assert_eq!(
        (expiry.kind, expiry.at),
        (ExpiryKind::Server, period.not_after)
    );
    assert!(expiry.name.contains("CN=server"), "{}", expiry.name);
}

#[test]
fn keys_of_another_type_are_refused_by_their_kind() {
    let (certificate, key) = pair_of(&rcgen::PKCS_ED25519);
    assert!(read(&certificate, &key).unwrap_err().contains("Ed25519"));
    let (good, good_key) = pair_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    let wrong = read(&good, &key).unwrap_err();
    assert!(wrong.contains("it is an Ed25519 key"), "{wrong}");
    let (_, p521) = pair_of(&rcgen::PKCS_ECDSA_P521_SHA512);
    assert!(read(&good, &p521).unwrap_err().contains("does not belong"));
    let (rsa_certificate, rsa) = pair_of(&PKCS_RSA_SHA256);
    let wrong = read(&good, &rsa).unwrap_err();
    assert!(wrong.contains("it is an RSA key"), "{wrong}");
    let wrong = read(&rsa_certificate, &rsa).unwrap_err();
    for part in ["an RSA key of 2048 bits", "server.rsa_certificate"] {
        assert!(wrong.contains(part), "{wrong}");
    }
    let wrong = read_rsa(&good, &rsa).unwrap_err();
    for part in ["has an EC key", "server.certificate"] {
        assert!(wrong.contains(part), "{wrong}");
    }
    let wrong = read_rsa(&rsa_certificate, &good_key).unwrap_err();
    assert!(wrong.contains("it is an EC key"), "{wrong}");
    let der = &certificates(good.as_bytes()).unwrap()[0];
    let p256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let at = der.windows(8).position(|bytes| bytes == p256).unwrap();
    let mut other = der.to_vec();
    // The identifier of no curve.
    other[at + 7] = 0x70;
    let wrong = read(&pem(&other), &good_key).unwrap_err();
    assert!(wrong.contains("an EC key on another curve"), "{wrong}");
}

fn read_rsa(certificate: &str, key: &str) -> Result<ServerIdentity, String> {
    let chain = CertificateChain::from_pem(certificate.as_bytes(), KeyType::Rsa);
    let key = PrivateKey::from_pem(key.as_bytes(), KeyType::Rsa);
    chain
        .and_then(|chain| ServerIdentity::pair(chain, key?))
        .map_err(|error| error.to_string())
}

fn pem(der: &[u8]) -> String {
    section("CERTIFICATE", der)
}

fn section(name: &str, der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN {name}-----\n{text}\n-----END {name}-----\n")
}

#[test]
fn rsa_keys_are_accepted_in_both_forms_and_short_ones_refused() {
    for size in [RsaKeySize::_2048, RsaKeySize::_3072] {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
        let certificate = params("server").self_signed(&key).unwrap().pem();
        let identity = read_rsa(&certificate, &key.serialize_pem()).unwrap();
        assert_eq!(format!("{identity:?}"), "ServerIdentity(hidden)");
        // PKCS#1, cut out of PKCS#8: SEQUENCE { version, algorithm, OCTET STRING { RSAPrivateKey } }.
        let pkcs8 = key.serialize_der();
        let inner = pkcs8.get(26..).unwrap();
        let pkcs1 = section("RSA PRIVATE KEY", inner);
        let again = read_rsa(&certificate, &pkcs1).unwrap();
        assert_eq!(again.private_key, identity.private_key);
        assert_eq!(again.chain, identity.chain);
        let (_, other) = pair_of(&PKCS_RSA_SHA256);
        let wrong = read_rsa(&certificate, &other).unwrap_err();
        assert!(wrong.contains("does not belong"), "{wrong}");
    }
    let (_, key) = pair_of(&PKCS_RSA_SHA256);
    let wrong = read_rsa(SMALL, &key).unwrap_err();
    for part in ["an RSA key of 1024 bits", "2048 to 8192 bits"] {
        assert!(wrong.contains(part), "{wrong}");
    }
}

/// A certificate with an RSA key of 1024 bits.
const SMALL: &str = "\
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

/// The certificates of a server, two authorities above it, and their root; and the server's key.
struct Line {
    all: [String; 4],
    key: String,
}

impl Line {
    fn new() -> Line {
        let root = Authority::root("root");
        let upper = Authority::under("upper", &root);
        let lower = Authority::under("lower", &upper);
        let key = KeyPair::generate().unwrap();
        let own = params("server").signed_by(&key, &lower.issuer).unwrap();
        Line {
            all: [own.pem(), lower.pem, upper.pem, root.pem],
            key: key.serialize_pem(),
        }
    }

    /// Reads those at these positions, in this order.
    fn read(&self, order: &[usize]) -> Result<ServerCredentials, String> {
        let text: String = order
            .iter()
            .map(|index| self.all[*index].as_str())
            .collect();
        read(&text, &self.key)
    }
}

#[test]
fn a_chain_is_read_in_order() {
    let line = Line::new();
    for (order, ends_with_root) in [
        (&[0][..], false),
        (&[0, 1], false),
        (&[0, 1, 2], false),
        (&[0, 1, 2, 3], true),
    ] {
        let credentials = line.read(order).unwrap();
        let wanted = order.iter().map(|index| {
            let all = certificates(line.all[*index].as_bytes()).unwrap();
            all[0].to_vec()
        });
        assert_eq!(credentials.ecdsa.chain, wanted.collect::<Vec<_>>());
        assert_eq!(credentials.expiries().count(), order.len());
        let text: String = order
            .iter()
            .map(|index| line.all[*index].as_str())
            .collect();
        let chain = CertificateChain::from_pem(text.as_bytes(), KeyType::Ecdsa).unwrap();
        assert_eq!(chain.ends_with_root(), ends_with_root);
        assert_eq!(chain.periods().len(), order.len());
    }
}

#[test]
fn a_chain_out_of_order_or_with_others_in_it_is_refused() {
    let line = Line::new();
    for (order, part) in [
        (&[0, 2, 1][..], "certificate 1 was issued by certificate 3"),
        (&[1, 0], "certificate 2 was issued by certificate 1"),
        (
            &[0, 1, 3],
            "certificate 2 was issued by \"CN=upper\", not by certificate 3, which is \"CN=root\"",
        ),
        (&[0, 3], "certificate 1 was issued by \"CN=lower\""),
        (&[0, 1, 1], "certificate 3 is the same as certificate 2"),
        (&[0, 1, 0], "certificate 3 is the same as certificate 1"),
    ] {
        let wrong = line.read(order).unwrap_err();
        assert!(wrong.contains(part), "{order:?}: {wrong}");
    }
    // An authority with the same name and another key, and one that may not sign.
    let renewed = Authority::under("lower", &Authority::root("upper"));
    let wrong = read(&format!("{}{}", line.all[0], renewed.pem), &line.key).unwrap_err();
    assert!(wrong.contains("not the key that signed it"), "{wrong}");
    let mut no_authority = params("issuer");
    let mut lists = authority_params("issuer");
    lists.key_usages = vec![KeyUsagePurpose::CrlSign];
    no_authority.is_ca = IsCa::ExplicitNoCa;
    for issuer in [no_authority, lists] {
        let issuer = Authority::with(issuer, &Authority::root("root"));
        let key = KeyPair::generate().unwrap();
        let own = params("server").signed_by(&key, &issuer.issuer).unwrap();
        let both = format!("{}{}", own.pem(), issuer.pem);
        let wrong = read(&both, &key.serialize_pem()).unwrap_err();
        assert!(
            wrong.contains("certificate 2 may not issue others"),
            "{wrong}"
        );
    }
    let many = line.all[0].repeat(17);
    assert!(
        read(&many, &line.key)
            .unwrap_err()
            .contains("17 certificates")
    );
}

#[test]
fn a_key_of_another_certificate_is_rejected() {
    let ((one, _), (_, other)) = (
        pair_of(&rcgen::PKCS_ECDSA_P256_SHA256),
        pair_of(&rcgen::PKCS_ECDSA_P256_SHA256),
    );
    assert!(read(&one, &other).unwrap_err().contains("does not belong"));
}

#[test]
fn the_usual_mistakes_with_files_are_reported() {
    let (certificate, key) = pair_of(&rcgen::PKCS_ECDSA_P256_SHA256);
    let doubled = format!("{certificate}{certificate}");
    let cases = [
        (doubled.as_str(), key.as_str(), "certificate 2 is the same"),
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
fn a_sec1_key_is_converted_to_pkcs8() {
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
        &credentials.ecdsa.private_key,
    );
    assert!(again.is_ok());
}
