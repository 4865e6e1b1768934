//! What a fleet costs: the uplink, memory, and time.

use super::world::*;
use crate::ota::Settings;
use crate::ota::permit::Permit;
use crate::ota::readers::Reader;
use crate::ota::{Counters, Refusal};
use crate::upstream::Operation;
use std::collections::HashSet;
use std::mem::size_of;
use std::time::Duration;

/// A hundred devices read a megabyte, each at its own pace. Returns how many blocks took more than one call.
fn a_fleet_reads(world: &mut World, image: &Content, minutes: u64) -> usize {
    let devices: Vec<_> = (0..100)
        .map(|n| world.device(&format!("meter-{n}"), image))
        .collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut whole = vec![Vec::new(); devices.len()];
    let mut etags = HashSet::new();
    let (mut late, mut rounds) = (0, 0_u32);
    while whole.iter().any(|whole| whole.len() < image.bytes.len()) {
        rounds += 1;
        if rounds.is_multiple_of(100) {
            world.after(Duration::from_secs(60 * minutes / 12));
        }
        let at_work = devices.iter().zip(&mut whole);
        let at_work = at_work.filter(|(_, whole)| whole.len() < MIB && random.u8(..10) > 0);
        let asked: Vec<_> = at_work
            .map(|(device, whole)| (world.read(device, unnamed(whole.len())), whole))
            .collect();
        late += asked.len() - world.answers.len();
        world.settle();
        for (id, whole) in asked {
            let block = world.answers.remove(&id).unwrap().unwrap();
            whole.extend_from_slice(&block.payload);
            assert_eq!((block.more, block.size), (whole.len() < MIB, Some(1 << 20)));
            etags.insert(block.etag);
        }
    }
    assert!(whole.iter().all(|whole| *whole == image.bytes));
    assert_eq!(etags.len(), 1);
    late
}

#[test]
fn a_package_crosses_the_uplink_once_for_a_hundred_devices() {
    let image = content("meter", "1.0", noise(1, MIB));
    let mut world = World::new(64 * KIB, 64 * MIB);
    let late = a_fleet_reads(&mut world, &image, 0);
    let mut chunks = world.chunks.clone();
    chunks.sort_unstable();
    assert_eq!(chunks, (0..16).collect::<Vec<_>>());
    // Each device is asked about once, and once more when the whole is proven. The first one's chunks are confirmed, three at
    // a time.
    assert_eq!((world.attribute_reads, world.probes), (111, 202));
    assert_eq!(world.packages.counters().proven, 1);
    assert!(
        world.fetched * 100 <= MIB * 102,
        "{} bytes fetched",
        world.fetched
    );
    assert_eq!(world.packages.cached_bytes(), MIB);
    // The first round waits, and nobody after that: the next chunk is there in time.
    assert!(late <= 100, "{late}");
}

#[test]
fn the_uplink_carries_a_tenth_more_at_most_while_devices_are_asked_about_again() {
    let image = content("meter", "1.0", noise(2, MIB));
    let mut world = World::new(64 * KIB, MIB);
    // In an hour of downloads each device is asked about six times, and once when the package is proven.
    a_fleet_reads(&mut world, &image, 60);
    assert!(world.probes <= 100 * 7 + 16, "{} probes", world.probes);
    assert!(
        world.fetched * 10 <= MIB * 11,
        "{} bytes fetched",
        world.fetched
    );
}

#[test]
fn a_cache_of_four_chunks_is_enough_for_a_fleet_that_keeps_together() {
    let image = content("meter", "1.0", noise(3, MIB));
    // World::collect holds it to its bound.
    let mut world = World::new(64 * KIB, 256 * KIB);
    a_fleet_reads(&mut world, &image, 0);
    assert!(world.fetched < 3 * MIB, "{} bytes fetched", world.fetched);
}

