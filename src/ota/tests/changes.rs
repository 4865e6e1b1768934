//! One name, another content.

use super::world::*;
use crate::ota::{Refusal, Wanted};
use bytes::Bytes;
use std::time::Duration;

/// Reads half of a package, has it replaced, and reads on: the ETags of both halves, and the second half.
fn replaced_half_way(
    old: &Content,
    new: &Content,
    lagging: Option<&Content>,
) -> ([u8; 8], Vec<[u8; 8]>, Bytes, World) {
    let mut world = World::new(16 * KIB, MIB);
    let device = world.device("meter-1", old);
    let half = old.bytes.len() / 2 / KIB * KIB;
    let wanted = named(old.title, old.version, 0);
    let at = |offset: usize| Wanted {
        offset: u64::try_from(offset).unwrap(),
        ..wanted.clone()
    };
    let mut etag = [0; 8];
    for offset in (0..half).step_by(KIB) {
        etag = world.block(&device, at(offset)).unwrap().etag;
    }
    world.assigned.insert("meter-1".into(), new.clone());
    if let Some(lagging) = lagging {
        world
            .attributes
            .insert("meter-1".into(), Some(lagging.clone()));
    }
    let (mut etags, mut rest) = (Vec::new(), Vec::new());
    for offset in (half..old.bytes.len()).step_by(KIB) {
        let block = world.block(&device, at(offset)).unwrap();
        etags.push(block.etag);
        rest.extend_from_slice(&block.payload);
    }
    (etag, etags, rest.into(), world)
}

/// What was read on under the old ETag is of the old content, the rest of the new.
fn assert_never_mixed(old: &Content, new: &Content) -> World {
    let (etag, etags, rest, world) = replaced_half_way(old, new, None);
    assert_is_one_or_the_other(old, new, etag, &etags, &rest);
    world
}

fn assert_is_one_or_the_other(
    old: &Content,
    new: &Content,
    etag: [u8; 8],
    etags: &[[u8; 8]],
    rest: &Bytes,
) {
    assert_ne!(etags.last(), Some(&etag), "the change shows");
    let half = old.bytes.len() / 2 / KIB * KIB;
    for (number, seen) in etags.iter().enumerate() {
        let from = number * KIB;
        let content = if *seen == etag { old } else { new };
        let expected = content.bytes.slice(half + from..half + from + KIB);
        assert_eq!(rest.slice(from..from + KIB), expected, "block {number}");
    }
}

#[test]
fn another_checksum_is_another_etag_and_never_a_mixture() {
    let old = content("meter", "1.0", noise(1, 256 * KIB));
    // All the same but for one byte near the beginning, where no chunk is fetched any more.
    let mut bytes = old.bytes.to_vec();
    bytes[100] ^= 1;
    let new = content("meter", "1.0", bytes);
    let world = assert_never_mixed(&old, &new);
    assert_eq!(world.packages.counters().contradictions, 0);
}

#[test]
fn without_a_checksum_other_bytes_are_another_etag_and_never_a_mixture() {
    let without = |seed| Content {
        checksum: None,
        ..content("meter", "1.0", noise(seed, 256 * KIB))
    };
    let world = assert_never_mixed(&without(2), &without(3));
    assert_eq!(world.packages.counters().contradictions, 1);
}

#[test]
fn attributes_that_lag_behind_do_not_hide_a_change() {
    let (old, new) = (
        content("meter", "1.0", noise(4, 256 * KIB)),
        content("meter", "1.0", noise(5, 256 * KIB)),
    );
    let (etag, etags, rest, _) = replaced_half_way(&old, &new, Some(&old));
    assert_is_one_or_the_other(&old, &new, etag, &etags, &rest);
}

