//! Holds the tests to the list of classes of faults in `classes.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use std::collections::BTreeSet;
use std::path::Path;

/// The numbers in the names of the tests: `class_21_and_22_…` has two.
fn tested() -> BTreeSet<u32> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut tested = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for name in text
            .lines()
            .filter_map(|line| line.strip_prefix("fn class_"))
        {
            let words = name.split('_');
            let numbers = words.take_while(|word| *word == "and" || word.parse::<u32>().is_ok());
            tested.extend(numbers.filter_map(|word| word.parse::<u32>().ok()));
        }
    }
    tested
}

#[test]
fn each_class_of_faults_has_a_test() {
    let list = include_str!("classes.md").lines();
    let rows = list.filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    let listed: BTreeSet<u32> = rows.collect();
    assert_eq!(listed, (1..=39).collect());
    assert_eq!(tested(), listed);
}
