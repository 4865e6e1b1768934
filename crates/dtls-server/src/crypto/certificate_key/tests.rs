use super::*;
use crate::crypto::signature::Signer;
use crate::crypto::signing_key::{KeyRefused, SigningKey};
use crate::test::hex;
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use rcgen::{
    CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
    SignatureAlgorithm,
};

/// A key that nobody has the private half of.
struct Public {
    bytes: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

fn certificate(key: &impl PublicKeyData) -> Vec<u8> {
    let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
    let parameters = CertificateParams::default();
    parameters.signed_by(key, &issuer).unwrap().der().to_vec()
}

fn refused(bytes: &[u8], algorithm: &'static SignatureAlgorithm) -> AlertDescription {
    let bytes = bytes.to_vec();
    CertificateKey::from_certificate(&certificate(&Public { bytes, algorithm })).unwrap_err()
}

/// Every kind, with its private key in PKCS#8.
fn kinds() -> Vec<(KeyKind, KeyPair)> {
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
    let other = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    vec![
        (KeyKind::P256, other(&PKCS_ECDSA_P256_SHA256)),
        (KeyKind::P384, other(&PKCS_ECDSA_P384_SHA384)),
        (KeyKind::P521, other(&PKCS_ECDSA_P521_SHA512)),
        (KeyKind::Rsa(2048), rsa(RsaKeySize::_2048)),
        (KeyKind::Rsa(3072), rsa(RsaKeySize::_3072)),
        (KeyKind::Ed25519, other(&PKCS_ED25519)),
    ]
}

/// Replaces the only occurrence of some bytes.
fn patch(der: &mut [u8], from: &[u8], to: &[u8]) {
    let mut places = (0..der.len()).filter(|&at| der[at..].starts_with(from));
    let at = places.next().unwrap();
    assert_eq!(places.next(), None);
    der[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn what_the_server_signs_is_verified() {
    for (kind, pair) in kinds() {
        let key = CertificateKey::from_certificate(&certificate(&pair)).unwrap();
        assert_eq!(key.kind(), kind);
        let Ok(signer) = SigningKey::from_der(&pair.serialize_der()) else {
            // The server has none.
            assert_eq!(kind, KeyKind::Ed25519);
            continue;
        };
        assert!(!signer.schemes().is_empty());
        for scheme in SignatureScheme::ALL {
            if !signer.schemes().contains(&scheme) {
                assert!(signer.sign(scheme, b"message").is_err());
                continue;
            }
            let mut signature = signer.sign(scheme, b"message").unwrap();
            assert_eq!(key.verify(scheme, b"message", &signature), Ok(()));
            let wrong = Err(AlertDescription::DECRYPT_ERROR);
            assert_eq!(key.verify(scheme, b"Message", &signature), wrong);
            *signature.last_mut().unwrap() ^= 1;
            assert_eq!(key.verify(scheme, b"message", &signature), wrong);
            assert_eq!(key.verify(scheme, b"message", &[]), wrong);
        }
    }
}

/// The client chooses the hash (RFC 5246 §7.4.8), and ECDSA goes with any: OpenSSL's signatures over "message".
#[test]
fn a_hash_that_is_not_the_curves_is_verified() {
    let p256 = "04f952048ec4f928414ccfa69a9227436d2972ea6c66b19e657dc89bf079068b8a198e12250352afb365b557d395faa3925d9cb192f5
        f794ef205ac5294a8cf25e";
    let p384 = "04c8d18bf1a6c4a91d9a25af96b5345334046bd48f76873299f83293a4c43e67f703efe90b693c3fd7a6ec521f8ebffa2141b21211e2
        897cda7d0c2bf18dc2cdd488055d0c4f09db59e465ecd8dd31aa20572eb2daba66d5e79ce167eed025f77e";
    let signatures = [
        (
            (p256, &PKCS_ECDSA_P256_SHA256),
            SignatureScheme::EcdsaSha384,
            "3045022028dc9bafbc76d3b43ae26b13bb904159610db9f8bad9be015096556f68a0ef70022100b1b7adb0e79deef48bf264ec0dc87145
             b7a05a8538116508b51017168dc3e9ee",
        ),
        (
            (p256, &PKCS_ECDSA_P256_SHA256),
            SignatureScheme::EcdsaSha512,
            "3046022100baedf26a2fd92e982f0d134e7cae4257234f3597c408aba64ffde2da0791e123022100c11870f4d660cf667a08f3c0dd9be8
             b8766b1594503f7275751c5758635cb82a",
        ),
        (
            (p384, &PKCS_ECDSA_P384_SHA384),
            SignatureScheme::EcdsaSha256,
            "3066023100853bc1bec7ea06d15a7e94711bbcb98ccd20848dce42973fd96b99a3ae4fa909e88525371191e70cf73a6472c09d0f410231
             00cb58dd01ad9372d0e81357af13d42a9c89cc5787b6f70d6b60f967ba51daf97721ea5af5d53c66bc2c9565a59c7b3713",
        ),
        (
            (p384, &PKCS_ECDSA_P384_SHA384),
            SignatureScheme::EcdsaSha512,
            "30640230049f94a9fd0779f1fe05df1066fb99862d15579a162bf7880893beb49eb4d1deb95a3f2e40caaae94387c3b7943f2e15023073
             a2b91017b7b9993aacc8cb2173a74adf74dbedc35c02953db5a12928ce70904db7395e30d8d211a6c73fbaf4bcb277",
        ),
    ];
    for ((point, algorithm), scheme, signature) in signatures {
        let bytes = hex(point);
        let key = certificate(&Public { bytes, algorithm });
        let key = CertificateKey::from_certificate(&key).unwrap();
        assert_eq!(key.verify(scheme, b"message", &hex(signature)), Ok(()));
        let others = [
            SignatureScheme::EcdsaSha256,
            SignatureScheme::EcdsaSha384,
            SignatureScheme::EcdsaSha512,
        ];
        for other in others.into_iter().filter(|&other| other != scheme) {
            let refused = key.verify(other, b"message", &hex(signature));
            assert_eq!(refused, Err(AlertDescription::DECRYPT_ERROR));
        }
    }
}

#[test]
fn a_scheme_that_does_not_go_with_the_key_is_refused() {
    for (kind, pair) in kinds() {
        let key = CertificateKey::from_certificate(&certificate(&pair)).unwrap();
        let refused = SignatureScheme::ALL.into_iter().filter(|&scheme| {
            let verified = key.verify(scheme, b"message", &[0; 64]);
            verified == Err(AlertDescription::ILLEGAL_PARAMETER)
        });
        let expected = match kind {
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => 10 - 3,
            KeyKind::Rsa(_) => 10 - 6,
            KeyKind::Ed25519 => 10 - 1,
        };
        assert_eq!(refused.count(), expected);
    }
}

/// Ed25519 signs the transcript itself (RFC 8422 §5.10): nothing hashes it before.
#[test]
fn ed25519_signatures_are_over_the_message() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = CertificateKey::from_certificate(&certificate(&pair)).unwrap();
    let signer = Ed25519KeyPair::from_pkcs8(&pair.serialize_der()).unwrap();
    let signature = signer.sign(b"message");
    let verified = key.verify(SignatureScheme::Ed25519, b"message", signature.as_ref());
    assert_eq!(verified, Ok(()));
}

#[test]
fn private_keys_are_read_in_every_form() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let sec1: EcPrivateKeyRfc5915Der = ec.private_key().as_der().unwrap();
    let key = SigningKey::from_der(sec1.as_ref()).unwrap();
    assert_eq!(key.schemes(), [SignatureScheme::EcdsaSha256]);
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    // RFC 5208: the PKCS#1 key stands behind 26 bytes of header.
    let key = SigningKey::from_der(&rsa.serialize_der()[26..]).unwrap();
    assert_eq!(key.schemes().len(), 6);
    for malformed in [&b""[..], b"key", &rsa.serialize_der()[..500]] {
        assert_eq!(SigningKey::from_der(malformed).err(), Some(KeyRefused));
    }
    assert_eq!(
        format!("{:?}", SigningKey::from_der(sec1.as_ref()).unwrap()),
        "SigningKey { schemes: [EcdsaSha256], .. }"
    );
}

/// An RSAPublicKey (RFC 8017 A.1.1) with a modulus of this many bits.
fn rsa_key(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= modulus.len() * 8 - bits;
    if bits.is_multiple_of(8) {
        modulus.insert(0, 0);
    }
    let element = |tag: u8, content: &[u8]| -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let length = match content.len() {
            0..128 => vec![low],
            128..256 => vec![0x81, low],
            _ => vec![0x82, high, low],
        };
        [&[tag], &length[..], content].concat()
    };
    element(0x30, &[element(2, &modulus), element(2, exponent)].concat())
}

