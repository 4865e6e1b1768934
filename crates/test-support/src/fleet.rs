//! Many devices, each with a certificate of its own.

use crate::certificates::{Authority, Identity};
use crate::world::Simulator;
use serde_json::json;
use std::fmt::Write as _;

/// The devices `device-0`, `device-1` and so on.
pub struct Fleet {
    pub identities: Vec<Identity>,
    /// Their entries in `devices.toml`.
    pub registry: String,
}

impl Fleet {
    pub fn new(devices: usize) -> Fleet {
        let authority = Authority::new("Fleet CA");
        let mut registry = String::new();
        let mut identities = Vec::new();
        for n in 0..devices {
            let identity = authority.device(&format!("device-{n}"));
            let fingerprint = &identity.fingerprint;
            write!(
                registry,
                "[[device]]\nname = \"device-{n}\"\nfingerprint = {fingerprint:?}\ntoken = \"FleetToken{n}\"\n"
            )
            .unwrap();
            identities.push(identity);
        }
        Fleet {
            identities,
            registry,
        }
    }

    /// Creates them in ThingsBoard.
    pub fn create(&self, simulator: &Simulator) {
        for n in 0..self.identities.len() {
            let token = json!({"token": format!("FleetToken{n}")});
            simulator.put(&format!("/simulator/devices/device-{n}"), &token);
        }
    }
}
