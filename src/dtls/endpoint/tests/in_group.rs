//! What a group of gateways needs: where a datagram belongs, datagrams that were passed on, and record numbers in blocks.

use super::moving::{Bench, DATA, options};
use super::*;
use crate::dtls::{Found, MakeConnectionId, Via};
use dtls_server::crypto::random::Random;
use dtls_server::record::{ContentType, records};
use dtls_test_client::Options;
use std::num::NonZeroU16;

/// A fatal alert in plaintext.
const ALERT: [u8; 15] = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
/// A record in epoch 1 without connection ID.
const PROTECTED: [u8; 14] = [23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 7];

/// The remote address is that of [`path`].
fn via(port: u16, number: u16) -> Path {
    Path {
        via: NonZeroU16::new(number).map(Via),
        ..path(port)
    }
}

fn without_id() -> Options {
    Options {
        connection_id: None,
        ..options()
    }
}

impl Bench {
    fn receive_in(&mut self, session: SessionId, path: Path, datagram: &[u8]) {
        (self.endpoint).receive_in(self.now, session, path, datagram);
        let events = std::iter::from_fn(|| self.endpoint.poll_event());
        self.events.extend(events);
    }
}

#[test]
fn a_datagram_is_found_by_its_first_record() {
    let mut bench = Bench::new(Parameters::default());
    let (mut by_id, first) = bench.connect(1, options());
    let (mut by_path, second) = bench.connect(2, without_id());
    let endpoint = &bench.endpoint;
    let record = by_id.send(DATA);
    for path in [path(1), path(2), path(3), via(1, 1)] {
        assert_eq!(endpoint.find(path, &record), Found::Session(first));
        assert_eq!(endpoint.find(path, &ALERT), Found::Other);
        assert_eq!(endpoint.find(path, &[0x2f, 1, 2]), Found::Other);
        assert_eq!(endpoint.find(path, &[]), Found::Other);
    }
    let length = endpoint.index.connection_id_length();
    let mut other = record.clone();
    other[11] ^= 1;
    let id = &other.clone()[11..11 + length];
    assert_eq!(endpoint.find(path(1), &other), Found::ConnectionId(id));
    other.truncate(11 + length - 1);
    assert_eq!(endpoint.find(path(1), &other), Found::ConnectionId(&[]));
    let record = by_path.send(DATA);
    assert_eq!(endpoint.find(path(2), &record), Found::Session(second));
    for path in [path(3), via(2, 1)] {
        assert_eq!(endpoint.find(path, &record), Found::NoSession);
    }
}

#[test]
fn a_record_for_a_handshake_under_way_is_not_looked_for_elsewhere() {
    for options in [options(), without_id()] {
        let mut bench = Bench::new(Parameters::default());
        let mut client = dtls_test_client::Client::new(options, 1);
        let mut flight = client.start();
        let mut found = 0;
        while !client.is_connected() {
            for datagram in &flight {
                assert_eq!(bench.endpoint.find(path(1), datagram), Found::Other);
                let length = bench.endpoint.index.connection_id_length();
                for record in records(datagram, length).filter(|record| record.epoch == 1) {
                    let size = record.fragment.len();
                    let at = datagram.len() - size - record.connection_id.len() - 13;
                    let finished = &datagram[at..];
                    assert_eq!(bench.endpoint.find(path(1), finished), Found::Other);
                    found += 1;
                }
            }
            for datagram in flight.drain(..) {
                bench.receive(1, &datagram);
            }
            for (_, datagram) in bench.sent() {
                flight.extend(client.receive(&datagram));
            }
        }
        assert_eq!(found, 1, "its Finished");
    }
}

/// It may be another gateway's, so that it is for the handshake alone.
#[test]
fn a_record_behind_one_in_plaintext_can_be_kept_from_the_session() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, without_id());
    let datagram = [&ALERT[..], &client.send(DATA)].concat();
    assert_eq!(bench.endpoint.find(path(1), &datagram), Found::Other);
    assert_eq!(bench.endpoint.session_of(path(1), &datagram), Some(session));
    (bench.endpoint).receive_for_handshakes(bench.now, path(1), &datagram);
    assert_eq!(bench.endpoint.poll_event(), None);
    bench.receive(1, &datagram);
    assert_eq!(bench.plaintexts(), 1);
}

