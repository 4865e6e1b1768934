//! What goes on while ThingsBoard does not answer, and what it refuses.

use super::world::*;
use crate::ota::Refusal;
use crate::upstream::{Error, Operation};
use std::time::Duration;

const TROUBLES: [Error; 3] = [Error::Timeout, Error::Unreachable, Error::Overloaded];

#[test]
fn what_is_cached_goes_on_being_served_to_those_who_may_have_it() {
    for trouble in TROUBLES {
        for wanted in [unnamed(0), named("meter", "1.0", 0)] {
            let image = content("meter", "1.0", noise(1, 3 * KIB));
            let mut world = World::new(64 * KIB, MIB);
            let device = world.device("meter-1", &image);
            world.block(&device, wanted.clone()).unwrap();
            world.trouble = Some(trouble.clone());
            for _ in 0..20 {
                world.after(Duration::from_secs(300));
                let block = world.block(&device, wanted.clone()).unwrap();
                assert_eq!(block.payload, image.bytes.slice(..KIB));
            }
            // The first of these tries has failed, and no block waits for another one for a while.
            world.after(Duration::from_secs(29));
            let id = world.read(&device, wanted.clone());
            assert!(world.answers[&id].is_ok());
            // ThingsBoard is back, and has another opinion.
            world.trouble = None;
            world.assigned.remove("meter-1");
            world.after(Duration::from_secs(600));
            assert_eq!(world.block(&device, wanted), Err(Refusal::NotAssigned));
        }
    }
}

#[test]
fn others_are_told_to_come_again() {
    for trouble in TROUBLES.into_iter().chain([rejected(500), rejected(429)]) {
        let image = content("meter", "1.0", noise(2, 3 * KIB));
        let mut world = World::new(64 * KIB, MIB);
        let (device, other) = (
            world.device("meter-1", &image),
            world.device("meter-2", &image),
        );
        world.block(&device, unnamed(0)).unwrap();
        world.trouble = Some(trouble);
        for wanted in [unnamed(0), named("meter", "1.0", 0)] {
            assert_eq!(world.block(&other, wanted), Err(Refusal::Unavailable));
        }
        world.trouble = None;
        world.after(Duration::from_secs(5));
        assert!(world.block(&other, unnamed(0)).is_ok());
    }
}

