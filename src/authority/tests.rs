//! With real files in a temporary directory.

use super::*;
use crate::credentials::{
    CertificateChain, ClientPolicy, KeyType, PrivateKey, ServerCredentials, ServerIdentity,
    Validity, certificates, own_certificate, private_key,
};
use crate::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use rustls_pki_types::UnixTime;
use std::fs;
use time::Duration;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(365 * 56));

fn options(directory: &Path, devices: &[&str]) -> MakeOptions {
    let devices = devices.iter().map(|name| (*name).to_owned()).collect();
    MakeOptions {
        directory: directory.to_owned(),
        host: "gateway.example".into(),
        devices,
        ..MakeOptions::default()
    }
}

fn unix(at: OffsetDateTime) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        at.unix_timestamp().try_into().unwrap(),
    ))
}

#[test]
fn the_gateway_accepts_the_certificates_that_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let made = make(&options(directory.path(), &["meter-17"]), NOW).unwrap();
    let server = ServerCredentials::from_pem(
        &fs::read(&made.server.certificate).unwrap(),
        &fs::read(&made.server.private_key).unwrap(),
    );
    assert!(server.is_ok());
    let anchors = fs::read(&made.ca.certificate).unwrap();
    let policy = ClientPolicy::new(Some(&anchors), Validity::Check).unwrap();
    let device = files::read_certificate(&made.devices[0].certificate).unwrap();
    assert_eq!(policy.verify_leaf(&device, unix(NOW)), Ok(()));
    // The gateway's own certificate is for servers: a client is rejected with it.
    let own = files::read_certificate(&made.server.certificate).unwrap();
    assert_eq!(policy.verify_leaf(&own, unix(NOW)).unwrap_err().alert(), 42);
}

#[test]
fn certificates_with_each_kind_of_key_are_accepted_and_found_in_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    for kind in KeyKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        let name = kind.to_string();
        let options = MakeOptions {
            device_key: kind,
            ..options(directory.path(), &[&name])
        };
        let made = make(&options, NOW).unwrap();
        let pem = fs::read(&made.devices[0].private_key).unwrap();
        let (_, key) = private_key(&pem).unwrap();
        // Version 1, which every library reads (RFC 5958 §2): SEQUENCE { INTEGER 0, … }.
        let version = key.windows(3).position(|bytes| bytes == [2, 1, 0]);
        assert!(version.is_some_and(|at| at <= 4), "{kind}");
        let anchors = fs::read(&made.ca.certificate).unwrap();
        let policy = ClientPolicy::new(Some(&anchors), Validity::Check).unwrap();
        let device = files::read_certificate(&made.devices[0].certificate).unwrap();
        assert_eq!(policy.verify_leaf(&device, unix(NOW)), Ok(()), "{kind}");
        let CertificateId { sha256, sha3 } = CertificateId::of(&device);
        for fingerprint in [Fingerprint::Sha256(sha256), Fingerprint::Sha3(sha3)] {
            let device = Device {
                name: name.as_str().into(),
                token: AccessToken::new("TOKEN").unwrap(),
            };
            let mut registry = Registry::default();
            // As it is written in the registry.
            let fingerprint = fingerprint.to_string().parse().unwrap();
            registry.add(device, &[fingerprint]).unwrap();
            let found = registry.find(&made.devices[0].id).unwrap();
            assert_eq!(&*found.name, name);
        }
    }
    assert!("P256".parse::<KeyKind>().is_ok());
    assert!("rsa1024".parse::<KeyKind>().is_err());
}

#[test]
fn the_gateway_may_have_a_key_on_each_curve_and_an_rsa_key_beside_it() {
    for kind in KeyKind::ALL {
        let directory = tempfile::tempdir().unwrap();
        let options = MakeOptions {
            server_key: kind,
            with_rsa_server: true,
            ..options(directory.path(), &[])
        };
        let made = match make(&options, NOW) {
            Ok(made) => made,
            Err(error) => {
                assert!(!kind.is_elliptic(), "{error}");
                assert!(
                    error.to_string().contains(&format!("not {kind}")),
                    "{error}"
                );
                assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
                continue;
            }
        };
        assert!(kind.is_elliptic());
        ServerCredentials::from_pem(
            &fs::read(&made.server.certificate).unwrap(),
            &fs::read(&made.server.private_key).unwrap(),
        )
        .unwrap();
        let rsa = made.rsa_server.unwrap();
        assert!(rsa.certificate.ends_with("server-rsa.pem"));
        let chain = fs::read(&rsa.certificate).unwrap();
        let chain = CertificateChain::from_pem(&chain, KeyType::Rsa).unwrap();
        let key = fs::read(&rsa.private_key).unwrap();
        let key = PrivateKey::from_pem(&key, KeyType::Rsa).unwrap();
        ServerIdentity::pair(chain, key).unwrap();
    }
}

