//! Hazard: two devices in the registry have one certificate, one by its SHA-256 and the other by its SHA3-256.

use super::World;
use crate::device::{AccessToken, Device, Fingerprint, Registry};
use crate::gateway::handle::Change;
use crate::logging::log_lines;
use crate::simulation::Conditions;
use coap::Type;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_first_handshake_logs_it_and_the_sha256_entry_takes_precedence() {
    let lines = log_lines::of(|| {
        let mut world = World::new(1, Conditions::GOOD, 1);
        let id = world.devices[0].certificate_id();
        let mut registry = Registry::default();
        for (name, fingerprint) in [
            ("by-sha3", Fingerprint::Sha3(id.sha3)),
            ("device-0", Fingerprint::Sha256(id.sha256)),
        ] {
            let token = AccessToken::new(name).unwrap();
            let name = name.into();
            registry
                .add(Device { name, token }, &[fingerprint])
                .unwrap();
        }
        let change = Change::Registry(Arc::new(registry));
        world.core.change(world.now, change);
        world.connect_all();
        world.post(0, Type::Confirmable);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.upstream.posts[0].device, "device-0");
    });
    let logged =
        |line: &&String| line.contains("two devices in the registry have this certificate");
    let logged: Vec<_> = lines.iter().filter(logged).collect();
    assert_eq!(logged.len(), 1, "{lines:#?}");
    assert!(logged[0].contains("WARN"), "{logged:?}");
    assert!(logged[0].contains("device=\"device-0\"") && logged[0].contains("other=\"by-sha3\""));
}
