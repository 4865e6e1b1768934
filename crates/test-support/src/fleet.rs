//! Many devices, each with a certificate of its own.

use crate::certificates::{Authority, Identity};
use crate::world::Simulator;
use serde_json::json;
use std::fmt::Write as _;

/// `device-0` and on, as the registry has them.
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

    /// Has ThingsBoard know them.
    pub fn define(&self, simulator: &Simulator) {
        for n in 0..self.identities.len() {
            let token = json!({"token": format!("FleetToken{n}")});
            simulator.put(&format!("/simulator/devices/device-{n}"), &token);
        }
    }
}
