//! Firmware for a fleet, from the real binary: the traffic to ThingsBoard, the memory, and the images.
//!
//! The speed of one device's download is printed by
//! `cargo test --release --features slow-tests --test downloads one_device -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use test_support::client::Client;
use test_support::coap::{BLOCK2, get};
use test_support::fleet::Fleet;
use test_support::packages::{assign, create, served, sha256};
use test_support::process::now;
use test_support::world::{Options, World};

const MIB: usize = 1 << 20;
const DEVICES: usize = 100;
/// Larger than the image, and much smaller than an image for each device.
const CACHE_KIB: u64 = 2048;

/// Block `num` of 1,024 bytes, by a request with this Message ID, and whether there are more.
fn block(device: &mut Client, id: u16, num: u32) -> (Vec<u8>, bool) {
    let value = num << 4 | 6;
    let bytes = value.to_be_bytes();
    let bytes = &bytes[value.leading_zeros() as usize / 8..];
    let mut request = get(&["fw"]).option(BLOCK2, bytes);
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    device.send(&request);
    let response = device.receive();
    assert_eq!(
        response.code(),
        "2.05",
        "{:?}",
        String::from_utf8_lossy(&response.payload)
    );
    assert_eq!(response.token, request.token);
    let block2 = response.uint(BLOCK2).expect("Block2");
    assert_eq!(block2 >> 4, u64::from(num));
    (response.payload, block2 & 8 != 0)
}

fn download(device: &mut Client) -> Vec<u8> {
    let mut image = Vec::new();
    for num in 0.. {
        let (bytes, more) = block(device, num as u16, num);
        image.extend(bytes);
        if !more {
            break;
        }
    }
    image
}

#[test]
fn a_fleet_downloads_concurrently_and_the_image_is_fetched_once() {
    let fleet = Fleet::new(DEVICES);
    let world = World::with(&Options {
        any_issuer: true,
        devices: &fleet.registry,
        limits: "handshakes_per_address = 1000",
        ota: &format!("cache = \"{CACHE_KIB}KiB\""),
        log_level: Some("info"),
        ..Options::default()
    });
    let simulator = &world.simulator;
    let expected = create(simulator, "firmware", "meter", "1.1", MIB, 1);
    fleet.create(simulator);
    for n in 0..DEVICES {
        assign(
            simulator,
            &format!("device-{n}"),
            "firmware",
            "meter",
            "1.1",
        );
    }
    simulator.fault(&json!({"path": "/api/v1/**", "delayMs": 50}));
    let mut clients: Vec<Client> = fleet
        .identities
        .iter()
        .map(|identity| Client::connect(world.address, identity))
        .collect();
    let before = world.resident();
    let images: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| sha256(&download(client))))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let grown = world.resident().saturating_sub(before);
    assert_eq!(images, vec![expected; DEVICES]);
    let served = served(simulator, "firmware", "meter", "1.1");
    println!("{served} bytes were fetched; the gateway has grown by {grown} KiB");
    assert!(
        served <= MIB as u64 * 11 / 10,
        "{served} bytes were fetched"
    );
    let limit = CACHE_KIB + 20 * DEVICES as u64;
    assert!(
        grown <= limit,
        "grown by {grown} KiB, and the limit is {limit}"
    );
}

#[test]
fn one_device_downloads_block_after_block() {
    let world = World::with(&Options {
        log_level: Some("info"),
        ..Options::default()
    });
    let expected = create(&world.simulator, "firmware", "meter", "1.1", 4 * MIB, 1);
    assign(&world.simulator, "meter-17", "firmware", "meter", "1.1");
    let mut meter = Client::connect(world.address, &world.meter);
    // The measured blocks are cached.
    for num in (0..4096).step_by(64) {
        // Not the Message IDs of the download: a request that comes again gets no second response if its response was a
        // separate one, as on a busy machine.
        block(&mut meter, 0x8000 | num as u16, num);
    }
    let begun = now();
    assert_eq!(sha256(&download(&mut meter)), expected);
    let rate = 4096.0 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} blocks a second to one device, one after the other");
}
