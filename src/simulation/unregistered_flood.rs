//! Hazard: one address completes handshakes with ever new unregistered certificates.

use super::{Conditions, Outcome, World, default_settings, path};
use bytes::Bytes;
use coap::Code;
use std::net::SocketAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The time between two such handshakes: a second has as many as there may be unregistered sessions.
const INTERVAL: Duration = Duration::from_millis(50);

#[test]
fn other_addresses_can_provision_while_one_address_floods_handshakes() {
    let mut settings = default_settings();
    settings.provision = true;
    settings.limits.unregistered_sessions = 20;
    let mut world = World::with_settings(0, Conditions::GOOD, 1, settings);
    // The flooding clients connect from one address, each from its own port.
    let others: Vec<_> = (0..5).map(|_| world.add_unregistered()).collect();
    let flooding: Vec<_> = (0..160).map(|_| world.add_unregistered()).collect();
    for device in &flooding {
        let port = 1000 + u16::try_from(*device).unwrap();
        world.devices[*device].path.remote = SocketAddr::new(path(9000).remote.ip(), port);
    }
    let mut requests = Vec::new();
    for (number, device) in flooding.into_iter().enumerate() {
        world.connect(device);
        world.run_for(INTERVAL);
        // Another client connects each second, and sends its request two seconds later.
        if number % 20 == 19 && number / 20 < 5 {
            world.connect(others[number / 20]);
        }
        if number % 20 == 19 && (2..7).contains(&(number / 20)) {
            let body = Bytes::from_static(b"{}");
            let device = others[number / 20 - 2];
            assert!(world.devices[device].is_connected(), "{device}");
            let now = world.now;
            let provision = "provision";
            let request =
                world.devices[device].request(now, Code::POST, provision, Vec::new(), body);
            requests.push((device, request));
        }
    }
    world.run_for(SECOND);
    assert_eq!((requests.len(), world.upstream.provisions), (5, 5));
    for (device, request) in requests {
        let outcome = world.devices[device].outcome(request);
        assert!(
            matches!(outcome, Outcome::Response(code, _) if *code == Code::CREATED),
            "{outcome:?}"
        );
    }
    let displaced = world.core.counters().gateway.unregistered_displaced;
    assert!(displaced > 100, "{displaced}");
}
