//! Revocation lists as `openssl ca` makes them, and what clients of OpenSSL and GnuTLS hear of them.
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
use test_support::libcoap::CLIENTS;
use test_support::process::{Process, run};
use test_support::world::World;

/// What `openssl ca` must know of an authority. With `crlnumber` it makes lists of version 2.
const CA: &str = "[ca]
default_ca = fleet
[fleet]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
";

/// All that a program has printed.
fn said_by(command: &mut Command) -> String {
    let output = run(command, Duration::from_secs(60));
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

fn openssl(world: &World, arguments: &str) {
    let mut command = Command::new("openssl");
    command
        .args(arguments.split_whitespace())
        .current_dir(world.path());
    let output = run(&mut command, Duration::from_secs(60));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// Revokes meter-17 the way an operator does: `fleet.crl` is PEM, `fleet.der` the same as DER.
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

/// A second gateway beside the world's, which reads this list; the world's clients ask it from now on.
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

/// What one of libcoap's clients says when it posts telemetry.
fn post(world: &World, client: &str, identity: &Identity) -> String {
    let (certificate, key) = identity.write(world.path());
    let mut command = Command::new(client);
    command.arg("-c").arg(certificate).arg("-j").arg(key);
    command.arg("-C").arg(world.path().join("ca.pem"));
    command.args(["-v", "7", "-B", "15", "-m", "post", "-e", "{a:1}"]);
    command.arg(format!("coaps://{}/api/v1/telemetry", world.address));
    said_by(&mut command)
}

/// What `openssl s_client` says of a handshake.
fn s_client(world: &World, identity: &Identity) -> String {
    let (certificate, key) = identity.write(world.path());
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-dtls1_2",
        "-connect",
        &world.address.to_string(),
    ]);
    command.arg("-CAfile").arg(world.path().join("ca.pem"));
    command.arg("-cert").arg(certificate).arg("-key").arg(key);
    said_by(&mut command)
}

/// What `gnutls-cli` says of a handshake.
fn gnutls_cli(world: &World, identity: &Identity) -> String {
    let (certificate, key) = identity.write(world.path());
    let mut command = Command::new("gnutls-cli");
    command.args(["--udp", "--priority", "NORMAL:-VERS-ALL:+VERS-DTLS1.2"]);
    command.arg("--x509cafile").arg(world.path().join("ca.pem"));
    command.arg("--x509certfile").arg(certificate);
    command.arg("--x509keyfile").arg(key);
    command.args(["-p", &world.address.port().to_string(), "127.0.0.1"]);
    said_by(&mut command)
}

#[test]
fn a_certificate_on_a_list_of_openssl_is_refused_with_alert_44_and_no_other_is() {
    for list in ["fleet.crl", "fleet.der"] {
        let mut world = World::start();
        revoke_the_meter(&world);
        // Without the list it is let in.
        let said = s_client(&world, &world.meter);
        assert!(!said.contains("alert number"), "{said}");
        let gateway = with_list(&mut world, list);

        let said = s_client(&world, &world.meter);
        assert!(said.contains("alert number 44"), "{list}: {said}");
        let said = gnutls_cli(&world, &world.meter);
        assert!(said.contains("Received alert [44]"), "{list}: {said}");
        for client in CLIENTS {
            let said = post(&world, client, &world.meter);
            assert!(!said.contains("c:2.01"), "{client} {list}: {said}");
        }
        assert_eq!(world.simulator.arrivals().len(), 0);
        let line = |line: &str| line.contains("the certificate is revoked").then_some(());
        gateway.await_line("the reason", line);

        for client in CLIENTS {
            let said = post(&world, client, &world.pump);
            assert!(said.contains("c:2.01"), "{client} {list}: {said}");
        }
    }
}

#[test]
fn check_takes_the_list_of_an_authority_it_knows_and_tells_of_any_other() {
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
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), expected.is_none(), "{said}");
        if let Some(expected) = expected {
            assert!(
                said.contains(expected) && said.contains("foreign.crl"),
                "{said}"
            );
        }
    }
}
