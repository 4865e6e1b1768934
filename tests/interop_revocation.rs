//! Revocation lists of `openssl ca`, with clients of OpenSSL and GnuTLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::fs;
use std::process::Command;
use std::time::Duration;
use test_support::certificates::Identity;
use test_support::libcoap::{CLIENTS, client_with};
use test_support::process::{Process, run};
use test_support::tls_clients::{gnutls_cli, output_of, s_client};
use test_support::world::World;

/// The configuration of `openssl ca`. With `crlnumber` it makes lists of version 2.
const CA: &str = "[ca]
default_ca = fleet
[fleet]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
";

fn openssl(world: &World, arguments: &str) {
    let mut command = Command::new("openssl");
    command
        .args(arguments.split_whitespace())
        .current_dir(world.path());
    let output = run(&mut command, Duration::from_secs(60));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "openssl {arguments}: {errors}");
}

/// Revokes meter-17 as an operator does: `fleet.crl` is PEM, `fleet.der` the same list as DER.
fn revoke_the_meter(world: &World) {
    let write = |name: &str, text: &str| fs::write(world.path().join(name), text).unwrap();
    write("ca.cnf", CA);
    write("ca.key", &world.authority.key_pem());
    write("index.txt", "");
    write("crlnumber", "01\n");
    let ca = "ca -config ca.cnf -keyfile ca.key -cert ca.pem";
    openssl(world, &format!("{ca} -revoke meter-17.pem"));
    openssl(world, &format!("{ca} -gencrl -out fleet.crl"));
    openssl(world, "crl -in fleet.crl -outform DER -out fleet.der");
}

/// Starts a second gateway with this list; the world's clients connect to it from now on.
fn with_list(world: &mut World, list: &str) -> Process {
    let read = fs::read_to_string(world.path().join("gateway.toml")).unwrap();
    let line = format!(
        "[clients]\nrevocation_lists = {:?}\n",
        world.path().join(list)
    );
    let file = world.path().join("revoking.toml");
    fs::write(&file, read.replace("[clients]\n", &line)).unwrap();
    let gateway = Process::start(&["run", "--config", file.to_str().unwrap()]);
    world.address = gateway.await_address("listening for CoAPs");
    gateway
}

/// The output of one of libcoap's clients that posts telemetry.
fn post(world: &World, client: &str, identity: &Identity) -> String {
    let arguments = ["-v", "7", "-B", "15", "-m", "post", "-e", "{a:1}"];
    let path = "api/v1/telemetry";
    output_of(&mut client_with(world, client, identity, &arguments, path))
}

#[test]
fn only_a_certificate_on_a_list_of_openssl_is_refused_with_alert_44() {
    for list in ["fleet.crl", "fleet.der"] {
        let mut world = World::start();
        revoke_the_meter(&world);
        // Without the list it is accepted.
        let output = s_client(&world, Some(&world.meter), &[]);
        assert!(!output.contains("alert number"), "{output}");
        let gateway = with_list(&mut world, list);

        let output = s_client(&world, Some(&world.meter), &[]);
        assert!(output.contains("alert number 44"), "{list}: {output}");
        let output = gnutls_cli(&world, &world.meter);
        assert!(output.contains("Received alert [44]"), "{list}: {output}");
        for client in CLIENTS {
            let output = post(&world, client, &world.meter);
            assert!(!output.contains("c:2.01"), "{client} {list}: {output}");
        }
        assert_eq!(world.simulator.arrivals().len(), 0);
        let line = |line: &str| line.contains("the certificate is revoked").then_some(());
        gateway.await_line("the reason", line);

        for client in CLIENTS {
            let output = post(&world, client, &world.pump);
            assert!(output.contains("c:2.01"), "{client} {list}: {output}");
        }
    }
}

#[test]
fn check_accepts_a_trusted_authoritys_list_and_reports_any_other() {
    let (mut world, other) = (World::start(), World::start());
    revoke_the_meter(&other);
    fs::copy(
        other.path().join("fleet.crl"),
        world.path().join("foreign.crl"),
    )
    .unwrap();
    revoke_the_meter(&world);
    for (list, expected) in [
        ("fleet.crl", None),
        ("foreign.crl", Some("does not verify")),
    ] {
        drop(with_list(&mut world, "fleet.crl"));
        let file = world.path().join("revoking.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("fleet.crl", list)).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_coaps-gateway"));
        check.args(["check", "--config"]).arg(&file);
        let output = run(&mut check, Duration::from_secs(60));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), expected.is_none(), "{errors}");
        if let Some(expected) = expected {
            assert!(
                errors.contains(expected) && errors.contains("foreign.crl"),
                "{errors}"
            );
        }
    }
}
