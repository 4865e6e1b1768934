//! Clients that send intermediates.

use super::moving::{Bench, options};
use super::*;
use crate::credentials::CertificateError;
use dtls_server::crypto::signing_key::SigningKey;
use dtls_test_client::{Credentials, Options};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::sync::Arc;

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A root in PEM, and an authority below it.
pub(super) struct Line {
    root: String,
    intermediate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Line {
    pub(super) fn new() -> Line {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority("root"), root_key);
        let intermediate = authority("intermediate")
            .signed_by(&key, &root_issuer)
            .unwrap();
        Line {
            root: root.pem(),
            intermediate: intermediate.der().to_vec(),
            issuer: Issuer::new(authority("intermediate"), key),
        }
    }

    pub(super) fn policy(&self) -> ClientPolicy {
        ClientPolicy::new(Some(self.root.as_bytes()), Validity::Ignore).unwrap()
    }

    /// A client with a new certificate, which sends the intermediate behind it.
    pub(super) fn client(&self, key: &KeyPair) -> Options {
        let params = CertificateParams::new(vec!["device".to_owned()]).unwrap();
        let leaf = params.signed_by(key, &self.issuer).unwrap();
        let signer = SigningKey::from_der(&key.serialize_der()).unwrap();
        Options {
            credentials: Some(Credentials {
                chain: vec![leaf.der().to_vec(), self.intermediate.clone()],
                signer: Arc::new(signer),
            }),
            ..options()
        }
    }
}

#[test]
fn clients_may_send_intermediates_and_their_sessions_share_the_path() {
    let line = Line::new();
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.set_policy(line.policy());
    let keys = [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
    ];
    let mut sessions = Vec::new();
    for (key, port) in keys.iter().zip(1..) {
        let (_, session) = bench.connect(port, line.client(key));
        sessions.push(session);
    }
    assert_eq!(bench.endpoint.paths.len(), 1);
    // Verified again with them, when the trust anchors have been replaced.
    bench.endpoint.set_policy(line.policy());
    for session in &sessions {
        assert_eq!(bench.endpoint.verify_again(*session), None);
    }
    bench.endpoint.set_policy(Line::new().policy());
    for session in &sessions {
        let refusal = bench.endpoint.verify_again(*session);
        assert_eq!(refusal, Some(CertificateError::UnknownIssuer));
    }
}

#[test]
fn a_client_with_intermediates_resumes_its_session_as_long_as_its_path_is_trusted() {
    let line = Line::new();
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.set_policy(line.policy());
    let client = line.client(&KeyPair::generate().unwrap());
    let (connected, session) = bench.connect(1, client.clone());
    bench.endpoint.mark_registered(bench.now, session);
    let again = Options {
        session: connected.resumable(),
        ..client
    };
    assert!(bench.connect(2, again.clone()).0.is_resumed());
    bench.endpoint.set_policy(line.policy());
    assert!(bench.connect(3, again.clone()).0.is_resumed());
    // The file has another root besides.
    let encoded = Line::new().root + &line.root;
    let policy = ClientPolicy::new(Some(encoded.as_bytes()), Validity::Ignore);
    bench.endpoint.set_policy(policy.unwrap());
    assert!(bench.connect(4, again.clone()).0.is_resumed());
    bench.endpoint.set_policy(Line::new().policy());
    let mut refused = dtls_test_client::Client::new(again, 99);
    let hello = refused.start();
    bench.exchange(5, &mut refused, hello);
    assert!(!refused.is_resumed() && !refused.is_connected());
}
