//! Hazard: one device sends more than the loop can handle, and a neighbour's datagrams stand behind its in the kernel's
//! buffer.
//!
//! Work costs no time in the simulation, so here is a loop for which it does: it takes datagrams as `gateway::driver` does,
//! and its clock goes on by so much for each that is taken, and so much more for each that is handled.

use super::{Conditions, World};
use crate::dtls::Path;
use crate::udp::BATCH;
use bytes::Bytes;
use coap::{Message, Type};
use std::collections::VecDeque;
use std::time::Duration;

/// What taking a datagram from the kernel costs, and what handling it costs beyond.
const TAKEN: Duration = Duration::from_micros(1);
const HANDLED: Duration = Duration::from_micros(20);
/// Datagrams that the kernel's buffer holds.
const KERNEL: usize = 10_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// A kernel's buffer, and the loop that empties it.
struct Loop {
    world: World,
    buffer: VecDeque<(Path, Vec<u8>)>,
    lost: usize,
}

impl Loop {
    fn new(mut world: World) -> Loop {
        world.connect_all();
        Loop {
            world,
            buffer: VecDeque::new(),
            lost: 0,
        }
    }

    /// What a device has just sent is in the kernel's buffer, if there is room.
    fn arrive(&mut self, device: usize) {
        let path = self.world.devices[device].path;
        for datagram in self.world.devices[device].poll_transmit() {
            match self.buffer.len() < KERNEL {
                true => self.buffer.push_back((path, datagram)),
                false => self.lost += 1,
            }
        }
    }

    fn handled(&self) -> u64 {
        self.world.core.counters().0.datagrams_received
    }

    /// One turn of the loop: the same as `Driver::run` makes of it.
    fn turn(&mut self) {
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
        self.world.now += TAKEN * u32::try_from(taken).unwrap() + HANDLED * handled;
        while let Some(call) = self.world.core.poll_call() {
            self.world.upstream.take(self.world.now, call);
        }
    }

    /// Datagrams from the gateway go to nobody but this device; says whether it got one.
    fn answers(&mut self, device: usize) -> bool {
        let path = self.world.devices[device].path;
        let mut answered = false;
        while let Some(transmit) = self.world.core.poll_transmit() {
            answered |= transmit.path == path;
        }
        answered
    }
}

/// How long a neighbour waits for the answer to its request, at worst, while each of these devices sends `rate` datagrams a
/// millisecond.
fn worst_latency(
    floods: &[usize],
    rate: usize,
    neighbour: usize,
    world: World,
) -> (Duration, Loop) {
    let mut driver = Loop::new(world);
    let get = |id: u16| Message {
        kind: Type::Confirmable,
        code: coap::Code::GET,
        message_id: id,
        token: coap::Token::default(),
        options: [".well-known", "core"].map(|s| (11, Bytes::from(s))).into(),
        payload: Bytes::new(),
    };
    let start = driver.world.now;
    let (mut asked, mut worst, mut flooded_until) = (None, Duration::ZERO, start);
    let mut id = 0;
    while driver.world.now < start + 100 * MILLISECOND || asked.is_some() {
        let now = driver.world.now;
        while flooded_until <= now && flooded_until < start + 100 * MILLISECOND {
            flooded_until += MILLISECOND;
            for flood in floods {
                for _ in 0..rate {
                    id += 1;
                    let ping =
                        Message::empty(Type::Confirmable, u16::try_from(id % 65_536).unwrap());
                    driver.world.devices[*flood].send(now, &ping.encode(4).unwrap());
                }
                driver.arrive(*flood);
            }
        }
        if asked.is_none() {
            id += 1;
            let id = u16::try_from(id % 65_536).unwrap();
            let bytes = get(id).encode(1024).unwrap();
            driver.world.devices[neighbour].send(now, &bytes);
            driver.arrive(neighbour);
            asked = Some(now);
        }
        driver.turn();
        if driver.answers(neighbour) {
            let waited = asked.take().map(|asked| driver.world.now - asked);
            worst = worst.max(waited.unwrap_or_default());
        } else if asked.is_some_and(|asked| driver.world.now > asked + 1000 * MILLISECOND) {
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
fn a_neighbour_waits_for_a_few_turns_of_the_loop_whatever_a_device_sends() {
    let quiet = World::new(2, Conditions::GOOD, 1);
    let (alone, _) = worst_latency(&[], 0, 1, quiet);
    assert!(alone < MILLISECOND, "{alone:?}");
    // A device with four sessions, together more than twice what the loop can handle.
    let mut world = World::new(2, Conditions::GOOD, 1);
    let mut floods = vec![0];
    for host in 1..4 {
        floods.push(world.add_twin(0, host));
    }
    let (flooded, driver) = worst_latency(&floods, 30, 1, world);
    assert!(flooded < 10 * MILLISECOND, "{flooded:?}");
    let dropped = driver.world.core.counters().2.datagrams_over_share;
    assert!(dropped > 1000, "{dropped}");
    assert_eq!(driver.lost, 0, "the kernel's buffer never fills");
}

#[test]
fn a_device_alone_has_all_of_the_loop() {
    let world = World::new(2, Conditions::GOOD, 1);
    let (_, driver) = worst_latency(&[0], 30, 1, world);
    assert_eq!(driver.world.core.counters().2.datagrams_over_share, 0);
    assert_eq!(driver.lost, 0);
}
