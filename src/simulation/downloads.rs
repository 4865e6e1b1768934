//! Hazard: a download over a lossy link, by a device that sleeps, reboots and reconnects, from a ThingsBoard that is
//! slow, down, or has assigned another package meanwhile.

use super::invariants::assert_idle;
use super::{Behaviour, Conditions, World, path};
use crate::upstream::{Error, Operation};
use bytes::Bytes;
use coap::{Block, Code};
use std::time::Duration;
use thingsboard_simulator::{Package, PackageId, PackageKind};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The body of a package: `size` random bytes.
fn image(size: usize, seed: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(size)
        .collect()
}

fn world(devices: usize, conditions: Conditions, image: &Bytes) -> World {
    let mut world = World::new(devices, conditions, 1);
    let id = firmware();
    world.define_package(&id, Package::of(image.clone()));
    world.connect_all();
    for device in 0..devices {
        world.assign_package(device, &id);
    }
    world
}

fn firmware() -> PackageId {
    PackageId::new(PackageKind::Firmware, "meter", "1.0")
}

fn block(num: u32, szx: u8) -> Block {
    Block::new(num, false, szx).unwrap()
}

/// Requirement: more than 4,096 blocks of 64 bytes, at 10 % loss each way.
#[test]
fn an_image_above_256_kib_arrives_intact_in_64_byte_blocks_at_10_percent_loss() {
    let whole = image(270_001, 1);
    let mut world = world(1, Conditions::losing(0.1), &whole);
    assert_eq!(world.download(0, "firmware", 2), whole);
    let served = world.upstream.platform.served(&firmware()).bytes;
    assert!(
        served <= 270_001 * 11 / 10,
        "{served} bytes fetched from ThingsBoard"
    );
    world.devices[0].switch_off();
    world.run_for(HOUR);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn a_chunk_is_fetched_once_for_all_devices() {
    let whole = image(200_000, 1);
    let mut world = world(20, Conditions::losing(0.05), &whole);
    for device in 0..20 {
        assert_eq!(world.download(device, "firmware", 6), whole);
    }
    let served = world.upstream.platform.served(&firmware()).bytes;
    assert!(
        served <= 200_000 * 11 / 10,
        "{served} bytes fetched from ThingsBoard"
    );
}

#[test]
fn a_download_continues_in_another_session_in_any_block_order_and_size() {
    let whole = image(10_000, 1);
    let mut world = world(1, Conditions::GOOD, &whole);
    let first = world.get_block(0, "firmware", block(0, 6));
    world.run_for(25 * HOUR);
    assert_eq!(
        world.core.sessions(),
        0,
        "a day of silence ends the session"
    );
    world.devices[0].switch_off();
    world.devices[0].path = path(77);
    for (num, szx) in [(9, 6), (3, 4), (155, 2), (1, 6), (624, 0)] {
        let received = world.get_block(0, "firmware", block(num, szx));
        let from = block(num, szx).offset();
        let to = (from + block(num, szx).size()).min(whole.len());
        assert_eq!(received.bytes, whole[from..to], "block {num} of size {szx}");
        assert_eq!(received.etag, first.etag);
        assert_eq!(received.more, to < whole.len());
    }
    let past = [(23, Bytes::from_static(&[0xa6]))];
    let response = world.request_until_response(0, Code::GET, "firmware", &past, &Bytes::new());
    assert_eq!(response.code, Code::BAD_REQUEST, "past the end");
}

#[test]
fn while_upstream_is_down_cached_chunks_go_only_to_authorized_devices() {
    let whole = image(100_000, 1);
    let mut world = world(2, Conditions::GOOD, &whole);
    let first = world.get_block(0, "firmware", block(0, 6));
    world.run_for(SECOND);
    world.upstream.behaviour = Behaviour::Fails(Error::Unreachable);
    let received = world.get_block(0, "firmware", block(63, 6));
    assert_eq!(
        (&received.bytes, &received.etag),
        (&whole.slice(63 << 10..64 << 10), &first.etag)
    );
    // Long after the permission should have been renewed.
    world.run_for(HOUR);
    let received = world.get_block(0, "firmware", block(1, 6));
    assert_eq!(received.bytes, whole[1024..2048]);
    let response = world.request_until_response(1, Code::GET, "firmware", &[], &Bytes::new());
    assert_eq!(
        response.code,
        Code::SERVICE_UNAVAILABLE,
        "device 1 was never permitted to download"
    );
    let max_age = response.options.iter().find(|(number, _)| *number == 14);
    assert!(max_age.is_some(), "{response:?}");
    world.upstream.behaviour = Behaviour::Serves;
    world.run_for(HOUR);
    assert_eq!(world.download(1, "firmware", 6), whole);
}

#[test]
fn a_package_replaced_under_its_name_has_a_new_etag_and_is_never_mixed() {
    let (old, new) = (image(150_000, 1), image(150_000, 2));
    let mut world = world(2, Conditions::GOOD, &old);
    assert_eq!(world.download(0, "firmware", 6), old);
    let before = world.get_block(0, "firmware", block(0, 6)).etag;
    world.define_package(&firmware(), Package::of(new.clone()));
    for device in 0..2 {
        world.assign_package(device, &firmware());
    }
    // Until the device's assignment is read again, the old package may be served, as a whole.
    world.run_for(SECOND * 601);
    let received = world.get_block(0, "firmware", block(0, 6));
    assert_ne!(received.etag, before);
    assert_eq!(world.download(0, "firmware", 6), new);
    assert_eq!(world.download(1, "firmware", 4), new);
}

#[test]
fn without_an_assignment_each_get_is_4_04_and_upstream_is_rarely_read() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    for _ in 0..10 {
        let response = world.request_until_response(0, Code::GET, "software", &[], &Bytes::new());
        assert_eq!(response.code, Code::NOT_FOUND);
    }
    assert!(world.upstream.platform.assignment_reads <= 2);
    let fetches = world.upstream.platform.fetches.iter();
    let chunks = fetches.filter(|fetch| matches!(fetch.operation, Operation::GetPackage { .. }));
    assert_eq!(chunks.count(), 0);
}
