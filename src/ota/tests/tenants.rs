//! Tenants that lie about each other's packages, in every way that attributes allow: no device gets bytes that came
//! with another's token, unless all of them have the SHA-2 that its own attributes name.

use super::world::*;
use crate::device::Device;
use crate::ota::{Block, Refusal, Wanted};
use aws_lc_rs::digest::{self, Algorithm};
use std::sync::Arc;
use std::time::Duration;

/// A download, block by block, that begins again when the ETag changes.
struct Download {
    device: Arc<Device>,
    whole: Vec<u8>,
    etag: Option<[u8; 8]>,
    is_over: bool,
}

impl Download {
    fn of(device: &Arc<Device>) -> Download {
        Download {
            device: device.clone(),
            whole: Vec::new(),
            etag: None,
            is_over: false,
        }
    }

    fn wanted(&self) -> Wanted {
        unnamed(self.whole.len())
    }

    fn take(&mut self, block: Result<Block, Refusal>) {
        let block = block.unwrap();
        if *self.etag.get_or_insert(block.etag) != block.etag {
            (self.etag, self.whole) = (None, Vec::new());
            return;
        }
        self.whole.extend_from_slice(&block.payload);
        self.is_over = !block.more;
    }

    fn step(&mut self, world: &mut World) {
        if !self.is_over {
            self.take(world.block(&self.device.clone(), self.wanted()));
        }
    }
}

