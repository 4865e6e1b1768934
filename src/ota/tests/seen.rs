//! What the gateway has seen of a device's attributes counts at once.

use super::world::*;
use crate::ota::{AssignmentChange, Refusal};
use std::time::Duration;

fn firmware_changed(world: &mut World, device: &crate::device::Device) {
    let mut change = AssignmentChange::default();
    change.add("fw_version");
    world.packages.attributes_changed(world.now, device, change);
    world.collect();
}

#[test]
fn a_device_that_is_told_of_another_package_gets_it_at_once() {
    let old = content("meter", "1.0", noise(1, 3 * KIB));
    let new = content("meter", "2.0", noise(2, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &old);
    let first = world.block(&device, unnamed(0)).unwrap();
    let named_first = named("meter", "1.0", 0);
    assert_eq!(world.block(&device, named_first.clone()).unwrap(), first);
    world.assigned.insert("meter-1".into(), new.clone());
    firmware_changed(&mut world, &device);
    let block = world.block(&device, unnamed(0)).unwrap();
    assert_eq!(block.payload, new.bytes.slice(..KIB));
    assert_ne!(block.etag, first.etag);
    let superseded = world.block(&device, named_first);
    assert_eq!(superseded, Err(Refusal::OtherPackage));
}

#[test]
fn an_assignment_that_is_taken_away_or_comes_for_the_first_time_counts_at_once() {
    let image = content("meter", "1.0", noise(3, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    for _ in 0..3 {
        assert!(world.block(&device, unnamed(0)).is_ok());
        world.assigned.remove("meter-1");
        firmware_changed(&mut world, &device);
        for wanted in [unnamed(0), named("meter", "1.0", 0)] {
            let refused = world.block(&device, wanted);
            assert_eq!(refused, Err(Refusal::NotAssigned));
        }
        world.assigned.insert("meter-1".into(), image.clone());
        firmware_changed(&mut world, &device);
    }
}

#[test]
fn what_was_asked_before_the_change_and_comes_after_it_is_not_believed() {
    let old = content("meter", "1.0", noise(4, 64 * KIB));
    let new = content("meter", "2.0", noise(5, 64 * KIB));
    // Attributes, then a piece, then a chunk, then attributes and a piece for that are under way.
    for answered in 0..5 {
        let mut world = World::new(16 * KIB, MIB);
        let device = world.device("meter-1", &old);
        let id = world.read(&device, unnamed(0));
        for _ in 0..answered {
            world.answer(0);
        }
        world.answer_late(0);
        world.assigned.insert("meter-1".into(), new.clone());
        firmware_changed(&mut world, &device);
        world.settle();
        let block = world.answers.remove(&id).unwrap().unwrap();
        assert_eq!(block.payload, new.bytes.slice(..KIB), "{answered}");
        world.packages.assert_at_rest();
    }
}

#[test]
fn what_is_seen_of_others_and_of_software_changes_nothing() {
    let image = content("meter", "1.0", noise(6, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    world.count_anew();
    let other = super::world::device("meter-2", "meter-2");
    firmware_changed(&mut world, &other);
    let mut change = AssignmentChange::default();
    for key in ["sw_version", "fw", "afw_title", "interval"] {
        change.add(key);
    }
    world
        .packages
        .attributes_changed(world.now, &device, change);
    assert!(world.block(&device, unnamed(KIB)).is_ok());
    world.after(Duration::from_secs(1));
    assert_eq!((world.attribute_reads, world.probes), (0, 0));
}

#[test]
fn while_thingsboard_is_gone_a_change_that_was_seen_is_not_forgotten() {
    let old = content("meter", "1.0", noise(7, 3 * KIB));
    let new = content("meter", "2.0", noise(8, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &old);
    world.block(&device, unnamed(0)).unwrap();
    world.assigned.insert("meter-1".into(), new.clone());
    firmware_changed(&mut world, &device);
    world.trouble = Some(crate::upstream::Error::Unreachable);
    for _ in 0..5 {
        let refused = world.block(&device, unnamed(0));
        assert_eq!(refused, Err(Refusal::Unavailable));
        world.after(Duration::from_secs(7));
    }
    world.trouble = None;
    world.after(Duration::from_secs(31));
    let block = world.block(&device, unnamed(0)).unwrap();
    assert_eq!(block.payload, new.bytes.slice(..KIB));
}
