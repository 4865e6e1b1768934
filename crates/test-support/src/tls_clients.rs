//! DTLS clients of OpenSSL and GnuTLS.

use crate::certificates::Identity;
use crate::process::run;
use crate::world::World;
use std::process::Command;
use std::time::Duration;

/// The time limit of a program.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a program, and returns all that it prints.
pub fn output_of(command: &mut Command) -> String {
    let output = run(command, DEADLINE);
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// The output of `openssl s_client` for a handshake with this certificate, or with none.
pub fn s_client(world: &World, identity: Option<&Identity>, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-dtls1_2", "-connect"]);
    command.arg(world.address.to_string());
    command.arg("-CAfile").arg(world.path().join("ca.pem"));
    command.arg("-verify_return_error").args(arguments);
    if let Some(identity) = identity {
        let (certificate, key) = identity.write(world.path());
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
    }
    output_of(&mut command)
}

/// The output of `gnutls-cli` for a handshake with this certificate.
pub fn gnutls_cli(world: &World, identity: &Identity) -> String {
    gnutls_cli_with(world, identity, "", &[])
}

/// The same with more behind its priority string, and more arguments.
pub fn gnutls_cli_with(
    world: &World,
    identity: &Identity,
    priority: &str,
    arguments: &[&str],
) -> String {
    let (certificate, key) = identity.write(world.path());
    let mut command = Command::new("gnutls-cli");
    let priority = format!("NORMAL:-VERS-ALL:+VERS-DTLS1.2{priority}");
    command.args(["--udp", "--priority", &priority]);
    command.args(arguments);
    command.arg("--x509cafile").arg(world.path().join("ca.pem"));
    command.arg("--x509certfile").arg(certificate);
    command.arg("--x509keyfile").arg(key);
    command.args(["-p", &world.address.port().to_string(), "127.0.0.1"]);
    output_of(&mut command)
}