fn hex(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    let digest = digest::digest(algorithm, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

type Checksum = Option<(&'static str, String)>;

/// What attributes may name as the checksum of these bytes.
fn checksums(bytes: &[u8]) -> Vec<Checksum> {
    vec![
        None,
        Some(("CRC32", "cafe0123".into())),
        Some(("MD5", "0123456789abcdef0123456789abcdef".into())),
        Some(("MURMUR3_32", "beef0123".into())),
        Some(("MURMUR3_128", "beef012345".into())),
        Some(("SHA256", hex(&digest::SHA256, bytes))),
        Some(("SHA384", hex(&digest::SHA384, bytes))),
        Some(("SHA512", hex(&digest::SHA512, bytes))),
    ]
}

/// How one may name another's checksum, or almost.
fn variants(of: &Checksum, own: &Checksum) -> Vec<Checksum> {
    let Some((algorithm, value)) = of else {
        return vec![None, own.clone()];
    };
    let lower: &'static str = algorithm.to_ascii_lowercase().leak();
    vec![
        of.clone(),
        own.clone(),
        None,
        Some((algorithm, value.to_ascii_uppercase())),
        Some((lower, value.clone())),
        Some((algorithm, value[1..].to_owned())),
        Some((algorithm, format!("{value}00"))),
        Some(("CRC32", value.clone())),
        Some(("SHA512", value.clone())),
    ]
}

/// Whether attributes name a SHA-2 that these bytes have.
fn names(checksum: &Checksum, bytes: &[u8]) -> bool {
    checksum.as_ref().is_some_and(|(algorithm, value)| {
        let algorithm = match algorithm.to_ascii_uppercase().as_str() {
            "SHA256" => &digest::SHA256,
            "SHA384" => &digest::SHA384,
            "SHA512" => &digest::SHA512,
            _ => return false,
        };
        hex(algorithm, bytes) == value.to_ascii_lowercase()
    })
}

/// In which order two devices read, in rounds that are eleven minutes apart.
const ORDERS: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

/// Both download three times. `liar_first`: in the first round and in the others. `at_once`: block by block in turn.
fn both_download(
    world: &mut World,
    victim: &Arc<Device>,
    liar: &Arc<Device>,
    liar_first: [bool; 2],
    at_once: bool,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut wholes = Vec::new();
    for round in 0..3 {
        let mut downloads = [Download::of(victim), Download::of(liar)];
        let liar_first = liar_first[usize::from(round > 0)];
        let order = if liar_first { [1, 0] } else { [0, 1] };
        let mut turns = 0;
        while downloads.iter().any(|download| !download.is_over) {
            for which in order {
                downloads[which].step(world);
                while !at_once && !downloads[which].is_over {
                    downloads[which].step(world);
                }
            }
            turns += 1;
            assert!(turns < 1000, "a download that does not end");
        }
        let [victim, liar] = downloads;
        wholes.push((victim.whole, liar.whole));
        world.after(Duration::from_secs(660));
    }
    wholes
}

/// The fault: title, version, checksum and size are another's, and eight bytes of the package are not.
#[test]
fn by_no_claim_does_a_device_get_another_tenant_s_bytes() {
    let ours = content("meter", "1.0", noise(1, 20 * KIB));
    let mut eight = ours.bytes.to_vec();
    eight[10 * KIB..10 * KIB + 8]
        .iter_mut()
        .for_each(|byte| *byte ^= 1);
    let longer = [&ours.bytes[..], b"more"].concat();
    let mut runs = 0;
    for theirs in [
        eight,
        longer,
        ours.bytes[..9 * KIB].to_vec(),
        noise(2, 20 * KIB),
    ] {
        let own = Some(("SHA256", hex(&digest::SHA256, &theirs)));
        for (checksum, liar_first) in checksums(&ours.bytes)
            .into_iter()
            .flat_map(|checksum| ORDERS.map(|order| (checksum.clone(), order)))
        {
            for claim in variants(&checksum, &own) {
                for (at_once, tells_size) in [(true, true), (false, true), (true, false)] {
                    runs += 1;
                    let ours = Content {
                        checksum: checksum.clone(),
                        ..ours.clone()
                    };
                    let mut world = World::new(4 * KIB, MIB);
                    let victim = world.device("victim", &ours);
                    let liar = world.device(
                        "liar",
                        &Content {
                            bytes: theirs.clone().into(),
                            ..ours.clone()
                        },
                    );
                    world.attributes.insert(
                        "liar".into(),
                        Some(Content {
                            checksum: claim.clone(),
                            tells_size,
                            ..ours.clone()
                        }),
                    );
                    let wholes = both_download(&mut world, &victim, &liar, liar_first, at_once);
                    for (round, (of_victim, of_liar)) in wholes.into_iter().enumerate() {
                        let what = || format!("{claim:?} {liar_first:?} {at_once} {round}");
                        assert!(of_victim == ours.bytes, "the victim: {}", what());
                        let may_have_ours = names(&claim, &ours.bytes) && of_liar == ours.bytes;
                        // A length that is a lie as well cuts its own short.
                        let is_own = theirs.starts_with(&of_liar)
                            && (of_liar.len() == theirs.len() || tells_size);
                        assert!(is_own || may_have_ours, "the liar: {}", what());
                    }
                    world.packages.assert_at_rest();
                }
            }
        }
    }
    assert!(runs > 2000, "{runs}");
}

/// The second download is what the first one's contradiction must not spoil.
#[test]
fn what_one_device_s_thingsboard_shows_ends_nothing_for_the_others() {
    let ours = content("meter", "1.0", noise(3, 64 * KIB));
    let theirs = Content {
        bytes: noise(4, 64 * KIB).into(),
        ..ours.clone()
    };
    let mut world = World::new(4 * KIB, MIB);
    let devices = ["a", "b"].map(|name| world.device(name, &ours));
    let liar = world.device("liar", &theirs);
    for device in &devices {
        assert_eq!(world.download(device, &unnamed(0)), ours.bytes);
    }
    let etag = world.block(&devices[0], unnamed(0)).unwrap().etag;
    world.count_anew();
    for _ in 0..3 {
        assert_eq!(world.download(&liar, &unnamed(0)), theirs.bytes);
        for device in &devices {
            assert_eq!(world.download(device, &unnamed(0)), ours.bytes);
            assert_eq!(world.block(device, unnamed(0)).unwrap().etag, etag);
        }
        world.after(Duration::from_secs(660));
    }
    // The liar's package once; ours not again.
    assert_eq!(world.chunks.len(), 16);
}

#[test]
fn a_fleet_of_a_thousand_fetches_a_proven_package_once() {
    let image = content("meter", "1.0", noise(5, 256 * KIB));
    for settled in [false, true] {
        let mut world = World::new(16 * KIB, MIB);
        let devices: Vec<_> = (0..1000)
            .map(|n| world.device(&format!("meter-{n}"), &image))
            .collect();
        let mut ids = Vec::new();
        for device in &devices {
            ids.push(world.read(device, unnamed(0)));
            if settled {
                world.settle();
            }
        }
        world.settle();
        for id in ids {
            let block = world.answers.remove(&id).unwrap().unwrap();
            assert_eq!(block.payload, image.bytes.slice(..KIB));
        }
        assert_eq!(world.download(&devices[999], &unnamed(0)), image.bytes);
        assert_eq!(world.chunks.len(), 16, "each chunk once");
        assert_eq!(world.packages.counters().proven, 1);
        assert_eq!(world.packages.own_bytes(), 0);
    }
}

#[test]
fn devices_of_one_group_share_what_is_not_proven_and_others_do_not() {
    for checksum in [None, Some(("CRC32", "cafe".to_owned()))] {
        let image = Content {
            checksum,
            ..content("meter", "1.0", noise(6, 64 * KIB))
        };
        for (group, chunks) in [(Some("fleet"), 16), (None, 160)] {
            let mut world = World::new(4 * KIB, 2 * MIB);
            world.group = group.map(Into::into);
            for n in 0..10 {
                let device = world.device(&format!("meter-{n}"), &image);
                assert_eq!(world.download(&device, &unnamed(0)), image.bytes);
            }
            assert_eq!(world.chunks.len(), chunks);
        }
    }
}

#[test]
fn a_device_that_is_in_no_group_has_nothing_of_a_group_s() {
    let ours = Content {
        checksum: None,
        ..content("meter", "1.0", noise(7, 16 * KIB))
    };
    let mut eight = ours.bytes.to_vec();
    eight[9 * KIB] ^= 1;
    let theirs = Content {
        bytes: eight.into(),
        ..ours.clone()
    };
    let mut world = World::new(4 * KIB, MIB);
    world.group = Some("fleet".into());
    let (one, other) = (world.device("one", &ours), world.device("other", &theirs));
    assert_eq!(world.download(&one, &unnamed(0)), ours.bytes);
    world.group = None;
    assert_eq!(world.download(&other, &unnamed(0)), theirs.bytes);
    assert_eq!(world.download(&one, &unnamed(0)), ours.bytes);
}

#[test]
fn many_who_lie_about_a_checksum_gain_some_rounds_and_no_more() {
    let ours = content("meter", "1.0", noise(8, 32 * KIB));
    let theirs = Content {
        bytes: noise(9, 32 * KIB).into(),
        ..ours.clone()
    };
    let mut world = World::new(4 * KIB, MIB);
    let liars: Vec<_> = (0..50)
        .map(|n| world.device(&format!("liar-{n}"), &theirs))
        .collect();
    let victim = world.device("victim", &ours);
    let mut ids: Vec<_> = liars
        .iter()
        .map(|liar| world.read(liar, unnamed(0)))
        .collect();
    let id = world.read(&victim, unnamed(0));
    world.settle();
    let block = world.answers.remove(&id).unwrap().unwrap();
    assert_eq!(block.payload, ours.bytes.slice(..KIB));
    for id in ids.drain(..) {
        let block = world.answers.remove(&id).unwrap().unwrap();
        assert_eq!(block.payload, theirs.bytes.slice(..KIB));
    }
    assert_eq!(world.download(&victim, &unnamed(0)), ours.bytes);
    assert_eq!(world.packages.counters().proven, 1);
}

#[test]
fn who_waits_for_a_proof_that_does_not_come_is_told_to_come_again() {
    let image = content("meter", "1.0", noise(10, 64 * KIB));
    let mut world = World::new(4 * KIB, MIB);
    let (one, other) = (world.device("one", &image), world.device("other", &image));
    world.block(&one, unnamed(0)).unwrap();
    let id = world.read(&other, unnamed(0));
    // Its check is answered, and no chunk.
    for _ in 0..2 {
        let at = world
            .asked
            .iter()
            .position(|asked| asked.device.name == other.name);
        world.answer(at.unwrap());
    }
    assert_eq!(world.packages.counters().waited_for_proof, 1);
    world.after(Duration::from_secs(29));
    assert!(!world.answers.contains_key(&id));
    world.after(Duration::from_secs(1));
    assert_eq!(world.answers.remove(&id), Some(Err(Refusal::Unavailable)));
    assert_eq!(world.download(&other, &unnamed(0)), image.bytes);
}

#[test]
fn who_waits_for_a_device_that_gets_no_chunks_is_the_next_to_fetch() {
    let image = content("meter", "1.0", noise(11, 64 * KIB));
    for (trouble, first) in [
        (rejected(404), Ok(())),
        (rejected(500), Err(Refusal::Unavailable)),
    ] {
        let mut world = World::new(4 * KIB, MIB);
        let (one, other) = (world.device("one", &image), world.device("other", &image));
        world.block(&one, unnamed(0)).unwrap();
        let id = world.read(&other, unnamed(0));
        for _ in 0..2 {
            let at = world
                .asked
                .iter()
                .position(|asked| asked.device.name == other.name);
            world.answer(at.unwrap());
        }
        while let Some(at) = world.asked.iter().position(|a| a.device.name == one.name) {
            let asked = world.asked.remove(at).unwrap();
            let outcome = Err(trouble.clone());
            world.packages.completed(world.now, asked.call, outcome);
            world.collect();
        }
        world.settle();
        let answer = world.answers.remove(&id).unwrap();
        assert_eq!(answer.map(drop), first);
        world.after(Duration::from_secs(5));
        assert_eq!(world.download(&other, &unnamed(0)), image.bytes);
        assert_eq!(world.download(&one, &unnamed(0)), image.bytes);
    }
}

#[test]
fn packages_of_single_devices_keep_to_half_of_the_cache_while_many_share_the_other() {
    let shared = content("meter", "1.0", noise(12, 128 * KIB));
    let mut world = World::new(4 * KIB, 256 * KIB);
    let fleet = ["a", "b"].map(|name| world.device(name, &shared));
    for device in &fleet {
        assert_eq!(world.download(device, &unnamed(0)), shared.bytes);
    }
    for n in 0..100 {
        let own = Content {
            checksum: Some(("MD5", n.to_string())),
            ..content("valve", "1.0", noise(100 + n, 64 * KIB))
        };
        let device = world.device(&format!("own-{n}"), &own);
        assert_eq!(world.download(&device, &unnamed(0)), own.bytes);
        assert!(world.packages.own_bytes() <= 128 * KIB);
    }
    world.count_anew();
    assert_eq!(world.download(&fleet[0], &unnamed(0)), shared.bytes);
    assert_eq!(world.chunks, [0; 0], "all of it is still there");
}
