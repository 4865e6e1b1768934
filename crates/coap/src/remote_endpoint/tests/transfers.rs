//! An endpoint, a naive model of it, and a client with transfers both ways over a lossy link. What
//! arrives is what was sent, whole and once; the answer to a block is what the model says.

use super::link::{LONGEST_DELAY, Link, World};
use super::*;
use crate::body::LIFETIME;
use crate::option::encode_unsigned;
use crate::option::number::{BLOCK1, BLOCK2, ETAG, REQUEST_TAG, SIZE1, URI_PATH};
use crate::{Block, Method, Token};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

mod client;
mod model;
use client::{Next, Outstanding, Transfer};
use model::{Expected, Model};

/// The largest body either way.
const LARGEST: usize = 1000;
/// Transfers at the same time, each for a resource of its own.
const SLOTS: u8 = 3;
const ACTIONS: usize = 25;

/// What happens later.
enum Flight {
    ToEndpoint(Vec<u8>),
    ToClient(Vec<u8>),
    Answer(ExchangeId, Response),
    /// The client checks whether this message of this slot was answered.
    Timer(u8, u16),
    /// A transfer begins.
    Begin(u8, Code, usize),
}

/// One of the client's transfers.
enum Slot {
    Free,
    /// A [`Flight::Begin`] is under way.
    Waiting,
    Busy(Box<Transfer>),
}

struct Transferring {
    endpoint: RemoteEndpoint,
    parameters: Parameters,
    counters: Counters,
    bodies: Bodies,
    max_message: usize,
    low_memory: bool,
    model: Model,
    link: Link<Flight>,
    slots: Vec<Slot>,
    next_message_id: u16,
    /// Bodies of POST requests begun, and the response to those that arrived.
    posted: HashMap<Bytes, Option<Bytes>>,
    /// The responses to GET of each slot's resource.
    contents: HashMap<u8, Vec<Bytes>>,
    ends: HashMap<&'static str, u64>,
}

impl Transferring {
    fn new(seed: u64) -> Transferring {
        let mut random = fastrand::Rng::with_seed(seed);
        let low_memory = random.u8(0..4) == 0;
        // Enough for one body, or for all there may be.
        let (limit, max_response_body) = if low_memory {
            (1300, LARGEST)
        } else {
            (1 << 20, 8000)
        };
        Transferring {
            endpoint: RemoteEndpoint::new(random.u16(..)),
            parameters: Parameters {
                max_body: LARGEST,
                max_response_body,
                nstart: random.usize(1..=3),
                ..Parameters::default()
            },
            counters: Counters::default(),
            bodies: Bodies::new(limit, seed),
            max_message: if random.bool() { 1152 } else { 208 },
            low_memory,
            model: Model::default(),
            link: {
                let loss = random.f64() * 0.5;
                Link::new(random, loss)
            },
            slots: (0..SLOTS).map(|_| Slot::Free).collect(),
            next_message_id: 0,
            posted: HashMap::new(),
            contents: HashMap::new(),
            ends: HashMap::new(),
        }
    }

