//! Hazard: one device sends more than the loop can handle, and another's datagrams are queued behind its datagrams in
//! the socket's receive buffer.
//!
//! Work takes no time in the simulation. The loop here reads datagrams as `gateway::driver` does, and advances the clock
//! for each datagram that it reads, and more for each that is handled.

use super::{Conditions, World};
use crate::dtls::Path;
use crate::udp::BATCH;
use bytes::Bytes;
use coap::{Message, Type};
use std::collections::VecDeque;
use std::time::Duration;

/// The time to read a datagram from the socket, and the additional time to handle it.
const READ_COST: Duration = Duration::from_micros(1);
const HANDLING_COST: Duration = Duration::from_micros(20);
/// The capacity of the socket's receive buffer, in datagrams.
const SOCKET_BUFFER: usize = 10_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// A socket's receive buffer, and the loop that reads from it.
struct TimedLoop {
    world: World,
    buffer: VecDeque<(Path, Vec<u8>)>,
    lost: usize,
}

impl TimedLoop {
    fn new(mut world: World) -> TimedLoop {
        world.connect_all();
        TimedLoop {
            world,
            buffer: VecDeque::new(),
            lost: 0,
        }
    }

    /// Moves what a device has sent to the receive buffer. What exceeds its capacity is lost.
    fn enqueue_from(&mut self, device: usize) {
        let path = self.world.devices[device].path;
        for datagram in self.world.devices[device].poll_transmit() {
            match self.buffer.len() < SOCKET_BUFFER {
                true => self.buffer.push_back((path, datagram)),
                false => self.lost += 1,
            }
        }
    }

    fn handled(&self) -> u64 {
        self.world.core.counters().dtls.datagrams_received
    }

    /// One turn of the loop, as in `Driver::run`.
    fn run_turn(&mut self) {
        let (now, before) = (self.world.now, self.handled());
        let mut taken = 0;
        loop {
            let mut count = 0;
            while count < BATCH
                && let Some((path, datagram)) = self.buffer.pop_front()
            {
                self.world.core.receive(now, path, &datagram);
                count += 1;
            }
            taken += count;
            if count < BATCH || taken >= 2048 || self.world.core.handled_in_turn() >= BATCH {
                break;
            }
        }
        while let Some(completion) = self.world.upstream.pop_completion(now) {
            self.world.core.complete(now, completion);
        }
        self.world.core.handle_timeout(now);
        let handled = u32::try_from(self.handled() - before).unwrap();
        self.world.now += READ_COST * u32::try_from(taken).unwrap() + HANDLING_COST * handled;
        while let Some(call) = self.world.core.poll_call() {
            self.world.upstream.begin_call(self.world.now, call);
        }
    }

    /// Drops all datagrams that the gateway sends. Returns whether one was for this device.
    fn flush_transmits(&mut self, device: usize) -> bool {
        let path = self.world.devices[device].path;
        let mut has_response = false;
        while let Some(transmit) = self.world.core.poll_transmit() {
            has_response |= transmit.path == path;
        }
        has_response
    }
}

/// The longest time that `other` waits for a response while each of the `flooding` devices sends `rate` datagrams a
/// millisecond. At most a second.
fn worst_latency(
    flooding: &[usize],
    rate: usize,
    other: usize,
    world: World,
) -> (Duration, TimedLoop) {
    let mut driver = TimedLoop::new(world);
    let get = |id: u16| Message {
        kind: Type::Confirmable,
        code: coap::Code::GET,
        message_id: id,
        token: coap::Token::default(),
        options: [".well-known", "core"].map(|s| (11, Bytes::from(s))).into(),
        payload: Bytes::new(),
    };
    let start = driver.world.now;
    let (mut requested_at, mut worst, mut flooded_until) = (None, Duration::ZERO, start);
    let mut id = 0;
    while driver.world.now < start + 100 * MILLISECOND || requested_at.is_some() {
        let now = driver.world.now;
        while flooded_until <= now && flooded_until < start + 100 * MILLISECOND {
            flooded_until += MILLISECOND;
            for device in flooding {
                for _ in 0..rate {
                    id += 1;
                    let ping =
                        Message::empty(Type::Confirmable, u16::try_from(id % 65_536).unwrap());
                    driver.world.devices[*device].send(now, &ping.encode(4).unwrap());
                }
                driver.enqueue_from(*device);
            }
        }
        if requested_at.is_none() {
            id += 1;
            let id = u16::try_from(id % 65_536).unwrap();
            let bytes = get(id).encode(1024).unwrap();
            driver.world.devices[other].send(now, &bytes);
            driver.enqueue_from(other);
            requested_at = Some(now);
        }
        driver.run_turn();
        if driver.flush_transmits(other) {
            let waited = requested_at
                .take()
                .map(|requested_at| driver.world.now - requested_at);
            worst = worst.max(waited.unwrap_or_default());
        } else if requested_at
            .is_some_and(|requested_at| driver.world.now > requested_at + 1000 * MILLISECOND)
        {
            return (1000 * MILLISECOND, driver);
        }
        // An idle loop waits for the next datagram.
        if driver.buffer.is_empty() && driver.world.core.handled_in_turn() == 0 {
            driver.world.now += MILLISECOND / 10;
        }
    }
    (worst, driver)
}

#[test]
fn a_flooding_device_delays_another_by_a_few_turns_of_the_loop_at_most() {
    let quiet = World::new(2, Conditions::GOOD, 1);
    let (without_flood, _) = worst_latency(&[], 0, 1, quiet);
    assert!(without_flood < MILLISECOND, "{without_flood:?}");
    // Four sessions of one device together send more than twice what the loop can handle.
    let mut world = World::new(2, Conditions::GOOD, 1);
    let mut flooding = vec![0];
    for host in 1..4 {
        flooding.push(world.add_client_with_certificate_of(0, host));
    }
    let (flooded, driver) = worst_latency(&flooding, 30, 1, world);
    assert!(flooded < 10 * MILLISECOND, "{flooded:?}");
    let dropped = driver.world.core.counters().gateway.datagrams_over_share;
    assert!(dropped > 1000, "{dropped}");
    assert_eq!(driver.lost, 0, "the receive buffer overflowed");
}

#[test]
fn a_single_device_may_use_the_whole_loop() {
    let world = World::new(2, Conditions::GOOD, 1);
    let (_, driver) = worst_latency(&[0], 30, 1, world);
    assert_eq!(driver.world.core.counters().gateway.datagrams_over_share, 0);
    assert_eq!(driver.lost, 0);
}
