//! Whole configurations, valid and invalid, with their files in a temporary directory.

use super::*;
use crate::authority::{MakeOptions, make};
use crate::device::Limits;
use crate::upstream::HttpVersion;
use crate::{dtls, logging, ota};
use rustls_pki_types::UnixTime;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use time::OffsetDateTime;

mod admin;
mod anchors;
mod devices;
mod dtls_keys;
mod group;
mod relay;
mod revocation;
mod secrets;
mod server;
mod state;
mod upstream;

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;

/// A directory with certificates for a gateway and for `meter-17`.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let order = MakeOptions {
            directory: directory.path().join("certs"),
            host: "localhost".into(),
            devices: vec!["meter-17".into()],
            ..MakeOptions::default()
        };
        make(
            &order,
            OffsetDateTime::from_unix_timestamp(NOW.try_into().unwrap()).unwrap(),
        )
        .unwrap();
        Place { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The environment of a sidecar, with the paths of its files.
    fn environment(&self, more: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let path = |name: &str| self.path(name).into_os_string();
        let mut all = vec![
            (
                "COAPS_GATEWAY__SERVER__CERTIFICATE".into(),
                path("certs/server.pem"),
            ),
            (
                "COAPS_GATEWAY__SERVER__PRIVATE_KEY".into(),
                path("certs/server.key"),
            ),
            ("COAPS_GATEWAY__DEVICES__FILE".into(), "".into()),
        ];
        for (name, value) in more {
            all.retain(|(other, _)| other != name);
            all.push((name.into(), value.into()));
        }
        all
    }

    fn load(
        &self,
        text: &str,
        environment: &[(&str, &str)],
    ) -> Result<(Config, Vec<Warning>), Vec<String>> {
        let file = self.write("gateway.toml", text);
        Config::load(Some(&file), self.environment(environment), now()).map_err(|mistakes| {
            let root = format!("{}/", self.directory.path().display());
            mistakes
                .0
                .iter()
                .map(|mistake| mistake.to_string().replace(&root, ""))
                .collect()
        })
    }
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

/// There is one mistake for each of these, with all its parts, and no other.
fn assert_mistakes<T: std::fmt::Debug>(result: Result<T, Vec<String>>, expected: &[&[&str]]) {
    let mistakes = result.unwrap_err();
    for parts in expected {
        assert!(
            mistakes
                .iter()
                .any(|mistake| parts.iter().all(|part| mistake.contains(part))),
            "nothing says {parts:?}:\n{}",
            mistakes.join("\n")
        );
    }
    assert_eq!(mistakes.len(), expected.len(), "{}", mistakes.join("\n"));
}

#[test]
fn an_empty_file_gives_the_defaults_of_the_documentation() {
    let (config, _) = Place::new().load("", &[]).unwrap();
    assert_eq!(config.listen.coaps, "[::]:5684".parse().unwrap());
    assert_eq!(config.coap, ::coap::Parameters::default());
    assert_eq!(config.dtls, dtls::Parameters::default());
    assert_eq!(
        config.limits,
        Limits {
            sessions_per_device: 4,
            unregistered_sessions: 100
        }
    );
    assert_eq!(
        config.log,
        logging::Settings {
            level: "info".into(),
            format: logging::Format::Text
        }
    );
    let timeout = Duration::from_secs(10);
    let upstream = crate::upstream::Settings {
        url: "http://127.0.0.1:8080".parse().unwrap(),
        http_url: None,
        tls: crate::upstream::TlsFiles::default(),
        http_version: HttpVersion::Auto,
        timeout,
        max_in_flight: 1024,
        max_downlink: 6814,
        max_packages: 32,
        max_connections: 20_000,
        connects_per_second: 500,
        alive_for: Duration::from_secs(900),
    };
    assert_eq!(config.upstream, upstream);
    assert_eq!(config.relay, crate::relay::Settings::default());
    assert_eq!(config.ota, ota::Settings::default());
    assert!(!config.provision && config.registry.is_empty());
}

#[test]
fn the_shipped_file_names_every_key_and_its_values_are_the_defaults() {
    let shipped = include_str!("../../config/gateway.toml")
        .replace("# ca =", "ca =")
        .replace("# http_url =", "http_url =")
        .replace("# client_certificate =", "client_certificate =")
        .replace("# client_key =", "client_key =")
        .replace("# rsa_certificate =", "rsa_certificate =")
        .replace("# rsa_private_key =", "rsa_private_key =")
        .replace("# command_answer =", "command_answer =")
        .replace("# directory =", "directory =")
        .replace("# key_file =", "key_file =")
        .replace("# key_env =", "key_env =")
        .replace("# url =", "url =")
        .replace("# ca_file =", "ca_file =")
        .replace("# address =", "address =")
        .replace("# admin =", "admin =");
    let (mut seen, mut section) = (Vec::new(), "");
    for line in shipped.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            section = name;
        } else if let Some((key, _)) = line
            .split_once(" = ")
            .filter(|(key, _)| !key.contains([' ', '#']))
        {
            seen.push(format!("{section}.{key}"));
        }
    }
    assert!(seen.len() > 40);
    assert_eq!(seen, *sections::NAMES);

    let place = Place::new();
    let root = place.directory.path().display().to_string();
    let text =
        include_str!("../../config/gateway.toml").replace("\"certs/", &format!("\"{root}/certs/"));
    let (shipped, _) = place.load(&text, &[]).unwrap();
    let (empty, _) = place.load("", &[]).unwrap();
    assert_eq!(
        (shipped.coap, shipped.dtls, shipped.limits),
        (empty.coap, empty.dtls, empty.limits)
    );
    assert_eq!(
        (shipped.listen, shipped.upstream, shipped.relay, shipped.log),
        (empty.listen, empty.upstream, empty.relay, empty.log)
    );
    assert_eq!(shipped.ota, empty.ota);
}