#[test]
fn a_client_that_is_reached_by_another_gateway_has_not_moved() {
    for options in [options(), without_id()] {
        let mut bench = Bench::new(Parameters::default());
        bench.endpoint.list_changes();
        let (mut client, session) = bench.connect(1, options);
        let mut now_at = path(1);
        let local = Path {
            local: Some([198, 51, 100, 1].into()),
            ..path(1)
        };
        for path in [via(1, 1), via(1, 2), local, path(1)] {
            let (older, newer) = (client.send(DATA), client.send(DATA));
            bench.endpoint.take_used(usize::MAX);
            bench.receive_in(session, path, &newer);
            assert_eq!(bench.endpoint.take_used(usize::MAX), [session]);
            bench.receive_in(session, now_at, &older);
            assert!(!bench.endpoint.is_path_unproven(session));
            assert_eq!(bench.send(session, 1)[0].0, path);
            assert_eq!(bench.endpoint.session_of(path, &ALERT), Some(session));
            assert_eq!(bench.endpoint.session_of(now_at, &ALERT), None);
            assert_eq!(bench.endpoint.load().routes, 1);
            now_at = path;
        }
        assert_eq!((bench.moves(), bench.plaintexts()), (vec![], 8));
        assert_eq!(bench.endpoint.counters().moved, 0);
    }
}

#[test]
fn a_client_that_is_back_at_its_proven_address_by_another_gateway_needs_no_proof() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    bench.receive_in(session, path(2), &client.send(DATA));
    // Nor has it proven another one by that.
    bench.receive_in(session, via(2, 1), &client.send(DATA));
    assert!(bench.endpoint.is_path_unproven(session));
    bench.receive_in(session, via(1, 1), &client.send(DATA));
    assert!(!bench.endpoint.is_path_unproven(session));
    assert_eq!(bench.moves(), [path(2), via(1, 1)]);
    assert_eq!(bench.endpoint.export(session).unwrap().path, via(1, 1));
}

/// Two sessions of one address: each is found where its newest record came from.
#[test]
fn a_session_that_comes_to_the_path_of_another_does_not_take_it() {
    let mut bench = Bench::new(Parameters::default());
    let (mut first, one) = bench.connect(1, without_id());
    bench.receive_in(one, via(1, 1), &first.send(DATA));
    // The first one's path is another, so that it goes on.
    let (mut second, two) = bench.connect(1, without_id());
    assert_eq!(bench.endpoint.established(), 2);
    bench.receive_in(one, path(1), &first.send(DATA));
    assert_eq!(bench.endpoint.session_of(path(1), &ALERT), Some(two));
    bench.receive(1, &second.send(DATA));
    bench.receive_in(one, path(1), &first.send(DATA));
    assert_eq!(bench.plaintexts(), 4);
    bench.endpoint.forget(one);
    assert_eq!(bench.endpoint.session_of(path(1), &ALERT), Some(two));
    bench.endpoint.forget(two);
    assert_eq!(bench.endpoint.load().routes, 0);
}

#[test]
fn only_records_of_the_session_have_an_effect_in_it() {
    let mut bench = Bench::new(Parameters::default());
    let (mut first, one) = bench.connect(1, options());
    let (mut second, two) = bench.connect(2, options());
    let (mut third, three) = bench.connect(3, without_id());
    let mut handshake = PROTECTED.to_vec();
    handshake[0] = ContentType::HANDSHAKE.0;
    for (session, client) in [(one, &mut first), (two, &mut second), (three, &mut third)] {
        let before = bench.plaintexts();
        let own = client.send(DATA);
        bench.receive_in(session, via(9, 1), &ALERT);
        bench.receive_in(session, via(9, 1), &PROTECTED);
        bench.receive_in(session, via(9, 1), &own[..own.len() - 1]);
        assert!(bench.moves().is_empty() && bench.plaintexts() == before);
        let mixed = [&ALERT, &handshake[..], &PROTECTED, &own, &own, &ALERT].concat();
        let path = bench.endpoint.export(session).unwrap().path;
        bench.receive_in(session, path, &mixed);
        assert_eq!(bench.plaintexts(), before + 1);
    }
    let before = bench.plaintexts();
    let records = [first.send(DATA), second.send(DATA), third.send(DATA)];
    for (index, session) in [one, two, three].into_iter().enumerate() {
        for (other, record) in records.iter().enumerate() {
            if other != index {
                bench.receive_in(session, via(9, 1), record);
            }
        }
    }
    assert_eq!(bench.plaintexts(), before);
    // Of all together each takes its own.
    for session in [one, two, three] {
        bench.receive_in(session, path(1), &records.concat());
    }
    bench.receive_in(SessionId(99), path(1), &records.concat());
    assert_eq!(bench.plaintexts(), before + 3);
    assert!(bench.ends().is_empty());
}

