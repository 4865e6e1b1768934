//! Every key there is, and the one that was probably meant.

use super::mistake::Wrong;

/// Every key of `gateway.toml`, as `section.key`.
pub(super) const KEYS: &[&str] = &[
    "listen.coaps",
    "listen.admin",
    "admin.sessions",
    "admin.require_upstream",
    "server.certificate",
    "server.private_key",
    "clients.trust_anchors",
    "clients.revocation_lists",
    "clients.validity",
    "clients.provision",
    "devices.file",
    "upstream.url",
    "upstream.ca",
    "upstream.timeout",
    "upstream.max_in_flight",
    "upstream.max_in_flight_per_device",
    "upstream.max_client_rpc",
    "relay.attributes",
    "relay.rpc",
    "relay.poll_timeout",
    "relay.sync_interval",
    "relay.alive_for",
    "relay.command_answer",
    "relay.max_polls",
    "relay.bytes",
    "relay.max_age",
    "ota.chunk",
    "ota.cache",
    "ota.authorise_every",
    "coap.piggyback_timeout",
    "coap.ack_timeout",
    "coap.ack_random_factor",
    "coap.max_retransmit",
    "coap.nstart",
    "coap.max_exchanges",
    "coap.queue",
    "coap.max_body",
    "coap.body_bytes",
    "dtls.mtu",
    "dtls.versions",
    "dtls.unproven_timeout",
    "dtls.handshake_timeout",
    "limits.sessions",
    "limits.sessions_per_device",
    "limits.unregistered_sessions",
    "limits.handshakes",
    "limits.hellos",
    "limits.handshakes_per_address",
    "limits.session_idle",
    "shutdown.drain",
    "log.level",
    "log.format",
];

/// What is wrong with an unknown key: the known one it resembles was meant, or any beside it would do.
pub(super) fn unknown(key: &str, known: &[&'static str]) -> Wrong {
    let (section, last) = key.split_once('.').unwrap_or(("", key));
    // The right key in the wrong section comes first: no letter of it is wrong.
    let elsewhere = known.iter().find(|known| {
        known
            .split_once('.')
            .is_some_and(|(_, other)| other == last)
    });
    let nearest = || {
        let (distance, known) = known
            .iter()
            .map(|known| (distance(key, known), known))
            .min()?;
        (distance <= 1 + key.len().min(24) / 4).then_some(known)
    };
    if let Some(meant) = elsewhere.or_else(nearest) {
        return Wrong::new(format!("there is no such key; did you mean {meant}?"), "");
    }
    let of_section = |known: &&&str| {
        known
            .split_once('.')
            .is_some_and(|(other, _)| other == section)
    };
    let mut beside: Vec<&str> = known.iter().filter(of_section).copied().collect();
    if beside.is_empty() {
        beside = known
            .iter()
            .map(|known| known.split('.').next().unwrap_or_default())
            .collect();
        beside.dedup();
    }
    Wrong::new(
        "there is no such key",
        format!("one of {}", beside.join(", ")),
    )
}

/// How many letters must be put in, left out or changed to make one text the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    // An unknown key may have any length; what is far longer than any key is far from all of them.
    for (index, letter) in one.chars().take(64).enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (above, candidate) in row.iter_mut().skip(1).zip(&other) {
            let cost = (diagonal + usize::from(letter != *candidate))
                .min(left + 1)
                .min(*above + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_leads_to_the_key_that_was_meant() {
        for (mistyped, meant) in [
            ("upstream.max_inflight", "upstream.max_in_flight"),
            ("upstraem.url", "upstream.url"),
            ("coap.mtu", "dtls.mtu"),
            ("client.provision", "clients.provision"),
            ("mtu", "dtls.mtu"),
        ] {
            let wrong = unknown(mistyped, KEYS).wrong;
            assert!(
                wrong.ends_with(&format!("did you mean {meant}?")),
                "{mistyped}: {wrong}"
            );
        }
    }

    #[test]
    fn what_resembles_nothing_gets_the_list() {
        assert_eq!(
            unknown("log.zebra_crossing", KEYS).right,
            "one of log.level, log.format"
        );
        let sections = "one of listen, admin, server, clients, devices, upstream, relay, ota, coap, dtls, limits, shutdown, log";
        assert_eq!(unknown(&"x".repeat(1 << 20), KEYS).right, sections);
    }

    #[test]
    fn the_distance_counts_letters() {
        for (one, other, letters) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }
}