#[test]
fn a_chunk_is_a_number_of_whole_blocks_and_the_cache_holds_four_chunks() {
    let place = Place::new();
    let text = "[ota]\nchunk = \"16KiB\"\ncache = \"64KiB\"\nauthorise_every = \"1h\"\n";
    let ota = ota::Settings {
        chunk: 16 * 1024,
        cache: 64 * 1024,
        authorise_every: Duration::from_secs(3600),
    };
    assert_eq!(place.load(text, &[]).unwrap().0.ota, ota);
    assert_mistakes(
        place.load("[ota]\nchunk = \"1500\"\n", &[]),
        &[&[
            "gateway.toml:2: ota.chunk: 1500 bytes",
            "a multiple of 1 KiB",
        ]],
    );
    assert_mistakes(
        place.load("[ota]\nchunk = \"2MiB\"\nauthorise_every = \"0s\"\n", &[]),
        &[
            &["ota.chunk", "out of range"],
            &["ota.authorise_every", "out of range"],
        ],
    );
    assert_mistakes(
        place.load("[ota]\nchunk = \"1MiB\"\ncache = \"4194303\"\n", &[]),
        &[&["gateway.toml:3: ota.cache", "fewer than four chunks"]],
    );
    assert_mistakes(
        place.load("[ota]\ncache = \"255KiB\"\n", &[]),
        &[&["ota.cache", "four times ota.chunk"]],
    );
}

#[test]
fn the_bodies_of_all_devices_have_at_least_the_size_of_one() {
    let place = Place::new();
    assert_mistakes(
        place.load(
            "[coap]\nmax_body = \"1MiB\"\nbody_bytes = \"1048575\"\n",
            &[],
        ),
        &[&["gateway.toml:3: coap.body_bytes", "at least coap.max_body"]],
    );
    assert_mistakes(
        place.load("[coap]\nbody_bytes = \"1KiB\"\n", &[]),
        &[&["gateway.toml:2: coap.body_bytes", "out of range"]],
    );
}

