//! An endpoint and a model of a client that observes, over a lossy link: what the client has in the
//! end is what was notified last (RFC 7641 §1.3, "eventual consistency").

mod restarts;

use super::link::{Link, World};
use super::*;
use crate::deduplication::EXCHANGE_LIFETIME;
use crate::option::number::OBSERVE;
use crate::{Method, Notification, Observe, Token};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// Tokens the client uses: more than it may have relations. Even ones register Confirmable.
const TOKENS: u8 = 6;
const ACTIONS: usize = 150;

fn registers_confirmable(token: u8) -> bool {
    token.is_multiple_of(2)
}

/// The client's relation under a token.
#[derive(Default)]
struct Held {
    newest: Option<(u32, Instant)>,
    content: Option<u64>,
}

impl Held {
    /// RFC 7641 §3.4.
    fn is_fresh(&self, sequence: u32, now: Instant) -> bool {
        let Some((before, at)) = self.newest else {
            return true;
        };
        (before < sequence && sequence - before < 1 << 23)
            || (before > sequence && before - sequence > 1 << 23)
            || now > at + Duration::from_secs(128)
    }
}

/// Observes, acknowledges, forgets, and retransmits its requests until they are acknowledged.
#[derive(Default)]
struct Client {
    held: HashMap<u8, Held>,
    next_message_id: u16,
    unacknowledged: Vec<(u8, Message)>,
    replies: HashMap<u16, (Instant, Vec<u8>)>,
    received: HashSet<(u8, u64)>,
}

impl Client {
    fn request(&mut self, kind: Type, token: u8, code: Code, observe: Option<u8>) -> Message {
        self.next_message_id += 1;
        let mut message = Message::empty(kind, self.next_message_id);
        message.code = code;
        message.token = Token::new(&[token]).unwrap();
        let value = |byte| Bytes::from(if byte == 0 { vec![] } else { vec![byte] });
        message.options = observe
            .map(|byte| (OBSERVE, value(byte)))
            .into_iter()
            .collect();
        if kind == Type::Confirmable {
            self.unacknowledged.push((token, message.clone()));
        }
        message
    }

    fn forget(&mut self, token: u8) {
        self.held.remove(&token);
        self.unacknowledged.retain(|(of, _)| *of != token);
    }

    /// Processes a datagram; returns what the client sends back.
    fn receive(&mut self, now: Instant, datagram: &[u8]) -> Option<Vec<u8>> {
        let message = Message::decode(datagram).unwrap();
        if matches!(message.kind, Type::Acknowledgement | Type::Reset) {
            let mut unacknowledged = self.unacknowledged.iter();
            let at = unacknowledged.position(|(_, one)| one.message_id == message.message_id)?;
            self.unacknowledged.remove(at);
            if message.code != Code::EMPTY {
                self.take(now, &message);
            }
            return None;
        }
        let id = message.message_id;
        if let Some((at, reply)) = self.replies.get(&id)
            && now < *at + EXCHANGE_LIFETIME
        {
            return Some(reply.clone());
        }
        let known = message.code != Code::EMPTY && self.take(now, &message);
        let kind = match (message.kind, known) {
            (Type::NonConfirmable, true) => return None,
            (_, true) => Type::Acknowledgement,
            (_, false) => Type::Reset,
        };
        let reply = Message::empty(kind, id).encode(4).unwrap();
        self.replies.insert(id, (now, reply.clone()));
        Some(reply)
    }

    /// Processes a notification or response. Returns whether the client knows its token.
    fn take(&mut self, now: Instant, message: &Message) -> bool {
        let token = message.token.as_bytes()[0];
        let Some(held) = self.held.get_mut(&token) else {
            return false;
        };
        let Some((_, value)) = message.options.iter().find(|(n, _)| *n == OBSERVE) else {
            self.held.remove(&token);
            return true;
        };
        let sequence = value.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        let content = std::str::from_utf8(&message.payload).unwrap();
        let content = content.parse().unwrap();
        self.received.insert((token, content));
        if held.is_fresh(sequence, now) {
            held.newest = Some((sequence, now));
            held.content = Some(content);
        }
        true
    }
}

/// What happens later.
enum Flight {
    ToClient(Vec<u8>),
    ToEndpoint(Vec<u8>),
    Answer(ExchangeId, u8, Option<Observe>),
    Retransmit(Message),
}

struct Observing {
    endpoint: RemoteEndpoint,
    parameters: Parameters,
    counters: Counters,
    bodies: Bodies,
    client: Client,
    link: Link<Flight>,
    newest: u64,
    // In an order that is the same in each run.
    relations: BTreeMap<ObservationId, u8>,
    delivered: HashMap<ObservationId, u64>,
    message_ids: HashMap<u16, (Instant, Vec<u8>)>,
    undelivered: u64,
}

