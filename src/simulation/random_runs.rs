//! Random runs: random events of devices, spoofed senders, the network and upstream, with the invariants checked after
//! each step. At the end of a run all faults stop, all state must expire, and all devices must be served.
//!
//! A failing run prints its seed: `SIMULATION_SEED=<seed> cargo test random_runs` repeats it, and
//! `SIMULATION_RUNS=10000` makes many runs.

use super::actions::RegistryEntry;
use super::invariants::assert_idle;
use super::upstream::empty_500;
use super::{Behaviour, Conditions, World, default_settings, path};
use crate::downlink::Kind;
use crate::downlink::Mode;
use crate::dtls::Versions;
use crate::upstream::Error;
use bytes::Bytes;
use coap::option::content_format::OCTET_STREAM;
use coap::option::encode_unsigned;
use coap::option::number::{BLOCK2, CONTENT_FORMAT, NO_RESPONSE};
use coap::{Block, Code, Message, Type};
use fastrand::Rng;
use std::ops::Range;
use std::time::Duration;
use thingsboard_simulator::{Package, PackageId, PackageKind};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The number of runs, unless `SIMULATION_RUNS` is set.
const RUNS: u64 = match cfg!(feature = "slow-tests") {
    true => 60,
    false => 12,
};
/// The number of events of a run.
const EVENTS: usize = 200;
/// Registered devices. There are two further clients: one with the certificate of the first, and an unregistered one.
const REGISTERED: usize = 5;
/// The size of their firmware, in bytes.
const IMAGE_BYTES: usize = 150_000;

/// Prints the seed if the run panics.
pub(super) struct Seed(pub(super) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("to repeat this run: SIMULATION_SEED={}", self.0);
        }
    }
}

fn env_number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// The seeds of the runs, of which there are `runs` unless the environment says otherwise.
pub(super) fn seeds(runs: u64) -> Range<u64> {
    match env_number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env_number("SIMULATION_RUNS").unwrap_or(runs),
    }
}

#[test]
fn random_events_cause_no_duplicates_mix_ups_or_leaks() {
    let mut total = Served::default();
    for seed in seeds(RUNS) {
        let guard = Seed(seed);
        let served = run(guard.0);
        total.posts += served.posts;
        total.blocks += served.blocks;
    }
    assert!(total.posts > 0, "no run had a post");
    assert!(total.blocks > 0, "no run had a block of firmware");
}

/// What the gateway served.
#[derive(Default)]
struct Served {
    /// Posts that reached upstream.
    posts: usize,
    /// Blocks of firmware that reached devices.
    blocks: usize,
}

/// Makes one run.
fn run(seed: u64) -> Served {
    let mut random = Rng::with_seed(seed);
    let mut world = random_world(&mut random, seed);
    let devices = world.devices.len();
    for device in 0..devices {
        world.connect(device);
    }
    for _ in 0..EVENTS {
        random_event(&mut world, &mut random);
        let pause = match random.u8(..) {
            0..=99 => Duration::ZERO,
            100..=199 => SECOND.mul_f64(random.f64()),
            200..=249 => SECOND * random.u32(1..20),
            250..=253 => SECOND * random.u32(60..600),
            254 => HOUR * random.u32(1..3),
            255 => 25 * HOUR,
        };
        world.run_for(pause);
    }
    run_until_idle(&mut world);
    check_all_devices_are_served(&mut world);
    Served {
        posts: world.upstream.posts.len(),
        blocks: check_blocks(&world),
    }
}

fn random_world(random: &mut Rng, seed: u64) -> World {
    let mut settings = default_settings();
    settings.dtls.versions = versions(random);
    settings.dtls.sessions = random.usize(REGISTERED + 2..20);
    settings.dtls.handshakes = random.usize(4..30);
    settings.dtls.hellos = random.u32(10..200);
    settings.dtls.handshakes_per_address = random.u32(1..20);
    settings.dtls.session_idle = HOUR * random.u32(1..25);
    settings.limits.sessions_per_device = random.usize(1..4);
    settings.limits.unregistered_sessions = random.usize(1..4);
    settings.max_in_flight = random.usize(1..40);
    settings.coap.nstart = random.usize(1..4);
    settings.coap.max_exchanges = random.usize(1..17);
    settings.coap.queue = random.usize(0..20);
    settings.coap.body_bytes = 1024 * random.usize(16..600);
    settings.calls.per_device = random.usize(1..20);
    settings.calls.client_rpc = random.usize(1..8);
    settings.relay.bytes = 1024 * random.usize(64..600);
    settings.relay.max_polls = random.usize(1..12);
    settings.relay.poll_timeout = SECOND * random.u32(2..60);
    settings.relay.alive_for = SECOND * random.u32(10..400);
    let modes = [Mode::WhileLive, Mode::WhileLive, Mode::OnUplink];
    settings.relay.attributes = *random.choice(&modes).unwrap();
    settings.relay.rpc = *random.choice(&modes).unwrap();
    settings.ota.chunk = 1024 * random.usize(1..65);
    settings.ota.cache = settings.ota.chunk * random.usize(4..8);
    let mut world = World::with_settings(REGISTERED, Conditions::GOOD, seed, settings);
    let firmware = PackageId::new(PackageKind::Firmware, "meter", "1.0");
    world.define_package(&firmware, Package::of(image()));
    for device in 0..REGISTERED {
        world.assign_package(device, &firmware);
    }
    world.add_client_with_certificate_of(0, 1);
    world.add_unregistered();
    world
}

