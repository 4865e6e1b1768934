//! Any bytes as a CoAP message: no panic, and what is accepted encodes to the same bytes again.

#![no_main]

use coap::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(message) = Message::decode(datagram) {
        let length = datagram.len();
        let bytes = message.encode(length).expect("it fits its own length");
        assert_eq!(bytes, datagram, "CoAP has one encoding of each message");
        assert_eq!(message.encode(length - 1), None);
    }
});