#[test]
fn a_whole_that_does_not_have_its_checksum_is_not_given_out_to_the_end() {
    // Two bytes differ, one in each half: no probe is likely to hit them, and the attributes lag behind.
    let old = content("meter", "1.0", noise(6, 256 * KIB));
    let mut bytes = old.bytes.to_vec();
    bytes[100] ^= 1;
    bytes[200 * KIB] ^= 1;
    let new = content("meter", "1.0", bytes);
    let (etag, etags, rest, world) = replaced_half_way(&old, &new, Some(&old));
    assert_ne!(etags.last(), Some(&etag));
    assert_eq!(rest.slice(127 * KIB..), new.bytes.slice(255 * KIB..));
    assert_eq!(world.packages.counters().wrong_checksums, 1);
    let mut world = world;
    let device = device("meter-1", "meter-1");
    assert_eq!(world.download(&device, &unnamed(0)), new.bytes);
    assert_eq!(
        world.packages.counters().wrong_checksums,
        1,
        "once is enough"
    );
}

#[test]
fn a_wrong_checksum_in_the_attributes_keeps_nobody_from_the_package_for_ever() {
    let image = Content {
        checksum: Some(("SHA256", "00".repeat(32))),
        ..content("meter", "1.0", noise(7, 100 * KIB))
    };
    let mut world = World::new(16 * KIB, MIB);
    let device = world.device("meter-1", &image);
    assert_eq!(world.download(&device, &unnamed(0)), image.bytes);
    assert_eq!(world.packages.counters().wrong_checksums, 1);
    assert!(world.fetched < 3 * image.bytes.len());
}

#[test]
fn a_checksum_that_we_can_not_compute_is_an_identity_all_the_same() {
    let with = |crc: &str, seed| Content {
        checksum: Some(("CRC32", crc.to_owned())),
        ..content("meter", "1.0", noise(seed, 256 * KIB))
    };
    let world = assert_never_mixed(&with("cafe", 8), &with("beef", 9));
    assert_eq!(world.packages.counters().wrong_checksums, 0);
}

#[test]
fn two_tenants_may_use_the_same_name() {
    for has_checksum in [true, false] {
        let of = |seed| {
            let image = content("meter", "1.0", noise(seed, 100 * KIB));
            Content {
                checksum: image.checksum.clone().filter(|_| has_checksum),
                ..image
            }
        };
        let (ours, theirs) = (of(10), of(11));
        let mut world = World::new(16 * KIB, MIB);
        let (one, other) = (world.device("one", &ours), world.device("other", &theirs));
        let wanted = named("meter", "1.0", 0);
        for offset in (0..100 * KIB).step_by(KIB) {
            let at = Wanted {
                offset: u64::try_from(offset).unwrap(),
                ..wanted.clone()
            };
            let first = world.block(&one, at.clone()).unwrap();
            let second = world.block(&other, at).unwrap();
            assert_ne!(first.etag, second.etag);
            if has_checksum {
                assert_eq!(first.payload, ours.bytes.slice(offset..offset + KIB));
                assert_eq!(second.payload, theirs.bytes.slice(offset..offset + KIB));
            }
        }
        if has_checksum {
            assert_eq!(world.packages.counters().contradictions, 0);
        }
    }
}

