//! What the store costs: `cargo run --release -p state-store --example measure -- 10000`.
//!
//! Processor time is that of all threads, user and kernel.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a measurement owns its clock, and stops where something fails"
)]

use state_store::{Kind, SendNumbers, Settings, Store, StoreKey};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of a session at rest, if the client is known by its certificate and has two relations; of what is beside it, and of its device's relay and the key of that.
const ROW: usize = 235;
const WINDOW: usize = 18;
const RELAY: usize = 60;
const RELAY_KEY: usize = 16;

const STOP: Duration = Duration::from_secs(600);

fn processor() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    // Threads that have ended are included. Behind the name: the state is field 3, the two times are 14 and 15, in 1/100 s.
    let (_, fields) = text.rsplit_once(") ").unwrap();
    let times = fields.split(' ').skip(11).take(2);
    let ticks: u64 = times.map(|time| time.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

fn measure<T>(what: &str, rows: usize, run: impl FnOnce() -> T) -> T {
    let (began, before, bytes) = (Instant::now(), processor(), written());
    let result = run();
    let spent = processor() - before;
    println!(
        "{what:44} {:8.1} ms, processor {:8.1} ms = {:6.2} µs a row, written {:6} B a row",
        began.elapsed().as_secs_f64() * 1e3,
        spent.as_secs_f64() * 1e3,
        spent.as_secs_f64() * 1e6 / rows as f64,
        (written() - bytes) / rows as u64,
    );
    result
}

fn wait_until_synced(store: &Store) {
    while store.report().pending > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let key = StoreKey::from_hex(&"ab".repeat(32)).unwrap();
    let settings = Settings {
        interval: Duration::from_millis(100),
        ..Settings::new(4 * count)
    };
    let open = || {
        let opened = state_store::open(directory.path(), &key).unwrap();
        let mut sessions = Vec::new();
        let restored = opened.restore(|stored| {
            sessions.push((stored.key, stored.numbers));
            true
        });
        (restored.unwrap().start(settings, |_| {}).unwrap(), sessions)
    };
    let (store, _) = open();
    let mut row = vec![0; ROW];
    let mut random = fastrand::Rng::with_seed(1);
    measure("sessions that are new", count, || {
        for key in 0..count {
            random.fill(&mut row);
            let numbers = &mut SendNumbers::of_new_session();
            let row = Zeroizing::new(row.clone());
            store.put_session(key as u64, numbers, 0, row).unwrap();
        }
        wait_until_synced(&store);
    });
    measure("stop", count, || store.stop(STOP).unwrap());
    println!(
        "on disk: {} B a session",
        size(directory.path()) / count as u64
    );
    let (store, _) = open();
    measure("records that are new, keys random", count, || {
        for _ in 0..count {
            let (mut key, mut value) = ([0; RELAY_KEY], vec![0; RELAY]);
            random.fill(&mut key);
            random.fill(&mut value);
            let value = Zeroizing::new(value);
            store.put_record(Kind::RELAY, &key, value).unwrap();
        }
        wait_until_synced(&store);
    });
    store.stop(STOP).unwrap();
    println!(
        "on disk, with records: {} B a session",
        size(directory.path()) / count as u64
    );
    let (store, mut sessions) = measure("open and restore", count, open);
    measure(
        "the loop's part: windows of all, 20 times",
        20 * count,
        || {
            for _ in 0..20 {
                for (key, numbers) in &sessions {
                    store.put_window(*key, numbers, &[1; WINDOW]).unwrap();
                }
            }
        },
    );
    wait_until_synced(&store);
    measure("windows of all, 20 times", 20 * count, || {
        for _ in 0..20 {
            for (key, numbers) in &sessions {
                store.put_window(*key, numbers, &[1; WINDOW]).unwrap();
            }
            wait_until_synced(&store);
        }
    });
    measure("windows of a random tenth, 20 times", 2 * count, || {
        for _ in 0..20 {
            for _ in 0..count / 10 {
                let (key, numbers) = random.choice(&sessions).unwrap();
                store.put_window(*key, numbers, &[1; WINDOW]).unwrap();
            }
            wait_until_synced(&store);
        }
    });
    measure("rows of all, 20 times", 20 * count, || {
        for _ in 0..20 {
            for (key, numbers) in &mut sessions {
                store
                    .put_session(*key, numbers, 0, Zeroizing::new(row.clone()))
                    .unwrap();
            }
            wait_until_synced(&store);
        }
    });
    measure("rows of a random tenth, 20 times", 2 * count, || {
        for _ in 0..20 {
            for _ in 0..count / 10 {
                let (key, numbers) = random.choice(&mut sessions).unwrap();
                store
                    .put_session(*key, numbers, 0, Zeroizing::new(row.clone()))
                    .unwrap();
            }
            wait_until_synced(&store);
        }
    });
    println!(
        "on disk, running: {} B a session",
        size(directory.path()) / count as u64
    );
    for (key, numbers) in &sessions {
        store.put_window(*key, numbers, &[1; WINDOW]).unwrap();
    }
    measure("stop", count, || store.stop(STOP).unwrap());
    println!(
        "on disk: {} B a session",
        size(directory.path()) / count as u64
    );
    measure("open and restore", count, open)
        .0
        .stop(STOP)
        .unwrap();
}
