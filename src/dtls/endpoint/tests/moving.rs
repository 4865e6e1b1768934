//! Clients with connection IDs, whose address changes (RFC 9146).

use super::*;
use dtls_server::record::ContentType;
use dtls_server::routability::PathMessage;
use dtls_test_client::{Client, Credentials, KeyType, Options};

pub(super) const DATA: &[u8] = &[7; 100];

/// An endpoint, and clients on a link without loss.
pub(super) struct Bench {
    pub(super) endpoint: Endpoint,
    pub(super) now: Instant,
    pub(super) events: Vec<Event>,
    seed: u64,
}

pub(super) fn options() -> Options {
    Options {
        return_routability_check: false,
        ..Options::new(Credentials::generate(KeyType::P256))
    }
}

impl Bench {
    /// The number of the next record of a session.
    pub(super) fn send_number(&self, id: SessionId) -> Option<u64> {
        let exported = self.endpoint.export(id)?;
        Some(exported.association.send_number())
    }

    pub(super) fn new(parameters: Parameters) -> Bench {
        let settings = Settings::new(&credentials(), &parameters).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        Bench {
            endpoint: Endpoint::new(parameters, settings, policy),
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
            events: Vec::new(),
            seed: 0,
        }
    }

    /// Takes what is sent, with its path.
    pub(super) fn sent(&mut self) -> Vec<(Path, Vec<u8>)> {
        let all = std::iter::from_fn(|| self.endpoint.poll_transmit());
        all.map(|transmit| (transmit.path, transmit.datagram))
            .collect()
    }

    pub(super) fn receive(&mut self, port: u16, datagram: &[u8]) {
        self.endpoint.receive(self.now, path(port), datagram);
        self.endpoint.handle_timeout(self.now);
        let events = std::iter::from_fn(|| self.endpoint.poll_event());
        self.events.extend(events);
    }

    /// Delivers datagrams both ways until there are none.
    pub(super) fn exchange(&mut self, port: u16, client: &mut Client, mut to_server: Vec<Vec<u8>>) {
        while !to_server.is_empty() {
            for datagram in to_server.drain(..) {
                self.receive(port, &datagram);
            }
            for (to, datagram) in self.sent() {
                assert_eq!(to, path(port));
                to_server.extend(client.receive(&datagram));
            }
        }
    }

    /// A handshake. Returns its last session.
    pub(super) fn connect(&mut self, port: u16, options: Options) -> (Client, SessionId) {
        self.seed += 1;
        let mut client = Client::new(options, self.seed);
        let hello = client.start();
        self.exchange(port, &mut client, hello);
        assert!(client.is_connected());
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Established { session, .. } => Some(*session),
            _ => None,
        });
        (client, last.unwrap())
    }

    pub(super) fn moves(&self) -> Vec<Path> {
        let moved = self.events.iter().filter_map(|event| match event {
            Event::Moved { path, .. } => Some(*path),
            _ => None,
        });
        moved.collect()
    }

    pub(super) fn plaintexts(&self) -> usize {
        let is_one = |event: &&Event| matches!(event, Event::Plaintext { .. });
        self.events.iter().filter(is_one).count()
    }

    pub(super) fn ends(&self) -> Vec<(SessionId, EndReason)> {
        let ended = self.events.iter().filter_map(|event| match event {
            Event::Ended { session, reason } => Some((*session, reason.clone())),
            _ => None,
        });
        ended.collect()
    }

    /// What a client gets of what is sent to its session, and where that goes.
    pub(super) fn send(&mut self, session: SessionId, times: usize) -> Vec<(Path, Vec<u8>)> {
        for number in 0..times {
            // None is a repetition of another.
            let mut data = DATA.to_vec();
            data[99] += u8::try_from(number).unwrap();
            self.endpoint.send(self.now, session, &data);
        }
        self.sent()
    }
}

#[test]
fn a_device_with_another_port_goes_on_without_a_handshake() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    bench.receive(2, &client.send(DATA));
    assert_eq!(bench.moves(), [path(2)]);
    assert_eq!(bench.plaintexts(), 1);
    let sent = bench.send(session, 1);
    assert_eq!(sent[0].0, path(2));
    client.receive(&sent[0].1);
    assert_eq!(client.take_application_data(), [DATA]);
    // The old address keeps nothing.
    let load = bench.endpoint.load();
    assert_eq!((load.routes, load.connection_ids), (1, 1));
    assert!(bench.endpoint.session_of(path(1), &[22]).is_none());
    assert_eq!(bench.endpoint.session_of(path(2), &[22]), Some(session));
    let next = client.send(DATA);
    assert_eq!(bench.endpoint.session_of(path(9), &next), Some(session));
    bench.endpoint.close(session, "test");
    bench.endpoint.poll_event();
    let load = bench.endpoint.load();
    assert_eq!((load.routes, load.connection_ids), (0, 0));
}