    fn with(
        &mut self,
        act: impl FnOnce(&mut RemoteEndpoint, Instant, &mut Context<'_>, &mut Vec<Output>),
    ) -> Vec<Output> {
        let mut out = Vec::new();
        let mut context = Context {
            parameters: &self.parameters,
            max_message: self.max_message,
            bodies: &self.bodies,
            holder: Holder::Device("a"),
            random: &mut || self.link.random.u32(..),
            counters: &mut self.counters,
        };
        act(&mut self.endpoint, self.link.now, &mut context, &mut out);
        assert!(!self.low_memory || self.bodies.held() <= 1300);
        assert!(self.endpoint.body_bytes() <= 2 * self.parameters.max_response_body);
        out
    }

    fn follow(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(bytes) => self.link.send(Flight::ToClient, &bytes),
                Output::Request(exchange, request) => {
                    let response = self.serve(request);
                    let delay = self.link.random.f64() * 1.5;
                    self.link.after(delay, Flight::Answer(exchange, response));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The gateway.
    fn serve(&mut self, request: Request) -> Response {
        let slot = request.path[0].as_bytes()[1];
        if request.method == Method::Get {
            if self.link.random.u8(0..5) > 0
                && let Some(same) = self.contents.get(&slot).and_then(|all| all.last())
            {
                return Response::content(50, same.clone());
            }
            let content = self.some_body();
            self.contents.entry(slot).or_default().push(content.clone());
            return Response::content(50, content);
        }
        if request.path[0].starts_with('s') {
            return Response::new(Code::CREATED);
        }
        if request.payload.len() > LARGEST {
            return Response {
                size1: Some(1000),
                ..Response::error(Code::REQUEST_ENTITY_TOO_LARGE, "sent without Block1")
            };
        }
        let answer = self.some_body();
        let begun = self.posted.get_mut(&request.payload);
        let before = begun.expect("a body that was sent").replace(answer.clone());
        assert_eq!(before, None, "posted once");
        Response::content(50, answer)
    }

    /// Random bytes, of a length that is often near a limit.
    fn some_body(&mut self) -> Bytes {
        let size = 16 << self.link.random.usize(0..=6);
        let near = [0, size, 2 * size, LARGEST][self.link.random.usize(0..4)];
        let length = match self.link.random.u8(0..4) {
            0 => near,
            1 => near + 1,
            2 => near.saturating_sub(1),
            _ => self.link.random.usize(0..LARGEST),
        };
        self.body_of(length)
    }

    fn body_of(&mut self, length: usize) -> Bytes {
        (0..length).map(|_| self.link.random.u8(..)).collect()
    }

    fn begin(&mut self, slot: u8, code: Code, length: usize) {
        // A short body may equal another by chance, and would seem to be posted twice.
        let mut body = self.body_of(length);
        while code == Code::POST && self.posted.contains_key(&body) {
            body = self.body_of(body.len() + 1);
        }
        if code == Code::POST {
            self.posted.insert(body.clone(), None);
        }
        let transfer = Transfer::new(code, slot, body, &mut self.link.random);
        self.slots[usize::from(slot)] = Slot::Busy(Box::new(transfer));
        self.send(slot);
    }

    /// Sends the client's next request.
    fn send(&mut self, slot: u8) {
        let Slot::Busy(transfer) = &mut self.slots[usize::from(slot)] else {
            panic!("nothing to send")
        };
        self.next_message_id += 1;
        let id = self.next_message_id;
        let [high, low] = id.to_be_bytes();
        let mut message = transfer.request(&mut self.link.random);
        if slot == 0 {
            message.kind = Type::NonConfirmable;
        }
        message.message_id = id;
        message.token = Token::new(&[slot, high, low]).unwrap();
        let bytes = message.encode(2000).unwrap();
        transfer.outstanding = Some(Outstanding {
            message,
            tries: 1,
            acknowledged: false,
        });
        self.link.send(Flight::ToEndpoint, &bytes);
        let wait = 2.0 + self.link.random.f64();
        self.link.after(wait, Flight::Timer(slot, id));
    }

    fn restart(&mut self, slot: u8, pause: f64) {
        let place = &mut self.slots[usize::from(slot)];
        let Slot::Busy(transfer) = std::mem::replace(place, Slot::Waiting) else {
            panic!("nothing to restart")
        };
        let length = transfer.body.len();
        let all_delivered = LONGEST_DELAY + 1.0;
        let pause = if transfer.tag.is_none() {
            pause + all_delivered
        } else {
            pause
        };
        self.link
            .after(pause, Flight::Begin(slot, transfer.code, length));
    }

    fn timer(&mut self, slot: u8, message_id: u16) {
        let Slot::Busy(transfer) = &mut self.slots[usize::from(slot)] else {
            return;
        };
        let Some(outstanding) = &mut transfer.outstanding else {
            return;
        };
        if outstanding.message.message_id != message_id {
            return;
        }
        outstanding.tries += 1;
        let confirmable = outstanding.message.kind == Type::Confirmable;
        if outstanding.acknowledged && outstanding.tries < 12 {
            return self.link.after(10.0, Flight::Timer(slot, message_id));
        }
        if confirmable && !outstanding.acknowledged && outstanding.tries <= 4 {
            let bytes = outstanding.message.encode(2000).unwrap();
            self.link.send(Flight::ToEndpoint, &bytes);
            return self.link.after(4.0, Flight::Timer(slot, message_id));
        }
        // A request without a response is given up. It may be sent again as a new one, if that is
        // safe.
        if transfer.is_whole() || self.link.random.bool() {
            self.count("restarts after silence");
            self.restart(slot, 0.0);
        } else {
            self.count("blocks again");
            self.send(slot);
        }
    }

    fn client_receive(&mut self, bytes: &[u8]) {
        let message = Message::decode(bytes).unwrap();
        if message.kind == Type::Confirmable {
            let acknowledgement = Message::empty(Type::Acknowledgement, message.message_id);
            self.link
                .send(Flight::ToEndpoint, &acknowledgement.encode(4).unwrap());
        }
        for slot in 0..SLOTS {
            let Slot::Busy(transfer) = &mut self.slots[usize::from(slot)] else {
                continue;
            };
            let Some(outstanding) = &mut transfer.outstanding else {
                continue;
            };
            let request = &outstanding.message;
            if message.code == Code::EMPTY && request.message_id == message.message_id {
                outstanding.acknowledged = true;
            } else if message.code != Code::EMPTY && request.token == message.token {
                let next = transfer.receive(&message, &mut self.link.random);
                self.go_on(slot, next);
            }
        }
    }

    fn go_on(&mut self, slot: u8, next: Next) {
        let place = &mut self.slots[usize::from(slot)];
        match next {
            Next::Send => return self.send(slot),
            Next::Restart => {
                self.count("restarts by response");
                return self.restart(slot, 0.0);
            }
            Next::RestartLater => {
                self.count("no memory");
                assert!(self.low_memory);
                return self.restart(slot, 30.0);
            }
            Next::TooLarge => self.count("too large"),
            Next::Lost => self.count("responses lost"),
            Next::Finished => {
                let Slot::Busy(transfer) = place else {
                    panic!("finished what was not begun")
                };
                let received = Bytes::from(std::mem::take(&mut transfer.received));
                if transfer.code == Code::POST {
                    let answer = self.posted[&transfer.body].as_ref();
                    assert_eq!(answer, Some(&received), "the whole response to it");
                    self.count("posted");
                } else {
                    assert!(self.contents[&slot].contains(&received), "of one content");
                    self.count("got");
                }
            }
        }
        self.slots[usize::from(slot)] = Slot::Free;
    }

    fn count(&mut self, what: &'static str) {
        *self.ends.entry(what).or_default() += 1;
    }

    fn endpoint_receive(&mut self, bytes: &[u8]) {
        let message = Message::decode(bytes).unwrap();
        let expected = self.model.receive(self.link.now, &message);
        let outputs = self.with(|endpoint, now, context, out| {
            let datagram = Bytes::copy_from_slice(bytes);
            endpoint.receive(now, datagram, context, out)
        });
        if let Some(expected) = expected {
            let [output] = &outputs[..] else {
                panic!("{outputs:?} to {message:?}")
            };
            let actual = match output {
                Output::Request(_, request) => Expected::Request(request.payload.to_vec()),
                Output::Send(bytes) => Expected::Code(Message::decode(bytes).unwrap().code),
                other => panic!("{other:?}"),
            };
            if self.low_memory && actual == Expected::Code(Code::SERVICE_UNAVAILABLE) {
                self.model.had_no_room(&message);
            } else {
                let (code, id) = (message.code, message.message_id);
                assert!(actual == expected, "{code} {id}: {actual:?}");
            }
        }
        self.follow(outputs);
    }

    fn act(&mut self) {
        let slot = self.link.random.u8(0..SLOTS);
        let busy = matches!(self.slots[usize::from(slot)], Slot::Busy(_));
        let free = matches!(self.slots[usize::from(slot)], Slot::Free);
        match self.link.random.u8(0..100) {
            0..80 if free => {
                let code = if self.link.random.bool() {
                    Code::POST
                } else {
                    Code::GET
                };
                let length = if code == Code::POST {
                    self.some_body().len()
                } else {
                    0
                };
                self.begin(slot, code, length);
            }
            80..90 if busy => {
                self.count("reboots");
                self.restart(slot, 0.0);
            }
            90..93 => self.run(Some(self.link.now + Duration::from_secs(700))),
            // Blocks out of sequence.
            93..96 => {
                for _ in 0..10 {
                    self.send_out_of_sequence(slot);
                }
            }
            _ => {}
        }
    }

    /// Sends a block out of sequence, of a resource of its own.
    fn send_out_of_sequence(&mut self, slot: u8) {
        self.next_message_id += 1;
        let mut message = Message::empty(Type::Confirmable, self.next_message_id);
        message.code = Code::POST;
        let (num, more) = (self.link.random.u32(0..4), self.link.random.u8(0..4) > 0);
        let block = Block::new(num, more, self.link.random.u8(0..2)).unwrap();
        let path = Bytes::from(vec![b's', slot]);
        message.options = vec![(URI_PATH, path), (BLOCK1, encode_unsigned(block.encode()))];
        message.payload = Bytes::from(vec![u8::from(self.link.random.bool()); block.size()]);
        let bytes = message.encode(2000).unwrap();
        self.endpoint_receive(&bytes);
    }

    fn assert_at_rest(&self) {
        assert!(self.slots.iter().all(|slot| matches!(slot, Slot::Free)));
        let endpoint = &self.endpoint;
        assert_eq!((endpoint.open_exchanges(), endpoint.outgoing()), (0, 0));
        assert_eq!((endpoint.body_bytes(), self.bodies.held()), (0, 0));
        assert!(endpoint.blockwise.is_none());
    }
}

impl World for Transferring {
    type Flight = Flight;

    fn link(&mut self) -> &mut Link<Flight> {
        &mut self.link
    }

    fn endpoint(&self) -> &RemoteEndpoint {
        &self.endpoint
    }

    fn handle_timeout(&mut self) {
        let outputs =
            self.with(|endpoint, now, context, out| endpoint.handle_timeout(now, context, out));
        self.follow(outputs);
    }

    fn deliver(&mut self, flight: Flight) {
        match flight {
            Flight::ToEndpoint(bytes) => self.endpoint_receive(&bytes),
            Flight::ToClient(bytes) => self.client_receive(&bytes),
            Flight::Timer(slot, message_id) => self.timer(slot, message_id),
            Flight::Begin(slot, code, length) => self.begin(slot, code, length),
            Flight::Answer(exchange, response) => {
                let outputs = self.with(|endpoint, now, context, out| {
                    endpoint.respond(now, exchange, response, context, out);
                });
                self.follow(outputs);
            }
        }
    }
}

#[test]
fn over_a_lossy_link_bodies_arrive_whole_and_once_both_ways() {
    let mut total: HashMap<&str, u64> = HashMap::new();
    let mut counters = Counters::default();
    for seed in 0..800 {
        let result = std::panic::catch_unwind(|| {
            let mut world = Transferring::new(seed);
            for _ in 0..ACTIONS {
                world.pause();
                world.act();
            }
            world.link.loss = 0.0;
            world.run(None);
            world.assert_at_rest();
            (world.ends, world.counters)
        });
        let Ok((ends, counted)) = result else {
            panic!("seed {seed}")
        };
        for (what, number) in ends {
            *total.entry(what).or_default() += number;
        }
        counters.uploads_completed += counted.uploads_completed;
        counters.uploads_incomplete += counted.uploads_incomplete;
        counters.uploads_expired += counted.uploads_expired;
        counters.blocks_sent += counted.blocks_sent;
        counters.blocks_not_held += counted.blocks_not_held;
        counters.duplicates += counted.duplicates;
    }
    // A run in which these never happened would prove little.
    for what in [
        "posted",
        "got",
        "too large",
        "no memory",
        "reboots",
        "blocks again",
        "restarts after silence",
        "restarts by response",
    ] {
        assert!(
            total.get(what).is_some_and(|number| *number > 20),
            "{what}: {total:?}"
        );
    }
    for (what, number) in [
        ("completed", counters.uploads_completed),
        ("incomplete", counters.uploads_incomplete),
        ("expired", counters.uploads_expired),
        ("sent", counters.blocks_sent),
        ("of nothing", counters.blocks_not_held),
        ("duplicates", counters.duplicates),
    ] {
        assert!(number > 20, "{what}: {counters:?}");
    }
}
