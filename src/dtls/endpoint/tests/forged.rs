//! One plaintext datagram is forged from the client's address during its handshake, without knowledge of the handshake: it
//! completes, whatever the datagram is, whenever it comes, and however the client packs its flight.

use super::*;
use crate::dtls::dtls13::inbound::tests::{encoded_fragment, encoded_record as record};

const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
const FINISHED: u8 = 20;

/// A record with a fragment of a handshake message.
fn fragment(kind: u8, number: u16, total: usize, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let fragment = encoded_fragment(kind, number, total, offset, bytes);
    record(22, 0, 50, &fragment)
}

/// Forged datagrams. The client's ClientHello with its cookie has `message_seq` 1; its other messages follow.
fn forgeries() -> Vec<(&'static str, Vec<u8>)> {
    let many = |kind, number: u16| -> Vec<u8> {
        let pieces = (0..31).map(|n| fragment(kind, number, 16_000, 1 + 2 * n, &[9]));
        pieces.collect::<Vec<_>>().concat()
    };
    let point = [vec![65, 4], vec![9; 64]].concat();
    let nine = record(21, 0, 50, &[1, 100]).repeat(9);
    vec![
        (
            "a Finished that is not authentic",
            record(22, 1, 0, &[9; 48]),
        ),
        ("data that is not authentic", record(23, 1, 7, &[9; 60])),
        ("an alert that is not authentic", record(21, 1, 1, &[9; 26])),
        ("too short to be a ciphertext", record(22, 1, 0, &[9; 3])),
        (
            "a record of DTLS 1.3",
            [vec![0x2e, 0, 0, 0, 40], vec![9; 40]].concat(),
        ),
        ("31 fragments of its Certificate", many(CERTIFICATE, 2)),
        ("31 fragments of message 9", many(CERTIFICATE, 9)),
        (
            "a zero-length fragment of its Certificate",
            fragment(CERTIFICATE, 2, 400, 0, &[]),
        ),
        (
            "an empty Certificate of length 0",
            fragment(CERTIFICATE, 2, 0, 0, &[]),
        ),
        (
            "a fragment of its Certificate",
            fragment(CERTIFICATE, 2, 400, 0, &[9; 40]),
        ),
        (
            "a malformed Certificate",
            fragment(CERTIFICATE, 2, 40, 0, &[9; 40]),
        ),
        (
            "a Certificate of 1.7 MB",
            fragment(CERTIFICATE, 2, 1_700_000, 0, &[9; 900]),
        ),
        (
            "a fragment of ClientKeyExchange",
            fragment(CLIENT_KEY_EXCHANGE, 3, 66, 0, &[9; 9]),
        ),
        (
            "a malformed ClientKeyExchange",
            fragment(CLIENT_KEY_EXCHANGE, 3, 9, 0, &[9; 9]),
        ),
        (
            "a fragment of CertificateVerify",
            fragment(CERTIFICATE_VERIFY, 4, 75, 0, &[9; 9]),
        ),
        (
            "the end of CertificateVerify",
            fragment(CERTIFICATE_VERIFY, 4, 900, 60, &[9; 9]),
        ),
        (
            "a fragment of Finished",
            fragment(FINISHED, 5, 12, 0, &[9; 4]),
        ),
        (
            "a complete Finished in plaintext",
            fragment(FINISHED, 5, 12, 0, &[9; 12]),
        ),
        (
            "a fragment of message 9",
            fragment(CERTIFICATE, 9, 400, 0, &[9; 40]),
        ),
        (
            "another message in the place of its Certificate",
            fragment(CLIENT_KEY_EXCHANGE, 2, 66, 0, &point),
        ),
        ("a fatal alert", super::record::fatal_alert(50, 40)),
        ("a close_notify", record(21, 0, 50, &[1, 0])),
        ("a ChangeCipherSpec", record(20, 0, 50, &[1])),
        (
            "a ChangeCipherSpec with wrong content",
            record(20, 0, 50, &[2, 1]),
        ),
        ("nine records in one datagram", nine),
        (
            "a content type that does not exist",
            record(24, 0, 50, &[1; 400]),
        ),
        ("half a record", record(22, 0, 50, &[9; 80])[..50].to_vec()),
        ("a HelloRequest", fragment(0, 2, 0, 0, &[])),
    ]
}

/// Whole messages in the place of the next one. In DTLS 1.2 nothing distinguishes them from the client's, so they end this one
/// handshake: see the documentation of `dtls_server`.
const WHOLE: [&str; 5] = [
    "an empty Certificate of length 0",
    "a malformed Certificate",
    "a malformed ClientKeyExchange",
    "another message in the place of its Certificate",
    "a HelloRequest",
];

