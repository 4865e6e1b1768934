//! One device can't take the loop's time from others, in the real binary.
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

/// Fits into the smallest socket buffer of any kernel, and is more than a device's share of a turn.
const SENT_BEFORE: u16 = 150;

/// The socket buffer is a queue, and a device can fill it before another one sends. Time is not measured: the gateway is
/// stopped meanwhile, and its log shows in which order it handled the requests.
#[tokio::test]
async fn a_device_that_fills_the_socket_buffer_does_not_delay_another_device() {
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
    // In the order in which the loop handled them: whether each is the pump's.
    let requests = || -> Vec<bool> {
        let log = world.log();
        let requests = log.lines().filter(|line| line.contains("WellKnownCore"));
        requests.map(|line| line.contains("pump-03")).collect()
    };
    let all = usize::from(SENT_BEFORE) + 1;
    eventually("each request in the log", || requests().len() == all);
    let before = requests().iter().position(|is_pumps| *is_pumps).unwrap();
    // Eight per device and turn; the first eight of a turn are not limited.
    assert!(before <= 16, "{before} of the other device's came first");
}