#[test]
fn a_forgotten_session_ends_without_a_word() {
    for options in [options(), without_id()] {
        let mut bench = Bench::new(Parameters::default());
        bench.endpoint.list_changes();
        let (mut client, session) = bench.connect(1, options);
        bench.receive_in(session, via(1, 1), &client.send(DATA));
        bench.endpoint.forget(session);
        bench.endpoint.forget(session);
        bench.receive(1, &client.send(DATA));
        assert_eq!(bench.ends(), [(session, EndReason::ServedElsewhere)]);
        assert!(bench.sent().is_empty());
        let load = bench.endpoint.load();
        assert_eq!((load.routes, load.connection_ids, load.timers), (0, 0, 0));
    }
}

struct Numbered;

impl MakeConnectionId for Numbered {
    fn make(&self, random: &mut dyn Random) -> Option<[u8; 8]> {
        let mut id = [9; 8];
        random.fill(id.last_chunk_mut::<4>()?).ok()?;
        Some(id)
    }
}

#[test]
fn connection_ids_of_eight_bytes_are_those_of_the_group() {
    for configured in [0, 4, 8] {
        let mut bench = Bench::new(Parameters {
            connection_id: configured,
            ..Parameters::default()
        });
        bench.endpoint.set_connection_ids(Box::new(Numbered));
        let (mut client, session) = bench.connect(1, options());
        let exported = bench.endpoint.export(session).unwrap();
        let id = exported.association.own_connection_id();
        assert_eq!(id.len(), usize::from(configured));
        assert_eq!(id.starts_with(&[9; 4]), configured == 8, "{id:?}");
        bench.receive(1, &client.send(DATA));
        assert_eq!(bench.plaintexts(), 1);
    }
}

/// In random runs: whatever blocks are set, numbers rise and are in one of those that are set.
#[test]
fn record_numbers_are_of_the_blocks_that_are_set_and_never_fall() {
    let mut random = fastrand::Rng::with_seed(30);
    let mut sent = 0;
    for _ in 0..20 {
        let mut bench = Bench::new(Parameters::default());
        let (_, session) = bench.connect(1, options());
        let mut last = bench.send_number(session).unwrap() - 1;
        let mut allowed = vec![];
        let mut end = last + 5;
        for _ in 0..200 {
            match random.u8(..6) {
                0 => end += random.u64(..5),
                1 => {
                    let start = end + random.u64(..20);
                    let block = start..start + random.u64(1..10);
                    allowed.push(block.clone());
                    (bench.endpoint).set_send_numbers(session, end, Some(block.clone()));
                    end = block.end;
                }
                2 => {
                    // As a late reply has it.
                    let late = random.choice(&allowed).cloned();
                    if late.as_ref().is_none_or(|late| last + 1 < late.end) {
                        (bench.endpoint).set_send_numbers(session, end, late);
                    }
                }
                // At the end of its numbers it would end.
                _ if last + 1 >= end => {}
                _ => {
                    for (_, datagram) in bench.send(session, 1) {
                        let mut number = [0; 8];
                        number[2..].copy_from_slice(&datagram[5..11]);
                        let number = u64::from_be_bytes(number);
                        assert!(number > last, "{number} after {last}");
                        let is_allowed = allowed.iter().any(|block| block.contains(&number));
                        assert!(is_allowed || number < end, "{number}");
                        (last, sent) = (number, sent + 1);
                    }
                }
            }
            (bench.endpoint).set_send_numbers(session, end, None);
            allowed.push(last + 1..end);
        }
    }
    assert!(sent > 1_000, "{sent}");
}
