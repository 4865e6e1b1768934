//! Handshakes of other implementations' clients, which were recorded once: with the same random bytes and signatures, the
//! server answers each of their datagrams with the same bytes.
//!
//! `tests/recorded/` has a file for each. `tests/interop/record` writes them, with `dtls-test-client`'s example `record`: it is
//! necessary again when a change of the server's bytes is intended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use dtls_test_client::Server;
use dtls_test_client::recording::{Datagram, Recording, answer};
use std::fs;
use std::path::Path;

/// Every recording, by the name of its file.
fn recordings() -> Vec<(String, Recording)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let files = fs::read_dir(directory).unwrap();
    let mut recordings: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, Recording::from_text(&text))
        })
        .collect();
    recordings.sort_by(|(a, _), (b, _)| a.cmp(b));
    recordings
}

/// What the server has answered, datagram by datagram, and the server then.
fn replay(recording: &Recording) -> (Vec<Datagram>, Server) {
    let mut server = recording.server();
    let mut datagrams = Vec::new();
    for datagram in &recording.datagrams {
        if let Datagram::Received(bytes) = datagram {
            datagrams.push(datagram.clone());
            datagrams.extend(answer(&mut server, bytes).into_iter().map(Datagram::Sent));
        }
    }
    (datagrams, server)
}

#[test]
fn the_server_answers_every_recorded_client_with_the_same_bytes() {
    for (name, recording) in recordings() {
        let (datagrams, server) = replay(&recording);
        for (number, (now, then)) in datagrams.iter().zip(&recording.datagrams).enumerate() {
            assert!(
                now == then,
                "{name}: datagram {number} differs. If that is intended: tests/interop/record"
            );
        }
        assert_eq!(datagrams.len(), recording.datagrams.len(), "{name}");
        assert_eq!(server.failure, None, "{name}");
    }
}

#[test]
fn every_stack_has_a_recording() {
    let names: Vec<String> = recordings().into_iter().map(|(name, _)| name).collect();
    for stack in [
        "californium",
        "gnutls",
        "libcoap",
        "mbedtls",
        "openssl",
        "pion",
        "wolfssl",
    ] {
        assert!(
            names.iter().any(|name| name.starts_with(stack)),
            "{stack} is not among {names:?}"
        );
    }
}

#[test]
fn a_recording_with_another_byte_is_not_answered_with_the_same() {
    for (name, recording) in recordings() {
        // In its hello, the random's first byte; 13 bytes are the record's header, 12 the message's, 2 the version.
        let mut other = recording.clone();
        for datagram in &mut other.datagrams {
            if let Datagram::Received(bytes) = datagram {
                bytes[27] ^= 1;
                break;
            }
        }
        let (datagrams, _) = replay(&other);
        assert_ne!(datagrams, other.datagrams, "{name}");
    }
}

#[test]
fn a_recording_is_read_as_it_was_written() {
    for (name, recording) in recordings() {
        assert_eq!(
            Recording::from_text(&recording.to_text()),
            recording,
            "{name}"
        );
    }
}