#[test]
fn every_key_can_be_set_from_the_environment_which_takes_precedence() {
    let place = Place::new();
    let anchors = place.path("certs/ca.pem");
    let file = "[coap]\nnstart = 3\nmax_retransmit = 7\n[dtls]\nversions = [\"1.2\"]\n";
    let environment = [
        ("COAPS_GATEWAY__LISTEN__COAPS", "127.0.0.1:0"),
        (
            "COAPS_GATEWAY__CLIENTS__TRUST_ANCHORS",
            anchors.to_str().unwrap(),
        ),
        ("COAPS_GATEWAY__CLIENTS__VALIDITY", "ignore"),
        ("COAPS_GATEWAY__CLIENTS__PROVISION", "true"),
        (
            "COAPS_GATEWAY__UPSTREAM__URL",
            "https://thingsboard.example/",
        ),
        ("COAPS_GATEWAY__UPSTREAM__CA", anchors.to_str().unwrap()),
        ("COAPS_GATEWAY__UPSTREAM__TIMEOUT", "1m 30s"),
        ("COAPS_GATEWAY__COAP__NSTART", "2"),
        ("COAPS_GATEWAY__COAP__MAX_BODY", "1MiB"),
        ("COAPS_GATEWAY__COAP__BODY_BYTES", "3MiB"),
        ("COAPS_GATEWAY__COAP__ACK_RANDOM_FACTOR", "2"),
        ("COAPS_GATEWAY__DTLS__VERSIONS", "1.2, 1.3"),
        (
            "COAPS_GATEWAY__LOG__LEVEL",
            "warn,coaps_gateway::dtls=debug",
        ),
        ("COAPS_GATEWAY__LOG__FORMAT", "json"),
        ("COAPS_GATEWAY_PORT", "udp://10.0.0.1:5684"),
    ];
    let (config, _) = place.load(file, &environment).unwrap();
    assert_eq!(config.listen.coaps, "127.0.0.1:0".parse().unwrap());
    assert!(config.provision);
    assert_eq!(
        config.upstream.url.to_string(),
        "https://thingsboard.example"
    );
    assert_eq!(config.upstream.tls.ca, Some(fs::read(anchors).unwrap()));
    assert_eq!(config.upstream.timeout, Duration::from_secs(90));
    assert_eq!(
        (
            config.coap.nstart,
            config.coap.max_retransmit,
            config.coap.max_body,
            config.coap.body_bytes
        ),
        (2, 7, 1 << 20, 3 << 20)
    );
    assert_eq!(config.coap.ack_random_factor, 2.0);
    assert_eq!(config.dtls.versions, dtls::Versions::Both);
    assert_eq!(config.log.format, logging::Format::Json);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place_and_what_was_expected() {
    let place = Place::new();
    let text = "stray = 1
[listen]
coaps = \"localhost:5684\"
[clients]
validity = \"maybe\"
[upstream]
url = \"http://user:SECRET@host\"
timeout = 10
max_inflight = 3
[coap]
ack_random_factor = 0.5
max_body = \"64 apples\"
ack_timeout = \"forever
[dtls]
versions = [\"1.4\"]
mtu = 100
[log]
level = \"inof\"
format = 1979-05-27
";
    let environment = [
        ("COAPS_GATEWAY__COAP__NSTRAT", "1"),
        ("COAPS_GATEWAY__LIMITS__SESSIONS", "0"),
        ("COAPS_GATEWAY__SERVER__CERTIFICATE", "/nowhere/server.pem"),
    ];
    let result = place.load(text, &environment);
    assert!(!format!("{result:?}").contains("SECRET"));
    assert_mistakes(
        result,
        &[
            &["gateway.toml:1: stray:", "no such key"],
            &[
                "gateway.toml:3: listen.coaps:",
                "text of 14 characters",
                "[::]:5684",
            ],
            &[
                "gateway.toml:5: clients.validity:",
                "text of 5 characters",
                "\"check\" or \"ignore\"",
            ],
            &["gateway.toml:7: upstream.url:", "user name or password"],
            &["gateway.toml:8: upstream.timeout:", "unit", "\"10s\""],
            &[
                "gateway.toml:9: upstream.max_inflight:",
                "did you mean upstream.max_in_flight?",
            ],
            &["gateway.toml:11: coap.ack_random_factor:", "from 1 to 10"],
            &["gateway.toml:12: coap.max_body:", "64KiB"],
            &["gateway.toml:13: this is not TOML"],
            &["gateway.toml:15: dtls.versions:", "text of 3 characters"],
            &["gateway.toml:16: dtls.mtu:", "256"],
            &["gateway.toml:18: log.level:", "text of 4 characters"],
            &["gateway.toml:19: log.format:", "\"text\" or \"json\""],
            &[
                "COAPS_GATEWAY__COAP__NSTRAT: coap.nstrat:",
                "did you mean coap.nstart?",
            ],
            &[
                "COAPS_GATEWAY__LIMITS__SESSIONS: limits.sessions:",
                "out of range",
            ],
            &[
                "COAPS_GATEWAY__SERVER__CERTIFICATE: server.certificate:",
                "no such file",
                "coaps-gateway certs",
            ],
        ],
    );
}

#[test]
fn an_upstream_is_scheme_host_port_and_perhaps_a_path() {
    let place = Place::new();
    for bad in [
        "",
        "thingsboard",
        "ftp://host",
        "http://",
        "http://h/api/v1",
        "http://h?a",
        "http://h#a",
        "http://u@h",
    ] {
        let result = place.load("", &[("COAPS_GATEWAY__UPSTREAM__URL", bad)]);
        assert_mistakes(result, &[&["COAPS_GATEWAY__UPSTREAM__URL: upstream.url:"]]);
    }
    for (good, kept) in [
        ("HTTP://Host:80/", "http://host"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://proxy/iot/tb/", "https://proxy/iot/tb"),
    ] {
        let (config, _) = place
            .load("", &[("COAPS_GATEWAY__UPSTREAM__URL", good)])
            .unwrap();
        assert_eq!(config.upstream.url.to_string(), kept);
    }
}

#[test]
fn what_works_but_probably_not_as_intended_is_warned_about() {
    let place = Place::new();
    let environment = [
        ("COAPS_GATEWAY_COAP_NSTART", "2"),
        ("COAPS_GATEWAY__CLIENTS__TRUST_ANCHORS", ""),
        ("COAPS_GATEWAY__UPSTREAM__URL", "http://thingsboard.example"),
        ("COAPS_GATEWAY__COAP__PIGGYBACK_TIMEOUT", "2s"),
    ];
    let file = place.write("gateway.toml", "");
    let later = UnixTime::since_unix_epoch(Duration::from_secs(NOW + 820 * 24 * 3600));
    let (config, warnings) =
        Config::load(Some(&file), place.environment(&environment), later).unwrap();
    assert_eq!(config.coap.nstart, 1);
    let warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    for expected in [
        "COAPS_GATEWAY__COAP__NSTART",
        "the registry alone decides",
        "unencrypted to another machine",
        "not shorter than coap.ack_timeout",
        "ends on 2028-04-05 00:00:00 UTC, in 5 days",
        "no registry",
    ] {
        assert!(
            warnings.iter().any(|warning| warning.contains(expected)),
            "{expected}: {warnings:#?}"
        );
    }
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
}

#[test]
fn a_file_that_can_not_be_read_is_one_mistake() {
    let place = Place::new();
    for (name, bytes, expected) in [
        ("garbage", vec![0xff, 0xfe, 0x00], "not text"),
        ("large", vec![b'#'; 2 * 1024 * 1024], "larger than 1.0 MiB"),
    ] {
        let file = place.write(name, bytes);
        let mistakes = Config::load(Some(&file), place.environment(&[]), now()).unwrap_err();
        assert!(
            mistakes.to_string().contains(expected) && mistakes.0.len() == 1,
            "{mistakes}"
        );
    }
    for path in [
        place.path("nowhere.toml"),
        place.path("certs"),
        "/dev/zero".into(),
    ] {
        assert_eq!(
            Config::load(Some(&path), place.environment(&[]), now())
                .unwrap_err()
                .0
                .len(),
            1
        );
    }
}

#[test]
fn keys_that_look_like_indices_of_huge_lists_are_just_unknown() {
    let result = Place::new().load(
        "\"coap[99999999999]\" = 1\n[\"a.b[9999999999]\"]\nc = 1\n",
        &[],
    );
    assert_mistakes(
        result,
        &[
            &["gateway.toml:1:", "no such key"],
            &["gateway.toml:3:", "no such key"],
        ],
    );
}

#[test]
fn a_key_must_belong_to_its_certificate_and_anchors_be_authorities() {
    let place = Place::new();
    let (key, leaf) = (
        place.path("certs/meter-17.key"),
        place.path("certs/meter-17.pem"),
    );
    let environment = [
        ("COAPS_GATEWAY__SERVER__PRIVATE_KEY", key.to_str().unwrap()),
        (
            "COAPS_GATEWAY__CLIENTS__TRUST_ANCHORS",
            leaf.to_str().unwrap(),
        ),
        ("COAPS_GATEWAY__UPSTREAM__CA", key.to_str().unwrap()),
    ];
    assert_mistakes(
        place.load("", &environment),
        &[
            &[
                "PRIVATE_KEY: server.private_key:",
                "does not belong",
                "certs/server.pem was made for",
            ],
            &["TRUST_ANCHORS: clients.trust_anchors:", "not an authority"],
            &["CA: upstream.ca:", "private key, not a certificate"],
        ],
    );
}

#[test]
fn nesting_without_end_is_a_mistake_and_not_a_stack_overflow() {
    let place = Place::new();
    let deep = 100_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}1", "{a = ".repeat(deep)),
        format!("[coap]\nnstart{} = 1", ".a".repeat(deep)),
        format!("[a{}]\nb = 1", ".a".repeat(deep)),
    ] {
        assert!(place.load(&text, &[]).is_err());
    }
}

#[test]
fn a_configuration_cut_short_anywhere_is_read_without_panic() {
    let place = Place::new();
    let text = "[coap]\nack_timeout = \"2s\"\nnstart = 1\n[dtls]\nversions = [\"1.2\", \"1.3\"]\nmtu = 1200\n";
    let fine = (0..=text.len())
        .filter(|length| place.load(&text[..*length], &[]).is_ok())
        .count();
    // At least the line ends, and not all.
    assert!((6..text.len() / 2).contains(&fine), "{fine}");
}

#[test]
fn a_server_certificate_outside_its_dates_is_used_with_a_warning() {
    let place = Place::new();
    let file = place.write("gateway.toml", "");
    for (days, expected) in [
        (-2, "begins on 2025-12-31 00:00:00 UTC only"),
        (0, ""),
        (826, "ended on 2028-04-05"),
    ] {
        let now = NOW.checked_add_signed(days * 24 * 3600).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let (_, warnings) = Config::load(Some(&file), place.environment(&[]), now).unwrap();
        let dates: Vec<_> = warnings
            .iter()
            .filter(|warning| warning.key == "server.certificate")
            .collect();
        match expected {
            "" => assert!(dates.is_empty(), "{dates:?}"),
            _ => assert!(
                dates.len() == 1 && dates[0].message.contains(expected),
                "{dates:?}"
            ),
        }
    }
}
