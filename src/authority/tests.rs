//! Real files in a directory that vanishes.

use super::*;
use crate::dtls::{ClientPolicy, ServerCredentials, Validity};
use rustls_pki_types::UnixTime;
use std::fs;
use time::Duration;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(365 * 56));

fn order(directory: &Path, devices: &[&str]) -> Order {
    let devices = devices.iter().map(|name| (*name).to_owned()).collect();
    Order {
        directory: directory.to_owned(),
        host: "gateway.example".into(),
        devices,
    }
}

fn unix(at: OffsetDateTime) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        at.unix_timestamp().try_into().unwrap(),
    ))
}

#[test]
fn what_is_made_is_what_the_gateway_takes() {
    let directory = tempfile::tempdir().unwrap();
    let made = make(&order(directory.path(), &["meter-17"]), NOW).unwrap();
    let server = ServerCredentials::from_pem(
        &fs::read(&made.server.certificate).unwrap(),
        &fs::read(&made.server.private_key).unwrap(),
    );
    assert!(server.is_ok());
    let anchors = fs::read(&made.ca.certificate).unwrap();
    let policy = ClientPolicy::new(Some(&anchors), Validity::Check).unwrap();
    let device = files::read_certificate(&made.devices[0].certificate).unwrap();
    assert_eq!(policy.judge(&device, unix(NOW)), Ok(()));
    // The gateway's own certificate is for servers, and does not open the door to a client.
    let own = files::read_certificate(&made.server.certificate).unwrap();
    assert_eq!(policy.judge(&own, unix(NOW)).unwrap_err().alert(), 42);
}

#[test]
fn another_devices_certificate_comes_under_the_same_authority_and_no_file_changes() {
    let directory = tempfile::tempdir().unwrap();
    let first = make(&order(directory.path(), &["a"]), NOW).unwrap();
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
        &order(directory.path(), &["a", "b"]),
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
        second.ca.kept && second.server.kept && second.devices[0].kept && !second.devices[1].kept
    );
    assert_eq!(first.devices[0].id, second.devices[0].id);
    let policy = ClientPolicy::new(Some(&before[0]), Validity::Check).unwrap();
    let device = files::read_certificate(&second.devices[1].certificate).unwrap();
    assert_eq!(
        policy.judge(&device, unix(NOW + Duration::days(31))),
        Ok(())
    );
    // It ends with its authority, not after it.
    assert_eq!(
        policy
            .judge(&device, unix(NOW + Duration::days(3651)))
            .unwrap_err()
            .alert(),
        45
    );
}

#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let made = make(&order(directory.path(), &["a"]), NOW).unwrap();
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
fn names_that_would_lead_elsewhere_or_take_our_files_are_refused_before_anything_is_written() {
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
        "a b",
        "a\n",
        "ä",
        long.as_str(),
    ] {
        let refused = make(&order(&target, &["fine", name]), NOW);
        assert!(matches!(refused, Err(Error::DeviceName(_))), "{name:?}");
    }
    assert!(matches!(
        make(&order(&target, &["a", "A"]), NOW),
        Err(Error::Twice(_))
    ));
    for host in ["", "a b", "*.example", "http://a", "-", "a..b"] {
        let refused = make(
            &Order {
                host: host.into(),
                ..order(&target, &[])
            },
            NOW,
        );
        assert!(matches!(refused, Err(Error::Host(_))), "{host:?}");
    }
    assert!(!target.exists());
}

#[test]
fn half_a_pair_or_a_foreign_key_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let made = make(&order(directory.path(), &["a"]), NOW).unwrap();
    fs::remove_file(&made.devices[0].certificate).unwrap();
    let key = fs::read(&made.devices[0].private_key).unwrap();
    let error = make(&order(directory.path(), &["a", "b"]), NOW).unwrap_err();
    assert!(error.to_string().contains("a.key is there but"), "{error}");
    assert_eq!(fs::read(&made.devices[0].private_key).unwrap(), key);
    assert!(!directory.path().join("b.key").exists());

    fs::copy(&made.server.private_key, &made.ca.private_key).unwrap();
    let error = make(&order(directory.path(), &["c"]), NOW).unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error}");
}

#[test]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a name of another kind is a failure"
)]
fn the_host_may_be_a_name_or_an_address_and_this_machine_is_always_named() {
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
            &Order {
                host: host.into(),
                ..order(directory.path(), &[])
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
fn a_file_that_comes_while_we_write_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (_, issued) = Authority::new(NOW).unwrap();
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
    assert!(!key.exists(), "the key of no certificate stayed");
}