#[test]
fn an_older_record_from_elsewhere_is_delivered_and_moves_nothing_and_a_copy_is_dropped() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    let (older, newer) = (client.send(DATA), client.send(DATA));
    bench.receive(1, &newer);
    bench.receive(2, &older);
    bench.receive(3, &older);
    bench.receive(4, &newer);
    // Not authentic, with the next number and the right connection ID.
    let mut forged = client.send(DATA);
    *forged.last_mut().unwrap() ^= 1;
    bench.receive(5, &forged);
    assert_eq!(bench.plaintexts(), 2);
    assert_eq!(bench.moves(), []);
    assert_eq!(bench.endpoint.counters().without_effect, 3);
    assert_eq!(bench.send(session, 1)[0].0, path(1));
}

#[test]
fn a_new_address_gets_three_times_what_came_from_it_until_it_is_proven() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    let datagram = client.send(DATA);
    bench.receive(2, &datagram);
    assert!(bench.endpoint.is_path_unproven(session));
    let bytes = |sent: &[(Path, Vec<u8>)]| sent.iter().map(|sent| sent.1.len()).sum::<usize>();
    let first = bench.send(session, 20);
    assert!(
        bytes(&first) <= 3 * datagram.len() && first.len() >= 2,
        "{}",
        first.len()
    );
    assert_eq!(
        bench.endpoint.counters().unproven_path_dropped,
        20 - 8 - u64::try_from(first.len()).unwrap(),
        "eight of them wait"
    );
    // More comes from there, and more is sent.
    bench.receive(2, &client.send(DATA));
    let more = bench.sent();
    assert!(!more.is_empty() && bytes(&more) <= 3 * datagram.len());
    bench.endpoint.confirm_path(session);
    let rest = bench.sent();
    assert_eq!(more.len() + rest.len(), 8);
    assert!(!bench.endpoint.is_path_unproven(session));
    assert_eq!(bench.send(session, 20).len(), 20);
    for (to, datagram) in first.iter().chain(&more).chain(&rest) {
        assert_eq!(*to, path(2));
        client.receive(datagram);
    }
    assert_eq!(client.take_application_data().len(), first.len() + 8);
}

#[test]
fn a_device_that_is_back_at_its_proven_address_gets_what_waited_at_once() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    // Somebody sends the device's record on from elsewhere, and is faster.
    bench.receive(2, &client.send(b"1"));
    bench.receive(3, &client.send(b"2"));
    let sent = bench.send(session, 8);
    bench.receive(1, &client.send(b"3"));
    assert_eq!(bench.moves(), [path(2), path(3), path(1)]);
    assert!(!bench.endpoint.is_path_unproven(session));
    let waited = bench.sent();
    assert_eq!(sent.len() + waited.len(), 8);
    assert!(waited.iter().all(|(to, _)| *to == path(1)));
}

#[test]
fn a_device_that_knows_return_routability_checks_proves_its_address_by_one() {
    let mut bench = Bench::new(Parameters::default());
    let options = Options {
        return_routability_check: true,
        ..options()
    };
    let (mut client, session) = bench.connect(1, options);
    bench.receive(2, &client.send(DATA));
    let challenge = bench.sent();
    assert_eq!((challenge.len(), challenge[0].0), (1, path(2)));
    let answers = client.receive(&challenge[0].1);
    assert_eq!(client.take_path_messages().len(), 1);
    // Not from elsewhere: the answer is older than the record that came since.
    let newer = client.send(DATA);
    bench.receive(2, &newer);
    bench.receive(3, &answers[0]);
    assert!(bench.endpoint.is_path_unproven(session));
    let (mut client, session) = bench.connect(
        4,
        Options {
            return_routability_check: true,
            ..self::options()
        },
    );
    bench.receive(5, &client.send(DATA));
    let challenge = bench.sent();
    for answer in client.receive(&challenge[0].1) {
        bench.receive(5, &answer);
    }
    assert!(!bench.endpoint.is_path_unproven(session));
}

/// A hostile client would have others flooded otherwise: by its connection ID, each answer is longer than what it sends.
#[test]
fn a_challenge_from_elsewhere_is_answered_with_no_more_than_three_times_its_bytes() {
    for (length, is_answered) in [(0, true), (8, true), (255, false)] {
        let mut bench = Bench::new(Parameters::default());
        // It can't read what comes with the longest one.
        let mut client = Client::new(
            Options {
                return_routability_check: true,
                connection_id: Some(vec![9; length]),
                ..options()
            },
            7,
        );
        let hello = client.start();
        bench.exchange(1, &mut client, hello);
        assert_eq!(bench.endpoint.established(), 1);
        let challenge = PathMessage::parse(&[0; 9]).unwrap().encode();
        let challenge = client.protect(ContentType::RETURN_ROUTABILITY_CHECK, &challenge);
        let newer = client.send(DATA);
        bench.receive(1, &newer);
        bench.sent();
        bench.receive(2, &challenge);
        let sent = bench.sent();
        assert_eq!(sent.len(), usize::from(is_answered), "{length}");
        assert!(sent.iter().all(|(to, _)| *to == path(2)));
        assert_eq!(bench.moves(), []);
    }
}