#[test]
fn an_intermediate_follows_the_certificates_that_it_issues() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = |devices: &[&str]| MakeOptions {
        with_intermediate: true,
        ..options(directory.path(), devices)
    };
    let first = make(&wanted(&["a"]), NOW).unwrap();
    let second = make(&wanted(&["a", "b"]), NOW).unwrap();
    let intermediate = second.intermediate.unwrap();
    assert!(intermediate.existed);
    assert_eq!(first.intermediate.unwrap().id, intermediate.id);
    let anchors = fs::read(&first.ca.certificate).unwrap();
    let policy = ClientPolicy::new(Some(&anchors), Validity::Check).unwrap();
    for device in &second.devices {
        let chain = certificates(&fs::read(&device.certificate).unwrap()).unwrap();
        let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        let known = policy.known(&chain, unix(NOW)).unwrap();
        assert_eq!(known.sent(), chain[1..]);
        assert_eq!(chain.len(), 2);
        assert!(policy.known(&chain[..1], unix(NOW)).is_err());
        assert_eq!(own_certificate(&chain), Ok(chain[0]));
        assert_eq!(CertificateId::of(chain[0]), device.id);
        let (leaf, issuer) = (chain[0], chain[1]);
        for others in [[issuer, leaf], [issuer, issuer], [leaf, leaf]] {
            let wrong = own_certificate(&others).unwrap_err();
            assert!(wrong.contains("must be the first"), "{wrong}");
        }
    }
    let server = ServerCredentials::from_pem(
        &fs::read(&second.server.certificate).unwrap(),
        &fs::read(&second.server.private_key).unwrap(),
    );
    assert_eq!(server.unwrap().ecdsa.chain.len(), 2);
    // A CA that was made without it can't have one.
    let other = tempfile::tempdir().unwrap();
    make(&options(other.path(), &[]), NOW).unwrap();
    let options = MakeOptions {
        directory: other.path().to_owned(),
        ..wanted(&[])
    };
    let error = make(&options, NOW).unwrap_err();
    assert!(error.to_string().contains("pathlen:0"), "{error}");
    assert!(!other.path().join("intermediate.pem").exists());
}

#[test]
fn a_device_can_be_added_under_the_same_authority_without_changing_other_files() {
    let directory = tempfile::tempdir().unwrap();
    let first = make(&options(directory.path(), &["a"]), NOW).unwrap();
    let before: Vec<_> = [
        "ca.pem",
        "ca.key",
        "server.pem",
        "server.key",
        "a.pem",
        "a.key",
    ]
    .map(|name| fs::read(directory.path().join(name)).unwrap())
    .into();
    let second = make(
        &options(directory.path(), &["a", "b"]),
        NOW + Duration::days(30),
    )
    .unwrap();
    let after: Vec<_> = [
        "ca.pem",
        "ca.key",
        "server.pem",
        "server.key",
        "a.pem",
        "a.key",
    ]
    .map(|name| fs::read(directory.path().join(name)).unwrap())
    .into();
    assert_eq!(before, after);
    assert!(
        second.ca.existed
            && second.server.existed
            && second.devices[0].existed
            && !second.devices[1].existed
    );
    assert_eq!(first.devices[0].id, second.devices[0].id);
    let policy = ClientPolicy::new(Some(&before[0]), Validity::Check).unwrap();
    let device = files::read_certificate(&second.devices[1].certificate).unwrap();
    assert_eq!(
        policy.verify_leaf(&device, unix(NOW + Duration::days(31))),
        Ok(())
    );
    // It expires with its authority, not after it.
    assert_eq!(
        policy
            .verify_leaf(&device, unix(NOW + Duration::days(3651)))
            .unwrap_err()
            .alert(),
        45
    );
}