#[test]
fn rsa_keys_have_2048_to_8192_bits() {
    let exponent = [1, 0, 1];
    for bits in [2048, 2049, 4096, 8191, 8192] {
        let key = Public {
            bytes: rsa_key(bits, &exponent),
            algorithm: &PKCS_RSA_SHA256,
        };
        let key = CertificateKey::from_certificate(&certificate(&key)).unwrap();
        assert_eq!(key.kind(), KeyKind::Rsa(bits.try_into().unwrap()));
    }
    for bits in [1024, 2047, 8193, 16384] {
        let alert = refused(&rsa_key(bits, &exponent), &PKCS_RSA_SHA256);
        assert_eq!(alert, AlertDescription::UNSUPPORTED_CERTIFICATE, "{bits}");
    }
    let longer = [&rsa_key(2048, &exponent)[..], &[0]].concat();
    for malformed in [
        &longer[..],
        &[],
        &[0x30, 0],
        &rsa_key(2048, &[2]),
        &rsa_key(2048, &[1]),
    ] {
        let alert = refused(malformed, &PKCS_RSA_SHA256);
        assert_eq!(alert, AlertDescription::BAD_CERTIFICATE);
    }
}

#[test]
fn other_kinds_of_key_are_unsupported() {
    let (_, pair) = kinds().swap_remove(0);
    let good = certificate(&Public {
        bytes: pair.der_bytes().to_vec(),
        algorithm: &PKCS_ECDSA_P256_SHA256,
    });
    let unsupported = |from: &[u8], to: &[u8]| {
        let mut other = good.clone();
        patch(&mut other, from, to);
        CertificateKey::from_certificate(&other).unwrap_err()
    };
    // prime256v1 becomes prime239v3; id-ecPublicKey something unknown; a named curve becomes something else than a name.
    let curve = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let ec = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    for (from, changed_at, to) in [(&curve[..], 9, 6), (&ec[..], 8, 9), (&curve[..], 0, 4)] {
        let mut other = from.to_vec();
        other[changed_at] = to;
        assert_eq!(
            unsupported(from, &other),
            AlertDescription::UNSUPPORTED_CERTIFICATE
        );
    }
    // rsaEncryption becomes id-RSASSA-PSS.
    let mut pss = certificate(&Public {
        bytes: rsa_key(2048, &[1, 0, 1]),
        algorithm: &PKCS_RSA_SHA256,
    });
    let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    patch(
        &mut pss,
        &oid,
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
    );
    let alert = CertificateKey::from_certificate(&pss).unwrap_err();
    assert_eq!(alert, AlertDescription::UNSUPPORTED_CERTIFICATE);
}

