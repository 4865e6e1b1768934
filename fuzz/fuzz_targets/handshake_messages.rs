//! Any bytes as handshake messages of a DTLS client: no panic, bounded memory, and what is read can be written again.
//!
//! The input is a datagram. Its first record is judged as a first hello, and all of them as a client's flight.

#![no_main]

use dtls_server::cookie::{CookieReply, Cookies};
use dtls_server::crypto::random::{Random, Unavailable};
use dtls_server::message::certificate::{Certificate, CertificateVerify};
use dtls_server::message::client_hello::ClientHello;
use dtls_server::message::key_exchange::{ClientKeyExchange, Finished};
use dtls_server::message::{HandshakeType, fragments};
use dtls_server::reassembly::{MAX_BYTES, Message, Reassembly};
use dtls_server::record::records;
use libfuzzer_sys::fuzz_target;
use std::time::Instant;

const EXPECTED: [HandshakeType; 5] = [
    HandshakeType::CLIENT_HELLO,
    HandshakeType::CERTIFICATE,
    HandshakeType::CLIENT_KEY_EXCHANGE,
    HandshakeType::CERTIFICATE_VERIFY,
    HandshakeType::FINISHED,
];

struct Fixed;

impl Random for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        buffer.fill(7);
        Ok(())
    }
}

fn read(message: &Message) {
    let body = message.body();
    let mut written = Vec::new();
    match message.message_type() {
        HandshakeType::CLIENT_HELLO => {
            let Ok(hello) = ClientHello::parse(body) else {
                return;
            };
            hello.write(&mut written).expect("it was that long");
            if let Ok(extensions) = hello.client_extensions() {
                let mut block = Vec::new();
                extensions.write(&mut block).expect("they were that long");
                let again = dtls_server::message::extension::ClientExtensions::parse(&block);
                assert_eq!(again, Ok(extensions));
            }
        }
        HandshakeType::CERTIFICATE => {
            let Ok(certificate) = Certificate::parse(body) else {
                return;
            };
            certificate.write(&mut written).expect("it was that long");
        }
        HandshakeType::CLIENT_KEY_EXCHANGE => {
            let Ok(exchange) = ClientKeyExchange::parse(body) else {
                return;
            };
            exchange.write(&mut written).expect("it was that long");
        }
        HandshakeType::CERTIFICATE_VERIFY => {
            let Ok(verify) = CertificateVerify::parse(body) else {
                return;
            };
            verify.write(&mut written).expect("it was that long");
        }
        HandshakeType::FINISHED => {
            let Ok(finished) = Finished::parse(body) else {
                return;
            };
            written.extend(finished.verify_data);
        }
        _ => return,
    }
    assert_eq!(written, body);
}

fuzz_target!(|datagram: &[u8]| {
    let now = Instant::now();
    let cookies = Cookies::new(&mut Fixed, now).expect("it never fails");
    match cookies.reply(now, b"source", datagram) {
        CookieReply::Verify(reply) => assert!(reply.len() <= datagram.len()),
        CookieReply::Verified(_) | CookieReply::FirstFragment(_) => {
            // The key is no secret here, but the fuzzer does not compute a MAC.
            panic!("a cookie was guessed");
        }
        CookieReply::LaterFragment | CookieReply::NotHello | CookieReply::Malformed => {}
    }
    let mut reassembly = Reassembly::new(0);
    for record in records(datagram, 0) {
        for fragment in fragments(record.fragment).map_while(Result::ok) {
            reassembly.insert(&fragment, record.epoch > 0);
            assert!(reassembly.size() <= MAX_BYTES);
            while let Some(message) = reassembly.take(&EXPECTED) {
                read(&message);
            }
        }
        if record.epoch > 0 {
            reassembly.discard_plaintext();
        }
    }
});
