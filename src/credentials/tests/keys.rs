//! Each kind of key that a client's certificate and its issuers may have.

use super::*;
use rcgen::{PKCS_RSA_SHA256, RsaKeySize};

/// Its name, and a new key of this kind.
fn keys() -> Vec<(&'static str, KeyPair)> {
    let elliptic = [
        ("P-256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("P-521", &rcgen::PKCS_ECDSA_P521_SHA512),
        ("Ed25519", &rcgen::PKCS_ED25519),
    ];
    let elliptic = elliptic.map(|(name, kind)| (name, KeyPair::generate_for(kind).unwrap()));
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
    let rsa = [
        ("RSA 2048", rsa(RsaKeySize::_2048)),
        ("RSA 3072", rsa(RsaKeySize::_3072)),
    ];
    elliptic.into_iter().chain(rsa).collect()
}

#[test]
fn clients_and_their_issuers_may_have_each_kind_of_key() {
    for (name, key) in keys() {
        let root = Authority::root("root");
        let made = authority_params("issuer").signed_by(&key, &root.issuer);
        let made = made.unwrap().der().to_vec();
        let issuer = Authority {
            pem: String::new(),
            issuer: Issuer::new(authority_params("issuer"), key),
        };
        let policy = policy(&root.pem, Validity::Check);
        for (other, key) in keys() {
            let leaf = params("meter").signed_by(&key, &issuer.issuer).unwrap();
            let chain: [&[u8]; 2] = [leaf.der(), &made];
            let known = policy.known(&chain, at(NOW)).unwrap();
            assert_eq!(known.sent(), chain[1..], "{other} below {name}");
        }
    }
}
