//! Any datagrams, from a few addresses and over time, into a core that knows none of them.

#![no_main]

#[path = "../../benches/support.rs"]
mod support;

use coaps_gateway::dtls::Path;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;
use support::{Pair, certificate, datagrams};

thread_local! {
    /// One gateway and its one device for all inputs: each leaves nothing behind, which is asserted.
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new(&certificate(), &certificate()));
}

fuzz_target!(|input: &[u8]| PAIR.with_borrow_mut(|pair| try_strangers(pair, input)));

fn try_strangers(pair: &mut Pair, input: &[u8]) {
    for (head, datagram) in datagrams(input) {
        let path = Path {
            remote: SocketAddr::from(([192, 0, 2, 1], 1000 + u16::from(head & 3))),
            local: None,
        };
        pair.core.receive(pair.now, path, datagram);
        let sent: usize = std::iter::from_fn(|| pair.core.poll_transmit())
            .map(|transmit| transmit.datagram.len())
            .sum();
        // Nobody here can have proven an address.
        assert!(
            sent <= datagram.len(),
            "{sent} bytes for {}",
            datagram.len()
        );
        pass(pair, Duration::from_millis(u64::from(head)));
    }
    assert_eq!(
        pair.core.sessions(),
        1,
        "a stranger ended, or began, a session"
    );
    assert_eq!(pair.exchange().to_string(), "2.01");
    pass(pair, Duration::from_secs(11));
    assert_eq!(pair.core.half_open(), 0, "something is left behind");
}

fn pass(pair: &mut Pair, duration: Duration) {
    pair.now += duration;
    pair.core.handle_timeout(pair.now);
    assert!(pair.core.poll_transmit().is_none(), "sent by timer");
}
