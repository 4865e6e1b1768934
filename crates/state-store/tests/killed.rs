//! A process that writes is killed, again and again: what was synced is there, and no send number is used twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use state_store::{SendNumbers, Settings, StoreKey};
use std::collections::{HashMap, HashSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

/// The directory of the process that is killed.
const DIRECTORY: &str = "STATE_STORE_TEST_DIRECTORY";
const SESSIONS: u64 = 50;
const KILLS: u32 = 25;

struct Session {
    key: u64,
    next: u64,
    numbers: SendNumbers,
}

fn row(key: u64, next: u64) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&key.to_be_bytes()[..], &next.to_be_bytes(), &[7; 200]].concat())
}

fn number(row: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(row[at..at + 8].try_into().unwrap())
}

/// Opens the store, prints what it restores, and sends and writes until it is killed.
fn write_until_killed(directory: &Path) {
    let mut out = std::io::stdout().lock();
    let key = StoreKey::load_or_create(&directory.join("key"))
        .unwrap()
        .key;
    let opened = state_store::open(&directory.join("state"), &key).unwrap();
    assert_eq!(opened.set_aside(), None);
    let mut sessions = Vec::new();
    let opened = opened.restore(|stored| {
        let key = number(&stored.row, 0);
        assert_eq!(key, stored.key);
        writeln!(out, "restored {key} {}", number(&stored.row, 8)).unwrap();
        sessions.push(Session {
            key,
            next: number(&stored.row, 8).max(stored.first_send_number),
            numbers: stored.numbers,
        });
        true
    });
    let settings = Settings {
        interval: Duration::from_millis(1),
        ..Settings::new(1000)
    };
    let store = opened.unwrap().start(settings, |_| {}).unwrap();
    // Rows are written in any order, so that any of them may be missing.
    let restored: HashSet<u64> = sessions.iter().map(|session| session.key).collect();
    for key in (0..SESSIONS).filter(|key| !restored.contains(key)) {
        writeln!(out, "new {key}").unwrap();
        sessions.push(Session {
            key,
            next: 0,
            numbers: SendNumbers::of_new_session(),
        });
    }
    writeln!(out, "begun").unwrap();
    let mut random = fastrand::Rng::new();
    loop {
        let session = random.choice(&mut sessions).unwrap();
        if session.numbers.limit(store.synced()).allows(session.next) {
            // Before it is used: a line that is not written any more makes the test weaker, and not wrong.
            writeln!(out, "used {} {}", session.key, session.next).unwrap();
            // In steps, so that blocks are used up.
            session.next += random.u64(1..200_000);
        }
        let row = row(session.key, session.next);
        store
            .put_session(session.key, &mut session.numbers, session.next, row)
            .unwrap();
        if random.u8(..100) == 0 {
            while store.report().pending > 0 {
                std::thread::yield_now();
            }
            let Session { key, next, .. } = session;
            writeln!(out, "synced {key} {next}").unwrap();
        }
    }
}

#[test]
fn no_number_is_used_twice_and_nothing_that_was_synced_is_lost_by_kills() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        write_until_killed(&PathBuf::from(directory));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    let mut used = HashSet::new();
    let mut synced = HashMap::new();
    let (mut restored, mut all_used) = (0, 0);
    for _ in 0..KILLS {
        let mut child = start(directory.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut left = random.u32(1..3000);
        let mut found = HashMap::new();
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            // The line in which it was killed has no end.
            let Some(whole) = line.strip_suffix('\n') else {
                break;
            };
            let words: Vec<&str> = whole.split(' ').collect();
            match words[..] {
                ["restored", key, next] => {
                    found.insert(parse(key), parse(next));
                    restored += 1;
                }
                // Of the one before no row was written: it has ended, and this one has other keys.
                ["new", key] => {
                    let key = parse(key);
                    used.retain(|(of, _)| *of != key);
                }
                ["begun"] => {
                    for (key, next) in &synced {
                        let found: Option<&u64> = found.get(key);
                        assert!(
                            found >= Some(next),
                            "session {key}: {next} was synced, {found:?} is found"
                        );
                    }
                }
                ["used", key, number] => {
                    let (key, number) = (parse(key), parse(number));
                    assert!(
                        used.insert((key, number)),
                        "number {number} of session {key} is used twice"
                    );
                    all_used += 1;
                }
                ["synced", key, next] => {
                    synced.insert(parse(key), parse(next));
                }
                // What the test harness prints.
                _ => {}
            }
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
            line.clear();
        }
        child.wait().unwrap();
    }
    assert!(all_used > 1_000, "{all_used}");
    assert!(restored > 100, "{restored}");
    assert!(!synced.is_empty());
}

fn parse(text: &str) -> u64 {
    text.parse().unwrap()
}

fn start(directory: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([
        "--exact",
        "no_number_is_used_twice_and_nothing_that_was_synced_is_lost_by_kills",
        "--nocapture",
    ]);
    command.env(DIRECTORY, directory).stdout(Stdio::piped());
    command.spawn().unwrap()
}
