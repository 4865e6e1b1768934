//! `benches/run` with small numbers: it measures everything that the report needs, without an error. The figures
//! themselves mean nothing, in a debug build and with half a second for each measurement.
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

/// Includes a build of the measured programs, if they are not built.
const WITHIN: Duration = Duration::from_secs(600);

const SMALL: &str = "--profile dev --rounds 1 --seconds 0.5 --sessions 5 --idle 0,10,20 --storm 40 --moved 20 --flood 500 --observing 20 --commanded 20 --stored 10,20";

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
fn one_small_round_measures_every_target_without_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("benches/run"));
    command
        .args(SMALL.split_whitespace())
        // Compared with itself.
        .args(["--baseline", env!("CARGO_BIN_EXE_coaps-gateway")])
        .arg("--out")
        .arg(file("RESULTS.md"))
        .arg("--json")
        .arg(file("results.json"));
    let ended = run(&mut command, WITHIN);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stderr}");

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
    // Twelve loops of requests, five of handshakes, two storms, two floods, moves, commands.
    assert!(rates.len() > 12 * 2 + 5 * 3 + 2 * 2 + 2 * 3, "{rates:?}");
    for (name, values) in rates {
        let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
        assert!(
            values.as_object().unwrap().values().all(positive),
            "{name}: {values}"
        );
    }

    let rows = table(&report, "Ratios and targets");
    let (controls, targets): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row[1] == "control");
    assert_eq!((controls.len(), targets.len()), (1, 38), "{report}");
    for row in &rows {
        // So few devices may take less memory than as many in another process.
        let begins = |c: char| c.is_ascii_digit() || c == '-';
        assert!(row[2].starts_with(begins), "{row:?}");
    }
    for target in targets {
        assert!(
            ["meets", "misses"].contains(&target[3].as_str()),
            "{target:?}"
        );
    }
    // The control is right below the ratio that it is compared with.
    assert_eq!(controls[0], &rows[13], "{report}");
    assert!(rows[12][0].starts_with("p99 latency at half"), "{report}");
    assert_eq!(controls[0][3], "–", "{report}");
    for (heading, rows) in [
        ("Telemetry and GETs", 12),
        ("Processor time of a request", 12),
        ("Handshakes", 5),
        ("Resident memory", 6),
        ("Other ports", 5),
        ("Stored sessions", 14),
        ("Many devices at once", 8),
        ("Forged ClientHellos", 2),
        ("Observing devices", 4),
        // One for each step.
        (
            "Processor time stolen",
            2 + 2 + 3 + 2 + 5 + 3 + 4 + 1 + 4 + 1 + 1 + 5 + 2 + 2,
        ),
    ] {
        let found = table(&report, heading);
        assert_eq!(found.len(), rows, "{heading}: {found:?}");
    }
    let stolen = rounds
        .iter()
        .filter(|(name, _)| name.starts_with("stolen."));
    let stolen: Vec<_> = stolen.map(|(_, values)| values["1"].as_f64()).collect();
    let share = |percent: &Option<f64>| percent.is_some_and(|one| (0.0..=100.0).contains(&one));
    assert!(stolen.len() == 37 && stolen.iter().all(share), "{stolen:?}");
    // A few devices that connect at once or move, one during the flood, and those of a restart meet their targets even in
    // this build.
    let is_met = |row: &&Vec<String>| {
        let of = ["commands lost", "another port", "without a handshake"];
        row[1].contains("every time") || of.iter().any(|what| row[0].contains(what))
    };
    for row in rows.iter().filter(is_met) {
        assert_eq!(row[3], "meets", "{row:?}");
    }
}

/// Prints the report's table of stolen time for a step; two files contain /proc/stat at its start and end.
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
steal.record(figures, 'a step', before)
print(report.stolen(figures))
";

#[test]
fn stolen_time_is_reported_as_a_share_of_all_time_or_as_not_known() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let reported = |before: &str, after: Option<&str>| {
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

    // A guest's time is included in the user's: 8 of 80 ticks were stolen, not 8 of 120.
    let before = "cpu  100 10 50 800 5 1 2 30 40 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
    let after = "cpu  140 10 60 820 6 2 2 38 80 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
    let share = reported(before, Some(after));
    assert!(share.contains("| a step | 10.0 % (10.0–10.0) |"), "{share}");

    for (before, after) in [
        // An old kernel, without the column.
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
        let share = reported(before, after);
        assert!(share.starts_with("Not known: "), "{after:?}: {share}");
    }
}

#[test]
fn missing_programs_are_listed_before_the_first_measurement() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/run");
    // With an empty PATH, Python is started by its path, and finds none of the programs that it needs.
    let python = run(
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]),
        WITHIN,
    );
    let python = String::from_utf8_lossy(&python.stdout).trim().to_owned();
    let errors = |parts: &[&str]| {
        let mut command = Command::new(&python);
        command.arg(&script).args(parts);
        command.env("PATH", "").env("CARGO", "no-such-cargo");
        let ended = run(&mut command, WITHIN);
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{stderr}");
        stderr
    };
    let stderr = errors(&[]);
    for program in [
        "coap-server-openssl",
        "coap-server-gnutls",
        "taskset",
        "cargo",
    ] {
        assert!(stderr.contains(program), "{stderr}");
    }
    assert!(stderr.contains("apt-get install libcoap3-bin"), "{stderr}");
    // Latency alone needs only the server that is its control.
    let stderr = errors(&["--only", "latency"]);
    assert!(stderr.contains("coap-server-gnutls"), "{stderr}");
    assert!(!stderr.contains("coap-server-openssl"), "{stderr}");
}
