//! OTA packages in the simulator.

use crate::world::Simulator;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Creates a package of `size` bytes, generated from the seed. Returns its SHA-256.
pub fn create(
    simulator: &Simulator,
    kind: &str,
    title: &str,
    version: &str,
    size: usize,
    seed: u64,
) -> String {
    let path = format!("/simulator/packages/{kind}/{title}/{version}");
    let made = simulator.control(
        "PUT",
        &path,
        &json!({"size": size, "seed": seed}).to_string(),
    );
    let made: Value = serde_json::from_str(&made).unwrap();
    made["sha256"].as_str().expect("a checksum").to_owned()
}

/// Assigns it to a device.
pub fn assign(simulator: &Simulator, device: &str, kind: &str, title: &str, version: &str) {
    let path = format!("/simulator/devices/{device}/{kind}");
    simulator.put(&path, &json!({"title": title, "version": version}));
}

/// How many bytes of a package were downloaded so far.
pub fn served(simulator: &Simulator, kind: &str, title: &str, version: &str) -> u64 {
    let path = format!("/simulator/packages/{kind}/{title}/{version}");
    let package: Value = serde_json::from_str(&simulator.control("GET", &path, "")).unwrap();
    package["served"]["bytes"]
        .as_u64()
        .expect("a number of bytes")
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut text = String::new();
    for byte in digest.as_ref() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
