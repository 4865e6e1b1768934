//! Random runs: devices that read any block at any time, a ThingsBoard that answers in any order, or not, and packages that
//! change under their names. Every block is compared with every content that its ETag may stand for.

use super::world::*;
use crate::ota::{Cut, PackageBlock, PackageError, ReadRequest, RequestId};
use crate::upstream::Error;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

const TITLES: [&str; 2] = ["meter", "valve"];

struct Model {
    /// Every content that there ever was.
    contents: Vec<Image>,
    /// Which of them an ETag may stand for: each block with it leaves fewer.
    stands_for: HashMap<[u8; 8], HashSet<usize>>,
    reading: BTreeMap<RequestId, ReadRequest>,
}

impl Model {
    fn judge(&mut self, wanted: &ReadRequest, block: &PackageBlock) {
        let all = || (0..self.contents.len()).collect();
        let candidates = self.stands_for.entry(block.etag).or_insert_with(all);
        candidates.retain(|candidate| {
            let content = &self.contents[*candidate];
            let length = content.bytes.len();
            let (first, end) = wanted.cut.map_or((0, length), |cut| {
                let first = usize::try_from(cut.size * cut.chunk).unwrap().min(length);
                (
                    first,
                    (first + usize::try_from(cut.size).unwrap()).min(length),
                )
            });
            let from = (first + usize::try_from(wanted.offset).unwrap()).min(end);
            let to = (from + wanted.length).min(end);
            let size = u64::try_from(end - first).unwrap();
            content.bytes[from..to] == block.payload
                && block.more == (to < end)
                && block.size.is_none_or(|known| known == size)
        });
        assert!(
            !candidates.is_empty(),
            "a mixture: {wanted:?} {:?}",
            block.etag
        );
    }
}

fn any_content(random: &mut fastrand::Rng) -> Image {
    let length = match random.u8(..4) {
        0 => random.usize(..8) * 4 * KIB,
        1 => random.usize(..100),
        _ => random.usize(..30_000),
    };
    let title = TITLES[random.usize(..TITLES.len())];
    let bytes = noise(random.u64(..), length);
    Image {
        names_size: random.bool(),
        ..content(title, "1.0", bytes)
    }
}

fn any_wanted(random: &mut fastrand::Rng) -> ReadRequest {
    let length = 16 << random.u32(..7);
    let mut wanted = named(
        TITLES[random.usize(..2)],
        "1.0",
        length * random.usize(..40),
    );
    wanted.length = length;
    if random.u8(..3) > 0 {
        (wanted.title, wanted.version) = (None, None);
    }
    if random.u8(..5) == 0 {
        let size = 1 + random.u64(..10_000);
        wanted.cut = Some(Cut {
            size,
            chunk: random.u64(..5),
        });
    }
    wanted
}

/// One run. With `checksums`, attributes and content change at the same time, since nothing else distinguishes two contents with the
/// same beginning apart.
fn run(seed: u64, checksums: bool) -> World {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(4 * KIB, 4 * KIB * random.usize(4..12));
    // Without checksums only a group shares anything.
    world.group = (!checksums || random.bool()).then(|| "fleet".into());
    let mut model = Model {
        contents: Vec::new(),
        stands_for: HashMap::new(),
        reading: BTreeMap::new(),
    };
    let names: Vec<String> = (0..6).map(|n| format!("meter-{n}")).collect();
    let assign = |world: &mut World, model: &mut Model, random: &mut fastrand::Rng| {
        let mut content = any_content(random);
        content.checksum = content.checksum.filter(|_| checksums);
        model.contents.push(content.clone());
        // Several contents of one name at a time: only checksums show which device has which.
        for name in &names {
            if !checksums || random.bool() {
                world.assigned.insert(name.as_str().into(), content.clone());
            }
        }
    };
    assign(&mut world, &mut model, &mut random);
    for _ in 0..800 {
        match random.u8(..100) {
            0 => assign(&mut world, &mut model, &mut random),
            1 => drop(world.assigned.remove(names[random.usize(..6)].as_str())),
            2 => {
                let errors = [
                    Error::Timeout,
                    Error::Unreachable,
                    rejected(500),
                    rejected(401),
                ];
                world.error = Some(errors[random.usize(..4)].clone());
            }
            3..=6 => world.error = None,
            7..=9 => world.after(Duration::from_secs(random.u64(..900))),
            10..=50 => {
                let device = device(&names[random.usize(..6)], "token");
                let wanted = any_wanted(&mut random);
                let id = world.read(&device, wanted.clone());
                model.reading.insert(id, wanted);
            }
            51..=60 if !world.late.is_empty() => world.deliver(random.usize(..world.late.len())),
            _ if world.calls.is_empty() => {}
            61..=63 => world.answer_late(random.usize(..world.calls.len())),
            _ => world.answer(random.usize(..world.calls.len())),
        }
        for (id, answer) in std::mem::take(&mut world.answers) {
            let wanted = model.reading.remove(&id).expect("a request waits for it");
            if let Ok(block) = answer {
                model.judge(&wanted, &block);
            }
        }
    }
    // All calls end, all requests are answered, and nothing stays reserved.
    world.error = None;
    world.settle();
    for (id, answer) in std::mem::take(&mut world.answers) {
        let wanted = model.reading.remove(&id).expect("a request waits for it");
        if let Ok(block) = answer {
            model.judge(&wanted, &block);
        }
    }
    assert!(model.reading.is_empty(), "{:?}", model.reading);
    assert_eq!(world.packages.waiting(), 0);
    world.packages.assert_at_rest();
    world
}

#[test]
fn no_etag_ever_stands_for_two_contents() {
    let mut blocks = 0;
    for seed in 0..80 {
        blocks += run(seed, true).packages.counters().blocks;
    }
    assert!(blocks > 5000, "{blocks}");
}

#[test]
fn nor_where_there_are_no_checksums() {
    let (mut blocks, mut contradictions) = (0, 0);
    for seed in 1000..1080 {
        let world = run(seed, false);
        blocks += world.packages.counters().blocks;
        contradictions += world.packages.counters().contradictions;
    }
    assert!(
        blocks > 5000 && contradictions > 100,
        "{blocks} {contradictions}"
    );
}

#[test]
fn after_all_that_a_device_still_gets_its_package() {
    for seed in 2000..2020 {
        let mut world = run(seed, seed % 2 == 0);
        let image = content("meter", "9.0", noise(seed, 20_000));
        world.assigned.insert("meter-0".into(), image.clone());
        world.after(Duration::from_secs(3600));
        let device = device("meter-0", "token");
        assert_eq!(world.download(&device, &unnamed(0)), image.bytes);
        let _: Result<PackageBlock, PackageError> = world.block(&device, unnamed(0));
    }
}
