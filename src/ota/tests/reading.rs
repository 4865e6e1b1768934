//! One cache for the fleet, and any block at any time.

use super::world::*;
use crate::ota::{Refusal, Wanted};
use crate::upstream::Package;
use std::time::Duration;

#[test]
fn a_device_may_pause_begin_anywhere_and_read_in_any_order() {
    let image = content("meter", "1.0", noise(2, 300 * KIB + 17));
    let mut world = World::new(64 * KIB, 4 * MIB);
    let device = world.device("meter-1", &image);
    let mut offsets: Vec<usize> = (0..image.bytes.len()).step_by(KIB).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut offsets);
    let etag = world.block(&device, unnamed(offsets[0])).unwrap().etag;
    for offset in offsets {
        world.after(Duration::from_secs(3600));
        let block = world.block(&device, unnamed(offset)).unwrap();
        let end = (offset + KIB).min(image.bytes.len());
        assert_eq!(block.payload, image.bytes.slice(offset..end), "{offset}");
        assert_eq!((block.etag, block.more), (etag, end < image.bytes.len()));
    }
    let mut chunks = world.chunks.clone();
    chunks.sort_unstable();
    chunks.dedup();
    assert_eq!(chunks.len(), world.chunks.len(), "no chunk came twice");
}

#[test]
fn small_blocks_and_odd_lengths_come_right_as_well() {
    for length in [16, 64, 1000] {
        let image = content("meter", "1.0", noise(4, 9000));
        let mut world = World::new(KIB, 4 * KIB);
        let device = world.device("meter-1", &image);
        let wanted = Wanted {
            length,
            ..unnamed(0)
        };
        assert_eq!(world.download(&device, &wanted), image.bytes, "{length}");
    }
}