#[test]
fn malformed_keys_are_bad_certificates() {
    let pairs = kinds();
    for (kind, pair) in &pairs {
        let key = pair.der_bytes();
        let algorithm = PublicKeyData::algorithm(pair);
        let mut changed = Vec::new();
        changed.push(key[1..].to_vec());
        changed.push([key, &[0]].concat());
        if matches!(kind, KeyKind::P256 | KeyKind::P384 | KeyKind::P521) {
            // Not on the curve.
            let mut off = key.to_vec();
            *off.last_mut().unwrap() ^= 1;
            changed.push(off);
            // Compressed (bug class 38), and the point at infinity.
            let length = (key.len() - 1) / 2;
            let sign = 2 | key.last().unwrap() & 1;
            changed.push([&[sign], &key[1..=length]].concat());
            changed.push(vec![0]);
        }
        for bytes in changed {
            let alert = refused(&bytes, algorithm);
            assert_eq!(alert, AlertDescription::BAD_CERTIFICATE, "{kind:?}");
        }
    }
}

/// With S = 0, all that verification compares is R and a multiple of the key.
#[test]
fn ed25519_keys_by_which_anyone_signs_are_bad_certificates() {
    let points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        // Not canonical.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let points: Vec<Vec<u8>> = points.map(hex).to_vec();
    let with_sign = points.iter().flat_map(|point| {
        let mut negative = point.clone();
        negative[31] |= 0x80;
        [point.clone(), negative]
    });
    let points: Vec<Vec<u8>> = with_sign.collect();
    let mut forged = 0;
    for point in &points {
        let key = CertificateKey {
            kind: KeyKind::Ed25519,
            bytes: point.clone(),
        };
        // One of eight messages or so can be signed without a private key.
        let mut tries = points
            .iter()
            .flat_map(|r| (0..64).map(move |byte| (r, byte)));
        let is_forged = tries.any(|(r, byte)| {
            let signature = [&r[..], &[0; 32]].concat();
            key.verify(SignatureScheme::Ed25519, &[byte], &signature)
                .is_ok()
        });
        forged += u32::from(is_forged);
        let alert = refused(point, &PKCS_ED25519);
        assert_eq!(alert, AlertDescription::BAD_CERTIFICATE, "{point:02x?}");
    }
    assert_eq!(forged, 8, "the library takes all of them");
}

#[test]
fn malformed_certificates_are_bad_certificates() {
    let (_, pair) = kinds().swap_remove(0);
    let good = certificate(&pair);
    let bad = |der: &[u8]| {
        let alert = CertificateKey::from_certificate(der).unwrap_err();
        assert_eq!(alert, AlertDescription::BAD_CERTIFICATE);
    };
    for end in 0..good.len() {
        bad(&good[..end]);
    }
    bad(&[&good[..], &[0]].concat());
    // Never a panic.
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..20_000 {
        let mut other = good.clone();
        for _ in 0..random.usize(1..5) {
            let position = random.usize(..other.len());
            other[position] = random.u8(..);
        }
        if let Err(alert) = CertificateKey::from_certificate(&other) {
            let alerts = [
                AlertDescription::BAD_CERTIFICATE,
                AlertDescription::UNSUPPORTED_CERTIFICATE,
            ];
            assert!(alerts.contains(&alert));
        }
    }
}
