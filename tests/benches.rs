//! `benches/run`, with everything small: it measures all that it promises, and without an error. What it measures here
//! says nothing, in a debug build and half a second each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::process::run;

/// A build of the examples included, should there be none.
const WITHIN: Duration = Duration::from_secs(600);

const SMALL: &str =
    "--profile dev --rounds 1 --seconds 0.5 --sessions 5 --idle 0,20 --storm 40 --flood 500";

/// The rows of the table under a heading, cell by cell.
fn table(report: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = report
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no {heading:?} in {report}"));
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn one_small_round_measures_everything_that_is_promised_without_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("benches/run"));
    command
        .args(SMALL.split_whitespace())
        .arg("--out")
        .arg(file("RESULTS.md"))
        .arg("--json")
        .arg(file("results.json"));
    let ended = run(&mut command, WITHIN);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");

    let report = std::fs::read_to_string(file("RESULTS.md")).unwrap();
    let figures: Value =
        serde_json::from_str(&std::fs::read_to_string(file("results.json")).unwrap()).unwrap();
    assert_eq!(figures["errors"], json!([]), "{report}");
    let rounds = figures["rounds"].as_object().unwrap();
    let rates = rounds.iter().filter(|(name, _)| {
        let last = name.rsplit('.').next().unwrap();
        ["rate", "per_core", "before", "during", "sent", "p50"].contains(&last)
    });
    let rates: Vec<_> = rates.collect();
    // Seven loops of requests, three of handshakes, two storms, two floods.
    assert!(rates.len() >= 7 * 2 + 3 * 3 + 2 * 2 + 2 * 3, "{rates:?}");
    for (name, values) in rates {
        let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
        assert!(
            values.as_object().unwrap().values().all(positive),
            "{name}: {values}"
        );
    }

    let bars = table(&report, "Ratios, and what was promised");
    let (controls, promises): (Vec<_>, Vec<_>) = bars.iter().partition(|bar| bar[1] == "control");
    assert_eq!((controls.len(), promises.len()), (1, 14), "{report}");
    for bar in &bars {
        assert!(bar[2].starts_with(|c: char| c.is_ascii_digit()), "{bar:?}");
    }
    for bar in promises {
        assert!(["meets", "misses"].contains(&bar[3].as_str()), "{bar:?}");
    }
    // Right below the ratio that it is to be seen beside.
    assert_eq!(controls[0], &bars[6], "{report}");
    assert!(bars[5][0].starts_with("p99 latency at half"), "{report}");
    assert_eq!(controls[0][3], "–", "{report}");
    for (heading, rows) in [
        ("Telemetry and GETs", 7),
        ("Processor time a request", 7),
        ("Handshakes", 3),
        ("Resident memory", 4),
        ("The storm", 8),
        ("The flood", 2),
    ] {
        let found = table(&report, heading);
        assert_eq!(found.len(), rows, "{heading}: {found:?}");
    }
    // Fleets of a few that came all at once, and one that came beside the flood.
    for bar in bars.iter().filter(|bar| bar[1].contains("every time")) {
        assert_eq!(bar[3], "meets", "{bar:?}");
    }
}

#[test]
fn what_is_missing_is_told_before_anything_is_measured() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/run");
    // Python itself, by its path, and none of the programs that it wants.
    let python = run(
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]),
        WITHIN,
    );
    let python = String::from_utf8_lossy(&python.stdout).trim().to_owned();
    let told = |parts: &[&str]| {
        let mut command = Command::new(&python);
        command.arg(&script).args(parts);
        command.env("PATH", "").env("CARGO", "no-such-cargo");
        let ended = run(&mut command, WITHIN);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        said
    };
    let said = told(&[]);
    for program in [
        "coap-server-openssl",
        "coap-server-gnutls",
        "taskset",
        "cargo",
    ] {
        assert!(said.contains(program), "{said}");
    }
    assert!(said.contains("apt-get install libcoap3-bin"), "{said}");
    // Latency alone wants the one server that is its control.
    let said = told(&["--only", "latency"]);
    assert!(said.contains("coap-server-gnutls"), "{said}");
    assert!(!said.contains("coap-server-openssl"), "{said}");
}
