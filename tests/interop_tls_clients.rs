//! DTLS clients of the command line: `openssl s_client` and `gnutls-cli`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use test_support::certificates::{Authority, Valid};
use test_support::tls_clients::{gnutls_cli, gnutls_cli_with, s_client};
use test_support::world::{Options, World};

/// A gateway with an EC and an RSA certificate.
fn world() -> World {
    World::with(&Options {
        rsa: true,
        ..Options::default()
    })
}

fn assert_connected(output: &str) {
    assert!(output.contains("Verify return code: 0 (ok)"), "{output}");
}

#[test]
fn s_client_completes_the_handshake_with_a_registered_or_unregistered_certificate() {
    let world = world();
    let unregistered = world.authority.device("unregistered");
    for identity in [&world.meter, &unregistered] {
        for suite in [
            "ECDHE-ECDSA-AES128-CCM8",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES128-CCM",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-ECDSA-AES256-CCM8",
            "ECDHE-ECDSA-AES256-CCM",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ] {
            // OpenSSL counts tags of 8 bytes as weak.
            let offered = format!("{suite}@SECLEVEL=0");
            let output = s_client(&world, Some(identity), &["-cipher", &offered]);
            assert_connected(&output);
            assert!(output.contains(&format!("Cipher is {suite}")), "{output}");
        }
    }
}

