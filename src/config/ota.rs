//! `[ota]`: how firmware and software packages are fetched from ThingsBoard and cached.

use super::key::{Section, key};
use super::kind::{Kind, Size, Time};
use super::mistake::Problem;
use super::reader::Reader;
use super::value::Value;
use crate::ota::Settings;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// With fewer chunks, devices that are at different offsets of a package would evict each other's.
const FEWEST_CHUNKS: usize = 4;

const CHUNK: &str = "ota.chunk";
const CACHE: &str = "ota.cache";

pub(super) fn section() -> Section<Settings> {
    Section {
        name: "ota",
        doc: "packages: api/v1/firmware, api/v1/software, fw, sw",
        keys: vec![
            key(
                CHUNK,
                Chunk,
                |ota: &mut Settings| &mut ota.chunk,
                "the size of one request to ThingsBoard; a multiple of 1 KiB, up to 1 MiB",
            ),
            key(
                CACHE,
                Size(FEWEST_CHUNKS * KIB..=64 * KIB * MIB),
                |ota: &mut Settings| &mut ota.cache,
                "for the whole fleet: each chunk is fetched once for all devices that may have it",
            ),
            key(
                "ota.authorise_every",
                Time(SECOND..=DAY),
                |ota: &mut Settings| &mut ota.authorise_every,
                "how long ThingsBoard's permission for a device to have a package is valid here, without another request",
            )
            .because("for this long a device still gets a package that was taken from it"),
        ],
    }
}

/// The size of a chunk: whole blocks of the largest size.
struct Chunk;

impl Chunk {
    const SIZE: Size = Size(KIB..=MIB);
}

impl Kind<usize> for Chunk {
    fn read(&self, value: &Value) -> Result<usize, Problem> {
        let size = Chunk::SIZE.read(value)?;
        if size % KIB == 0 {
            Ok(size)
        } else {
            let found = format!("{size} bytes are no multiple of 1 KiB, the largest block");
            Err(Problem::new(found, "a multiple of 1 KiB like \"64KiB\""))
        }
    }

    fn write(&self, value: &usize) -> Option<String> {
        Chunk::SIZE.write(value)
    }

    fn range(&self) -> String {
        Chunk::SIZE.range()
    }
}

/// Checks that the cache holds enough chunks.
pub(super) fn check(reader: &mut Reader, ota: &Settings) {
    let Settings { chunk, cache, .. } = ota;
    if *cache < FEWEST_CHUNKS * chunk {
        let key = if reader.is_set(CACHE) { CACHE } else { CHUNK };
        reader.mistake(
            key,
            format!("a cache of {cache} bytes holds fewer than four chunks of {chunk} bytes"),
            "ota.cache at least four times ota.chunk",
        );
    }
}