#[test]
fn a_new_version_is_another_package() {
    let old = content("meter", "1.0", noise(12, 3 * KIB));
    let new = content("meter", "2.0", noise(13, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &old);
    let first = world.block(&device, unnamed(0)).unwrap();
    world.assigned.insert("meter-1".into(), new.clone());
    // The assignment is believed for half a minute, the cache serves what it has.
    assert_eq!(world.block(&device, unnamed(0)).unwrap(), first);
    world.after(Duration::from_secs(30));
    let second = world.block(&device, unnamed(0)).unwrap();
    assert_eq!(second.payload, new.bytes.slice(..KIB));
    assert_ne!(second.etag, first.etag);
}

#[test]
fn a_chunk_that_is_fetched_again_must_be_what_it_was() {
    // One chunk of many is other now; nothing else tells, for there is no checksum.
    let old = Content {
        checksum: None,
        ..content("meter", "1.0", noise(14, 64 * KIB))
    };
    let mut world = World::new(KIB, 4 * KIB);
    let device = world.device("meter-1", &old);
    let first = world.block(&device, unnamed(10 * KIB)).unwrap();
    for number in 20..30 {
        world.block(&device, unnamed(number * KIB)).unwrap();
    }
    let mut bytes = old.bytes.to_vec();
    bytes[10 * KIB + 7] ^= 1;
    let new = Content {
        bytes: bytes.into(),
        ..old
    };
    world.assigned.insert("meter-1".into(), new.clone());
    let second = world.block(&device, unnamed(10 * KIB)).unwrap();
    assert_eq!(second.payload, new.bytes.slice(10 * KIB..11 * KIB));
    assert_ne!(second.etag, first.etag);
    assert_eq!(world.packages.counters().contradictions, 1);
}

#[test]
fn a_package_that_ends_elsewhere_is_another_package() {
    let long = Content {
        checksum: None,
        tells_size: false,
        ..content("meter", "1.0", noise(15, 40 * KIB))
    };
    let short = Content {
        bytes: long.bytes.slice(..30 * KIB),
        ..long.clone()
    };
    for (before, after) in [(&long, &short), (&short, &long)] {
        let mut world = World::new(4 * KIB, MIB);
        let device = world.device("meter-1", before);
        let wanted = unnamed(0);
        assert_eq!(world.download(&device, &wanted), before.bytes);
        let etag = world.block(&device, wanted.clone()).unwrap().etag;
        world.assigned.insert("meter-1".into(), after.clone());
        // It shows in one of the checks to come, by lot.
        let mut checks = 0;
        while world.block(&device, wanted.clone()).unwrap().etag == etag {
            world.after(Duration::from_secs(600));
            checks += 1;
            assert!(checks < 50);
        }
        assert_eq!(world.download(&device, &wanted), after.bytes);
    }
}

#[test]
fn between_two_assignments_no_chunk_is_believed() {
    let old = content("meter", "1.0", noise(16, 64 * KIB));
    let new = content("meter", "1.0", noise(17, 64 * KIB));
    let mut world = World::new(16 * KIB, MIB);
    let device = world.device("meter-1", &old);
    let first = world.block(&device, unnamed(0)).unwrap();
    // ThingsBoard deletes the attributes before it sets them anew. A probe may happen to see no difference.
    world.attributes.insert("meter-1".into(), None);
    world.after(Duration::from_secs(31));
    let still = world.block(&device, unnamed(0)).unwrap();
    assert_eq!(still, first);
    assert_eq!(
        world.block(&device, unnamed(40 * KIB)),
        Err(Refusal::Unavailable)
    );
    world.assigned.insert("meter-1".into(), new.clone());
    world.attributes.clear();
    world.after(Duration::from_secs(31));
    let next = world.block(&device, unnamed(40 * KIB)).unwrap();
    assert_eq!(next.payload, new.bytes.slice(40 * KIB..41 * KIB));
    assert_ne!(next.etag, first.etag);
}

#[test]
fn without_a_checksum_another_length_is_another_package_at_once() {
    let old = Content {
        checksum: None,
        ..content("meter", "1.0", noise(18, 64 * KIB))
    };
    let new = Content {
        bytes: [&old.bytes[..], &[1]].concat().into(),
        ..old.clone()
    };
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &old);
    let first = world.block(&device, unnamed(0)).unwrap();
    world.assigned.insert("meter-1".into(), new);
    world.after(Duration::from_secs(31));
    let next = world.block(&device, unnamed(0)).unwrap();
    assert_ne!(next.etag, first.etag);
    assert_eq!(next.size, Some(64 * 1024 + 1));
}

#[test]
fn a_check_that_began_before_a_chunk_came_says_nothing_about_it() {
    let old = content("meter", "1.0", noise(19, 64 * KIB));
    let new = content("meter", "1.0", noise(20, 64 * KIB));
    let mut world = World::new(16 * KIB, MIB);
    let device = world.device("meter-1", &old);
    let first = world.block(&device, unnamed(0)).unwrap();
    let late = world.read(&device, unnamed(40 * KIB));
    world.after(Duration::from_secs(600));
    world.read(&device, unnamed(0));
    // The chunk is under way. The attributes are read, and a piece is asked for, which is still of the old package.
    world.answer(1);
    world.answer_late(1);
    world.assigned.insert("meter-1".into(), new.clone());
    world.answer(0);
    world.deliver(0);
    world.settle();
    let block = world.answers.remove(&late).unwrap().unwrap();
    assert_eq!(block.payload, new.bytes.slice(40 * KIB..41 * KIB));
    assert_ne!(block.etag, first.etag);
}
