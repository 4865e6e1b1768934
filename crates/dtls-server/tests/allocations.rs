//! What one datagram may allocate before and during a handshake, whatever it has, counted by the allocator.
//!
//! This file has a single test, because the allocations of another one would be counted as well.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use dtls_server::cookie::{CookieReply, Cookies};
use dtls_server::crypto::certificate_key::CertificateKey;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::message::certificate::{Certificate, CertificateRequest, CertificateVerify};
use dtls_server::message::client_hello::ClientHello;
use dtls_server::message::extension::ClientExtensions;
use dtls_server::message::key_exchange::{ClientKeyExchange, Finished};
use dtls_server::message::{Fragment, HandshakeType, Header, Numbers, fragments, whole};
use dtls_server::reassembly::{MAX_BYTES, Reassembly};
use dtls_server::record::{self, ContentType, DTLS_1_2};
use dtls_server::wire::Reader;
use dtls_test_client::{Credentials, KeyType, Move, Options, Server, second_flight};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated by a call, freed again or not.
fn allocated<T>(call: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.stats();
    let result = call();
    let during = ALLOCATOR.stats() - before;
    let grown = usize::try_from(during.bytes_reallocated.max(0)).unwrap();
    (during.bytes_allocated + grown, result)
}

/// Bytes allocated and not freed.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A datagram with a whole ClientHello.
fn hello(cookie: &[u8], extensions: &[u8]) -> Vec<u8> {
    let hello = ClientHello {
        version: DTLS_1_2,
        random: [7; 32],
        session_id: &[1; 32],
        cookie,
        cipher_suites: Numbers::new(Reader::new(&[0xc0, 0xae, 0xc0, 0x2b])).unwrap(),
        compression_methods: &[0],
        extensions: Some(extensions),
    };
    let mut body = Vec::new();
    hello.write(&mut body).unwrap();
    let message = whole(HandshakeType::CLIENT_HELLO, 0, &body).unwrap();
    let mut datagram = Vec::new();
    record::write_plaintext(&mut datagram, ContentType::HANDSHAKE, DTLS_1_2, 0, &message).unwrap();
    datagram
}

fn change(random: &mut fastrand::Rng, bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..random.usize(0..4) {
        let place = random.usize(..changed.len());
        changed[place] = random.u8(..);
    }
    changed
}