#[test]
fn key_files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let made = make(&options(directory.path(), &["a"]), NOW).unwrap();
    for one in [&made.ca, &made.server, &made.devices[0]] {
        let mode = fs::metadata(&one.private_key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", one.private_key.display());
        assert!(
            fs::read_to_string(&one.private_key)
                .unwrap()
                .starts_with("-----BEGIN PRIVATE KEY-----")
        );
    }
}

#[test]
fn invalid_device_names_and_hosts_are_rejected_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new");
    let long = "x".repeat(65);
    for name in [
        "",
        "..",
        "../a",
        "a/b",
        "a\\b",
        ".hidden",
        "-rf",
        "ca",
        "Server",
        "server-rsa",
        "intermediate",
        "a b",
        "a\n",
        "ä",
        long.as_str(),
    ] {
        let refused = make(&options(&target, &["fine", name]), NOW);
        assert!(matches!(refused, Err(Error::DeviceName(_))), "{name:?}");
    }
    assert!(matches!(
        make(&options(&target, &["a", "A"]), NOW),
        Err(Error::Twice(_))
    ));
    for host in ["", "a b", "*.example", "http://a", "-", "a..b"] {
        let refused = make(
            &MakeOptions {
                host: host.into(),
                ..options(&target, &[])
            },
            NOW,
        );
        assert!(matches!(refused, Err(Error::Host(_))), "{host:?}");
    }
    assert!(!target.exists());
}

#[test]
fn half_a_pair_or_a_key_of_another_certificate_is_an_error_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let made = make(&options(directory.path(), &["a"]), NOW).unwrap();
    fs::remove_file(&made.devices[0].certificate).unwrap();
    let key = fs::read(&made.devices[0].private_key).unwrap();
    let error = make(&options(directory.path(), &["a", "b"]), NOW).unwrap_err();
    assert!(error.to_string().contains("a.key exists but"), "{error}");
    assert_eq!(fs::read(&made.devices[0].private_key).unwrap(), key);
    assert!(!directory.path().join("b.key").exists());

    fs::copy(&made.server.private_key, &made.ca.private_key).unwrap();
    let error = make(&options(directory.path(), &["c"]), NOW).unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error}");
}

#[test]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a name of another kind is a failure"
)]
fn the_host_may_be_a_name_or_an_address_and_local_names_are_always_included() {
    for (host, expected) in [
        (
            "gateway.example",
            "DNS:gateway.example DNS:localhost IP:127.0.0.1 IP:::1",
        ),
        (
            "192.0.2.7",
            "IP:192.0.2.7 DNS:localhost IP:127.0.0.1 IP:::1",
        ),
        ("::1", "IP:::1 DNS:localhost IP:127.0.0.1"),
        ("localhost", "DNS:localhost IP:127.0.0.1 IP:::1"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let made = make(
            &MakeOptions {
                host: host.into(),
                ..options(directory.path(), &[])
            },
            NOW,
        )
        .unwrap();
        let der = files::read_certificate(&made.server.certificate).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        let listed: Vec<String> = names
            .value
            .general_names
            .iter()
            .map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => format!("DNS:{name}"),
                x509_parser::extensions::GeneralName::IPAddress(bytes) => {
                    match <[u8; 4]>::try_from(*bytes) {
                        Ok(four) => format!("IP:{}", std::net::Ipv4Addr::from(four)),
                        Err(_) => format!(
                            "IP:{}",
                            std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).unwrap())
                        ),
                    }
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(listed.join(" "), expected);
    }
}

#[test]
fn a_file_created_by_another_process_meanwhile_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (_, issued) = Authority::new(NOW, false).unwrap();
    let (certificate, key) = files::paths(directory.path(), "a");
    fs::write(&key, "another's key").unwrap();
    assert!(files::write_pair(directory.path(), "a", &issued).is_err());
    assert_eq!(fs::read_to_string(&key).unwrap(), "another's key");
    fs::remove_file(&key).unwrap();
    fs::write(&certificate, "another's certificate").unwrap();
    assert!(files::write_pair(directory.path(), "a", &issued).is_err());
    assert_eq!(
        fs::read_to_string(&certificate).unwrap(),
        "another's certificate"
    );
    assert!(
        !key.exists(),
        "the key without a certificate was not removed"
    );
}
