//! The cache of firmware and software packages.

use crate::gateway::report::Levels;
use crate::metrics::{Scrape, level};
use crate::ota::Counters;

pub(super) fn expose(scrape: &mut Scrape, packages: &Counters, levels: &Levels) {
    let Counters {
        blocks,
        blocks_from_cache,
        refused,
        refused_no_room,
        chunks_prefetched,
        chunks,
        chunk_bytes,
        chunks_evicted,
        chunks_discarded,
        verified,
        waited_for_verification,
        editions_evicted,
        assignments_seen_to_change,
        checks,
        contradictions,
        wrong_checksums,
    } = *packages;
    scrape.counters_by(
        "coaps_gateway_package_blocks",
        "Blocks of packages sent to devices: from the cache (hit), or after a fetch from ThingsBoard (miss)",
        "cache",
        [
            ("hit", blocks_from_cache),
            ("miss", blocks.saturating_sub(blocks_from_cache)),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_package_refusals",
        "Refused requests for packages",
        "reason",
        [
            ("too_many_waiting", refused_no_room),
            ("other", refused.saturating_sub(refused_no_room)),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_package_chunks",
        "Chunks of packages in the cache",
        "event",
        [
            ("fetched", chunks),
            ("fetched_ahead", chunks_prefetched),
            ("evicted", chunks_evicted),
            ("discarded", chunks_discarded),
        ],
    );
    scrape.counter(
        "coaps_gateway_package_fetched_bytes",
        "Bytes of packages fetched from ThingsBoard",
        chunk_bytes,
    );
    scrape.counter(
        "coaps_gateway_package_checks",
        "Checks of which package a device may have",
        checks,
    );
    scrape.counters_by(
        "coaps_gateway_package_mismatches",
        "Packages discarded because ThingsBoard served other content under their title and version",
        "reason",
        [
            ("wrong_checksum", wrong_checksums),
            ("other", contradictions.saturating_sub(wrong_checksums)),
        ],
    );
    scrape.counter(
        "coaps_gateway_packages_verified",
        "Packages whose SHA-2 checksum was verified over all bytes, and that are shared since",
        verified,
    );
    scrape.counter(
        "coaps_gateway_package_verification_waits",
        "Requests that waited until a package that another device fetches was verified",
        waited_for_verification,
    );
    scrape.counter(
        "coaps_gateway_package_editions_evicted",
        "Editions of packages evicted because there were too many",
        editions_evicted,
    );
    scrape.counter(
        "coaps_gateway_package_assignment_changes",
        "Observed changes of attributes that assign a package, after which they are read again",
        assignments_seen_to_change,
    );
    scrape.gauge(
        "coaps_gateway_package_private_bytes",
        "Cached bytes of packages that a single device may have",
        level(levels.package_own_bytes),
    );
    scrape.gauge(
        "coaps_gateway_package_readers",
        "Devices whose assignment is in memory, counted once for each kind of package",
        level(levels.package_readers),
    );
    scrape.gauge(
        "coaps_gateway_package_editions",
        "Editions of packages in memory",
        level(levels.package_editions),
    );
}
