//! Any options of a request, and its translation to a request upstream.

#![no_main]

use coap::{Code, Message, Received, Type};
use coaps_gateway::facade::mapping::{path, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|tail: &[u8]| {
    // A valid header, so that the fuzzer's bytes begin with options.
    let mut datagram = vec![0x40, Code::POST.0, 0, 1];
    datagram.extend_from_slice(tail);
    let Ok(message) = Message::decode(&datagram) else {
        return;
    };
    assert_eq!(message.kind, Type::Confirmable);
    if let Ok(received) = Received::read(message)
        && let Ok(resource) = path::resolve(&received.request.path)
    {
        let sizes = request::Sizes {
            largest_body: 1024,
            max_message: 1152,
        };
        let _ = request::map(received.request, Ok(resource), None, sizes);
    }
});
