//! Any text as PEM with chains and anchors, as a device registry and as a configuration; any bytes as a certificate
//! and as a stored path of authorities.

#![no_main]

use coaps_gateway::facade::config::Config;
use coaps_gateway::facade::credentials::{
    AuthorityPaths, ClientPolicy, ServerCredentials, Validity,
};
use coaps_gateway::facade::device::CertificateId;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let Some((kind, input)) = input.split_first() else {
        return;
    };
    match kind % 4 {
        _ if *kind == 4 => {
            // A stored path of authorities, with the digest that fits.
            let digest = CertificateId::of(input).sha256;
            let encoded = [&[1], &digest[..], input].concat();
            let mut paths = AuthorityPaths::default();
            let name = paths.insert_encoded(&encoded);
            assert_eq!(paths.insert_encoded(&encoded), name);
        }
        0 => {
            let _ = ServerCredentials::from_pem(input, input);
            // Trust anchors, a zero, and a client's chain.
            let mut parts = input.splitn(2, |byte| *byte == 0);
            let anchors = parts.next().unwrap_or_default();
            let all = CertificateDer::pem_slice_iter(parts.next().unwrap_or_default()).flatten();
            let all: Vec<CertificateDer<'_>> = all.collect();
            let chain: Vec<&[u8]> = all.iter().map(AsRef::as_ref).collect();
            if let Ok(policy) = ClientPolicy::new(Some(anchors), Validity::Check)
                && let Ok(client) = policy.verify(&chain, now, &mut AuthorityPaths::default())
            {
                assert_eq!(policy.verify_again(&client, now), Ok(()));
                let verified = client.verified.as_deref();
                assert_eq!(policy.verify_authorities(verified, now), Ok(()));
            }
        }
        1 => {
            let _ = CertificateId::of(input);
            for validity in [Validity::Check, Validity::Ignore] {
                if let Ok(policy) = ClientPolicy::new(None, validity) {
                    let _ = policy.verify(&[input], now, &mut AuthorityPaths::default());
                }
            }
        }
        _ if names_files(input) => {}
        kind => {
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("fuzz.toml");
            std::fs::write(&file, input).expect("a file");
            if kind == 2 {
                let _ = Config::load(Some(&file), [], now);
            } else {
                let key = "COAPS_GATEWAY__DEVICES__FILE".into();
                let _ = Config::load(None, [(key, file.into_os_string())], now);
            }
        }
    }
});

/// Whether the input may name files outside the empty directory: it has a slash, and a key whose value is a path.
/// (Inputs with a slash in a URL alone are used.)
fn names_files(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let keys = [
        "certificate",
        "private_key",
        "trust_anchors",
        "revocation_lists",
        "file",
        "ca",
    ];
    text.contains('/') && keys.iter().any(|key| text.contains(key))
}