fn versions(random: &mut Rng) -> Versions {
    match random.u8(..3) {
        0 => Versions::Only12,
        1 => Versions::Only13,
        _ => Versions::Both,
    }
}

/// Makes a random event.
fn random_event(world: &mut World, random: &mut Rng) {
    let device = random.usize(..world.devices.len());
    match random.u8(..100) {
        0..=7 => observe(world, random, device),
        8..=9 => request_random_block(world, random, device),
        10..=24 => drop(world.post(device, Type::Confirmable)),
        25..=29 => drop(world.post(device, Type::NonConfirmable)),
        30..=37 => random_thingsboard_event(world, random, device),
        38..=44 => drop(world.get(device)),
        45..=49 => burst(world, random, device),
        50..=59 => send_recent_duplicate(world, random, device),
        60..=62 => drop(odd_post(world, random, device)),
        // A CoAP ping, and a malformed message, with Message IDs that no request of the device has.
        63 => world.send(device, &[0x40, 0, 0xff, 0xff]),
        64 => world.send(device, &[0x4f, 1, 0xff, 0xfe]),
        65..=69 => world.connect(device),
        70..=71 => world.devices[device].switch_off(),
        72..=73 => world.devices[device].path = path(random.usize(100..120)),
        74..=75 => take_over_address(world, random, device),
        76..=80 => world.link.conditions = conditions(random),
        81..=86 => change_upstream(world, random),
        87..=97 => inject_forged_datagram(world, random),
        98 => reload_random_registry(world, random),
        _ => world.link.lose_next(random.bool(), random.usize(1..10)),
    }
}

/// A device sends GET for a random block of its firmware, which may be past the end.
fn request_random_block(world: &mut World, random: &mut Rng, device: usize) {
    let szx = random.u8(0..7);
    let blocks = u32::try_from(IMAGE_BYTES).unwrap() >> (szx + 4);
    let block = Block::new(random.u32(0..blocks + 2), false, szx).unwrap();
    let block2 = (BLOCK2, encode_unsigned(block.encode()));
    let (now, resource) = (world.now, "firmware");
    world.devices[device].request(now, Code::GET, resource, vec![block2], Bytes::new());
    world.flush();
}

/// Asserts that all blocks of firmware have the right bytes. Returns their number.
fn check_blocks(world: &World) -> usize {
    let value = |message: &Message, wanted| {
        let option = message.options.iter().find(|(number, _)| *number == wanted);
        option.map(|(_, value)| {
            value
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        })
    };
    let image = image();
    let mut blocks = 0;
    let received = world.devices.iter().flat_map(|device| &device.received);
    for message in received.map(|received| &received.message) {
        if value(message, CONTENT_FORMAT) == Some(u32::from(OCTET_STREAM)) {
            let block = Block::decode(value(message, BLOCK2).unwrap()).unwrap();
            let end = (block.offset() + block.size()).min(image.len());
            assert_eq!(message.payload, image[block.offset()..end]);
            assert_eq!(block.more(), end < image.len());
            blocks += 1;
        }
    }
    blocks
}

/// The firmware of all registered devices.
fn image() -> Bytes {
    let mut random = Rng::with_seed(0);
    std::iter::repeat_with(|| random.u8(..))
        .take(IMAGE_BYTES)
        .collect()
}

fn burst(world: &mut World, random: &mut Rng, device: usize) {
    for _ in 0..random.usize(1..30) {
        let confirmable = random.bool();
        let kinds = [Type::NonConfirmable, Type::Confirmable];
        world.post(device, kinds[usize::from(confirmable)]);
    }
}

