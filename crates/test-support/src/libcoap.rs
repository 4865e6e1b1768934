//! libcoap's command-line clients.

use crate::certificates::Identity;
use crate::world::World;
use std::process::Command;

/// The same client with two TLS libraries.
pub const CLIENTS: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];

/// A client with meter-17's certificate.
pub fn client(world: &World, program: &str, arguments: &[&str], path: &str) -> Command {
    client_with(world, program, &world.meter, arguments, path)
}

/// A client with this certificate.
pub fn client_with(
    world: &World,
    program: &str,
    identity: &Identity,
    arguments: &[&str],
    path: &str,
) -> Command {
    let (certificate, key) = identity.write(world.path());
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(certificate)
        .arg("-j")
        .arg(key)
        .arg("-C")
        .arg(world.path().join("ca.pem"))
        .args(arguments)
        .arg(format!("coaps://{}/{path}", world.address));
    command
}
