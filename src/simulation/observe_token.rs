//! Other requests under the token of an observation.

use super::{World, default_settings};
use bytes::Bytes;
use coap::option::number::{CONTENT_FORMAT, OBSERVE};
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A world whose device observes attributes and commands.
fn observing() -> World {
    World::observing(default_settings(), Type::Confirmable)
}

/// Sends a request to this resource under the token of the attributes' observation. Returns the code of the response.
fn request(world: &mut World, code: Code, resource: &str, options: &[(u16, &[u8])]) -> Code {
    let now = world.now;
    let device = &mut world.devices[0];
    let options = options
        .iter()
        .map(|(number, value)| (*number, Bytes::copy_from_slice(value)));
    let (token, options) = (device.observations[0].token, options.collect());
    let body = Bytes::new();
    let kind = Type::Confirmable;
    let request = device.request_with(now, kind, code, &[resource], options, body, token);
    world.settle();
    world.run_for(SECOND);
    world.devices[0].response(request).unwrap().code
}

/// Whether a change of an attribute is notified.
fn is_notified(world: &mut World) -> bool {
    let before = world.devices[0].observations[0].notifications.len();
    world.set(0, "a", "2");
    world.run_for(5 * SECOND);
    world.devices[0].observations[0].notifications.len() > before
}

#[test]
fn observe_1_in_another_method_than_get_ends_nothing() {
    for (code, expected) in [
        (Code::POST, Code::UNSUPPORTED_CONTENT_FORMAT),
        (Code(3), Code::METHOD_NOT_ALLOWED),
        (Code(5), Code::METHOD_NOT_ALLOWED),
    ] {
        let mut world = observing();
        let options = [(OBSERVE, &[1][..]), (CONTENT_FORMAT, &[60])];
        assert_eq!(request(&mut world, code, "attributes", &options), expected);
        assert_eq!(world.core.relay_counters().cancelled, 0);
        assert!(is_notified(&mut world));
    }
}
