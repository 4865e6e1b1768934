//! Any bytes as a CoAP message: no panic, and what is accepted encodes to the same bytes again.

#![no_main]

use coap::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(message) = Message::decode(datagram) {
        let bytes = message
            .encode(usize::MAX)
            .expect("a message that was decoded");
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(&message));
        assert_eq!(bytes, datagram, "CoAP has one encoding of each message");
    }
});
