//! Hazard: a device begins a download right after the notification of another package.

use super::{Conditions, World, default_settings};
use crate::downlink::Kind;
use bytes::Bytes;
use coap::option::number;
use coap::{Block, Code, Type};
use std::time::Duration;
use thingsboard_simulator::{Package, PackageId, PackageKind};

const SECOND: Duration = Duration::from_secs(1);

fn firmware(version: &str) -> PackageId {
    PackageId::new(PackageKind::Firmware, "meter", version)
}

fn image(version: &str) -> Bytes {
    Bytes::from(version.repeat(1000))
}

/// One device that observes its attributes, and three packages that may be assigned to it.
fn world() -> World {
    let mut world = World::observing(default_settings(), Type::Confirmable);
    for version in ["1.0", "2.0", "3.0"] {
        world.define_package(&firmware(version), Package::of(image(version)));
    }
    world
}

/// The version in the last notification.
fn notified_version(world: &World) -> Option<String> {
    let observation = world.devices[0].observation(Kind::Attributes)?;
    observation.state.get("fw_version").cloned()
}

/// Assigns a version, or unassigns the package, and runs until the device is notified.
fn assign(world: &mut World, version: Option<&str>) {
    match version {
        Some(version) => world.assign_package(0, &firmware(version)),
        None => {
            let kind = PackageKind::Firmware;
            let now = world.now;
            world
                .upstream
                .platform
                .unassign_package(now, "device-0", kind);
            world.upstream.advance_to(now);
        }
    }
    let expected = version.map(|version| format!("{version:?}"));
    assert!(world.run_until(SECOND * 5, |world| notified_version(world) == expected));
}

fn code(world: &mut World, query: &[&'static str]) -> Code {
    let query = query.iter().map(|text| Bytes::from_static(text.as_bytes()));
    let options: Vec<_> = query.map(|text| (number::URI_QUERY, text)).collect();
    let response = world.request_until_response(0, Code::GET, "firmware", &options, &Bytes::new());
    response.code
}

#[test]
fn a_notified_device_downloads_the_version_in_the_notification() {
    let mut world = world();
    assert_eq!(code(&mut world, &[]), Code::NOT_FOUND);
    for version in ["1.0", "2.0", "3.0", "1.0"] {
        assign(&mut world, Some(version));
        assert_eq!(world.download(0, "firmware", 6), image(version));
    }
    let counters = world.core.counters().packages;
    assert!(counters.assignments_seen_to_change >= 4);
}

#[test]
fn an_unassigned_package_is_4_04_and_a_superseded_one_4_00_at_once() {
    let mut world = world();
    let first = ["title=meter", "version=1.0"];
    for _ in 0..3 {
        assign(&mut world, Some("1.0"));
        assert_eq!(
            code(&mut world, &first),
            Code::CONTENT,
            "a first assignment"
        );
        assign(&mut world, Some("2.0"));
        assert_eq!(code(&mut world, &first), Code::BAD_REQUEST);
        assert_eq!(world.download(0, "firmware", 6), image("2.0"));
        assign(&mut world, None);
        assert_eq!(code(&mut world, &[]), Code::NOT_FOUND);
        assert_eq!(
            code(&mut world, &["title=meter", "version=2.0"]),
            Code::NOT_FOUND
        );
    }
}

#[test]
fn a_reassignment_during_a_download_shows_as_another_etag() {
    let mut world = world();
    assign(&mut world, Some("1.0"));
    let block = |num| Block::new(num, false, 6).unwrap();
    let first = world.get_block(0, "firmware", block(0));
    assign(&mut world, Some("2.0"));
    let second = world.get_block(0, "firmware", block(1));
    assert_ne!(second.etag, first.etag);
    assert_eq!(second.bytes, image("2.0")[1024..2048]);
}

#[test]
fn a_device_that_reads_its_attributes_downloads_the_version_they_name() {
    let mut world = World::with_settings(1, Conditions::GOOD, 1, default_settings());
    for version in ["1.0", "2.0"] {
        world.define_package(&firmware(version), Package::of(image(version)));
    }
    world.connect_all();
    for version in ["1.0", "2.0"] {
        world.assign_package(0, &firmware(version));
        let read = world.request_until_response(0, Code::GET, "attributes", &[], &Bytes::new());
        assert_eq!(read.code, Code::CONTENT);
        assert_eq!(world.download(0, "firmware", 6), image(version));
    }
}
