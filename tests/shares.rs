//! The share of one device in common resources, in the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use test_support::coap::{CON, Message, get};
use test_support::world::{World, eventually};

/// Datagrams that any kernel's receive buffer holds, and more than a device's share of a turn.
const SENT_BEFORE: u16 = 150;

/// A device can fill the kernel's receive buffer before another one sends. The test measures no time: the gateway is
/// stopped while the buffer is filled, and its log shows the order in which it handled the requests.
#[tokio::test]
async fn a_devices_queued_datagrams_do_not_delay_another_device() {
    let mut world = World::start();
    let (flood, other) = (world.meter().await, world.connect(&world.pump).await);
    let links = |id: u16| {
        let request = Message {
            kind: CON,
            id,
            token: id.to_be_bytes().to_vec(),
            ..get(&[".well-known", "core"])
        };
        request.encode()
    };
    world.gateway.signal("STOP");
    for id in 0..SENT_BEFORE {
        flood.send(&links(id)).await;
    }
    other.send(&links(0)).await;
    world.gateway.signal("CONT");
    other.receive().await;
    for _ in 0..SENT_BEFORE {
        flood.receive().await;
    }
    // For each request, in the order in which they were handled, whether it is the other device's.
    let requests = || -> Vec<bool> {
        let log = world.log();
        let requests = log.lines().filter(|line| line.contains("WellKnownCore"));
        requests.map(|line| line.contains("pump-03")).collect()
    };
    let all = usize::from(SENT_BEFORE) + 1;
    eventually("each request in the log", || requests().len() == all);
    let before = requests().iter().position(|is_pumps| *is_pumps).unwrap();
    // A device has eight datagrams in a turn; the first eight of a turn are not limited.
    assert!(
        before <= 16,
        "{before} requests of the first device came before it"
    );
}
