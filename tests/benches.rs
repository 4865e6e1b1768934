//! `benches/run`, with everything small: it measures all that it promises, and without an error. What it measures here
//! says nothing, in a debug build and half a second each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use test_support::process::run;

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

    let bars = table(&report, "Ratios and targets");
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
        ("Processor time of a request", 7),
        ("Handshakes", 3),
        ("Resident memory", 4),
        ("Many devices at once", 8),
        ("Forged ClientHellos", 2),
        // One for each step.
        ("Processor time stolen", 2 + 2 + 3 + 3 + 2 + 2 + 2),
    ] {
        let found = table(&report, heading);
        assert_eq!(found.len(), rows, "{heading}: {found:?}");
    }
    let stolen = rounds
        .iter()
        .filter(|(name, _)| name.starts_with("stolen."));
    let stolen: Vec<_> = stolen.map(|(_, values)| values["1"].as_f64()).collect();
    let share = |percent: &Option<f64>| percent.is_some_and(|one| (0.0..=100.0).contains(&one));
    assert!(stolen.len() == 16 && stolen.iter().all(share), "{stolen:?}");
    // Fleets of a few that came all at once, and one that came beside the flood.
    for bar in bars.iter().filter(|bar| bar[1].contains("every time")) {
        assert_eq!(bar[3], "meets", "{bar:?}");
    }
}

/// Prints what the report says of a step, at whose start and end /proc/stat was as in two files.
const STOLEN: &str = "
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runner import report, steal
from runner.figures import Figures
figures = Figures()
steal.STAT = Path(sys.argv[2])
before = steal.Ticks.now()
steal.STAT = Path(sys.argv[3])
steal.met(figures, 'a step', before)
print(report.stolen(figures))
";

#[test]
fn what_the_hypervisor_took_is_told_as_a_share_of_all_time_or_as_not_known() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let told = |before: &str, after: Option<&str>| {
        std::fs::write(file("before"), before).unwrap();
        match after {
            Some(after) => std::fs::write(file("after"), after).unwrap(),
            None => std::fs::remove_file(file("after")).unwrap(),
        }
        let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        let mut python = Command::new("python3");
        python.args(["-B", "-c", STOLEN]).arg(benches);
        let ended = run(python.arg(file("before")).arg(file("after")), WITHIN);
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    };

    // A guest's time is the user's already: what is stolen is 8 of 80 here, not of 120.
    let before = "cpu  100 10 50 800 5 1 2 30 40 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
    let after = "cpu  140 10 60 820 6 2 2 38 80 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
    let share = told(before, Some(after));
    assert!(share.contains("| a step | 10.0 % (10.0–10.0) |"), "{share}");

    for (before, after) in [
        // Of an old kernel, without the column.
        (
            "cpu  100 10 50 800 5 1 2\n",
            Some("cpu  140 10 60 820 6 2 2\n"),
        ),
        (before, Some("cpu0 140 10 60 820 6 2 2 38\n")),
        (before, Some("cpu  140 10 60 820 6 2 2 more\n")),
        (before, Some("\n")),
        (before, Some("")),
        // The counter stands still, or goes back.
        (before, Some(before)),
        (before, Some("cpu  140 10 60 820 6 2 2 29 80 0\n")),
        (before, None),
    ] {
        let share = told(before, after);
        assert!(share.starts_with("Not known: "), "{after:?}: {share}");
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