#[test]
fn what_is_not_cached_comes_later() {
    let image = content("meter", "1.0", noise(3, 256 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    world.trouble = Some(Error::Unreachable);
    assert_eq!(
        world.block(&device, unnamed(128 * KIB)),
        Err(Refusal::Unavailable)
    );
    assert!(world.block(&device, unnamed(KIB)).is_ok());
    world.trouble = None;
    assert_eq!(world.download(&device, &unnamed(0)), image.bytes);
}

#[test]
fn a_refusal_of_the_device_itself_is_told_as_such() {
    for (code, expected) in [(401, Refusal::Unauthorized), (403, Refusal::Forbidden)] {
        let image = content("meter", "1.0", noise(4, 3 * KIB));
        let mut world = World::new(64 * KIB, MIB);
        let device = world.device("meter-1", &image);
        world.block(&device, unnamed(0)).unwrap();
        world.trouble = Some(rejected(code));
        world.after(Duration::from_secs(600));
        for wanted in [unnamed(0), named("meter", "1.0", 0)] {
            assert_eq!(world.block(&device, wanted), Err(expected));
        }
    }
}

#[test]
fn a_device_that_may_not_fetch_does_not_spoil_it_for_those_who_wait_with_it() {
    let image = content("meter", "1.0", noise(5, 256 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    world.group = Some("fleet".into());
    let devices = ["a", "b", "c"].map(|name| world.device(name, &image));
    for device in &devices {
        world.block(device, unnamed(0)).unwrap();
    }
    let ids = devices
        .each_ref()
        .map(|device| world.read(device, unnamed(128 * KIB)));
    // One request is under way for the three of them, with the token of the first.
    assert_eq!((world.asked.len(), &*world.asked[0].device.name), (1, "a"));
    world.assigned.remove("a");
    world.settle();
    let outcomes = ids.map(|id| {
        world
            .answers
            .remove(&id)
            .unwrap()
            .map(|block| block.payload)
    });
    let expected = Ok(image.bytes.slice(128 * KIB..129 * KIB));
    assert_eq!(
        outcomes,
        [Err(Refusal::NotAssigned), expected.clone(), expected]
    );
}

#[test]
fn without_its_attributes_nothing_is_fetched_for_a_device_that_names_its_package() {
    let image = content("meter", "1.0", noise(6, 100 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let wanted = named("meter", "1.0", 99 * KIB);
    let id = world.read(&device, wanted.clone());
    // ThingsBoard leaves these unanswered when it limits the rate. What is fetched could be of any content.
    assert!(matches!(
        world.asked[0].operation,
        Operation::ReadAssignment(_)
    ));
    let call = world.asked.pop_front().unwrap().call;
    world
        .packages
        .completed(world.now, call, Err(Error::Timeout));
    world.collect();
    assert_eq!(world.answers.remove(&id), Some(Err(Refusal::Unavailable)));
    world.after(Duration::from_secs(1));
    let block = world.block(&device, wanted).unwrap();
    assert_eq!(
        (&block.payload[..], block.more),
        (&image.bytes[99 * KIB..], false)
    );
}

#[test]
fn attributes_that_say_nothing_all_at_once_are_not_believed_while_the_package_is_there() {
    let image = content("meter", "1.0", noise(7, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let etag = world.block(&device, unnamed(0)).unwrap().etag;
    // As ThingsBoard answers when it can't read its attributes.
    world.attributes.insert("meter-1".into(), None);
    world.after(Duration::from_secs(31));
    assert_eq!(world.block(&device, unnamed(0)).unwrap().etag, etag);
    world.assigned.remove("meter-1");
    world.after(Duration::from_secs(31));
    assert_eq!(world.block(&device, unnamed(0)), Err(Refusal::NotAssigned));
}

#[test]
fn a_device_that_names_nothing_is_told_to_come_again_while_its_attributes_lag_behind() {
    let old = content("meter", "1.0", noise(8, 3 * KIB));
    let new = content("meter", "2.0", noise(9, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &new);
    world.attributes.insert("meter-1".into(), Some(old));
    assert_eq!(world.block(&device, unnamed(0)), Err(Refusal::Unavailable));
    world.attributes.clear();
    world.after(Duration::from_secs(5));
    assert_eq!(
        world.block(&device, unnamed(0)).unwrap().payload,
        new.bytes.slice(..KIB)
    );
}

#[test]
fn what_makes_no_sense_is_told_as_such() {
    let image = content("meter", "1.0", noise(10, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.trouble = Some(Error::Unintelligible("a test says so"));
    for wanted in [unnamed(0), named("meter", "1.0", 0)] {
        assert_eq!(world.block(&device, wanted), Err(Refusal::Nonsense));
    }
}

#[test]
fn packages_use_a_few_connections_and_chunks_half_of_them() {
    let image = content("meter", "1.0", noise(11, MIB));
    let mut world = World::new(KIB, MIB);
    world.group = Some("fleet".into());
    let devices: Vec<_> = (0..200)
        .map(|n| world.device(&format!("meter-{n}"), &image))
        .collect();
    for device in &devices {
        world.block(device, named("meter", "1.0", 0)).unwrap();
    }
    for (n, device) in devices.iter().enumerate() {
        world.read(device, named("meter", "1.0", (n + 1) * 2 * KIB));
    }
    assert_eq!(world.asked.len(), 16);
    world.after(Duration::from_secs(600));
    for device in &devices {
        world.read(device, named("meter", "1.0", 0));
    }
    assert_eq!(world.asked.len(), 32);
    world.settle();
    assert!(world.answers.values().all(Result::is_ok));
}

#[test]
fn a_probe_that_is_late_does_not_end_the_check_that_came_after_it() {
    let image = content("meter", "1.0", noise(12, 64 * KIB));
    let mut world = World::new(16 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    let first = world.read(&device, named("meter", "1.0", 40 * KIB));
    world.after(Duration::from_secs(600));
    let again = world.read(&device, named("meter", "1.0", 0));
    // A chunk is under way, then a probe as well, and the chunk is refused.
    world.answer(1);
    assert_eq!(world.asked.len(), 2);
    world.assigned.remove("meter-1");
    world.answer(0);
    for id in [first, again] {
        assert_eq!(world.answers.remove(&id), Some(Err(Refusal::NotAssigned)));
    }
    world.assigned.insert("meter-1".into(), image.clone());
    world.after(Duration::from_secs(5));
    // The attributes are read again when the probe of the check before is answered.
    let id = world.read(&device, named("meter", "1.0", 0));
    world.settle();
    let block = world.answers.remove(&id).unwrap().unwrap();
    assert_eq!(block.payload, image.bytes.slice(..KIB));
}