/// A device sends a duplicate of a request of the last minute.
fn send_recent_duplicate(world: &mut World, random: &mut Rng, device: usize) {
    let recent = world.devices[device].requests_within(world.now, 60 * SECOND);
    if let Some(number) = random.choice(recent) {
        world.send_duplicate(device, number);
    }
}

fn odd_post(world: &mut World, random: &mut Rng, device: usize) -> usize {
    let kind = *random
        .choice(&[Type::Confirmable, Type::NonConfirmable])
        .unwrap();
    let option = match random.u8(..3) {
        0 => (NO_RESPONSE, Bytes::from_static(&[26])),
        1 => (65_001, Bytes::from_static(b"critical and unknown")),
        _ => (65_000, Bytes::from_static(b"elective and unknown")),
    };
    world.post_with(device, kind, vec![option])
}

/// A device registers for an observation, changes one that it has, or replies to a command.
fn observe(world: &mut World, random: &mut Rng, device: usize) {
    let session = world.devices[device].sessions;
    let own = world.devices[device].observations.iter().enumerate();
    let own: Vec<usize> = own
        .filter(|(_, observation)| observation.session == session)
        .map(|(number, _)| number)
        .collect();
    match (random.u8(..8), random.choice(own)) {
        (0, Some(number)) => world.send_observe(device, number, random.u8(..3)),
        (1, Some(number)) => world.devices[device].observations[number].rejects = true,
        (2, _) => world.reply(device, random.u32(..5)),
        _ => {
            let kind = *random
                .choice(&[Type::Confirmable, Type::NonConfirmable])
                .unwrap();
            let observed = *random.choice(&[Kind::Attributes, Kind::Commands]).unwrap();
            world.observe(device, kind, observed);
        }
    }
}

/// A random event at ThingsBoard: a restart, a fault, a change of attributes, or a command.
fn random_thingsboard_event(world: &mut World, random: &mut Rng, device: usize) {
    match random.u8(..16) {
        0 => {
            let down_for = SECOND * random.u32(1..100);
            world.upstream.restart(world.now, down_for);
        }
        1 => {
            world.devices[device].replies_to_commands ^= true;
        }
        2 => world.upstream.platform.empty_reads = random.usize(..4),
        3..=5 => world.delete_attribute(device, &random.u8(..4).to_string()),
        6..=9 => drop(world.send_command(device, &random.u16(..).to_string(), random.bool())),
        _ => world.set_attribute(
            device,
            &random.u8(..4).to_string(),
            &random.u16(..).to_string(),
        ),
    }
}

/// Reloads a registry in which random devices are missing or have another token.
fn reload_random_registry(world: &mut World, random: &mut Rng) {
    let mut entries = Vec::new();
    for device in 0..REGISTERED {
        if random.u8(..4) > 0 {
            let token = *random.choice(&["ONE", "ANOTHER"]).unwrap();
            entries.push(RegistryEntry::new(device, token, device));
        }
    }
    world.reload_registry(&entries);
}

fn take_over_address(world: &mut World, random: &mut Rng, device: usize) {
    let other = random.usize(..world.devices.len());
    if other != device {
        world.devices[other].switch_off();
        world.devices[device].path = world.devices[other].path;
        world.devices[other].path = path(random.usize(200..220));
        world.connect(device);
    }
}

fn conditions(random: &mut Rng) -> Conditions {
    let one_of = |random: &mut Rng, shares: [f64; 4]| *random.choice(&shares).unwrap();
    Conditions {
        latency: SECOND.mul_f64(one_of(random, [0.005, 0.02, 0.3, 2.0])),
        jitter: SECOND.mul_f64(one_of(random, [0.0, 0.0, 0.1, 3.0])),
        loss: one_of(random, [0.0, 0.05, 0.2, 0.5]),
        duplication: one_of(random, [0.0, 0.0, 0.1, 0.5]),
        mtu: *random.choice(&[1500, 1500, 1200, 400]).unwrap(),
    }
}

fn change_upstream(world: &mut World, random: &mut Rng) {
    let seconds = *random
        .choice(&[0.001, 0.03, 0.499, 2.0, 9.0, 60.0])
        .unwrap();
    world.upstream.delay = SECOND.mul_f64(seconds);
    world.upstream.behaviour = match random.u8(..8) {
        0 => Behaviour::Fails(Error::Timeout),
        1 => Behaviour::Fails(Error::Unreachable),
        2 => Behaviour::Fails(Error::Overloaded),
        3 => Behaviour::Fails(empty_500()),
        _ => Behaviour::Serves,
    };
}

