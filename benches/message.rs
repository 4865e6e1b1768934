//! The message format: decoding and validating a telemetry request, encoding a response.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark may panic; criterion's macros make functions without docs"
)]

use bytes::Bytes;
use coap::{Code, Message, Received, Response, Token, Type, option};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

/// A telemetry POST of 80 bytes in the token form.
fn telemetry() -> Message {
    let path = ["api", "v1", "A1_TEST_TOKEN", "telemetry"];
    Message {
        kind: Type::Confirmable,
        code: Code::POST,
        message_id: 7,
        token: Token::new(&[1, 2, 3, 4]).unwrap(),
        options: path
            .map(|segment| (option::number::URI_PATH, Bytes::from(segment)))
            .into(),
        payload: Bytes::from_static(br#"{"temperature":25.1,"humidity":40}"#),
    }
}

fn codec(c: &mut Criterion) {
    let request = telemetry().encode(1152).unwrap();
    c.bench_function("decode a telemetry request", |b| {
        b.iter(|| Message::decode(black_box(&request)).unwrap());
    });
    c.bench_function("decode a telemetry request and read its options", |b| {
        b.iter(|| Received::read(Message::decode(black_box(&request)).unwrap()).unwrap());
    });
    let token = Token::new(&[1, 2, 3, 4]).unwrap();
    c.bench_function("encode a 2.01 response", |b| {
        b.iter(|| {
            let response = Response::new(Code::CREATED);
            let message = response.into_message(Type::Acknowledgement, 7, black_box(token));
            message.encode(1152).unwrap()
        });
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
