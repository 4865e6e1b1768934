//! Any bytes as the export of an endpoint, and of a device's relay: what is restored goes on, and has an export again.
//!
//! The first byte says what the others are. Of an endpoint the next two say how long ago it was exported, in seconds.

#![no_main]

use bytes::Bytes;
use coap::{
    Bodies, Code, Context, Counters, Extent, Holder, Notification, Output, Parameters,
    RemoteEndpoint, Response,
};
use coaps_gateway::facade::relay::Harness;
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};

/// A POST, and a registration.
const REQUESTS: [&[u8]; 2] = [
    &[0x41, 0x02, 0, 7, 0xaa, 0xb1, b'a'],
    &[0x41, 0x01, 0, 8, 0xbb, 0x60, 0x51, b'a'],
];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    match choice % 3 {
        0 => try_endpoint(rest),
        form => try_relay(rest, form == 1),
    }
});

fn try_endpoint(input: &[u8]) {
    let Some((since, export)) = input.split_first_chunk() else {
        return;
    };
    let since = Duration::from_secs(u16::from_be_bytes(*since).into());
    let mut now = Instant::now();
    let Ok(mut endpoint) = RemoteEndpoint::restore(now, since, export) else {
        return;
    };
    let last = endpoint.export(now, Extent::Final);
    let again = RemoteEndpoint::restore(now, Duration::ZERO, &last).expect("it is an export");
    assert_eq!(again.export(now, Extent::Final), last);

    let (parameters, bodies) = (Parameters::default(), Bodies::new(1 << 20, 1));
    let mut counters = Counters::default();
    let mut context = Context {
        parameters: &parameters,
        max_message: 1152,
        bodies: &bodies,
        holder: Holder::Device("device"),
        random: &mut || 7,
        counters: &mut counters,
    };
    let mut out = Vec::new();
    for request in REQUESTS {
        endpoint.receive(now, Bytes::from_static(request), &mut context, &mut out);
        for output in std::mem::take(&mut out) {
            if let Output::Request(exchange, request) = output {
                let response = Response::new(Code::CONTENT);
                if request.observe.is_some() {
                    endpoint.respond_registered(now, exchange, response, &mut context, &mut out);
                } else {
                    endpoint.respond(now, exchange, response, &mut context, &mut out);
                }
            }
        }
    }
    let relations: Vec<_> = endpoint.relations().map(|(id, _)| id).collect();
    assert!(relations.len() <= 4);
    for (number, id) in (1..).zip(relations) {
        let response = Response::new(Code::CONTENT);
        let notification = Notification { number, response };
        endpoint.notify(now, id, notification, &mut context, &mut out);
    }
    for _ in 0..20 {
        now += Duration::from_secs(20);
        endpoint.handle_timeout(now, &mut context, &mut out);
    }
    assert_eq!(endpoint.outgoing(), 0, "it has given up");
    for extent in [Extent::Running, Extent::WithMessages, Extent::Final] {
        let export = endpoint.export(now, extent);
        assert!(RemoteEndpoint::restore(now, since, &export).is_ok());
    }
}

fn try_relay(export: &[u8], is_push: bool) {
    let begin = Instant::now();
    let mut harness = Harness::new(begin, is_push).expect("a token");
    if !harness.restore(export) {
        assert_eq!(harness.load(), [0; 3], "nothing of it is restored");
        return;
    }
    if let Some(export) = harness.export() {
        let mut again = Harness::new(begin, is_push).expect("a token");
        assert!(again.restore(&export));
        assert_eq!(again.export(), Some(export));
    }
    harness.pass(Duration::from_secs(60));
    harness.pause_and_resume();
    harness.pass(Duration::from_secs(60));
    if let Some(export) = harness.export() {
        let mut again = Harness::new(begin, is_push).expect("a token");
        assert!(again.restore(&export));
    }
    harness.forget();
    assert_eq!(harness.load(), [0; 3], "nothing of it is left");
}