/// Sends a replayed, altered or new datagram from the address of a device. No session may end by it, unless it brings what was
/// lost of a handshake's last flight: the new session replaces that of its path, and may be one too many.
fn inject_forged_datagram(world: &mut World, random: &mut Rng) {
    let victim = random.usize(..world.devices.len());
    let from = world.devices[victim].path;
    // CoAP assumes that no datagram is older than MAX_LATENCY, 100 s (RFC 7252 §4.8.2): a lost datagram that is
    // replayed after EXCHANGE_LIFETIME is a new one for DTLS and CoAP.
    let captured = world.link.captured_since(world.now - 60 * SECOND);
    let Some(captured) = random.choice(captured) else {
        return;
    };
    let mut datagram = captured.datagram;
    let from = if random.bool() { from } else { captured.path };
    match random.u8(..5) {
        0 => {}
        1 => datagram.truncate(random.usize(..datagram.len())),
        2 => datagram.extend(std::iter::repeat_with(|| random.u8(..)).take(20)),
        3 => {
            let hello = world.client_hello(victim);
            datagram = hello;
        }
        _ => {
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..datagram.len());
                datagram[at] ^= 1 << random.u8(..8);
            }
        }
    }
    let counts = |world: &World| {
        let completed = world.core.counters().dtls.handshakes_completed;
        (world.core.sessions(), completed)
    };
    let (sessions, completed) = counts(world);
    world.inject(from, &datagram);
    let (sessions_after, completed_after) = counts(world);
    let completed = usize::try_from(completed_after - completed).unwrap();
    assert!(
        sessions_after + completed >= sessions,
        "a forged datagram ended a session"
    );
}

/// Stops all faults and requests, and asserts that open requests end and that all state expires.
fn run_until_idle(world: &mut World) {
    world.link.conditions = Conditions::GOOD;
    world.link.lose_next(true, 0);
    world.link.lose_next(false, 0);
    world.upstream.behaviour = Behaviour::Serves;
    world.upstream.delay = SECOND / 50;
    let all_devices: Vec<_> = (0..REGISTERED)
        .map(|n| RegistryEntry::new(n, "TOKEN", n))
        .collect();
    world.reload_registry(&all_devices);
    world.run_for(600 * SECOND);
    // Devices with observations would answer pings for ever.
    for device in &mut world.devices {
        assert_eq!(device.open_requests(), 0, "device {}", device.registered_as);
        device.switch_off();
    }
    world.run_for(1000 * SECOND);
    assert_idle(&world.core, &world.devices);
    world.run_for(25 * HOUR);
    assert_eq!(
        (world.core.sessions(), world.core.next_timeout()),
        (0, None)
    );
    assert_eq!(world.core.load().relays.relays, 0);
}

/// Asserts that a change and a command reach the device, if it can register for them.
fn check_observations(world: &mut World, device: usize) {
    world.devices[device].replies_to_commands = true;
    world.upstream.platform.empty_reads = 0;
    for observed in [Kind::Attributes, Kind::Commands] {
        world.observe(device, Type::Confirmable, observed);
        world.run_for(SECOND);
    }
    world.set_attribute(device, "last", "\"word\"");
    let command = world.send_command(device, "\"last\"", false);
    // In mode on-uplink, the next uplink triggers delivery.
    world.post(device, Type::Confirmable);
    world.run_for(30 * SECOND);
    let name = world.device_name(device);
    if let Some(observation) = world.devices[device].observation(Kind::Attributes) {
        assert_eq!(
            observation.state,
            world.upstream.platform.state(&name),
            "{name}"
        );
    }
    if world.devices[device].observation(Kind::Commands).is_some() {
        let outcome = format!(
            "{:?}",
            world.upstream.platform.command_outcomes.get(&command)
        );
        assert!(outcome.starts_with("Some(Reply"), "{name}: {outcome}");
    }
}

fn check_all_devices_are_served(world: &mut World) {
    for device in 0..world.devices.len() {
        for other in &mut world.devices {
            other.switch_off();
        }
        world.devices[device].path = path(1000 + device);
        world.connect(device);
        let connected = world.run_until(5 * SECOND, |world| world.devices[device].is_connected());
        assert!(connected, "device {device} does not connect");
        let number = world.post(device, Type::Confirmable);
        world.run_for(5 * SECOND);
        let registered = device <= REGISTERED;
        let expected = if registered {
            Code::CREATED
        } else {
            Code::UNAUTHORIZED
        };
        let outcome = world.devices[device].outcome(number);
        assert!(outcome.is(expected), "device {device}: {outcome:?}");
        if registered {
            check_observations(world, device);
        }
    }
}
