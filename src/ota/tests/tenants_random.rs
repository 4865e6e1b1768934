//! Tenants whose attributes say what they like, while packages, attributes and answers come in any order: every block
//! is held against what its device could get by itself, or what its attributes have named by a SHA-2.

use super::world::*;
use crate::ota::{Block, WaiterId, Wanted};
use crate::upstream::Error;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

const DEVICES: [&str; 4] = ["one", "two", "three", "four"];
/// Names of checksums, and what they may name: proof or none.
const ALGORITHMS: [&str; 5] = ["SHA256", "sha256", "CRC32", "MD5", "MURMUR3_32"];

#[derive(Default)]
struct Model {
    contents: Vec<Content>,
    /// Contents that a device had, or that its attributes named by their SHA-256.
    may_have: HashMap<&'static str, HashSet<usize>>,
    reading: BTreeMap<WaiterId, (&'static str, Wanted)>,
    judged: usize,
}

impl Model {
    fn judge(&mut self, device: &'static str, wanted: &Wanted, block: &Block) {
        // Which of them is told by the ETag is tested where no two contents are almost the same: see `random`.
        let fits = |had: &usize| {
            let content = &self.contents[*had].bytes;
            let from = usize::try_from(wanted.offset).unwrap().min(content.len());
            let to = (from + wanted.length).min(content.len());
            content[from..to] == block.payload && block.more == (to < content.len())
        };
        let may_have = &self.may_have[device];
        assert!(
            may_have.iter().any(fits),
            "{device} {wanted:?} {may_have:?} has {:?}",
            (0..self.contents.len()).filter(fits).collect::<Vec<_>>()
        );
        self.judged += 1;
    }

    fn take_answers(&mut self, world: &mut World) {
        for (id, answer) in std::mem::take(&mut world.answers) {
            let (device, wanted) = self.reading.remove(&id).expect("somebody waits for it");
            if let Ok(block) = answer {
                self.judge(device, &wanted, &block);
            }
        }
    }
}

/// A device has a package, and its attributes say something of it: the truth, or what is true of another's.
fn assign(world: &mut World, model: &mut Model, random: &mut fastrand::Rng) {
    let device = DEVICES[random.usize(..DEVICES.len())];
    let is_new = model.contents.len() < 3 || random.u8(..4) == 0;
    if is_new {
        let length = match random.u8(..3) {
            0 => random.usize(..8) * 4 * KIB,
            _ => 100 + random.usize(..30_000),
        };
        let fresh = content("meter", "1.0", noise(random.u64(..), length));
        // Or it is another's but for a few bytes, in the last of its chunks.
        let near = random.choice(&model.contents).cloned();
        let near = near.filter(|near| near.bytes.len() > 100 && random.bool());
        let made = near.map_or(fresh, |near| {
            let mut bytes = near.bytes.to_vec();
            let at = bytes.len() - 1 - random.usize(..100);
            bytes[at] ^= 1;
            content("meter", "1.0", bytes)
        });
        model.contents.push(made);
    }
    let had = match is_new {
        true => model.contents.len() - 1,
        false => random.usize(..model.contents.len()),
    };
    let named = match random.bool() {
        true => had,
        false => random.usize(..model.contents.len()),
    };
    let mut claim = model.contents[named].clone();
    let algorithm = ALGORITHMS[random.usize(..ALGORITHMS.len())];
    claim.tells_size = named == had && random.bool();
    claim.checksum = claim
        .checksum
        .filter(|_| random.u8(..5) > 0)
        .map(|(_, value)| (algorithm, value));
    let may_have = model.may_have.entry(device).or_default();
    may_have.insert(had);
    if claim.checksum.is_some() && algorithm.eq_ignore_ascii_case("SHA256") {
        may_have.insert(named);
    }
    // The name is the same for all, so the attributes must be held against what came with them.
    world
        .assigned
        .insert(device.into(), model.contents[had].clone());
    world.attributes.insert(device.into(), Some(claim));
}

fn run(seed: u64) -> (Model, World) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(4 * KIB, 4 * KIB * random.usize(4..20));
    let mut model = Model::default();
    for _ in 0..8 {
        assign(&mut world, &mut model, &mut random);
    }
    for _ in 0..1500 {
        match random.u16(..1000) {
            0..3 => assign(&mut world, &mut model, &mut random),
            3..6 => {
                let troubles = [Error::Timeout, rejected(500), rejected(404)];
                world.trouble = Some(troubles[random.usize(..3)].clone());
            }
            6..40 => world.trouble = None,
            40..60 => world.after(Duration::from_secs(random.u64(..900))),
            60..400 => {
                let name = DEVICES[random.usize(..DEVICES.len())];
                let wanted = match random.bool() {
                    true => unnamed(KIB * random.usize(..32)),
                    false => named("meter", "1.0", KIB * random.usize(..32)),
                };
                let id = world.read(&device(name, name), wanted.clone());
                model.reading.insert(id, (name, wanted));
            }
            400..450 if !world.late.is_empty() => world.deliver(random.usize(..world.late.len())),
            450..480 if !world.asked.is_empty() => {
                world.answer_late(random.usize(..world.asked.len()));
            }
            _ if !world.asked.is_empty() => world.answer(random.usize(..world.asked.len())),
            _ => world.settle(),
        }
        model.take_answers(&mut world);
    }
    world.trouble = None;
    world.settle();
    model.take_answers(&mut world);
    assert!(model.reading.is_empty(), "{:?}", model.reading);
    world.packages.assert_at_rest();
    (model, world)
}

#[test]
fn no_device_ever_gets_what_it_could_not_get_by_itself_or_name() {
    let (mut judged, mut proven, mut contradictions) = (0, 0, 0);
    for seed in 3000..3120 {
        let (model, world) = run(seed);
        judged += model.judged;
        let counters = world.packages.counters();
        proven += counters.proven;
        contradictions += counters.contradictions;
    }
    assert!(judged > 10_000, "{judged}");
    assert!(
        proven > 50 && contradictions > 50,
        "{proven} {contradictions}"
    );
}
