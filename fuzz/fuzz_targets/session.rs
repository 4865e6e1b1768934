//! Any bytes on the path of an established session: as plaintext from its device, and forged.

#![no_main]

#[path = "../../benches/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::time::Duration;
use support::{Pair, certificate, datagrams};

thread_local! {
    /// One session for all inputs; between them everything that has a lifetime runs out.
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new(&certificate(), &certificate()));
}

fuzz_target!(|input: &[u8]| PAIR.with_borrow_mut(|pair| try_session(pair, input)));

fn try_session(pair: &mut Pair, input: &[u8]) {
    for (head, bytes) in datagrams(input) {
        if head & 1 == 0 {
            let effects = pair
                .device
                .send(pair.now, bytes)
                .expect("the device's own session");
            pair.pass(effects);
        } else {
            pair.core.receive(pair.now, pair.path, bytes);
            pair.pass(Vec::new());
        }
        // Up to eight seconds: piggyback timers and retransmissions get their turn.
        pass(pair, Duration::from_millis(u64::from(head >> 1) * 64));
    }
    // Longer than EXCHANGE_LIFETIME, in steps that let retransmissions happen.
    for _ in 0..10 {
        pass(pair, Duration::from_secs(30));
    }
    assert_eq!(pair.core.sessions(), 1, "forged bytes ended the session");
    assert_eq!(pair.core.in_flight(), 0);
}

fn pass(pair: &mut Pair, duration: Duration) {
    pair.now += duration;
    pair.core.handle_timeout(pair.now);
    pair.pass(Vec::new());
}
