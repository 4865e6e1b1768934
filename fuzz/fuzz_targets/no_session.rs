//! Any datagrams from a few addresses that have no session, with time passing in between.

#![no_main]

use coaps_gateway::facade::dtls::Path;
use core_harness::{Pair, certificate, datagrams};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

thread_local! {
    /// One gateway and its one device for all inputs. That each leaves no state is asserted.
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new(&certificate(), &certificate()));
}

fuzz_target!(|input: &[u8]| PAIR.with_borrow_mut(|pair| try_unknown_peers(pair, input)));

fn try_unknown_peers(pair: &mut Pair, input: &[u8]) {
    for (head, datagram) in datagrams(input) {
        let path = Path {
            remote: SocketAddr::from(([192, 0, 2, 1], 1000 + u16::from(head & 3))),
            local: None,
            via: None,
        };
        pair.core.receive(pair.now, path, datagram);
        let sent: usize = std::iter::from_fn(|| pair.core.poll_transmit())
            .map(|transmit| transmit.datagram.len())
            .sum();
        // None of these addresses is verified, so the gateway must not send more bytes than it receives.
        assert!(
            sent <= datagram.len(),
            "{sent} bytes for {}",
            datagram.len()
        );
        advance(pair, Duration::from_millis(u64::from(head)));
    }
    assert_eq!(pair.core.sessions(), 1, "a session has begun or ended");
    assert_eq!(pair.post_telemetry().to_string(), "2.01");
    advance(pair, Duration::from_secs(11));
    assert_eq!(pair.core.half_open(), 0, "half-open handshakes remain");
}

fn advance(pair: &mut Pair, duration: Duration) {
    pair.now += duration;
    pair.core.handle_timeout(pair.now);
    assert!(
        pair.core.poll_transmit().is_none(),
        "a datagram sent by a timer"
    );
}
