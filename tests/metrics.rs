//! A scrape of the real binary: is it what Prometheus reads, does it move, and does it name nobody?
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use test_support::admin::Admin;
use test_support::coap::{OBSERVE, get, post};
use test_support::device::code;
use test_support::scrape::{Kind, Scrape};
use test_support::world::{METER_TOKEN, Options, PUMP_TOKEN, World, unreachable_url};

fn world() -> (World, Admin) {
    let world = World::with(&Options {
        admin: true,
        ..Options::default()
    });
    let admin = Admin::of(&world.gateway);
    (world, admin)
}

fn scrape(admin: &Admin) -> Scrape {
    let (status, text) = admin.get("/metrics");
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_devices_do_shows_in_the_counts() {
    let (world, admin) = world();
    let before = scrape(&admin);
    assert_eq!(before.value("coaps_gateway_devices_registered", &[]), 2.0);
    let completed = [("outcome", "completed")];
    assert_eq!(
        before.value("coaps_gateway_handshakes_total", &completed),
        0.0
    );
    let meter = world.meter().await;
    let telemetry = meter.request(post(&["api", "v1", "telemetry"], "{a:1}"));
    assert_eq!(code(&telemetry.await), "2.01");
    let nowhere = meter.request(get(&["api", "v1", "METER-17-WAS-HERE"]));
    assert_eq!(code(&nowhere.await), "4.00");
    let after = scrape(&admin);
    assert_eq!(
        after.value("coaps_gateway_handshakes_total", &completed),
        1.0
    );
    let sessions = [("certificate", "registered")];
    assert_eq!(after.value("coaps_gateway_sessions", &sessions), 1.0);
    for labels in [
        [
            ("method", "POST"),
            ("resource", "telemetry"),
            ("code", "2.01"),
        ],
        [("method", "GET"), ("resource", "unknown"), ("code", "4.00")],
    ] {
        assert_eq!(after.value("coaps_gateway_requests_total", &labels), 1.0);
    }
    let ok = [("lane", "request"), ("outcome", "ok")];
    assert_eq!(after.value("coaps_gateway_upstream_calls_total", &ok), 1.0);
    let duration = "coaps_gateway_upstream_call_duration_seconds";
    let lane = [("lane", "request")];
    assert_eq!(after.value(&format!("{duration}_count"), &lane), 1.0);
    assert!(after.value(&format!("{duration}_sum"), &lane) > 0.0);
    assert_eq!(after.value("coaps_gateway_upstream_reached", &[]), 1.0);
    let certificates = after.all("coaps_gateway_certificate_days_left");
    let kinds: BTreeSet<&str> = certificates
        .iter()
        .map(|sample| sample.labels["certificate"].as_str())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["server", "trust_anchor"]));
    assert!(certificates.iter().all(|sample| sample.value > 1.0));
    assert!(after.value("process_resident_memory_bytes", &[]) > 1e6);
    // Counts never fall, and nothing that was there goes.
    for sample in &before.samples {
        let name = &sample.name;
        if name.ends_with("_total") || name.ends_with("_count") {
            assert!(after.value_of(sample) >= sample.value, "{sample:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_observed_and_refused_shows_too() {
    let (world, admin) = world();
    let meter = world.meter().await;
    let registration = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
    assert_eq!(code(&meter.request(registration).await), "2.03");
    let seen = scrape(&admin);
    let rpc = [("resource", "rpc")];
    assert_eq!(seen.value("coaps_gateway_observations", &rpc), 1.0);
    assert_eq!(seen.value("coaps_gateway_observations_parked", &[]), 0.0);
    let poll = [("lane", "poll")];
    assert_eq!(seen.value("coaps_gateway_upstream_calls_open", &poll), 1.0);
    let polls = [("bound", "relay.max_polls")];
    assert_eq!(seen.value("coaps_gateway_bound_used", &polls), 1.0);
    assert_eq!(seen.value("coaps_gateway_bound", &polls), 6000.0);
    drop(meter);
    // No session of a stranger's certificate: its authority is not known.
    let other = test_support::certificates::Authority::new("Another CA");
    let stranger = other.device("stranger");
    let refused = test_support::device::Device::try_connect(
        world.address,
        Some(&stranger),
        &world.authority.pem,
    );
    assert!(refused.await.is_err());
    let unknown = [("outcome", "unknown_issuer")];
    let seen = scrape(&admin);
    assert_eq!(seen.value("coaps_gateway_handshakes_total", &unknown), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_label_names_a_device_an_address_or_a_token() {
    let (world, admin) = world();
    let (meter, pump) = (world.meter().await, world.connect(&world.pump).await);
    for device in [&meter, &pump] {
        for path in ["telemetry", "Meter-17", "pump-03"] {
            device.request(post(&["api", "v1", path], "{a:1}")).await;
        }
    }
    let (_, text) = admin.get("/metrics");
    let text = text.to_lowercase();
    let fingerprint = world.meter.fingerprint.to_lowercase();
    for secret in [
        "meter-17",
        "pump-03",
        "127.0.0.1",
        &METER_TOKEN.to_lowercase(),
        &PUMP_TOKEN.to_lowercase(),
        &fingerprint,
        &fingerprint.replace(':', ""),
        &world.simulator.address.port().to_string(),
    ] {
        let at = text
            .find(secret)
            .map(|at| &text[at.saturating_sub(80)..at + 20]);
        assert_eq!(at, None, "{secret}");
    }
    // A label has few values, whatever devices do.
    let mut values: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for sample in Scrape::read(&admin.get("/metrics").1).samples {
        for (label, value) in sample.labels {
            let of = (sample.name.clone(), label);
            values.entry(of).or_default().insert(value);
        }
    }
    assert!(values.len() > 40, "{}", values.len());
    assert!(
        values.values().all(|values| values.len() <= 20),
        "{values:?}"
    );
}

#[test]
fn an_upstream_that_can_not_be_reached_shows() {
    let world = World::with(&Options {
        admin: true,
        url: Some(unreachable_url()),
        ..Options::default()
    });
    let seen = scrape(&Admin::of(&world.gateway));
    assert_eq!(seen.value("coaps_gateway_upstream_reached", &[]), 0.0);
}

#[test]
fn the_readme_lists_every_metric_with_its_type_and_labels() {
    let (_world, admin) = world();
    let seen = scrape(&admin);
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once("\n### Metrics\n").expect("the section");
    let section = section.split("\n### ").next().expect("something in it");
    let mut listed = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels: BTreeSet<String> = cells[3]
            .split(", ")
            .filter(|label| *label != "–")
            .map(|label| label.trim_matches('`').to_owned())
            .collect();
        let name = cells[1].trim_matches('`').to_owned();
        assert!(cells[4].len() > 3, "{name} means something");
        let before = listed.insert(name.clone(), (cells[2].to_owned(), labels));
        assert_eq!(before, None, "{name} is listed twice");
    }
    let mut exposed = BTreeMap::new();
    for (name, kind) in &seen.families {
        let (kind, name) = match kind {
            Kind::Counter => ("counter", format!("{name}_total")),
            Kind::Gauge => ("gauge", name.clone()),
            Kind::Histogram => ("histogram", name.clone()),
        };
        let stem = name.trim_end_matches("_total");
        let labels = seen
            .samples
            .iter()
            .filter(|sample| sample.family == stem)
            .flat_map(|sample| sample.labels.keys().cloned())
            .filter(|label| label != "le");
        exposed.insert(name.clone(), (kind.to_owned(), labels.collect()));
    }
    // No request was answered yet, so nothing shows the labels of this one.
    let requests: BTreeSet<String> = ["method", "resource", "code"].map(str::to_owned).into();
    exposed.get_mut("coaps_gateway_requests_total").unwrap().1 = requests;
    assert!(exposed.len() > 50, "{}", exposed.len());
    for (name, what) in &exposed {
        assert_eq!(listed.get(name), Some(what), "{name} in README.md");
    }
    for name in listed.keys() {
        assert!(
            exposed.contains_key(name),
            "{name} of README.md is not there"
        );
    }
}

#[test]
fn the_dashboard_asks_for_nothing_that_is_not_there() {
    let (_world, admin) = world();
    let seen = scrape(&admin);
    let dashboard: Value = serde_json::from_str(include_str!("../deploy/grafana.json")).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables
            .iter()
            .any(|variable| variable["type"] == "datasource")
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut expressions, mut rows) = (BTreeSet::new(), 0, Vec::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        assert!(unit.is_string(), "{title} has a unit");
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 20, "{title} is described");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            expressions += 1;
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let names: Vec<&str> = words
                .filter(|word| word.starts_with("coaps_gateway_") || word.starts_with("process_"))
                .collect();
            assert!(!names.is_empty(), "{title}: {expression}");
            for name in names {
                assert!(seen.has(name), "{title}: {name} is not there");
            }
        }
    }
    assert_eq!(
        rows,
        [
            "Overview",
            "Devices",
            "Handshakes",
            "Requests",
            "ThingsBoard",
            "Observe",
            "Packages",
            "Bounds",
            "Process and certificates"
        ]
    );
    assert!(expressions > 30, "{expressions}");
}
