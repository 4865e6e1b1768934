//! `[relay]`: values, ranges with their reasons, and warnings.

use super::*;
use crate::downlink::Mode;
use crate::relay::Settings;

/// The warnings about `[relay]` in this text.
fn warnings(place: &Place, text: &str) -> Vec<String> {
    let (_, warnings) = place.load(text, &[]).unwrap();
    warnings
        .iter()
        .filter(|warning| warning.key.starts_with("relay."))
        .map(Warning::to_string)
        .collect()
}

#[test]
fn the_relay_has_the_defaults_of_the_documentation() {
    let (config, _) = Place::new().load("", &[]).unwrap();
    let seconds = Duration::from_secs;
    let defaults = Settings {
        attributes: Mode::WhileLive,
        rpc: Mode::WhileLive,
        poll_timeout: seconds(25),
        sync_interval: seconds(5 * 60),
        alive_for: seconds(15 * 60),
        command_answer: None,
        max_polls: 6000,
        bytes: 32 << 20,
        max_age: seconds(24 * 3600),
    };
    assert_eq!(config.relay, defaults);
}

#[test]
fn each_value_of_the_relay_can_be_set() {
    let text = "[relay]
attributes = \"on-uplink\"
rpc = \"on-uplink\"
poll_timeout = \"2s\"
sync_interval = \"5s\"
alive_for = \"10s\"
command_answer = \"1s\"
max_polls = 80
bytes = \"1MiB\"
max_age = \"1s\"
";
    let (config, _) = Place::new().load(text, &[]).unwrap();
    let seconds = Duration::from_secs;
    let set = Settings {
        attributes: Mode::OnUplink,
        rpc: Mode::OnUplink,
        poll_timeout: seconds(2),
        sync_interval: seconds(5),
        alive_for: seconds(10),
        command_answer: Some(seconds(1)),
        max_polls: 80,
        bytes: 1 << 20,
        max_age: seconds(1),
    };
    assert_eq!(config.relay, set);
    // Every eighth poll may overlap its successor, and reads are added.
    assert_eq!(config.upstream.max_downlink, 80 + 10 + 64);
}

#[test]
fn a_value_out_of_range_is_reported_with_the_range_and_its_reason() {
    let text = "[relay]
attributes = \"push\"
rpc = true
poll_timeout = \"5m\"
sync_interval = \"4s\"
alive_for = \"9s\"
max_polls = 0
max_age = \"137years\"
";
    assert_mistakes(
        Place::new().load(text, &[]),
        &[
            &[
                "gateway.toml:2: relay.attributes:",
                "text of 4 characters",
                "\"long-poll\" or \"on-uplink\"",
            ],
            &[
                "gateway.toml:3: relay.rpc:",
                "\"long-poll\" or \"on-uplink\"",
            ],
            &[
                "gateway.toml:4: relay.poll_timeout:",
                "from 2s to 4m 50s",
                "five minutes",
            ],
            &[
                "gateway.toml:5: relay.sync_interval:",
                "from 5s",
                "rate limits",
            ],
            &["gateway.toml:6: relay.alive_for:", "from 10s", "silent"],
            &[
                "gateway.toml:7: relay.max_polls:",
                "from 1 to 50000",
                "ports",
            ],
            &[
                "gateway.toml:8: relay.max_age:",
                "from 1s to 136years",
                "four bytes",
            ],
        ],
    );
}

#[test]
fn the_longest_max_age_fits_its_option() {
    let (config, _) = Place::new()
        .load("[relay]\nmax_age = \"136years\"\n", &[])
        .unwrap();
    assert!(u32::try_from(config.relay.max_age.as_secs()).is_ok());
}

#[test]
fn polls_that_thingsboard_would_cut_short_are_warned_about() {
    let place = Place::new();
    assert_eq!(
        warnings(&place, "[relay]\npoll_timeout = \"29s\"\n"),
        [""; 0]
    );
    let long = "[relay]\npoll_timeout = \"29500ms\"\n";
    let found = warnings(&place, long);
    assert!(
        found.len() == 1 && found[0].contains("SPRING_MVC_ASYNC_REQUEST_TIMEOUT"),
        "{found:?}"
    );
    // One kind of poll is enough; without any, nothing waits that long.
    for (modes, count) in [
        ("rpc = \"on-uplink\"\n", 1),
        ("attributes = \"on-uplink\"\n", 1),
        ("rpc = \"on-uplink\"\nattributes = \"on-uplink\"\n", 0),
    ] {
        let found = warnings(&place, &format!("{long}{modes}"));
        assert_eq!(found.len(), count, "{modes}: {found:?}");
    }
}

#[test]
fn more_connections_than_tomcat_takes_are_warned_about() {
    let place = Place::new();
    // 1024 + 6315 + 789 + 64 is 8192; then one poll more, and one request more.
    let (fits, more) = ("[relay]\nmax_polls = 6315\n", "[relay]\nmax_polls = 6316\n");
    assert_eq!(warnings(&place, fits), [""; 0]);
    for text in [more, &format!("{fits}[upstream]\nmax_in_flight = 1025\n")] {
        let found = warnings(&place, text);
        assert!(
            found.len() == 1
                && found[0].contains("8193 connections")
                && found[0].contains("SERVER_TOMCAT_MAX_CONNECTIONS"),
            "{found:?}"
        );
    }
}
