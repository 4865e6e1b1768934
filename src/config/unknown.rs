//! Unknown keys, and the known one that was probably meant.

use super::mistake::Problem;

/// Keys are compared up to this length: an unknown one may have any, and is then far from all that are known.
const COMPARED: usize = 64;

/// The problem of a key that there is not: it suggests the nearest known one, or lists those of its section.
pub(super) fn unknown(key: &str, known: &[&'static str]) -> Problem {
    let (section, last) = key.split_once('.').unwrap_or(("", key));
    // The right key in the wrong section comes first: no letter of it is wrong.
    let elsewhere = known.iter().find(|known| {
        known
            .split_once('.')
            .is_some_and(|(_, other)| other == last)
    });
    let nearest = || {
        let compared: String = key.chars().take(COMPARED).collect();
        let (distance, known) = known
            .iter()
            .map(|known| (strsim::levenshtein(&compared, known), known))
            .min()?;
        (distance <= 1 + key.len().min(24) / 4).then_some(known)
    };
    if let Some(meant) = elsewhere.or_else(nearest) {
        return Problem::new(format!("there is no such key; did you mean {meant}?"), "");
    }
    let of_section = |known: &&&str| {
        known
            .split_once('.')
            .is_some_and(|(other, _)| other == section)
    };
    let mut neighbours: Vec<&str> = known.iter().filter(of_section).copied().collect();
    if neighbours.is_empty() {
        neighbours = known
            .iter()
            .map(|known| known.split('.').next().unwrap_or_default())
            .collect();
        neighbours.dedup();
    }
    Problem::new(
        "there is no such key",
        format!("one of {}", neighbours.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::NAMES;

    #[test]
    fn a_mistyped_key_gets_the_nearest_one_suggested() {
        for (mistyped, meant) in [
            ("upstream.max_inflight", "upstream.max_in_flight"),
            ("upstraem.url", "upstream.url"),
            ("coap.mtu", "dtls.mtu"),
            ("client.provision", "clients.provision"),
            ("mtu", "dtls.mtu"),
        ] {
            let found = unknown(mistyped, &NAMES).found;
            assert!(
                found.ends_with(&format!("did you mean {meant}?")),
                "{mistyped}: {found}"
            );
        }
    }

    #[test]
    fn a_key_that_resembles_none_gets_the_list_of_its_section() {
        assert_eq!(
            unknown("log.zebra_crossing", &NAMES).expected,
            "one of log.level, log.format"
        );
        let sections = "one of listen, admin, server, clients, devices, upstream, relay, ota, coap, dtls, limits, state, shutdown, log";
        assert_eq!(unknown(&"x".repeat(1 << 20), &NAMES).expected, sections);
    }
}