#[test]
fn fifty_who_want_the_same_ask_for_it_once() {
    let image = content("meter", "1.0", noise(5, 100 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let devices: Vec<_> = (0..50)
        .map(|n| world.device(&format!("meter-{n}"), &image))
        .collect();
    let mut ids: Vec<_> = devices.iter().map(|d| world.read(d, unnamed(0))).collect();
    // The same device, more than once: it is asked about once as well.
    ids.extend((0..50).map(|_| world.read(&devices[0], unnamed(0))));
    world.settle();
    assert!(
        ids.iter()
            .all(|id| world.answers.remove(id).unwrap().is_ok())
    );
    // All of it, as fewer prove nothing.
    assert_eq!(world.chunks, [0, 1]);
    // Each device once, and the others once more when it is proven; the first once more for each chunk.
    assert_eq!((world.attribute_reads, world.probes), (52, 101));
}

#[test]
fn the_next_chunk_is_fetched_when_half_of_one_is_read() {
    let image = content("meter", "1.0", noise(6, 256 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    for offset in (0..32 * KIB).step_by(KIB) {
        world.block(&device, unnamed(offset)).unwrap();
    }
    assert_eq!(world.chunks, [0]);
    world.block(&device, unnamed(32 * KIB)).unwrap();
    assert_eq!(world.chunks, [0, 1]);
    // And the first block of that comes without anything being asked.
    let id = world.read(&device, unnamed(64 * KIB));
    assert!(world.answers.remove(&id).unwrap().is_ok() && world.asked.is_empty());
    assert_eq!(world.packages.counters().chunks_ahead, 1);
}

#[test]
fn title_and_version_are_the_assigned_ones_where_they_are_left_out() {
    let image = content("meter", "1.0", noise(7, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let unnamed_block = world.block(&device, unnamed(0)).unwrap();
    let named_block = world.block(&device, named("meter", "1.0", 0)).unwrap();
    assert_eq!(unnamed_block, named_block);
    let half_named = Wanted {
        version: None,
        ..named("meter", "", 0)
    };
    assert_eq!(world.block(&device, half_named).unwrap(), named_block);
    let other = Wanted {
        version: None,
        ..named("other", "", 0)
    };
    assert_eq!(world.block(&device, other), Err(Refusal::OtherPackage));
}

#[test]
fn what_is_not_assigned_is_refused_and_not_asked_about_again_for_some_seconds() {
    let image = content("meter", "1.0", noise(8, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let stranger = device_without(&mut world);
    let rows = [
        (&stranger, unnamed(0), Refusal::NotAssigned),
        (&stranger, named("meter", "1.0", 0), Refusal::NotAssigned),
        (&device, named("meter", "2.0", 0), Refusal::OtherPackage),
        (&device, named("other", "1.0", 0), Refusal::OtherPackage),
    ];
    for (device, wanted, expected) in rows {
        assert_eq!(
            world.block(device, wanted.clone()),
            Err(expected),
            "{wanted:?}"
        );
        world.count_anew();
        for _ in 0..10 {
            assert_eq!(
                world.block(device, wanted.clone()),
                Err(expected),
                "{wanted:?}"
            );
            world.after(Duration::from_millis(400));
        }
        assert_eq!((world.attribute_reads, world.probes), (0, 0), "{wanted:?}");
    }
    // The package is assigned in the end.
    world.assigned.insert("stranger".into(), image.clone());
    world.after(Duration::from_secs(5));
    assert!(world.block(&stranger, unnamed(0)).is_ok());
    assert!(world.block(&stranger, named("meter", "1.0", 0)).is_ok());
}

fn device_without(world: &mut World) -> std::sync::Arc<crate::device::Device> {
    let device = world.device("stranger", &content("x", "x", Vec::new()));
    world.assigned.remove("stranger");
    device
}

#[test]
fn nobody_is_served_from_the_cache_whom_thingsboard_would_not_serve() {
    let image = content("meter", "1.0", noise(9, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    let stranger = device_without(&mut world);
    let refused = world.block(&stranger, named("meter", "1.0", 0));
    assert_eq!(refused, Err(Refusal::NotAssigned));
    assert_eq!(
        world.block(&device, unnamed(KIB)).unwrap().payload,
        image.bytes.slice(KIB..2 * KIB)
    );
}

#[test]
fn a_device_is_asked_about_again_after_authorise_every() {
    let image = content("meter", "1.0", noise(10, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let wanted = named("meter", "1.0", 0);
    world.block(&device, wanted.clone()).unwrap();
    world.count_anew();
    world.after(Duration::from_secs(599));
    world.block(&device, wanted.clone()).unwrap();
    assert_eq!(world.probes, 0);
    world.after(Duration::from_secs(1));
    world.block(&device, wanted.clone()).unwrap();
    assert_eq!((world.probes, world.chunks.len()), (1, 0));
    world.assigned.remove("meter-1");
    world.after(Duration::from_secs(600));
    assert_eq!(world.block(&device, wanted), Err(Refusal::NotAssigned));
}

#[test]
fn a_block_past_the_end_is_refused() {
    for tells_size in [true, false] {
        let image = Content {
            tells_size,
            ..content("meter", "1.0", noise(11, 2 * KIB))
        };
        let mut world = World::new(KIB, 8 * KIB);
        let device = world.device("meter-1", &image);
        for offset in [
            2 * KIB,
            3 * KIB,
            40 * KIB,
            (1 << 30) - KIB,
            1 << 31,
            usize::MAX,
        ] {
            let refused = world.block(&device, unnamed(offset));
            assert_eq!(refused, Err(Refusal::PastTheEnd), "{offset} {tells_size}");
        }
        let last = world.block(&device, unnamed(KIB)).unwrap();
        assert_eq!((last.more, last.size), (false, Some(2048)));
    }
}

#[test]
fn the_last_block_says_so_whether_or_not_the_length_is_told() {
    for (tells_size, length) in [
        (true, 128),
        (false, 128),
        (true, 100),
        (false, 100),
        (false, 64),
    ] {
        let image = Content {
            tells_size,
            ..content("meter", "1.0", noise(12, length * KIB))
        };
        let mut world = World::new(64 * KIB, MIB);
        let device = world.device("meter-1", &image);
        let last = world.block(&device, unnamed((length - 1) * KIB)).unwrap();
        assert!(!last.more, "{tells_size} {length}");
        assert_eq!(world.download(&device, &unnamed(0)), image.bytes);
    }
}

#[test]
fn an_empty_package_is_one_empty_block() {
    let image = content("meter", "1.0", Vec::new());
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let block = world.block(&device, unnamed(0)).unwrap();
    assert_eq!(
        (block.payload.len(), block.more, block.size),
        (0, false, Some(0))
    );
    assert_eq!(world.block(&device, unnamed(KIB)), Err(Refusal::PastTheEnd));
}

#[test]
fn a_cut_is_a_package_of_its_own_length() {
    let image = content("meter", "1.0", noise(13, 10_000));
    let mut world = World::new(4 * KIB, MIB);
    let device = world.device("meter-1", &image);
    let mut whole = Vec::new();
    for chunk in 0.. {
        let part = world.download(&device, &cut(3000, chunk, 0));
        let size = world.block(&device, cut(3000, chunk, 0)).unwrap().size;
        assert_eq!(size, Some(u64::try_from(part.len()).unwrap()));
        // As over HTTP: past the end there is nothing.
        if part.is_empty() {
            break;
        }
        whole.extend_from_slice(&part);
    }
    assert_eq!(whole, image.bytes);
    assert_eq!(
        world.block(&device, cut(3000, 0, 3072)),
        Err(Refusal::PastTheEnd)
    );
    assert_eq!(
        world.block(&device, cut(3000, 3, 1024)),
        Err(Refusal::PastTheEnd)
    );
    // A size of zero is no cut.
    assert_eq!(world.download(&device, &cut(0, 0, 0)), image.bytes);
    assert_eq!(
        world.block(&device, cut(u64::MAX, 2, 0)),
        Err(Refusal::PastTheEnd)
    );
    // One block of it lies on the border of two chunks.
    let block = world.block(&device, cut(3000, 1, 1024)).unwrap();
    assert_eq!(block.payload, image.bytes.slice(4024..5048));
    assert!(block.more);
}

#[test]
fn the_cache_keeps_to_its_bound_and_lets_go_of_what_was_not_used_for_longest() {
    let image = content("meter", "1.0", noise(14, 64 * KIB));
    let mut world = World::new(KIB, 4 * KIB);
    let device = world.device("meter-1", &image);
    let at = |number: usize| Wanted {
        length: 16,
        ..unnamed(number * KIB)
    };
    for number in [0, 1, 2, 0, 3, 4, 0] {
        world.block(&device, at(number)).unwrap();
    }
    assert_eq!(world.chunks, [0, 1, 2, 3, 4]);
    world.block(&device, at(1)).unwrap();
    assert_eq!(world.chunks, [0, 1, 2, 3, 4, 1]);
    assert!(world.packages.counters().chunks_displaced >= 2);
}

#[test]
fn more_devices_than_chunks_fit_the_cache_all_get_theirs() {
    let image = content("meter", "1.0", noise(15, 64 * KIB));
    let mut world = World::new(KIB, 4 * KIB);
    let devices: Vec<_> = (0..64)
        .map(|n| world.device(&format!("meter-{n}"), &image))
        .collect();
    let ids: Vec<_> = devices
        .iter()
        .enumerate()
        .map(|(n, device)| (n, world.read(device, unnamed(n * KIB))))
        .collect();
    world.settle();
    for (n, id) in ids {
        let block = world.answers.remove(&id).unwrap().unwrap();
        assert_eq!(block.payload, image.bytes.slice(n * KIB..(n + 1) * KIB));
    }
}

#[test]
fn one_etag_says_what_it_is_the_etag_of_and_outlives_a_restart() {
    let etag = |title, version, seed| {
        let image = content(title, version, noise(seed, 3 * KIB));
        let mut world = World::new(64 * KIB, MIB);
        let device = world.device("meter-1", &image);
        world.block(&device, unnamed(2 * KIB)).unwrap().etag
    };
    let first = etag("meter", "1.0", 16);
    assert_eq!(first, etag("meter", "1.0", 16));
    let others = [
        etag("meter", "1.1", 16),
        etag("mete", "r1.0", 16),
        etag("meter", "1.0", 17),
    ];
    assert!(!others.contains(&first), "{others:?}");
}

#[test]
fn a_device_with_a_new_token_is_asked_about_anew() {
    let image = content("meter", "1.0", noise(20, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    world.count_anew();
    // The registry was read again, and nothing has changed.
    world
        .block(&super::world::device("meter-1", "meter-1"), unnamed(0))
        .unwrap();
    assert_eq!(world.probes, 0);
    world
        .block(&super::world::device("meter-1", "another"), unnamed(0))
        .unwrap();
    assert_eq!((world.probes, world.chunks.len()), (1, 0));
}

#[test]
fn firmware_and_software_are_two_things() {
    let image = content("meter", "1.0", noise(21, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    let software = Wanted {
        package: Package::Software,
        ..named("meter", "1.0", 0)
    };
    let id = world.read(&device, software);
    assert!(!world.answers.contains_key(&id));
    assert_eq!((world.asked.len(), world.packages.readers()), (1, 2));
}

#[test]
fn what_is_known_of_a_device_is_forgotten_after_a_day() {
    let image = content("meter", "1.0", noise(22, 3 * KIB));
    let mut world = World::new(64 * KIB, MIB);
    let device = world.device("meter-1", &image);
    world.block(&device, unnamed(0)).unwrap();
    let day = Duration::from_secs(24 * 3600);
    world.after(day / 2);
    world.block(&device, unnamed(0)).unwrap();
    world.after(day / 2);
    assert_eq!(world.packages.readers(), 1);
    world.after(day / 2);
    assert_eq!(
        (world.packages.readers(), world.packages.next_timeout()),
        (0, None)
    );
}
