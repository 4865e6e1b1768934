//! What one device may take of what all share, in the real binary.
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

/// Datagrams that the smallest buffer of a kernel's holds, and some more than a device's share of a turn.
const SENT_BEFORE: u16 = 150;

/// The kernel's buffer is a queue, and a device can fill it before its neighbour sends. Time is not measured: the gateway
/// is stopped meanwhile, and its log then tells in which order it handled the requests.
#[tokio::test]
async fn what_a_device_has_sent_before_does_not_keep_its_neighbour_waiting() {
    let mut world = World::start();
    let (flood, neighbour) = (world.meter().await, world.connect(&world.pump).await);
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
    neighbour.send(&links(0)).await;
    world.gateway.signal("CONT");
    neighbour.receive().await;
    for _ in 0..SENT_BEFORE {
        flood.receive().await;
    }
    // In the order in which the loop has handled them.
    let requests = || -> Vec<bool> {
        let log = world.log();
        let requests = log.lines().filter(|line| line.contains("WellKnownCore"));
        requests.map(|line| line.contains("pump-03")).collect()
    };
    let all = usize::from(SENT_BEFORE) + 1;
    eventually("each request in the log", || requests().len() == all);
    let before = requests().iter().position(|is_pumps| *is_pumps).unwrap();
    // Eight of a device in a turn; the first eight of a turn are not looked at more closely.
    assert!(before <= 16, "{before} of the other device's came first");
}
