//! What the CoAP state of a session takes while nothing is under way, counted by the allocator.
//!
//! This file has a single test, because the allocations of another one would be counted as well.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use bytes::Bytes;
use coap::{
    Bodies, Code, Context, Counters, EXCHANGE_LIFETIME, ExchangeId, Holder, Message, Notification,
    ObservationId, Output, Parameters, RemoteEndpoint, Response, Token, Type,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated and not freed, and in how many allocations.
fn held() -> (usize, usize) {
    let stats = ALLOCATOR.stats();
    (
        stats.bytes_allocated - stats.bytes_deallocated,
        stats.allocations - stats.deallocations,
    )
}

struct Bench {
    endpoint: RemoteEndpoint,
    now: Instant,
    next_message_id: u16,
    out: Vec<Output>,
    parameters: Parameters,
    bodies: Bodies,
    counters: Counters,
}

impl Bench {
    fn new() -> Bench {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        Bench {
            endpoint: RemoteEndpoint::new(7),
            now,
            next_message_id: 0,
            out: Vec::with_capacity(16),
            parameters: Parameters::default(),
            bodies: Bodies::new(1 << 20, 7),
            counters: Counters::default(),
        }
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut RemoteEndpoint, Instant, &mut Context<'_>, &mut Vec<Output>) -> T,
    ) -> T {
        let mut context = Context {
            parameters: &self.parameters,
            max_message: 1152,
            bodies: &self.bodies,
            holder: Holder::Device("meter"),
            random: &mut || 7,
            counters: &mut self.counters,
        };
        work(&mut self.endpoint, self.now, &mut context, &mut self.out)
    }

    /// Receives a request, and returns its exchange.
    fn request(&mut self, kind: Type, code: Code, options: Vec<(u16, Vec<u8>)>) -> ExchangeId {
        self.next_message_id += 1;
        let message_id = self.next_message_id;
        let message = Message {
            kind,
            code,
            message_id,
            token: Token::new(&message_id.to_be_bytes()).unwrap(),
            options: options
                .into_iter()
                .map(|(number, value)| (number, Bytes::from(value)))
                .collect(),
            payload: Bytes::from_static(b"{\"temperature\": 21.5}"),
        };
        let datagram = Bytes::from(message.encode(1152).unwrap());
        self.with(|endpoint, now, context, out| endpoint.receive(now, datagram, context, out));
        let exchange = self.out.drain(..).find_map(|output| match output {
            Output::Request(exchange, _) => Some(exchange),
            _ => None,
        });
        exchange.unwrap()
    }

    fn post(&mut self, kind: Type) {
        let exchange = self.request(kind, Code::POST, Vec::new());
        self.with(|endpoint, now, context, out| {
            endpoint.respond(now, exchange, Response::new(Code::CREATED), context, out);
        });
        self.out.clear();
    }

    fn register(&mut self) -> ObservationId {
        let exchange = self.request(Type::Confirmable, Code::GET, vec![(6, Vec::new())]);
        let response = Response::new(Code::CONTENT);
        let registered = self.with(|endpoint, now, context, out| {
            endpoint.respond_registered(now, exchange, response, context, out)
        });
        self.out.clear();
        registered.unwrap()
    }

    /// Sends a notification, which the client acknowledges.
    fn notify(&mut self, observation: ObservationId) {
        let mut response = Response::new(Code::CONTENT);
        response.payload = Bytes::from_static(b"{\"interval\": 60}");
        let notification = Notification {
            number: 1,
            response,
        };
        self.with(|endpoint, now, context, out| {
            endpoint.notify(now, observation, notification, context, out);
        });
        let sent = self.out.drain(..).find_map(|output| match output {
            Output::Send(bytes) => Message::from_bytes(bytes.into()).ok(),
            _ => None,
        });
        let acknowledgement = Message::empty(Type::Acknowledgement, sent.unwrap().message_id);
        let datagram = Bytes::from(acknowledgement.encode(4).unwrap());
        self.with(|endpoint, now, context, out| endpoint.receive(now, datagram, context, out));
        self.out.clear();
    }

    fn rest(&mut self, time: Duration) {
        self.now += time;
        self.with(|endpoint, now, context, out| endpoint.handle_timeout(now, context, out));
        self.out.clear();
    }
}

/// What an endpoint holds on the heap after `work`, besides its own size.
fn heap_after(what: &str, work: impl Fn(&mut Bench)) -> usize {
    // What all endpoints share, and what is allocated once in a process, is not counted.
    work(&mut Bench::new());
    let mut bench = Bench::new();
    let before = held();
    work(&mut bench);
    let after = held();
    let (bytes, allocations) = (after.0 - before.0, after.1 - before.1);
    eprintln!("{what}: {bytes} bytes in {allocations} allocations");
    bytes
}

/// The bounds have little room above what was measured on a 64-bit machine.
#[test]
fn a_session_at_rest_takes_little() {
    let own = size_of::<RemoteEndpoint>();
    eprintln!("an endpoint: {own} bytes");
    assert!(own <= 120, "{own} bytes");
    for kind in [Type::Confirmable, Type::NonConfirmable] {
        let after_one = heap_after(&format!("one POST ({kind:?})"), |bench| bench.post(kind));
        assert_eq!(after_one, 0, "and no timer: there is nothing to free");
        let name = format!("25 POSTs ({kind:?}) in 250 s");
        let after_many = heap_after(&name, |bench| {
            for _ in 0..25 {
                bench.post(kind);
                bench.rest(Duration::from_secs(10));
            }
        });
        assert!(after_many <= 512, "{after_many} bytes");
        let name = format!("the same, and EXCHANGE_LIFETIME ({kind:?})");
        let much_later = heap_after(&name, |bench| {
            for _ in 0..25 {
                bench.post(kind);
                bench.rest(Duration::from_secs(10));
            }
            bench.rest(EXCHANGE_LIFETIME);
        });
        assert_eq!(much_later, 0);
    }
    let observing = heap_after("an observation, and EXCHANGE_LIFETIME", |bench| {
        let observation = bench.register();
        bench.notify(observation);
        bench.rest(EXCHANGE_LIFETIME);
    });
    assert!(observing <= 320, "{observing} bytes");
}
