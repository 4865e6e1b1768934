//! Which sessions were used.

use super::moving::{Bench, DATA, options};
use super::*;
use dtls_server::record::ContentType;
use dtls_test_client::{Client, Options};
use std::collections::HashMap;

#[test]
fn a_used_session_is_listed_once_in_the_order_of_use() {
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.list_changes();
    let mut all: Vec<_> = (1..5).map(|port| bench.connect(port, options())).collect();
    // A session that has just been established is reported by an event.
    assert_eq!(bench.endpoint.take_used(9), []);
    let ids: Vec<SessionId> = all.iter().map(|(_, id)| *id).collect();
    for index in [2, 0, 2, 1, 0] {
        let port = u16::try_from(index + 1).unwrap();
        bench.receive(port, &all[index].0.send(DATA));
    }
    bench.send(ids[3], 2);
    assert_eq!(bench.endpoint.used(), 4);
    assert_eq!(bench.endpoint.take_used(0), []);
    assert_eq!(bench.endpoint.take_used(1), [ids[2]]);
    // It is used again, and another one ends.
    bench.send(ids[2], 1);
    bench.endpoint.close(ids[0], "test");
    assert_eq!(bench.endpoint.take_used(2), [ids[1], ids[3]]);
    assert_eq!(bench.endpoint.take_used(9), [ids[2]]);
    assert_eq!(
        (bench.endpoint.take_used(9), bench.endpoint.used()),
        (vec![], 0)
    );
}

#[test]
fn what_is_not_authentic_is_no_use() {
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.list_changes();
    let (mut client, session) = bench.connect(1, options());
    let received = client.send(DATA);
    bench.receive(1, &received);
    assert_eq!(bench.endpoint.take_used(9), [session]);
    bench.receive(1, &received);
    let mut forged = client.send(DATA);
    *forged.last_mut().unwrap() ^= 1;
    bench.receive(1, &forged);
    bench.receive(2, &forged);
    assert_eq!(bench.endpoint.take_used(9), []);
}

#[test]
fn nothing_is_listed_unless_somebody_wants_it() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    bench.receive(2, &client.send(DATA));
    bench.send(session, 1);
    bench.endpoint.confirm_path(session);
    assert_eq!(
        (bench.endpoint.take_used(9), bench.endpoint.used()),
        (vec![], 0)
    );
}

#[test]
fn the_list_is_bounded_by_the_sessions_if_it_is_not_taken() {
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.list_changes();
    let (mut client, session) = bench.connect(1, options());
    bench.receive(1, &client.send(DATA));
    for _ in 0..300 {
        // One address has a limit of handshakes a second.
        bench.now += SECOND;
        let (mut client, id) = bench.connect(2, options());
        bench.receive(2, &client.send(DATA));
        bench.endpoint.close(id, "test");
        assert!(
            bench.endpoint.load().used <= 2 * 65 + 2,
            "{}",
            bench.endpoint.used()
        );
    }
    assert_eq!(bench.endpoint.take_used(9), [session]);
}

/// What a store would have of a session.
type Stored = (Vec<u8>, Path, Instant);

/// A store that exports what is established and what is used always has what the endpoint has.
struct Mirror(HashMap<SessionId, Stored>);

impl Mirror {
    fn export(bench: &Bench, id: SessionId) -> Option<Stored> {
        let one = bench.endpoint.export(id)?;
        Some((one.association.export().to_vec(), one.path, one.deadline))
    }

    /// Takes events, and some or all of what is used.
    fn update(&mut self, bench: &mut Bench, most: usize) {
        for event in bench.events.drain(..) {
            if let Event::Ended { session, .. } = event {
                self.0.remove(&session);
            }
        }
        for id in bench.endpoint.take_used(most) {
            self.0.insert(id, Mirror::export(bench, id).unwrap());
        }
    }

    /// Those that are not listed are as they were stored.
    fn check(&mut self, bench: &mut Bench) {
        let before: Vec<_> = (self.0.iter())
            .map(|(id, stored)| (*id, stored.clone(), Mirror::export(bench, *id)))
            .collect();
        self.update(bench, usize::MAX);
        for (id, stored, present) in before {
            if let Some(present) = present {
                assert_eq!(self.0[&id], present, "{id:?} was {stored:?}");
            }
        }
    }
}

#[test]
fn whatever_changes_a_session_lists_it() {
    let mut random = fastrand::Rng::with_seed(5);
    let credentials = options().credentials;
    for _ in 0..20 {
        let mut bench = Bench::new(Parameters::default());
        bench.endpoint.list_changes();
        let mut mirror = Mirror(HashMap::new());
        let mut clients: Vec<(Client, SessionId)> = Vec::new();
        let mut sent: Vec<(usize, Vec<u8>)> = Vec::new();
        for _ in 0..300 {
            bench.now += Duration::from_millis(random.u64(1..3_000));
            if clients.len() < 4 {
                let options = Options {
                    credentials: credentials.clone(),
                    return_routability_check: random.bool(),
                    ..options()
                };
                let port = u16::try_from(clients.len() + 1).unwrap();
                let (client, id) = bench.connect(port, options);
                mirror.0.insert(id, Mirror::export(&bench, id).unwrap());
                clients.push((client, id));
                continue;
            }
            let index = random.usize(..clients.len());
            let (client, id) = &mut clients[index];
            let port = random.u16(1..8);
            match random.u8(..13) {
                0..4 => sent.push((index, client.send(DATA))),
                4 => {
                    // Without effect, but authentic: its real type is that of a record with a connection ID.
                    let content_type = ContentType(25);
                    sent.push((index, client.protect(content_type, &[])));
                }
                5 | 6 => bench.endpoint.send(bench.now, *id, DATA),
                7 => bench.endpoint.confirm_path(*id),
                8 => bench.endpoint.send_proof(*id, DATA),
                9 => bench.endpoint.handle_timeout(bench.now),
                10 if random.u8(..10) == 0 => {
                    sent.push((index, client.protect(ContentType::ALERT, &[1, 0])));
                }
                10 => {
                    if let Some((_, datagram)) = random.choice(&sent) {
                        let mut forged = datagram.clone();
                        *forged.last_mut().unwrap() ^= 1;
                        bench.receive(port, &forged);
                    }
                }
                _ => {
                    if let Some((_, datagram)) = random.choice(&sent) {
                        bench.receive(port, datagram);
                    }
                }
            }
            for (to, datagram) in bench.sent() {
                // Some get what proves their path.
                if to.remote.port() % 2 == 0 {
                    for (client, _) in &mut clients {
                        for answer in client.receive(&datagram) {
                            bench.receive(to.remote.port(), &answer);
                        }
                    }
                }
            }
            match random.u8(..3) {
                0 => mirror.update(&mut bench, random.usize(..3)),
                _ => mirror.check(&mut bench),
            }
        }
        assert!(bench.endpoint.counters().moved > 5);
    }
}
