//! Other requests under the token of an observation.

use super::{World, default_settings};
use bytes::Bytes;
use coap::option::number::{ACCEPT, CONTENT_FORMAT, IF_MATCH, OBSERVE};
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
    world.flush();
    world.run_for(SECOND);
    world.devices[0].response(request).unwrap().code
}

/// Whether a change of an attribute is notified.
fn is_notified(world: &mut World) -> bool {
    let before = world.devices[0].observations[0].notifications.len();
    world.set_attribute(0, "a", "2");
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
        assert_eq!(world.core.counters().relay.cancelled, 0);
        assert!(is_notified(&mut world));
    }
}

/// A resource, an option of the GET besides Observe 0, and the response.
type Case = (&'static str, (u16, &'static [u8]), Code);

/// RFC 7641 §4.1: to the client, a response without Observe ends the observation.
#[test]
fn a_registration_answered_without_observe_ends_the_observation_with_its_token() {
    let cases: [Case; 5] = [
        ("attributes", (ACCEPT, &[60]), Code::NOT_ACCEPTABLE),
        ("attributes", (IF_MATCH, b"x"), Code::PRECONDITION_FAILED),
        ("attributes", (9, b""), Code::BAD_OPTION),
        ("telemetry", (ACCEPT, &[50]), Code::BAD_REQUEST),
        ("firmware", (IF_MATCH, b"x"), Code::PRECONDITION_FAILED),
    ];
    for (resource, option, expected) in cases {
        let mut world = observing();
        let options = [(OBSERVE, &[][..]), option];
        let response = request(&mut world, Code::GET, resource, &options);
        assert_eq!(response, expected);
        assert_eq!(world.core.counters().relay.cancelled, 1, "{resource}");
        assert!(!is_notified(&mut world), "{resource}");
        // The other observation stands.
        world.send_command(0, "7", true);
        world.run_for(5 * SECOND);
        assert_eq!(world.devices[0].observations[1].commands, [7]);
    }
}

#[test]
fn a_refused_get_without_observe_ends_nothing() {
    let mut world = observing();
    let response = request(&mut world, Code::GET, "attributes", &[(ACCEPT, &[60])]);
    assert_eq!(response, Code::NOT_ACCEPTABLE);
    assert_eq!(world.core.counters().relay.cancelled, 0);
    assert!(is_notified(&mut world));
}
