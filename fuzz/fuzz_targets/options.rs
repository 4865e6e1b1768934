//! Any options on a request, and any path through the router.

#![no_main]

use coap::{Code, Message, Type, option};
use coaps_gateway::mapping::{resource, translate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|tail: &[u8]| {
    // A valid header before it, so that the fuzzer's bytes are options from the first on.
    let mut datagram = vec![0x40, Code::POST.0, 0, 1];
    datagram.extend_from_slice(tail);
    let Ok(message) = Message::decode(&datagram) else {
        return;
    };
    assert_eq!(message.kind, Type::Confirmable);
    if let Ok(received) = option::read(message)
        && let Ok(resource) = resource::resolve(&received.request.path)
    {
        let _ = translate::to_upstream(received.request, resource, None, 1024, 1152);
    }
});
