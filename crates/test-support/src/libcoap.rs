//! libcoap's command-line clients.

use crate::world::World;
use std::process::Command;

/// The same client over two TLS libraries.
pub const CLIENTS: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];

/// A client with meter-17's certificate.
pub fn client(world: &World, program: &str, arguments: &[&str], path: &str) -> Command {
    let (certificate, key) = world.meter.write(world.path());
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
