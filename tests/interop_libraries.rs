//! Clients that are written with a CoAP library: Californium with Scandium (Java), go-coap with pion (Go).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use test_support::library::LIBRARIES;
use test_support::world::World;

const SHARED: &str = "/simulator/devices/meter-17/attributes/shared";

#[test]
fn telemetry_attributes_and_observe_work() {
    for library in LIBRARIES {
        let world = World::start();
        let mut device = library.start(&world, world.address, &[]);
        let response = device.request(r#"post api/v1/telemetry {"a":1}"#);
        assert_eq!(response, "2.01", "{library:?}");
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", r#"{"a":1}"#);
        device.await_line("handshake resumed=false");
        world.simulator.post(SHARED, &json!({ "interval": 60 }));
        let response = device.request("get api/v1/attributes?sharedKeys=interval");
        assert_eq!(
            response, r#"2.05 {"shared":{"interval":60}}"#,
            "{library:?}"
        );
        let first = device.observe("api/v1/attributes");
        assert_eq!(first, r#"2.05 {"interval":60}"#, "{library:?}");
        world.simulator.await_poll("meter-17", "attributes");
        world.simulator.post(SHARED, &json!({ "interval": 30 }));
        let next = device.await_line("notification ");
        assert_eq!(next, r#"2.05 {"interval":30}"#, "{library:?}");
    }
}
