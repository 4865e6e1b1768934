//! The README says what is so: its table of keys is the configuration's, and the log lines that it tells operators to look
//! for are there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table under a heading, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let (_, section) = readme
        .split_once(&format!("\n### {heading}\n"))
        .expect(heading);
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        let inner = row.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// Every key of the shipped file with its value, `section.key` and `value`.
fn keys() -> Vec<(String, String)> {
    let mut keys = Vec::new();
    let mut section = String::new();
    for line in read("config/gateway.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap().to_owned();
        } else if let Some((key, rest)) = line.trim_start_matches("# ").split_once(" = ")
            && !section.is_empty()
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let value = rest
                .split("  #")
                .next()
                .unwrap()
                .split(" #")
                .next()
                .unwrap();
            let default = match key {
                // Given in the file because `certs` makes it, or as an example.
                "trust_anchors" | "ca" | "admin" | "command_answer" => "none".to_owned(),
                _ => format!("`{}`", value.trim()),
            };
            keys.push((format!("`{section}.{key}`"), default));
        }
    }
    keys
}

#[test]
fn the_reference_has_every_key_with_its_default_in_the_order_of_the_file() {
    let rows = table("Configuration reference");
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert!(told.len() > 40, "{}", told.len());
    assert_eq!(told, keys());
}

/// All of the source as one line, continued string literals joined.
fn source(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, text);
        } else {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_log_line_that_troubleshooting_quotes_is_one_that_the_gateway_writes() {
    let mut text = String::new();
    source(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut text,
    );
    let text: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    let text = text.join(" ");
    let mut quoted = 0;
    for row in table("Troubleshooting") {
        for line in row[1].split('`').skip(1).step_by(2) {
            // Numbers and sources are filled in.
            let line = line.trim_end_matches("status 400").trim();
            assert!(text.contains(line), "nothing in src says {line:?}");
            quoted += 1;
        }
    }
    assert!(quoted > 20, "{quoted}");
}
