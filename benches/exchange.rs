//! One exchange through the whole core: a DTLS record with a telemetry POST comes in, the upstream
//! call goes out, its completion comes back, and the encrypted 2.01 leaves; or a record with a GET for a block of
//! firmware, and the block leaves. No sockets, no HTTP.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

mod support;

use coap::Code;
use criterion::{Criterion, criterion_group, criterion_main};
use support::{Pair, certificate};

fn exchange(c: &mut Criterion) {
    let (server, own) = (certificate(), certificate());
    let mut pair = Pair::new(&server, &own);
    // Both sides of DTLS are in this figure: the device's engine costs about as much as the gateway's.
    c.bench_function("telemetry through the core, device's DTLS included", |b| {
        b.iter(|| assert_eq!(pair.exchange(), Code::CREATED));
    });
    let mut num = 0;
    c.bench_function(
        "block of 1,024 bytes of a package through the core, device's DTLS included",
        |b| {
            b.iter(|| {
                num = (num + 1) % Pair::BLOCKS;
                assert_eq!(pair.block(num).len(), 1024);
            });
        },
    );
    c.bench_function("handshake through the core, device's DTLS included", |b| {
        b.iter(|| Pair::new(&server, &own));
    });
}

criterion_group!(benches, exchange);
criterion_main!(benches);
