//! Key shares and signatures of clients: each kind that is lawful, and those that are not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::AlertDescription;
use dtls_server::crypto::key_exchange::{KeyShare, NamedGroup};
use dtls_server::crypto::random::SystemRandom;
use dtls_server::crypto::signature::{SignatureScheme, Signer, SigningFailed};
use dtls_server::handshake::HandshakeError;
use dtls_server::message::{HandshakeType, whole};
use dtls_server::record::ContentType;
use dtls_test_client::{
    Credentials, KeyType, Move, Options, Server, builder, connect, exchange, exchange_data,
    second_flight,
};
use std::sync::Arc;

/// What the server makes of a public key.
fn offer(group: NamedGroup, public_key: &[u8]) -> Option<HandshakeError> {
    let mut server = Server::with(builder().groups(&[group]));
    let options = Options {
        groups: Some(vec![group.number(), NamedGroup::Secp256r1.number()]),
        second_flight: vec![Move::Certificate],
        ..Options::new(Credentials::generate(KeyType::Rsa2048))
    };
    let (mut client, flight) = second_flight(&mut server, options);
    exchange(&mut server, &mut client, flight);
    let mut body = vec![u8::try_from(public_key.len()).unwrap()];
    body.extend_from_slice(public_key);
    let message = whole(HandshakeType::CLIENT_KEY_EXCHANGE, 3, &body).unwrap();
    let datagram = client.plaintext(ContentType::HANDSHAKE, &message);
    for answer in server.receive(&datagram) {
        client.receive(&answer);
    }
    let alerts = client.alerts().iter().map(|alert| alert.description);
    let alerts: Vec<AlertDescription> = alerts.collect();
    let expected = server.failure.and_then(|failure| failure.alert());
    assert_eq!(alerts, Vec::from_iter(expected));
    server.failure
}

#[test]
fn a_key_share_of_each_group_is_taken_and_each_malformed_one_refused() {
    for group in NamedGroup::ALL {
        let share = KeyShare::generate(group, &mut SystemRandom).unwrap();
        let public_key = share.public_key();
        assert_eq!(offer(group, public_key), None, "{group:?}");
        let (_, truncated) = public_key.split_last().unwrap();
        let padded = [public_key, &[0]].concat();
        let mut other_type = public_key.to_vec();
        other_type[0] = 5;
        let not_on_the_curve = [&[4][..], &vec![1; public_key.len() - 1]].concat();
        let zeros = vec![0; public_key.len()];
        for (malformed, is_of_x25519) in [
            (&[][..], true),
            (truncated, true),
            (&padded, true),
            (&zeros, true),
            (&other_type, false),
            (&not_on_the_curve, false),
        ] {
            if group == NamedGroup::X25519 && !is_of_x25519 {
                continue;
            }
            let failure = offer(group, malformed);
            assert!(
                matches!(
                    failure,
                    Some(HandshakeError::PublicKey(_) | HandshakeError::Malformed(_))
                ),
                "{group:?} {malformed:02x?}: {failure:?}"
            );
        }
    }
}

#[test]
fn class_38_compressed_points_are_refused() {
    for group in [
        NamedGroup::Secp256r1,
        NamedGroup::Secp384r1,
        NamedGroup::Secp521r1,
    ] {
        let share = KeyShare::generate(group, &mut SystemRandom).unwrap();
        let (_, coordinates) = share.public_key().split_first().unwrap();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        // SEC 1 §2.3.3: a point of the curve, by its x and whether its y is odd.
        let compressed = [&[2 + (y[y.len() - 1] & 1)][..], x].concat();
        let failure = offer(group, &compressed);
        assert!(
            matches!(failure, Some(HandshakeError::PublicKey(_))),
            "{group:?}: {failure:?}"
        );
    }
}

#[test]
fn the_highest_bit_of_an_x25519_key_does_not_matter() {
    let group = NamedGroup::X25519;
    let share = KeyShare::generate(group, &mut SystemRandom).unwrap();
    let mut public_key = share.public_key().to_vec();
    public_key[31] |= 0x80;
    assert_eq!(offer(group, &public_key), None);
}

/// Every scheme of every kind of key that a client can have here.
fn signers() -> Vec<(KeyType, Credentials, SignatureScheme)> {
    let kinds = [
        KeyType::P256,
        KeyType::P384,
        KeyType::P521,
        KeyType::Rsa2048,
        KeyType::Ed25519,
    ];
    let mut signers = Vec::new();
    for kind in kinds {
        let credentials = Credentials::generate(kind);
        for &scheme in credentials.signer.schemes() {
            signers.push((kind, credentials.clone(), scheme));
        }
    }
    signers
}

#[test]
fn a_client_may_sign_by_each_scheme_of_its_key() {
    let signers = signers();
    assert!(signers.len() >= 12);
    for (kind, credentials, scheme) in signers {
        let mut server = Server::new();
        let options = Options {
            signs_with: Some(scheme),
            ..Options::new(credentials)
        };
        let mut client = connect(&mut server, options);
        assert_eq!(server.failure, None, "{kind:?} {scheme:?}");
        exchange_data(&mut server, &mut client);
    }
}

/// Makes signatures that are wrong in one bit.
#[derive(Debug)]
struct WrongBit(Arc<dyn Signer>);

impl Signer for WrongBit {
    fn schemes(&self) -> &[SignatureScheme] {
        self.0.schemes()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let mut signature = self.0.sign(scheme, message)?;
        *signature.last_mut().ok_or(SigningFailed)? ^= 1;
        Ok(signature)
    }
}

fn assert_not_verified(options: Options) {
    let mut server = Server::new();
    let client = connect(&mut server, options);
    assert!(
        matches!(server.failure, Some(HandshakeError::CertificateVerify(_))),
        "{:?}",
        server.failure
    );
    assert!(!client.is_connected());
    assert_eq!(client.alerts().len(), 1);
}

#[test]
fn a_wrong_signature_is_refused() {
    for (_, credentials, scheme) in signers() {
        assert_not_verified(Options {
            signs_with: Some(scheme),
            ..Options::new(Credentials {
                signer: Arc::new(WrongBit(credentials.signer.clone())),
                ..credentials
            })
        });
    }
}

#[test]
fn a_signature_by_another_key_than_the_certificates_is_refused() {
    let kinds = [
        KeyType::P256,
        KeyType::P384,
        KeyType::Rsa2048,
        KeyType::Ed25519,
    ];
    for of_certificate in kinds {
        for of_signature in kinds {
            assert_not_verified(Options::new(Credentials {
                signer: Credentials::generate(of_signature).signer,
                ..Credentials::generate(of_certificate)
            }));
        }
    }
}