impl Observing {
    fn new(seed: u64) -> Observing {
        let mut random = fastrand::Rng::with_seed(seed);
        Observing {
            endpoint: RemoteEndpoint::new(random.u16(..)),
            parameters: Parameters {
                nstart: random.usize(1..=3),
                ..Parameters::default()
            },
            counters: Counters::default(),
            bodies: Bodies::new(0, seed),
            client: Client::default(),
            link: {
                let loss = random.f64() * 0.7;
                Link::new(random, loss)
            },
            newest: 1,
            relations: BTreeMap::new(),
            delivered: HashMap::new(),
            message_ids: HashMap::new(),
            undelivered: 0,
        }
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut RemoteEndpoint, Instant, &mut Context<'_>, &mut Vec<Output>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let mut context = Context {
            parameters: &self.parameters,
            max_message: 1152,
            bodies: &self.bodies,
            holder: Holder::Device("a"),
            random: &mut || self.link.random.u32(..),
            counters: &mut self.counters,
        };
        let result = act(&mut self.endpoint, self.link.now, &mut context, &mut out);
        for output in out {
            self.follow(output);
        }
        let endpoint = &self.endpoint;
        let outstanding = endpoint.outgoing.most_outstanding_of_an_observation();
        // The response to a registration waits for nothing.
        assert!(outstanding <= self.parameters.nstart + 1);
        assert!(endpoint.observations() <= 4);
        assert!(endpoint.pending_notification_bytes() <= 2 * 4 * 20);
        assert!(endpoint.outgoing() <= 64);
        result
    }

    fn follow(&mut self, output: Output) {
        match output {
            Output::Send(bytes) => self.send(bytes),
            Output::Request(exchange, request) => {
                self.with(|endpoint, now, context, out| {
                    endpoint.retransmit_early(now, context, out)
                });
                let wait = self.link.random.f64() * 1.5;
                let token = self
                    .endpoint
                    .exchanges
                    .iter()
                    .find(|one| one.id == exchange);
                let token = token.unwrap().token.as_bytes()[0];
                let observe = request.observe.filter(|_| request.method == Method::Get);
                self.link
                    .after(wait, Flight::Answer(exchange, token, observe));
            }
            Output::Delivered(id, number) => {
                let token = self.relations[&id];
                let before = self.delivered.insert(id, number).unwrap_or_default();
                assert!(before <= number, "{before} after {number}");
                if registers_confirmable(token) {
                    assert!(self.client.received.contains(&(token, number)));
                }
            }
            Output::Undelivered(id) => {
                self.undelivered += 1;
                self.notify(id);
            }
            Output::RegistrationRepeated(id) => self.notify(id),
            Output::Cancelled(id) => assert!(self.relations.remove(&id).is_some()),
            Output::TooLarge(..) => panic!("it is not"),
            Output::PingUnanswered | Output::ProvePath(_) | Output::PathConfirmed => {}
        }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        let message = Message::decode(&bytes).unwrap();
        if matches!(message.kind, Type::Confirmable | Type::NonConfirmable) {
            let used = self
                .message_ids
                .insert(message.message_id, (self.link.now, bytes.clone()));
            if let Some((at, before)) = used
                && self.link.now < at + EXCHANGE_LIFETIME
            {
                assert_eq!(bytes, before, "one Message ID for two messages");
            }
        }
        self.link.send(Flight::ToClient, &bytes);
    }

    fn client_send(&mut self, message: Message) {
        self.link
            .send(Flight::ToEndpoint, &message.encode(1152).unwrap());
        if message.kind == Type::Confirmable {
            let wait = 2.0 + self.link.random.f64() * 3.0;
            self.link.after(wait, Flight::Retransmit(message));
        }
    }

    fn answer(&mut self, exchange: ExchangeId, token: u8, observe: Option<Observe>) {
        let response = Response::content(0, Bytes::from(self.newest.to_string()));
        let known = self.endpoint.observation_of(exchange);
        if observe == Some(Observe::Register) {
            let id = self.with(|endpoint, now, context, out| {
                endpoint.respond_registered(now, exchange, response, context, out)
            });
            if let Some(id) = id {
                assert!(known.is_none_or(|known| known == id));
                self.relations.insert(id, token);
            }
            return;
        }
        if observe == Some(Observe::Deregister)
            && let Some(id) = known
        {
            self.end(id, None);
        }
        self.with(|endpoint, now, context, out| {
            endpoint.respond(now, exchange, response, context, out);
        });
    }

    fn notify(&mut self, id: ObservationId) {
        let response = Response::content(0, Bytes::from(self.newest.to_string()));
        let number = self.newest;
        self.with(|endpoint, now, context, out| {
            let notification = Notification { number, response };
            endpoint.notify(now, id, notification, context, out);
        });
    }

    fn end(&mut self, id: ObservationId, last: Option<Response>) {
        self.relations.remove(&id);
        self.with(|endpoint, now, context, out| {
            endpoint.end_observation(now, id, last, context, out);
        });
    }

    fn act(&mut self) {
        let token = self.link.random.u8(0..TOKENS);
        let kind = if registers_confirmable(token) {
            Type::Confirmable
        } else {
            Type::NonConfirmable
        };
        let ids: Vec<_> = self.relations.keys().copied().collect();
        match self.link.random.u8(0..100) {
            0..60 => {
                self.newest += 1;
                for id in ids {
                    self.notify(id);
                }
            }
            60..80 => {
                self.client.held.entry(token).or_default();
                let request = self.client.request(kind, token, Code::GET, Some(0));
                self.client_send(request);
            }
            80..85 => self.client.forget(token),
            85..90 => {
                self.client.forget(token);
                let request = self.client.request(kind, token, Code::GET, Some(1));
                self.client_send(request);
            }
            90..94 => {
                let request = self.client.request(Type::Confirmable, 99, Code::POST, None);
                self.client_send(request);
            }
            94..97 => {
                self.with(|endpoint, now, context, out| endpoint.ping(now, context, out));
            }
            _ => {
                let last = Response::error(Code::NOT_FOUND, "gone");
                if let Some(id) = self.link.random.choice(ids) {
                    self.end(id, Some(last));
                }
            }
        }
    }

    fn assert_consistent_and_at_rest(&self, seed: u64) {
        for (id, token) in &self.relations {
            let Some(held) = self
                .client
                .held
                .get(token)
                .filter(|_| registers_confirmable(*token))
            else {
                continue;
            };
            assert_eq!(
                held.content,
                Some(self.newest),
                "seed {seed}: {id:?} under {token}"
            );
        }
        let endpoint = &self.endpoint;
        assert_eq!(endpoint.outgoing(), 0);
        assert_eq!(endpoint.pending_notification_bytes(), 0);
        assert_eq!(endpoint.open_exchanges(), 0);
        assert!(endpoint.deduplication.holds_no_heap());
        assert_eq!(endpoint.observations(), self.relations.len());
    }
}