#[test]
fn another_device_that_gets_the_address_ends_no_session_with_a_connection_id() {
    let mut bench = Bench::new(Parameters::default());
    let (mut first, session) = bench.connect(1, options());
    let (mut second, other) = bench.connect(1, options());
    assert_eq!(bench.ends(), []);
    bench.receive(1, &second.send(DATA));
    bench.receive(2, &first.send(DATA));
    assert_eq!((bench.plaintexts(), bench.moves()), (2, vec![path(2)]));
    assert_eq!(bench.send(session, 1)[0].0, path(2));
    assert_eq!(bench.send(other, 1)[0].0, path(1));
    // It goes where the other one is, and back.
    bench.receive(1, &first.send(DATA));
    bench.receive(1, &second.send(DATA));
    assert_eq!(bench.plaintexts(), 4);
    bench.receive(3, &first.send(DATA));
    assert_eq!(
        bench.endpoint.load().routes,
        1,
        "the one that came last to a path has it"
    );
    for id in [session, other] {
        bench.endpoint.close(id, "test");
    }
    let load = bench.endpoint.load();
    assert_eq!((load.routes, load.connection_ids), (0, 0));
}

#[test]
fn a_rebooted_device_on_the_same_address_replaces_its_session() {
    let mut bench = Bench::new(Parameters::default());
    let options = options();
    let (_, session) = bench.connect(1, options.clone());
    bench.connect(1, options);
    assert_eq!(bench.ends(), [(session, EndReason::Replaced)]);
    assert_eq!(bench.endpoint.load().connection_ids, 1);
}

#[test]
fn a_session_without_a_connection_id_stays_where_it_is_and_is_replaced_there() {
    let without = || Options {
        connection_id: None,
        ..options()
    };
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, without());
    bench.receive(2, &client.send(DATA));
    assert_eq!((bench.plaintexts(), bench.moves()), (0, vec![]));
    // A session with a connection ID comes to its address: both go on.
    let (mut other, _) = bench.connect(3, options());
    bench.receive(1, &other.send(DATA));
    bench.receive(1, &client.send(DATA));
    assert_eq!((bench.plaintexts(), bench.moves()), (2, vec![path(1)]));
    bench.connect(1, without());
    assert_eq!(bench.ends(), [(session, EndReason::Replaced)]);
    bench.receive(1, &other.send(DATA));
    assert_eq!(bench.plaintexts(), 3);
}

#[test]
fn unknown_and_malformed_connection_ids_find_nothing() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, _) = bench.connect(1, options());
    let mut other = client.send(DATA);
    other[12] ^= 1;
    bench.receive(1, &other);
    bench.receive(1, &client.send(DATA)[..14]);
    bench.receive(1, &[25]);
    assert_eq!(bench.endpoint.counters().no_session, 3);
    assert_eq!(bench.plaintexts(), 0);
    // Without connection IDs, their records are none of ours.
    let mut none = Bench::new(Parameters {
        connection_id: 0,
        ..Parameters::default()
    });
    let (mut client, _) = none.connect(1, options());
    none.receive(1, &client.send(DATA));
    assert_eq!(none.plaintexts(), 1);
    assert_eq!(none.endpoint.load().connection_ids, 0);
}

#[test]
fn connection_ids_have_the_configured_length_and_differ() {
    for length in [4, 8] {
        let mut bench = Bench::new(Parameters {
            connection_id: length,
            ..Parameters::default()
        });
        let ids: std::collections::HashSet<Vec<u8>> = (1..=20)
            .map(|port| {
                let (mut client, _) = bench.connect(port, options());
                let association = client.association().unwrap();
                association.peer_connection_id().to_vec()
            })
            .collect();
        assert_eq!(ids.len(), 20);
        assert!(
            ids.iter()
                .all(|id| id.len() == usize::from(length) && id[0] == 0)
        );
    }
}

#[test]
fn a_moved_session_is_ended_where_its_client_is() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    bench.receive(2, &client.send(DATA));
    bench.receive(2, &client.protect(ContentType::ALERT, &[1, 0]));
    assert_eq!(bench.ends(), [(session, EndReason::CloseNotify)]);
    let sent = bench.sent();
    assert_eq!((sent.len(), sent[0].0), (1, path(2)));
    assert_eq!(bench.endpoint.next_timeout(), None);
}
