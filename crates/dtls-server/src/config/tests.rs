use super::*;
use crate::crypto::signature::{SignatureScheme, Signer, SigningFailed};
use crate::crypto::signing_key::SigningKey;
use crate::message::certificate::Certificate;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use std::sync::Arc;

/// A certificate that is signed by its own key, and the key.
pub(crate) fn certificate(algorithm: &'static SignatureAlgorithm) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    (certificate.der().to_vec(), key)
}

fn signer(key: &KeyPair) -> Arc<dyn Signer> {
    Arc::new(SigningKey::from_der(key.serialized_der()).unwrap())
}

pub(crate) fn identity(algorithm: &'static SignatureAlgorithm) -> Identity {
    let (certificate, key) = certificate(algorithm);
    Identity::new(&[certificate], signer(&key)).unwrap()
}

pub(crate) fn p256() -> Identity {
    identity(&PKCS_ECDSA_P256_SHA256)
}

pub(crate) fn rsa() -> Identity {
    identity(&PKCS_RSA_SHA256)
}

#[test]
fn an_identity_knows_its_key() {
    for (algorithm, authentication, curve) in [
        (
            &PKCS_ECDSA_P256_SHA256,
            Authentication::Ecdsa,
            Some(NamedGroup::Secp256r1),
        ),
        (
            &PKCS_ECDSA_P384_SHA384,
            Authentication::Ecdsa,
            Some(NamedGroup::Secp384r1),
        ),
        (
            &PKCS_ECDSA_P521_SHA512,
            Authentication::Ecdsa,
            Some(NamedGroup::Secp521r1),
        ),
        (&PKCS_RSA_SHA256, Authentication::Rsa, None),
    ] {
        let identity = identity(algorithm);
        assert_eq!(
            (identity.authentication(), identity.curve()),
            (authentication, curve)
        );
    }
}

#[test]
fn the_certificate_message_has_the_chain_in_its_order() {
    let (own, key) = certificate(&PKCS_ECDSA_P256_SHA256);
    let (issuer, _) = certificate(&PKCS_RSA_SHA256);
    let identity = Identity::new(&[&own, &issuer], signer(&key)).unwrap();
    let message = Certificate::parse(identity.certificate_message()).unwrap();
    assert_eq!(message.chain, [&own[..], &issuer]);
}

#[test]
fn an_identity_that_can_not_work_is_refused() {
    let (own, key) = certificate(&PKCS_ECDSA_P256_SHA256);
    let (other, other_key) = certificate(&PKCS_ECDSA_P256_SHA256);
    let (_, rsa_key) = certificate(&PKCS_RSA_SHA256);
    let refused = |chain: &[&[u8]], key: &KeyPair| Identity::new(chain, signer(key)).unwrap_err();
    assert_eq!(refused(&[], &key), IdentityError::NoCertificate);
    assert_eq!(
        refused(&[&own, &other[1..]], &key),
        IdentityError::Malformed(2)
    );
    assert_eq!(refused(&[&own[..9]], &key), IdentityError::Malformed(1));
    assert_eq!(refused(&[&own[..]; 17], &key), IdentityError::TooLong);
    for wrong in [&other_key, &rsa_key] {
        assert_eq!(refused(&[&own], wrong), IdentityError::Mismatch);
    }

    /// A hardware module that has no key.
    #[derive(Debug)]
    struct Empty(Vec<SignatureScheme>);
    impl Signer for Empty {
        fn schemes(&self) -> &[SignatureScheme] {
            &self.0
        }
        fn sign(&self, _: SignatureScheme, _: &[u8]) -> Result<Vec<u8>, SigningFailed> {
            Err(SigningFailed)
        }
    }
    for schemes in [vec![], vec![SignatureScheme::EcdsaSha256]] {
        let refused = Identity::new(&[&own], Arc::new(Empty(schemes)));
        assert_eq!(refused.unwrap_err(), IdentityError::Mismatch);
    }
}

#[test]
fn the_cipher_suites_are_those_of_the_identities() {
    let suites = |builder: ConfigBuilder| builder.build().unwrap().cipher_suites().to_vec();
    let [ccm8, .., chacha_rsa] = CipherSuite::ALL;
    assert_eq!(
        suites(Config::builder().identity(p256())),
        CipherSuite::ALL[..7]
    );
    assert_eq!(
        suites(Config::builder().identity(rsa())),
        CipherSuite::ALL[7..]
    );
    let both = Config::builder().identity(rsa()).identity(p256());
    assert_eq!(suites(both.clone()), CipherSuite::ALL);
    let ordered = both.cipher_suites(&[chacha_rsa, ccm8]);
    assert_eq!(suites(ordered), [chacha_rsa, ccm8]);
}

#[test]
fn a_configuration_that_can_not_work_is_refused() {
    let refused = |builder: ConfigBuilder| builder.build().unwrap_err();
    let ecdsa = Config::builder().identity(p256());
    assert!(ecdsa.clone().build().is_ok());
    assert_eq!(refused(Config::builder()), ConfigError::NoIdentity);
    assert_eq!(
        refused(ecdsa.clone().identity(p256())),
        ConfigError::TwoOfAKind
    );
    assert_eq!(
        refused(ecdsa.clone().cipher_suites(&[])),
        ConfigError::NoCipherSuite
    );
    let rsa_suite = CipherSuite::EcdheRsaAes128Gcm;
    let error = refused(ecdsa.clone().cipher_suites(&[rsa_suite]));
    assert_eq!(error, ConfigError::NoIdentityFor(rsa_suite));
    assert_eq!(
        error.to_string(),
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 needs an identity with an RSA key"
    );
    assert_eq!(refused(ecdsa.clone().groups(&[])), ConfigError::NoGroup);
    let error = refused(ecdsa.clone().connection_id_length(Some(9)));
    assert_eq!(error, ConfigError::ConnectionIdLength(9));
    for mtu in [0, 127, 65_508] {
        assert_eq!(refused(ecdsa.clone().mtu(mtu)), ConfigError::Mtu(mtu));
    }
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    for (first, longest) in [(Duration::ZERO, minute), (minute, second)] {
        let builder = ecdsa.clone().timeouts(first, longest);
        assert_eq!(refused(builder), ConfigError::Timeouts);
    }
}