impl World for Observing {
    type Flight = Flight;

    fn link(&mut self) -> &mut Link<Flight> {
        &mut self.link
    }

    fn endpoint(&self) -> &RemoteEndpoint {
        &self.endpoint
    }

    fn handle_timeout(&mut self) {
        self.with(|endpoint, now, context, out| endpoint.handle_timeout(now, context, out));
    }

    fn deliver(&mut self, flight: Flight) {
        match flight {
            Flight::ToEndpoint(bytes) => {
                self.with(|endpoint, now, context, out| {
                    endpoint.receive(now, bytes.into(), context, out)
                });
            }
            Flight::ToClient(bytes) => {
                if let Some(reply) = self.client.receive(self.link.now, &bytes) {
                    self.link.send(Flight::ToEndpoint, &reply);
                }
            }
            Flight::Retransmit(message) => {
                let mut unacknowledged = self.client.unacknowledged.iter();
                if unacknowledged.any(|(_, one)| one.message_id == message.message_id) {
                    self.client_send(message);
                }
            }
            Flight::Answer(exchange, token, observe) => self.answer(exchange, token, observe),
        }
    }
}

#[test]
fn over_a_lossy_link_a_client_ends_with_the_last_notification() {
    let mut total = Counters::default();
    let (mut undelivered, mut relations) = (0, 0);
    for seed in 0..4000 {
        let mut world = Observing::new(seed);
        for _ in 0..ACTIONS {
            world.pause();
            world.act();
        }
        world.link.loss = 0.0;
        world.run(None);
        world.assert_consistent_and_at_rest(seed);
        undelivered += world.undelivered;
        relations += world.relations.len();
        total.notifications_sent += world.counters.notifications_sent;
        total.notifications_superseded += world.counters.notifications_superseded;
        total.superseded_acknowledged += world.counters.superseded_acknowledged;
        total.observations_cancelled += world.counters.observations_cancelled;
        total.registrations_repeated += world.counters.registrations_repeated;
        total.too_many_observations += world.counters.too_many_observations;
        total.pings_unanswered += world.counters.pings_unanswered;
    }
    // A run in which these never happened would prove little.
    for (what, count) in [
        ("sent", total.notifications_sent),
        ("superseded", total.notifications_superseded),
        ("acknowledged late", total.superseded_acknowledged),
        ("cancelled", total.observations_cancelled),
        ("registered twice", total.registrations_repeated),
        ("too many relations", total.too_many_observations),
        ("pings without answer", total.pings_unanswered),
        ("undelivered", undelivered),
    ] {
        assert!(count > 10, "{what}: {count}");
    }
    assert!(relations > 100, "{relations} relations at the end");
}