/// How a client packs its flight.
#[derive(Debug, Clone, Copy)]
enum Packing {
    AsItIs,
    OneRecordEach,
    Fragments,
}

/// Splits a datagram into its records.
fn records(mut datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !datagram.is_empty() {
        let length = if datagram[0] >> 5 == 1 {
            5 + usize::from(u16::from_be_bytes([datagram[3], datagram[4]]))
        } else {
            13 + usize::from(u16::from_be_bytes([datagram[11], datagram[12]]))
        };
        let (record, rest) = datagram.split_at(length);
        records.push(record.to_vec());
        datagram = rest;
    }
    records
}

fn packed(datagrams: Vec<Vec<u8>>, packing: Packing) -> Vec<Vec<u8>> {
    let all = datagrams.iter().flat_map(|datagram| records(datagram));
    match packing {
        Packing::AsItIs => datagrams,
        Packing::OneRecordEach => all.collect(),
        Packing::Fragments => all
            .flat_map(|record| {
                let is_message = record[0] == 22 && record[4] == 0;
                if is_message {
                    fragmented(&record, 50)
                } else {
                    vec![record]
                }
            })
            .collect(),
    }
}

/// Runs a handshake with a datagram forged after `at` datagrams of the client's last flight. Returns whether it completed,
/// and how many datagrams that flight had.
fn run(versions: Versions, packing: Packing, at: usize, forged: &[u8]) -> (bool, usize) {
    let mut bench = in_version(versions);
    let mut client = bench.client(1);
    let mut length = 0;
    // The hello, the hello with a cookie, the last flight, and retransmissions.
    for turn in 0.. {
        let said = std::mem::take(&mut client.outbox);
        let said = if turn < 2 {
            said
        } else {
            packed(said, packing)
        };
        if turn == 2 {
            length = said.len();
        }
        for (number, datagram) in said.iter().enumerate() {
            if turn == 2 && number == at {
                bench.endpoint.receive(bench.now, client.path, forged);
            }
            bench.endpoint.receive(bench.now, client.path, datagram);
        }
        bench.step(&mut client);
        while turn >= 2 && client.connected && bench.step(&mut client) {}
        if client.connected && bench.endpoint.established() == 1 {
            return (true, length);
        }
        if turn > 2 {
            bench.pass(SECOND);
            let outputs = client.dtls.handle_timeout(bench.now).unwrap_or_default();
            client.take(outputs);
        }
        if turn == 40 {
            return (false, length);
        }
    }
    unreachable!("it returns after 40 turns")
}

fn every_forgery(versions: Versions, packings: &[Packing]) {
    let mut tried = 0;
    let mut ended = Vec::new();
    for packing in packings {
        let (completes, length) = run(versions, *packing, usize::MAX, &[]);
        assert!(completes, "{versions:?} {packing:?}, nothing forged");
        for (what, forged) in forgeries() {
            if versions == Versions::Only12 && WHOLE.contains(&what) {
                continue;
            }
            for at in 0..length {
                tried += 1;
                if !run(versions, *packing, at, &forged).0 {
                    ended.push(format!("{what}, {packing:?}, after {at}"));
                }
            }
        }
    }
    assert!(tried >= (forgeries().len() - WHOLE.len()) * packings.len());
    assert!(ended.is_empty(), "{} of {tried}: {ended:#?}", ended.len());
}

#[test]
fn no_forged_datagram_ends_a_handshake_of_dtls_12_whose_flight_is_one_datagram() {
    every_forgery(Versions::Only12, &[Packing::AsItIs]);
}

#[test]
fn no_forged_datagram_ends_a_handshake_of_dtls_12_whose_records_are_a_datagram_each() {
    every_forgery(Versions::Only12, &[Packing::OneRecordEach]);
}

#[test]
fn no_forged_datagram_ends_a_handshake_of_dtls_12_whose_messages_are_fragmented() {
    every_forgery(Versions::Only12, &[Packing::Fragments]);
}

#[test]
fn no_forged_datagram_ends_a_handshake_of_dtls_13() {
    every_forgery(Versions::Only13, &[Packing::AsItIs, Packing::OneRecordEach]);
    every_forgery(Versions::Both, &[Packing::AsItIs]);
}

