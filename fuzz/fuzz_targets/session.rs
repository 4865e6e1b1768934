//! Any bytes from the address of an established session: as plaintext of its device, and as forged datagrams.

#![no_main]

use core_harness::{Pair, certificate, datagrams};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    /// One session for all inputs. After each, everything with a lifetime expires.
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new(&certificate(), &certificate()));
}

fuzz_target!(|input: &[u8]| PAIR.with_borrow_mut(|pair| try_session(pair, input)));

fn try_session(pair: &mut Pair, input: &[u8]) {
    for (head, bytes) in datagrams(input) {
        if head & 1 == 0 {
            let outputs = pair.device.send(pair.now, bytes).expect("an open session");
            pair.deliver(outputs);
        } else {
            pair.core.receive(pair.now, pair.path, bytes);
            pair.deliver(Vec::new());
        }
        // Up to eight seconds, so that piggyback timers and retransmissions are due.
        advance(pair, Duration::from_millis(u64::from(head >> 1) * 64));
    }
    // Longer than EXCHANGE_LIFETIME, in steps for retransmissions.
    for _ in 0..10 {
        advance(pair, Duration::from_secs(30));
    }
    assert_eq!(pair.core.sessions(), 1, "forged bytes ended the session");
    assert_eq!(pair.core.in_flight(), 0);
}

fn advance(pair: &mut Pair, duration: Duration) {
    pair.now += duration;
    pair.core.handle_timeout(pair.now);
    pair.deliver(Vec::new());
}
