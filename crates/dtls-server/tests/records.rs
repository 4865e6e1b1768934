//! Records of an established session, and the sizes that both sides have agreed on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::association::Discard;
use dtls_server::established::Reason;
use dtls_server::handshake::HandshakeError;
use dtls_server::message::extension::MaxFragmentLength;
use dtls_server::record::{ContentType, MAX_CONTENT, records};
use dtls_test_client::{
    Client, Credentials, KeyType, Move, Options, Server, connect, exchange, exchange_data,
    second_flight,
};

fn options() -> Options {
    Options::new(Credentials::generate(KeyType::P256))
}

fn connected() -> (Server, Client) {
    let mut server = Server::new();
    let client = connect(&mut server, options());
    assert!(client.is_connected());
    (server, client)
}

#[test]
fn a_datagram_may_have_any_number_of_records() {
    let (mut server, mut client) = connected();
    let mut datagram = Vec::new();
    for number in 0..100_u8 {
        datagram.extend(client.send(&[number]));
    }
    // What comes after a length that can't be true is dropped, and what came before it is not.
    let begun = client.send(b"cut off");
    datagram.extend_from_slice(&begun[..begun.len() - 1]);
    server.receive(&datagram);
    let expected: Vec<Vec<u8>> = (0..100).map(|number| vec![number]).collect();
    assert_eq!(server.data, expected);
}

#[test]
fn a_record_that_is_not_authentic_does_not_take_its_datagram_with_it() {
    let (mut server, mut client) = connected();
    let first = client.send(b"first");
    let mut forged = client.send(b"forged");
    *forged.last_mut().unwrap() ^= 1;
    let last = client.send(b"last");
    server.receive(&[first, forged, last].concat());
    assert_eq!(server.data, [&b"first"[..], b"last"]);
    assert_eq!(server.discarded, [Discard::NotAuthentic]);
}

#[test]
fn each_record_is_delivered_once_whatever_the_order_and_the_gaps() {
    let (mut server, mut client) = connected();
    let sent: Vec<_> = (0..500_u16)
        .map(|one| client.send(&one.to_be_bytes()))
        .collect();
    let mut random = fastrand::Rng::with_seed(3);
    let mut place = 0;
    let mut expected = Vec::new();
    while place < sent.len() {
        server.receive(&sent[place]);
        expected.push(u16::try_from(place).unwrap());
        // Those that were delivered lately come again.
        for back in 0..place.min(8) {
            let older = place - back;
            let count = server.data.len();
            server.receive(&sent[older]);
            let is_new = !expected.contains(&u16::try_from(older).unwrap());
            assert_eq!(server.data.len() > count, is_new, "{older}");
            if is_new {
                expected.push(u16::try_from(older).unwrap());
            }
        }
        place += random.usize(1..100);
    }
    let expected: Vec<_> = expected
        .iter()
        .map(|one| one.to_be_bytes().to_vec())
        .collect();
    assert_eq!(server.data, expected);
}

#[test]
fn the_largest_content_is_taken_both_ways() {
    // RFC 9146 §4: with connection IDs, the type takes a byte of it.
    for (connection_id, largest) in [(None, MAX_CONTENT), (Some(vec![1]), MAX_CONTENT - 1)] {
        let mut server = Server::new();
        let options = Options {
            connection_id,
            ..options()
        };
        let mut client = connect(&mut server, options);
        for length in [0, 1, largest] {
            let datagram = client.send(&vec![5; length]);
            server.receive(&datagram);
            assert_eq!(server.data.pop().unwrap().len(), length);
            let datagram = server.send(&vec![6; length]);
            client.receive(&datagram);
            assert_eq!(client.take_application_data(), [vec![6; length]]);
        }
    }
}

#[test]
fn more_content_than_was_agreed_on_ends_the_session() {
    let mut server = Server::new();
    let options = Options {
        max_fragment_length: Some(MaxFragmentLength::Bytes512),
        ..options()
    };
    let mut client = connect(&mut server, options);
    // RFC 6066 §4 has a tolerance of 288 bytes.
    for length in [512, 513, 800] {
        let datagram = client.send(&vec![1; length]);
        server.receive(&datagram);
        assert_eq!(server.data.pop().unwrap().len(), length);
    }
    let datagram = client.send(&[1; 801]);
    for answer in server.receive(&datagram) {
        client.receive(&answer);
    }
    assert_eq!(server.ended, Some(Reason::Overflow));
    let alert = Alert::fatal(AlertDescription::RECORD_OVERFLOW);
    assert_eq!(client.alerts(), [alert]);
}

/// Until the handshake is complete, too. A session that is resumed has keys from the beginning.
#[test]
fn more_content_than_was_agreed_on_ends_a_handshake() {
    let alert = Alert::fatal(AlertDescription::RECORD_OVERFLOW);
    let first = Options {
        max_fragment_length: Some(MaxFragmentLength::Bytes512),
        ..options()
    };
    let mut server = Server::new();
    let session = connect(&mut server, first.clone()).resumable();
    let established = server.session.clone();
    let full = Options {
        second_flight: Move::SECOND_FLIGHT[..4].to_vec(),
        ..first.clone()
    };
    let resumed = Options {
        session,
        ..first.clone()
    };
    for (options, is_resumed) in [(full, false), (resumed, true)] {
        let mut server = Server::new();
        server.session = is_resumed.then(|| established.clone()).flatten();
        let (mut client, flight) = second_flight(&mut server, options);
        if !is_resumed {
            exchange(&mut server, &mut client, flight);
        }
        assert_eq!(client.is_resumed(), is_resumed);
        let datagram = client.protect(ContentType::HANDSHAKE, &[0; 801]);
        for answer in server.receive(&datagram) {
            client.receive(&answer);
        }
        assert_eq!(server.failure, Some(HandshakeError::Overflow));
        assert_eq!(client.alerts(), [alert], "resumed: {is_resumed}");
    }
    // In one datagram with the Finished, after which everything is protected.
    let mut server = Server::new();
    let (mut client, flight) = second_flight(
        &mut server,
        Options {
            packs: true,
            ..first
        },
    );
    let too_long = client.send(&[0; 801]);
    exchange(
        &mut server,
        &mut client,
        vec![[&flight[0][..], &too_long].concat()],
    );
    assert_eq!(server.failure, Some(HandshakeError::Overflow));
    assert!(!server.is_connected());
    assert_eq!(client.alerts(), [alert]);
}