/// A datagram of the client's flight is lost, and the client repeats the flight with another packing, for a smaller MTU.
#[test]
fn a_flight_that_is_repeated_with_another_packing_completes() {
    let packings = [Packing::AsItIs, Packing::OneRecordEach, Packing::Fragments];
    for (first, then) in packings.iter().flat_map(|a| packings.map(|b| (*a, b))) {
        for lost in 0.. {
            let mut bench = in_version(Versions::Only12);
            let mut client = bench.client(1);
            bench.step(&mut client);
            bench.step(&mut client);
            let said = packed(std::mem::take(&mut client.outbox), first);
            if lost == said.len() {
                break;
            }
            for (number, datagram) in said.iter().enumerate() {
                if number != lost {
                    bench.endpoint.receive(bench.now, client.path, datagram);
                }
            }
            for _ in 0..10 {
                bench.pass(SECOND);
                let outputs = client.dtls.handle_timeout(bench.now).unwrap();
                client.take(outputs);
                client.outbox = packed(std::mem::take(&mut client.outbox), then);
                bench.exchange(&mut client);
            }
            assert!(client.connected, "{first:?}, without {lost}, then {then:?}");
            assert_eq!(bench.endpoint.established(), 1);
        }
    }
}

/// The gateway's flight is lost, and hellos are forged. The engine of DTLS 1.3 retransmits its flight for each, eight times
/// in all: if one datagram could use up all of them, the client would get none.
#[test]
fn forged_hellos_do_not_exhaust_the_retransmissions_of_a_flight() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        let mut bench = in_version(versions);
        let mut client = bench.client(1);
        bench.step(&mut client);
        for datagram in std::mem::take(&mut client.outbox) {
            bench.endpoint.receive(bench.now, client.path, &datagram);
        }
        bench.endpoint.handle_timeout(bench.now);
        assert!(!bench.sent(client.path).is_empty(), "it is lost");
        let alert = record(21, 0, 50, &[1, 100]);
        let forged = [alert, fragment(1, 0, 40, 0, &[9]).repeat(32)].concat();
        bench.endpoint.receive(bench.now, client.path, &forged);
        let repeated = bench.sent(client.path).len();
        assert!(repeated <= 4, "{versions:?}: {repeated} datagrams for one");
        for _ in 0..30 {
            bench.pass(SECOND);
            let outputs = client.dtls.handle_timeout(bench.now).unwrap();
            client.take(outputs);
            bench.exchange(&mut client);
        }
        assert!(client.connected, "{versions:?}");
    }
}

/// Credentials with a certificate that is about `extra` bytes longer than usual.
fn longer_credentials(extra: usize) -> ServerCredentials {
    let mut parameters = rcgen::CertificateParams::new(vec!["device".to_owned()]).unwrap();
    let oid = &[1, 3, 6, 1, 4, 1, 99999, 1];
    let extension = rcgen::CustomExtension::from_oid_content(oid, vec![7; extra]);
    parameters.custom_extensions = vec![extension];
    let key = rcgen::KeyPair::generate().unwrap();
    ServerCredentials::of_certificate(
        parameters.self_signed(&key).unwrap().der().to_vec(),
        Zeroizing::new(key.serialize_der()),
    )
}

/// Runs a handshake that loses one datagram of the client's last flight. Returns whether it completed, and how many
/// datagrams that flight had.
fn without(
    versions: Versions,
    client: &ClientConfig,
    lost: usize,
    is_reversed: bool,
) -> (bool, usize) {
    let mut bench = in_version(versions);
    bench.client = client.clone();
    let mut client = bench.client(1);
    bench.step(&mut client);
    bench.step(&mut client);
    let mut said = std::mem::take(&mut client.outbox);
    let length = said.len();
    if lost < length {
        said.remove(lost);
    }
    if is_reversed {
        said.reverse();
    }
    for datagram in said {
        bench.endpoint.receive(bench.now, client.path, &datagram);
    }
    bench.step(&mut client);
    for _ in 0..40 {
        bench.pass(SECOND);
        let outputs = client.dtls.handle_timeout(bench.now).unwrap_or_default();
        client.take(outputs);
        bench.exchange(&mut client);
    }
    let is_in = client.connected && bench.endpoint.established() == 1;
    (is_in, length)
}

/// With certificates of many lengths and datagrams of several, each message is fragmented at some datagram boundary.
fn any_loss(versions: Versions) {
    let mut failed = Vec::new();
    for extra in (0..1600).step_by(160) {
        for mtu in [256, 400, 600, 800, 1200] {
            let config = client_config(&longer_credentials(extra), versions, mtu);
            for is_reversed in [false, true] {
                for lost in 0.. {
                    let (is_in, length) = without(versions, &config, lost, is_reversed);
                    if !is_in {
                        failed.push((extra, mtu, lost, length, is_reversed));
                    }
                    if lost >= length {
                        break;
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} {failed:?}", failed.len());
}

#[test]
fn a_handshake_of_dtls_12_recovers_from_the_loss_of_any_datagram_of_a_flight() {
    any_loss(Versions::Only12);
}

#[test]
fn a_handshake_of_dtls_13_recovers_from_the_loss_of_any_datagram_of_a_flight() {
    any_loss(Versions::Only13);
}