#[test]
fn what_is_cached_is_answered_within_the_call_and_nothing_is_asked() {
    let image = content("meter", "1.0", noise(4, 64 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    for wanted in [unnamed(20 * KIB), named("meter", "1.0", 0), cut(3000, 2, 0)] {
        let id = world.read(&device, wanted);
        assert!(world.answers.remove(&id).unwrap().is_ok());
        assert!(world.asked.is_empty());
        assert_eq!(world.packages.waiting(), 0);
    }
}

#[test]
fn a_device_takes_two_kib_at_most() {
    // Of each kind: what is known, behind a pointer, its places in two maps (which keep as many free again) and
    // in a queue, and a package of a hundred characters that its assignment and its permit share, with a SHA-256.
    let pointer = size_of::<usize>();
    let places = 2 * (2 * pointer + 4 * pointer) + 3 * pointer;
    let names = 100 + 4 * pointer + 64 + 6;
    let one = size_of::<Reader>() + places + size_of::<Permit>() + names;
    // Firmware and software.
    assert!(2 * one <= 2048, "{one} for one of two");
}

#[test]
fn no_more_is_under_way_than_there_are_connections() {
    let image = content("meter", "1.0", noise(5, MIB));
    let mut world = World::new(64 * KIB, MIB);
    for n in 0..1000 {
        let device = world.device(&format!("meter-{n}"), &image);
        world.read(&device, unnamed(0));
    }
    assert_eq!(world.asked.len(), Settings::CONNECTIONS);
    let reads = |asked: &Asked| matches!(asked.operation, Operation::ReadAssignment(_));
    assert!(world.asked.iter().all(reads));
    world.settle();
    assert!(world.answers.values().all(Result::is_ok) && world.answers.len() == 1000);
    world.chunks.sort_unstable();
    assert_eq!(world.chunks, (0..16).collect::<Vec<_>>());
}

#[test]
fn too_many_who_wait_are_told_to_come_again() {
    let image = content("meter", "1.0", noise(18, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let mut refused = 0;
    for _ in 0..5000 {
        let id = world.read(&device, unnamed(0));
        refused += usize::from(world.answers.remove(&id) == Some(Err(Refusal::Unavailable)));
    }
    assert_eq!((refused, world.packages.waiting()), (5000 - 4096, 4096));
    let expected = Counters {
        refused: 904,
        refused_for_want_of_room: 904,
        ..Counters::default()
    };
    assert_eq!(*world.packages.counters(), expected);
    // Of many devices, a bounded number all the same.
    for n in 0..20_000 {
        let other = world.device(&format!("meter-{n}"), &image);
        world.read(&other, unnamed(0));
    }
    assert_eq!(world.packages.waiting(), 16_384);
}

#[test]
fn a_device_that_asks_for_many_packages_at_once_is_told_to_come_again() {
    let image = content("meter", "1.0", noise(6, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let [right, wrong, third] =
        ["1.0", "2.0", "3.0"].map(|version| world.read(&device, named("meter", version, 0)));
    assert_eq!(
        world.answers.remove(&third),
        Some(Err(Refusal::Unavailable))
    );
    world.settle();
    assert!(world.answers.remove(&right).unwrap().is_ok());
    assert_eq!(
        world.answers.remove(&wrong),
        Some(Err(Refusal::OtherPackage))
    );
    assert_eq!(
        world.block(&device, named("meter", "3.0", 0)),
        Err(Refusal::OtherPackage)
    );
}

#[test]
fn a_package_that_is_another_each_time_does_not_keep_a_device_waiting_for_ever() {
    let mut world = World::new(16 * KIB, MIB);
    let another = |seed| Content {
        checksum: None,
        ..content("meter", "1.0", noise(seed, 64 * KIB))
    };
    let device = world.device("meter-1", &another(0));
    let id = world.read(&device, unnamed(40 * KIB));
    let mut seed = 0;
    while !world.asked.is_empty() {
        seed += 1;
        assert!(seed < 200, "it still waits");
        world.assigned.insert("meter-1".into(), another(seed));
        world.answer(0);
    }
    assert_eq!(world.answers.remove(&id), Some(Err(Refusal::Unavailable)));
}

/// Its sessions ask for places far apart, of a package of which nobody knows the length.
#[test]
fn one_device_has_a_share_of_the_chunks_on_their_way() {
    let mut world = World::new(64 * KIB, 64 * MIB);
    let image = Content {
        tells_size: false,
        checksum: None,
        ..content("meter", "1.0", noise(1, MIB))
    };
    let greedy = world.device("greedy", &image);
    world.block(&greedy, unnamed(0)).unwrap();
    let places = (2..202).map(|chunk| world.read(&greedy, unnamed(chunk * 64 * KIB)));
    let asked: Vec<_> = places.collect();
    let refused = |id: &&_| matches!(world.answers.get(id), Some(Err(Refusal::Unavailable)));
    let refused = asked.iter().filter(refused).count();
    assert!((136..=138).contains(&refused), "{refused}");
    let other = world.device("other", &image);
    assert!(world.block(&other, unnamed(0)).is_ok());
    world.packages.assert_at_rest();
}