#[test]
fn s_client_agrees_on_each_group() {
    let world = world();
    for (group, key) in [
        ("P-256", "ECDH, prime256v1, 256 bits"),
        ("P-384", "ECDH, secp384r1, 384 bits"),
        ("P-521", "ECDH, secp521r1, 521 bits"),
        ("X25519", "X25519, 253 bits"),
    ] {
        // With an RSA certificate: a client that names only this group could not verify one with P-256.
        let arguments = ["-groups", group, "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
        let output = s_client(&world, Some(&world.meter), &arguments);
        assert_connected(&output);
        assert!(output.contains(key), "{output}");
    }
}

#[test]
fn s_client_with_small_datagrams_or_fragments_completes_the_handshake() {
    let world = world();
    for arguments in [
        &["-mtu", "256"][..],
        &["-maxfraglen", "512"],
        &["-maxfraglen", "1024"],
        &["-maxfraglen", "512", "-mtu", "256"],
        &[
            "-maxfraglen",
            "512",
            "-cipher",
            "ECDHE-RSA-AES128-GCM-SHA256",
        ],
    ] {
        assert_connected(&s_client(&world, Some(&world.meter), arguments));
    }
}

#[test]
fn s_client_resumes_its_session() {
    let world = world();
    let file = world.path().join("session");
    let file = file.to_str().unwrap();
    for by_id in [None, Some("-no_ticket")] {
        let connect = |option: &str| {
            let arguments: Vec<&str> = [option, file].into_iter().chain(by_id).collect();
            s_client(&world, Some(&world.meter), &arguments)
        };
        let output = connect("-sess_out");
        assert!(output.contains("New, TLSv1.2"), "{output}");
        let has_ticket = output.contains("TLS session ticket:");
        assert_eq!(has_ticket, by_id.is_none(), "{output}");
        let output = connect("-sess_in");
        assert!(output.contains("Reused, TLSv1.2"), "{output}");
    }
}

#[test]
fn gnutls_cli_agrees_on_each_cipher_suite() {
    let world = world();
    for (cipher, exchange) in [
        ("AES-128-CCM-8", "ECDHE-ECDSA"),
        ("AES-128-GCM", "ECDHE-ECDSA"),
        ("AES-128-CCM", "ECDHE-ECDSA"),
        ("AES-256-GCM", "ECDHE-ECDSA"),
        ("CHACHA20-POLY1305", "ECDHE-ECDSA"),
        ("AES-256-CCM-8", "ECDHE-ECDSA"),
        ("AES-256-CCM", "ECDHE-ECDSA"),
        ("AES-128-GCM", "ECDHE-RSA"),
        ("AES-256-GCM", "ECDHE-RSA"),
        ("CHACHA20-POLY1305", "ECDHE-RSA"),
    ] {
        let priority = format!(":-CIPHER-ALL:+{cipher}:-KX-ALL:+{exchange}");
        let output = gnutls_cli_with(&world, &world.meter, &priority, &[]);
        assert!(output.contains("Handshake was completed"), "{output}");
        assert!(output.contains(&format!("-({cipher})")), "{output}");
    }
}

#[test]
fn gnutls_cli_resumes_its_session_only_with_an_extended_master_secret() {
    let world = world();
    let resumed = "*** This is a resumed session";
    for priority in ["", ":%NO_TICKETS"] {
        let output = gnutls_cli_with(&world, &world.meter, priority, &["--resume"]);
        assert!(output.contains(resumed), "{priority}: {output}");
    }
    let without = ":%NO_SESSION_HASH";
    let output = gnutls_cli_with(&world, &world.meter, without, &["--resume"]);
    let completed = output.matches("Handshake was completed").count();
    assert!(completed == 2 && !output.contains(resumed), "{output}");
}

#[test]
fn gnutls_cli_with_small_records_or_datagrams_completes_the_handshake() {
    let world = world();
    for argument in ["--recordsize=512", "--recordsize=1024", "--mtu=256"] {
        let output = gnutls_cli_with(&world, &world.meter, "", &[argument]);
        assert!(output.contains("Handshake was completed"), "{output}");
    }
}

#[test]
fn s_client_gets_the_alert_of_each_refusal() {
    let world = World::start();
    let expired = world.authority.device_valid("old", Valid::NoLonger);
    let young = world.authority.device_valid("young", Valid::NotYet);
    let foreign = Authority::new("Foreign CA").device("foreign");
    // Alert numbers of RFC 5246 §7.2.2.
    for (case, identity, arguments, alerts) in [
        ("expired", Some(&expired), [].as_slice(), [45].as_slice()),
        ("not yet valid", Some(&young), &[], &[42, 45]),
        ("of another authority", Some(&foreign), &[], &[48]),
        ("none", None, &[], &[40]),
        (
            "no suite in common",
            Some(&world.meter),
            &["-cipher", "ECDHE-ECDSA-AES128-SHA"],
            &[40],
        ),
    ] {
        let output = s_client(&world, identity, arguments);
        assert!(
            alerts
                .iter()
                .any(|alert| output.contains(&format!("alert number {alert}"))),
            "{case}: {output}"
        );
    }
    let claims = world.log_lines_with(&foreign.fingerprint);
    assert!(
        claims.iter().all(|line| line.contains("not proven")),
        "{claims:?}"
    );
}

#[test]
fn the_offered_suites_of_a_client_without_a_common_one_are_logged_once() {
    let world = World::start();
    for _ in 0..2 {
        s_client(
            &world,
            Some(&world.meter),
            &["-cipher", "ECDHE-ECDSA-AES128-SHA"],
        );
    }
    // TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA is 0xC009 (RFC 8422).
    world.await_log("cipher suite");
    let log = world.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("cipher suite"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = lines[0].to_uppercase();
    assert!(line.contains("CBC_SHA") || line.contains("C009"), "{line}");
}

#[test]
fn gnutls_cli_completes_the_handshake_or_gets_an_alert() {
    let world = World::start();
    let output = gnutls_cli(&world, &world.meter);
    assert!(output.contains("Handshake was completed"), "{output}");
    let expired = world.authority.device_valid("old", Valid::NoLonger);
    let foreign = Authority::new("Foreign CA").device("foreign");
    for (identity, alert) in [(&expired, 45), (&foreign, 48)] {
        let output = gnutls_cli(&world, identity);
        assert!(
            output.contains(&format!("Received alert [{alert}]")),
            "{alert}: {output}"
        );
    }
}
