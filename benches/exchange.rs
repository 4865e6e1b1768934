//! One exchange through the whole core: a telemetry POST, from its DTLS record through the upstream call to the
//! encrypted 2.01; or a GET for a block of firmware. No sockets, no HTTP.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use coap::Code;
use core_harness::{Pair, certificate};
use criterion::{Criterion, criterion_group, criterion_main};

fn exchange(c: &mut Criterion) {
    let (server, own) = (certificate(), certificate());
    let mut pair = Pair::new(&server, &own);
    // The figures contain both sides of DTLS; the device's takes about as much time as the gateway's.
    c.bench_function("telemetry through the core, device's DTLS included", |b| {
        b.iter(|| assert_eq!(pair.post_telemetry(), Code::CREATED));
    });
    let mut num = 0;
    c.bench_function(
        "block of 1,024 bytes of a package through the core, device's DTLS included",
        |b| {
            b.iter(|| {
                num = (num + 1) % u32::try_from(Pair::BLOCKS).unwrap_or(1);
                assert_eq!(pair.get_block(num).len(), 1024);
            });
        },
    );
    c.bench_function("handshake through the core, device's DTLS included", |b| {
        b.iter(|| Pair::new(&server, &own));
    });
}

criterion_group!(benches, exchange);
criterion_main!(benches);
