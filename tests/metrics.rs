//! The metrics of the real binary: valid for Prometheus, without names of devices, and as documented.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs};
use test_support::admin::Admin;
use test_support::closed_port::ClosedPort;
use test_support::coap::{ACK, BLOCK1, Message, OBSERVE, get, post};
use test_support::device::code;
use test_support::scrape::{Kind, Scrape};
use test_support::world::{METER_TOKEN, Options, PUMP_TOKEN, World, eventually};

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
async fn requests_and_sessions_are_counted() {
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
    let ok = [("kind", "request"), ("outcome", "ok")];
    assert_eq!(after.value("coaps_gateway_upstream_calls_total", &ok), 1.0);
    let duration = "coaps_gateway_upstream_call_duration_seconds";
    let kind = [("kind", "request")];
    assert_eq!(after.value(&format!("{duration}_count"), &kind), 1.0);
    assert!(after.value(&format!("{duration}_sum"), &kind) > 0.0);
    assert_eq!(after.value("coaps_gateway_upstream_reachable", &[]), 1.0);
    let certificates = after.all("coaps_gateway_certificate_days_left");
    let kinds: BTreeSet<&str> = certificates
        .iter()
        .map(|sample| sample.labels["certificate"].as_str())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["server", "trust_anchor"]));
    assert!(certificates.iter().all(|sample| sample.value > 1.0));
    assert!(after.value("process_resident_memory_bytes", &[]) > 1e6);
    // Counters never decrease, and no sample disappears.
    for sample in &before.samples {
        let name = &sample.name;
        if name.ends_with("_total") || name.ends_with("_count") {
            assert!(after.value_of(sample) >= sample.value, "{sample:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observations_and_refused_handshakes_are_counted() {
    let (world, admin) = world();
    let meter = world.meter().await;
    let registration = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
    assert_eq!(code(&meter.request(registration).await), "2.03");
    let seen = scrape(&admin);
    let rpc = [("resource", "rpc")];
    assert_eq!(seen.value("coaps_gateway_observations", &rpc), 1.0);
    assert_eq!(seen.value("coaps_gateway_observations_parked", &[]), 0.0);
    let poll = [("kind", "poll")];
    assert_eq!(seen.value("coaps_gateway_upstream_calls_open", &poll), 1.0);
    let polls = [("bound", "relay.max_polls")];
    assert_eq!(seen.value("coaps_gateway_bound_used", &polls), 1.0);
    assert_eq!(seen.value("coaps_gateway_bound", &polls), 6000.0);
    drop(meter);
    // A certificate of another authority is refused.
    let other = test_support::certificates::Authority::new("Another CA");
    let unknown = other.device("unknown");
    let refused = test_support::device::Device::try_connect(
        world.address,
        Some(&unknown),
        &world.authority.pem,
    );
    assert!(refused.await.is_err());
    let unknown_issuer = [("outcome", "unknown_issuer")];
    let seen = scrape(&admin);
    assert_eq!(
        seen.value("coaps_gateway_handshakes_total", &unknown_issuer),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_messages_over_mqtt_are_counted() {
    let world = World::with(&Options {
        admin: true,
        mqtt: true,
        ..Options::default()
    });
    let admin = Admin::of(&world.gateway);
    let meter = world.meter().await;
    for feature in ["attributes", "rpc"] {
        let registration = get(&["api", "v1", feature]).option(OBSERVE, []);
        assert!(code(&meter.request(registration).await).starts_with("2.0"));
    }
    let value = |name: &str, labels: &[(&str, &str)]| {
        scrape(&admin).value(&format!("coaps_gateway_mqtt_{name}"), labels)
    };
    for resource in ["attributes", "rpc"] {
        for state in ["wanted", "working"] {
            eventually("a subscription", || {
                value("subscriptions", &[("resource", resource), ("state", state)]) == 1.0
            });
        }
    }
    let shared = "/simulator/devices/meter-17/attributes/shared";
    world.simulator.post(shared, &json!({"interval": 7}));
    let message = Message::decode(&meter.receive().await);
    let acknowledgement = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    meter.send(&acknowledgement.encode()).await;
    eventually("its PUBACK", || {
        value("pubacks_total", &[("event", "sent")]) == 1.0
    });
    let received = [("resource", "attributes")];
    assert_eq!(value("messages_received_total", &received), 1.0);
    let no_time = post(
        &["api", "v1", "telemetry"],
        r#"{"ts":"x","values":{"a":1}}"#,
    );
    assert_eq!(code(&meter.request(no_time).await), "5.00");
    assert_eq!(value("requests_refused_total", &[("reason", "body")]), 1.0);
    assert_eq!(value("connections_opened_total", &[]), 1.0);
    assert_eq!(value("request_bytes", &[]), 0.0);
    eventually("one connection", || {
        // The check of readiness has one of its own, for a moment.
        value("connections", &[("state", "open")]) == 1.0
    });
    let connections = [("bound", "upstream.max_connections")];
    let seen = scrape(&admin);
    assert_eq!(seen.value("coaps_gateway_bound_used", &connections), 1.0);
    assert_eq!(seen.value("coaps_gateway_bound", &connections), 20_000.0);
    let connection = "/simulator/devices/meter-17/mqtt";
    world.simulator.control("DELETE", connection, "");
    eventually("it is open again", || {
        value("connections_opened_total", &[]) == 2.0
    });
    assert_eq!(value("connections_ended_total", &[("reason", "lost")]), 1.0);
}

/// So a stalled ThingsBoard can't make devices fill the gateway's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_blocks_counts_for_body_bytes_until_its_puback() {
    let world = World::with(&Options {
        admin: true,
        mqtt: true,
        ..Options::default()
    });
    let admin = Admin::of(&world.gateway);
    let held = || {
        let bodies = [("bound", "coap.body_bytes")];
        let seen = scrape(&admin);
        let in_flight = seen.value("coaps_gateway_mqtt_request_bytes", &[]);
        (seen.value("coaps_gateway_bound_used", &bodies), in_flight)
    };
    let delay = json!({"pubackDelayMs": 2000});
    world.simulator.put("/simulator/mqtt", &delay);
    let meter = world.meter().await;
    let body = format!(r#"{{"t":"{}"}}"#, "x".repeat(20_000 - 8));
    let upload = tokio::spawn(async move {
        let mut last = String::new();
        let blocks: Vec<&[u8]> = body.as_bytes().chunks(1024).collect();
        for (number, block) in (0_u32..).zip(&blocks) {
            let more = u32::from(usize::try_from(number).unwrap() + 1 < blocks.len());
            let block1 = (number << 4 | more << 3 | 6).to_be_bytes();
            let request = post(&["api", "v1", "telemetry"], "")
                .option(BLOCK1, &block1[1..])
                .payload(block);
            last = code(&meter.request(request).await);
        }
        last
    });
    eventually("it is in flight", || held() == (20_000.0, 20_000.0));
    assert_eq!(upload.await.unwrap(), "2.01");
    eventually("it has ended", || held() == (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_label_contains_a_device_an_address_or_a_token() {
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
    // A label has few values, whatever devices send.
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
fn an_unreachable_upstream_is_reported() {
    let closed = ClosedPort::bind();
    let world = World::with(&Options {
        admin: true,
        url: Some(closed.url()),
        ..Options::default()
    });
    let seen = scrape(&Admin::of(&world.gateway));
    assert_eq!(seen.value("coaps_gateway_upstream_reachable", &[]), 0.0);
}

/// The label names of a family, and their values if these do not depend on devices, requests or files.
fn labels(seen: &Scrape, family: &str) -> BTreeMap<String, BTreeSet<String>> {
    if family == "coaps_gateway_requests" {
        // No request has been answered yet, so there is no sample.
        let names = ["method", "resource", "code"].map(str::to_owned);
        return names.map(|name| (name, BTreeSet::new())).into();
    }
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let of_files = family.starts_with("coaps_gateway_certificate_");
    for sample in seen.samples.iter().filter(|one| one.family == family) {
        for (label, value) in &sample.labels {
            let values = labels.entry(label.clone()).or_default();
            if !of_files && !["le", "version"].contains(&label.as_str()) {
                values.insert(value.clone());
            }
        }
    }
    labels.remove("le");
    labels
}

/// The tables of docs/metrics.md.
fn tables(seen: &Scrape) -> String {
    let mut metrics = "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    let mut values = "| Metric | Label | Values |\n|---|---|---|\n".to_owned();
    let quoted = |words: Vec<&String>| -> String {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };
    for (family, kind) in &seen.families {
        let (kind, name) = match kind {
            Kind::Counter => ("counter", format!("{family}_total")),
            Kind::Gauge => ("gauge", family.clone()),
            Kind::Histogram => ("histogram", family.clone()),
        };
        let labels = labels(seen, family);
        let names = match quoted(labels.keys().collect()) {
            none if none.is_empty() => "–".to_owned(),
            names => names,
        };
        let meaning = &seen.help[family];
        metrics += &format!("| `{name}` | {kind} | {names} | {meaning} |\n");
        for (label, of_label) in labels {
            if of_label.len() > 1 {
                let all = quoted(of_label.iter().collect());
                values += &format!("| `{name}` | `{label}` | {all} |\n");
            }
        }
    }
    format!("{metrics}\n## Values of labels\n\n{values}")
}

const BEGIN: &str = "<!-- The metrics: made by `UPDATE=1 cargo test --test metrics` -->\n\n";
const END: &str = "\n<!-- End of the metrics -->\n";

#[test]
fn the_tables_of_the_metrics_document_are_what_the_gateway_exposes() {
    let (_world, admin) = world();
    let seen = scrape(&admin);
    assert!(seen.families.len() > 50, "{}", seen.families.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("where they begin");
    let (listed, after) = rest.split_once(END).expect("where they end");
    let exposed = tables(&seen);
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, [before, BEGIN, &exposed, END, after].concat()).unwrap();
        return;
    }
    for line in exposed.lines() {
        assert!(
            listed.lines().any(|listed| listed == line),
            "docs/metrics.md lacks this line: {line}\nUPDATE=1 cargo test --test metrics writes it"
        );
    }
    assert_eq!(listed, exposed, "docs/metrics.md lists what is not exposed");
}

#[test]
fn every_metric_that_a_document_names_exists() {
    let (_world, admin) = world();
    let seen = scrape(&admin);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut checked, mut wrong) = (0, Vec::new());
    for folder in [".", "docs", "deploy", "deploy/kubernetes"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            // The changelog also names removed metrics.
            let is_document = path.extension().is_some_and(|extension| extension == "md");
            if !is_document || path.ends_with("CHANGELOG.md") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            // `coaps_gateway_certificate_*` stands for several.
            let names =
                words.filter(|word| word.starts_with("coaps_gateway_") && !word.ends_with('_'));
            for name in names {
                checked += 1;
                let is_family = seen.families.contains_key(name.trim_end_matches("_total"));
                if !is_family && !seen.has(name) {
                    wrong.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 60, "{checked}");
}

/// The labels in an expression's selectors and groups.
fn labels_used(expression: &str) -> Vec<&str> {
    let groups = expression.split("by (").skip(1);
    let groups = groups.flat_map(|rest| rest.split(')').next().unwrap().split(','));
    let selectors = expression.split('{').skip(1);
    let selectors = selectors.flat_map(|rest| rest.split('}').next().unwrap().split(", "));
    let selectors = selectors.map(|one| one.split(['=', '!']).next().unwrap());
    groups.chain(selectors).map(str::trim).collect()
}

#[test]
fn the_dashboard_uses_only_metrics_that_exist() {
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
            let mut known = BTreeSet::from(["job", "instance", "le"].map(str::to_owned));
            for name in names {
                assert!(seen.has(name), "{title}: {name} does not exist");
                let of_histogram = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
                let stem = of_histogram.into_iter().flatten().next().unwrap_or(name);
                let family = stem.trim_end_matches("_total");
                known.extend(labels(&seen, family).into_keys());
            }
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let used = labels_used(expression)
                .into_iter()
                .chain(legend.split("{{").skip(1));
            for label in used.map(|label| label.split("}}").next().unwrap().trim()) {
                assert!(known.contains(label), "{title}: no label {label}");
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
            "MQTT",
            "Observe",
            "Packages",
            "Bounds",
            "Process and certificates",
            "Stored sessions"
        ]
    );
    assert!(expressions > 30, "{expressions}");
}