#[test]
fn what_a_datagram_allocates_is_bounded() {
    let mut random = fastrand::Rng::with_seed(1);

    // Before the cookie is back: one short datagram, and nothing that stays.
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    let now = Instant::now();
    let cookies = Cookies::new(&mut SystemRandom, now).unwrap();
    let first = hello(&[], &[0, 23, 0, 0]);
    let CookieReply::Verify(reply) = cookies.reply(now, b"source", &first) else {
        panic!("no HelloVerifyRequest");
    };
    let before = held();
    for _ in 0..20_000 {
        let datagram = change(&mut random, &first);
        let (bytes, reply) = allocated(|| cookies.reply(now, b"source", &datagram));
        // Its body, message and record.
        assert!(bytes <= 192, "{bytes}");
        drop(reply);
    }
    assert_eq!(held(), before);

    // With it: the hello, and a map of its bytes if it is fragmented.
    let cookie = &reply[reply.len() - 16..];
    let returning = hello(cookie, &[0, 35, 0, 0]);
    let mut verified = 0;
    for _ in 0..20_000 {
        let datagram = change(&mut random, &returning);
        let (bytes, reply) = allocated(|| cookies.reply(now, b"source", &datagram));
        assert!(bytes <= 8192, "{bytes}");
        verified += u32::from(matches!(reply, CookieReply::Verified(_)));
    }
    assert!(verified > 1000);

    // Messages are read where they are. Only the types of extensions and the places of certificates are kept meanwhile.
    let mut body = vec![0; 16 * 1024];
    for _ in 0..2000 {
        body.fill_with(|| random.u8(..3));
        let (bytes, _) = allocated(|| {
            let _ = ClientHello::parse(&body).map(|hello| hello.client_extensions());
            let _ = ClientExtensions::parse(&body);
            let _ = Certificate::parse(&body);
            let _ = CertificateRequest::parse(&body);
            let _ = CertificateVerify::parse(&body);
            let _ = ClientKeyExchange::parse(&body);
            let _ = Finished::parse(&body);
            fragments(&body).count()
        });
        assert!(bytes <= body.len(), "{bytes}");
    }
    // As many extensions as there can be: four bytes each, of which two are kept.
    let many: Vec<u8> = (0..4096_u16)
        .flat_map(|number| [number.to_be_bytes(), [0, 0]].concat())
        .collect();
    let (bytes, result) = allocated(|| ClientExtensions::parse(&many));
    assert!(result.is_err() && bytes <= 2 * many.len(), "{bytes}");

    // A certificate is read without the contents of its extensions: 7000 names would take a megabyte.
    let names = [0x82, 0].repeat(7000);
    let size = u16::try_from(names.len()).unwrap().to_be_bytes();
    let content = [&[0x30, 0x82][..], &size, &names].concat();
    let mut params = rcgen::CertificateParams::default();
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(
        &[2, 5, 29, 17],
        content,
    )];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (bytes, key) = allocated(|| CertificateKey::from_certificate(certificate.der()));
    assert!(key.is_ok() && bytes <= 8192, "{bytes}");

    // All that is kept of a handshake's fragments, however many come.
    let content = vec![5; 1400];
    let before = held();
    let mut reassembly = Reassembly::new(1);
    for _ in 0..50_000 {
        let length = [1, 12, 130, 700, 1000, 16_000][random.usize(..6)] + random.u32(0..3);
        let fragment_offset = random.u32(0..length);
        let fragment_length = (length - fragment_offset).min(random.u32(1..=1400));
        let header = Header {
            message_type: HandshakeType(random.u8(10..21)),
            length,
            message_seq: random.u16(1..9),
            fragment_offset,
            fragment_length,
        };
        let body = &content[..usize::try_from(fragment_length).unwrap()];
        reassembly.insert(&Fragment { header, body }, false);
        let kept = held() - before;
        // The buffers, and a few words for each of them.
        assert!(kept <= MAX_BYTES + 4096, "{kept}");
    }
    assert!(reassembly.size() > 0);
    drop(reassembly);

    // All that a handshake keeps: with the largest certificate, and as many fragments ahead as there can be.
    let mut server = Server::new();
    let mut options = Options::new(Credentials::generate(KeyType::P256));
    options.connection_id = Some(vec![9; 255]);
    options.second_flight = vec![Move::Certificate];
    let credentials = options.credentials.as_mut().unwrap();
    credentials.chain.push(vec![7; 15 * 1024]);
    let (mut client, certificate) = second_flight(&mut server, options);
    server.receive(&certificate[0]);
    for _ in 0..2000 {
        let fragment_offset = random.u32(0..100);
        let header = Header {
            message_type: HandshakeType::CERTIFICATE,
            length: [500, 5000, 8000, 16_000][random.usize(..4)] + random.u32(0..4),
            message_seq: random.u16(3..9),
            fragment_offset,
            fragment_length: 1,
        };
        let mut content = Vec::new();
        header.write(&mut content);
        content.push(random.u8(..));
        server.receive(&client.plaintext(ContentType::HANDSHAKE, &content));
    }
    let buffered = server.handshake.as_ref().unwrap().buffered();
    assert!(buffered <= MAX_BYTES + 20 * 1024, "{buffered}");
    let before = held();
    server.handshake = None;
    let kept = before - held();
    // What is not counted: our flight, and some kilobytes of states and keys.
    assert!(
        kept <= buffered + 8 * 1024,
        "{kept} of which {buffered} are counted"
    );
    assert!(buffered > 32 * 1024, "{buffered}");
}