#[test]
fn what_is_discarded_during_a_handshake_is_reported() {
    let mut server = Server::new();
    let (mut client, flight) = second_flight(&mut server, options());
    let forged = |epoch| {
        let mut record = vec![23, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 40];
        record.extend([0; 40]);
        record
    };
    server.receive(&forged(1));
    assert_eq!(server.discarded, [Discard::Epoch], "there are no keys yet");
    let (last, rest) = flight.split_last().unwrap();
    exchange(&mut server, &mut client, rest.to_vec());
    server.discarded.clear();
    server.receive(&[forged(1), forged(2)].concat());
    assert_eq!(server.discarded, [Discard::NoConnectionId, Discard::Epoch]);
    server.discarded.clear();
    server.receive(&[&last[..], last].concat());
    assert!(server.is_connected());
    assert_eq!(server.discarded, [Discard::Replayed], "after the Finished");
}

#[test]
fn the_servers_records_obey_the_clients_limits_from_the_first_flight_on() {
    for (max_fragment_length, record_size_limit, plaintext, protected) in [
        (None, None, MAX_CONTENT, MAX_CONTENT),
        (Some(MaxFragmentLength::Bytes512), None, 512, 512),
        (Some(MaxFragmentLength::Bytes1024), None, 1024, 1024),
        // RFC 8449: it is for protected records, and the other one is ignored beside it.
        (None, Some(200), MAX_CONTENT, 200),
        (
            Some(MaxFragmentLength::Bytes512),
            Some(700),
            MAX_CONTENT,
            700,
        ),
    ] {
        let mut server = Server::new();
        let options = Options {
            max_fragment_length,
            record_size_limit,
            ..options()
        };
        let mut client = Client::new(options, 7);
        let mut to_server = client.start();
        let mut longest = 0;
        let mut longest_datagram = 0;
        while !to_server.is_empty() {
            let answers: Vec<_> = to_server
                .iter()
                .flat_map(|datagram| server.receive(datagram))
                .collect();
            longest_datagram = answers
                .iter()
                .map(Vec::len)
                .fold(longest_datagram, usize::max);
            for record in answers.iter().flat_map(|answer| records(answer, 0)) {
                if record.epoch == 0 {
                    longest = longest.max(record.fragment.len());
                }
            }
            to_server = answers
                .iter()
                .flat_map(|answer| client.receive(answer))
                .collect();
        }
        assert!(client.is_connected());
        assert!(longest <= plaintext, "{longest}");
        // A client that asks for short fragments may have room for one of them.
        let room = max_fragment_length.map_or(1200, |length| usize::from(length.bytes()) + 13);
        assert!(longest_datagram <= room, "{longest_datagram}");
        let association = server.association.as_ref().unwrap();
        assert!(association.max_content() <= protected);
        assert!(association.max_content() + 20 >= protected);
        exchange_data(&mut server, &mut client);
    }
}

#[test]
fn warnings_do_not_end_a_session() {
    let (mut server, mut client) = connected();
    for _ in 0..10 {
        let alert = Alert::warning(AlertDescription::USER_CANCELED);
        let datagram = client.protect(ContentType::ALERT, &alert.encode());
        assert!(server.receive(&datagram).is_empty());
    }
    assert_eq!(server.ended, None);
    exchange_data(&mut server, &mut client);
}

#[test]
fn records_of_other_versions_and_epochs_are_discarded() {
    let (mut server, mut client) = connected();
    let datagram = client.send(b"content");
    for (place, byte, discard) in [
        (2, 0xff, Discard::Version),
        (4, 0, Discard::Epoch),
        (4, 2, Discard::Epoch),
    ] {
        let mut changed = datagram.clone();
        changed[place] = byte;
        server.receive(&changed);
        assert_eq!(server.discarded.pop(), Some(discard));
    }
    // Of another protocol: no record at all.
    let mut changed = datagram.clone();
    changed[1] = 3;
    server.receive(&changed);
    assert!(server.discarded.is_empty() && server.data.is_empty());
    server.receive(&datagram);
    assert_eq!(server.data, [b"content"]);
}

#[test]
fn the_version_in_the_record_of_a_hello_does_not_matter() {
    for minor in [0xff, 0xfd, 0xfc, 0] {
        let mut server = Server::new();
        let mut client = Client::new(options(), 7);
        let mut to_server = client.start();
        for _ in 0..2 {
            to_server[0][2] = minor;
            let answers = server.receive(&to_server[0]);
            assert!(!answers.is_empty(), "{minor}");
            to_server = answers
                .iter()
                .flat_map(|answer| client.receive(answer))
                .collect();
        }
        assert_eq!(server.failure, None);
    }
}
