//! A device with a connection ID goes on at another port (RFC 9146).

use super::roaming::Roaming;
use coap::{Code, Message, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A device that does not know return routability checks, whose GETs of attributes are answered with more than three times
/// their bytes.
fn connected() -> Roaming {
    let mut device = Roaming::connected(7, false);
    device.set_attribute("attribute", &format!("\"{}\"", "long ".repeat(100)));
    device
}

/// What comes after a GET.
fn get(device: &mut Roaming) -> Vec<Message> {
    device.get();
    device.run_for(SECOND);
    std::mem::take(&mut device.received)
}

/// Otherwise a download would not go on: each block is more than three times its request, and the device repeats its request
/// as often as it has no response.
#[test]
fn a_device_that_has_moved_gets_a_long_response_once_it_has_answered_a_ping() {
    let mut device = connected();
    let at_home = get(&mut device);
    assert_eq!((at_home.len(), at_home[0].code), (1, Code::CONTENT));
    device.port = 2;
    let first = get(&mut device);
    let [ping, response] = first.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!((ping.kind, ping.code), (Type::Confirmable, Code::EMPTY));
    assert_eq!(
        (response.code, &response.payload),
        (Code::CONTENT, &at_home[0].payload)
    );
    // From now on, it is as before.
    let next = get(&mut device);
    assert_eq!((next.len(), next[0].code), (1, Code::CONTENT));
}

#[test]
fn a_device_that_has_moved_gets_a_short_response_at_once_and_no_ping() {
    let mut device = connected();
    device.port = 2;
    for _ in 0..3 {
        device.post(Type::Confirmable);
        device.run_for(SECOND);
        let received = std::mem::take(&mut device.received);
        assert_eq!((received.len(), received[0].code), (1, Code::CREATED));
    }
}
