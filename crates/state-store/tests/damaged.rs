//! Databases that are damaged, newer, of another key, or in use.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use state_store::{
    Kind, MAX_RECORD_KEY, OpenError, Opened, Reason, SendNumbers, Settings, Store, StoreKey,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Kinds of records that these tests know, the last of which is one of a later version.
const KINDS: [Kind; 3] = [Kind::RELAY, Kind::AUTHORITY_PATH, Kind(9)];

/// What a store has.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Rows {
    /// By key: the row, and what is beside it.
    sessions: BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)>,
    records: BTreeMap<(Kind, Vec<u8>), Vec<u8>>,
}

impl Rows {
    fn len(&self) -> usize {
        self.sessions.len() + self.records.len()
    }
}

fn key(byte: u8) -> StoreKey {
    StoreKey::from_hex(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn open(directory: &Path) -> Opened {
    state_store::open(directory, &key(1)).unwrap()
}

fn settings() -> Settings {
    Settings {
        interval: Duration::from_millis(1),
        ..Settings::new(10_000)
    }
}

fn start(mut opened: Opened) -> (Store, Rows) {
    let mut rows = Rows::default();
    for kind in KINDS {
        let mut keep = |key: &[u8], value: Zeroizing<Vec<u8>>| {
            let before = rows.records.insert((kind, key.to_vec()), value.to_vec());
            assert_eq!(before, None);
            true
        };
        opened.restore_records(kind, &mut keep).unwrap();
    }
    let restored = opened.restore(|stored| {
        let window = stored.window.map(|window| window.to_vec());
        let row = (stored.row.to_vec(), window);
        rows.sessions.insert(stored.key, row);
        true
    });
    (restored.unwrap().start(settings(), |_| {}).unwrap(), rows)
}

fn put(store: &Store, key: u64, row: Vec<u8>) -> SendNumbers {
    let mut numbers = SendNumbers::of_new_session();
    store
        .put_session(key, &mut numbers, 0, Zeroizing::new(row))
        .unwrap();
    numbers
}

fn wait_until_synced(store: &Store) {
    while store.report().pending > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A store of 200 sessions that were written several times, and some deleted, in two generations.
fn write(directory: &Path, keep_open: bool) -> (Rows, Option<Store>) {
    let mut random = fastrand::Rng::with_seed(3);
    let mut rows = Rows::default();
    for generation in 0..2 {
        let (store, found) = start(open(directory));
        assert_eq!(found, rows);
        for _ in 0..6 {
            for _ in 0..100 {
                let key = random.u64(..200);
                let row: Vec<u8> = (0..random.usize(150..400)).map(|_| random.u8(..)).collect();
                let numbers = put(&store, key, row.clone());
                let mut beside = None;
                if random.bool() {
                    let window = vec![random.u8(..); 20];
                    store.put_window(key, &numbers, &window).unwrap();
                    beside = Some(window);
                }
                rows.sessions.insert(key, (row, beside));
            }
            let key = random.u64(..200);
            store.delete_session(key).unwrap();
            rows.sessions.remove(&key);
            for _ in 0..20 {
                let kind = KINDS[random.usize(..KINDS.len())];
                let length = random.usize(1..=MAX_RECORD_KEY);
                let key = vec![random.u8(..30); length];
                let value = vec![random.u8(..); random.usize(..300)];
                let put = store.put_record(kind, &key, Zeroizing::new(value.clone()));
                put.unwrap();
                rows.records.insert((kind, key), value);
            }
            let (kind, key) = rows.records.keys().next().unwrap().clone();
            store.delete_record(kind, &key).unwrap();
            rows.records.remove(&(kind, key));
            wait_until_synced(&store);
        }
        if generation == 1 && keep_open {
            return (rows, Some(store));
        }
        store.stop(Duration::from_secs(600)).unwrap();
    }
    (rows, None)
}

/// The files of a store, but for the lock.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    files.filter(|(name, _)| name != "lock").collect()
}

fn directory_with(files: &BTreeMap<String, Vec<u8>>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

/// A store as a kill leaves it: its log has commits that the database has not.
fn killed() -> (Rows, BTreeMap<String, Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let (rows, store) = write(directory.path(), true);
    let files = files(directory.path());
    assert!(files["state.sqlite3-wal"].len() > 10_000);
    drop(store);
    (rows, files)
}

fn stopped() -> (Rows, BTreeMap<String, Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let (rows, _) = write(directory.path(), false);
    let files = files(directory.path());
    assert!(files["state.sqlite3-wal"].is_empty());
    (rows, files)
}

/// Checks that what was there is beside, byte by byte, and that the store works.
fn is_set_aside(opened: Opened, directory: &Path, before: &BTreeMap<String, Vec<u8>>) -> Reason {
    let aside = opened.set_aside().unwrap().clone();
    assert_eq!(opened.sessions(), 0);
    for (name, bytes) in before {
        let end = name.strip_prefix("state.sqlite3").unwrap();
        let path = format!("{}{end}", aside.path.display());
        let now = fs::read(&path)
            .unwrap_or_else(|error| panic!("{path} of {} bytes: {error}", bytes.len()));
        assert!(&now == bytes, "{path} was changed");
    }
    let (store, rows) = start(opened);
    assert_eq!(rows, Rows::default());
    put(&store, 5, vec![9]);
    store.stop(Duration::from_secs(600)).unwrap();
    let opened = open(directory);
    assert_eq!((opened.set_aside(), opened.sessions()), (None, 1));
    aside.reason
}

#[test]
fn what_was_written_is_restored_after_a_stop_and_after_a_kill() {
    for (rows, files) in [stopped(), killed()] {
        let directory = directory_with(&files);
        let opened = open(directory.path());
        assert_eq!(
            opened.sessions(),
            u64::try_from(rows.sessions.len()).unwrap()
        );
        let records: u64 = opened.kinds().values().sum();
        assert_eq!(records, u64::try_from(rows.records.len()).unwrap());
        assert_eq!(start(opened).1, rows);
    }
}

#[test]
fn sessions_that_are_not_kept_are_deleted() {
    let (rows, files) = stopped();
    let directory = directory_with(&files);
    let restored = open(directory.path()).restore(|stored| stored.key % 2 == 0);
    let store = restored.unwrap().start(settings(), |_| {}).unwrap();
    store.stop(Duration::from_secs(600)).unwrap();
    let mut even = rows;
    even.sessions.retain(|key, _| key % 2 == 0);
    // Records were not restored: all stay as they are.
    assert_eq!(start(open(directory.path())).1, even);
}

#[test]
fn records_that_are_not_kept_are_deleted_and_those_of_other_kinds_stay() {
    let (mut rows, files) = stopped();
    let directory = directory_with(&files);
    let mut opened = open(directory.path());
    let mut keys = Vec::new();
    let kind = Kind::RELAY;
    let keep = |key: &[u8], _| {
        keys.push(key.to_vec());
        key.len().is_multiple_of(2)
    };
    opened.restore_records(kind, keep).unwrap();
    assert!(keys.is_sorted());
    let mut restored = opened.restore(|_| true).unwrap();
    restored
        .restore_records(Kind::AUTHORITY_PATH, |_, _| false)
        .unwrap();
    let store = restored.start(settings(), |_| {}).unwrap();
    store.stop(Duration::from_secs(600)).unwrap();
    rows.records.retain(|(kind, key), _| match *kind {
        Kind::RELAY => key.len() % 2 == 0,
        Kind::AUTHORITY_PATH => false,
        _ => true,
    });
    assert_eq!(start(open(directory.path())).1, rows);
}

#[test]
fn whatever_bit_is_flipped_all_is_restored_or_set_aside() {
    let mut random = fastrand::Rng::with_seed(8);
    for (rows, good) in [stopped(), killed()] {
        let (mut whole, mut aside) = (0, BTreeMap::<String, u32>::new());
        let names: Vec<&String> = good.keys().filter(|name| !good[*name].is_empty()).collect();
        for round in 0..150 {
            let mut files = good.clone();
            let name = names[round % names.len()];
            let bytes = files.get_mut(name).unwrap();
            // The headers more often.
            let most = if random.bool() {
                bytes.len().min(120)
            } else {
                bytes.len()
            };
            let at = random.usize(..most);
            let bit = random.u8(..8);
            bytes[at] ^= 1 << bit;
            let directory = directory_with(&files);
            let opened = state_store::open(directory.path(), &key(1))
                .unwrap_or_else(|error| panic!("{name} {at} {bit}: {error}"));
            if opened.set_aside().is_some() {
                let reason = is_set_aside(opened, directory.path(), &files);
                let kind = format!("{reason:?}").split('(').next().unwrap().to_owned();
                *aside.entry(kind).or_default() += 1;
            } else {
                let restored = start(opened).1;
                assert!(
                    restored == rows,
                    "{name} {at} {bit}: {} of {} rows",
                    restored.len(),
                    rows.len()
                );
                whole += 1;
            }
        }
        // Some bits mean nothing. Most do.
        assert!(whole > 5, "{whole}");
        assert!(aside["Damaged"] > 25, "{aside:?}");
    }
}

#[test]
fn a_cut_off_database_is_set_aside() {
    let (rows, good) = stopped();
    let database = &good["state.sqlite3"];
    let length = database.len();
    for left in [1, 99, 4095, 4096, length / 2, length - 4096, length - 1] {
        let mut files = good.clone();
        files.get_mut("state.sqlite3").unwrap().truncate(left);
        let directory = directory_with(&files);
        let opened = open(directory.path());
        if opened.set_aside().is_none() {
            // A page that is not whole is read with zeros at its end, so nothing is lost where they were.
            let is_zero = database[left..].iter().all(|byte| *byte == 0);
            assert!(left == length - 1 && is_zero, "{left} of {length} bytes");
            assert_eq!(start(opened).1, rows);
            continue;
        }
        let reason = is_set_aside(opened, directory.path(), &files);
        assert!(matches!(reason, Reason::Damaged(_)), "{left}: {reason:?}");
    }
}

/// As a start leaves it that is killed while it sets a database aside.
#[test]
fn a_log_alone_is_set_aside() {
    let (_, mut files) = killed();
    files.remove("state.sqlite3");
    let directory = directory_with(&files);
    let reason = is_set_aside(open(directory.path()), directory.path(), &files);
    assert_eq!(reason, Reason::Damaged("only its log is left".to_owned()));
    files.insert("state.sqlite3".to_owned(), Vec::new());
    let directory = directory_with(&files);
    let reason = is_set_aside(open(directory.path()), directory.path(), &files);
    assert_eq!(reason, Reason::Damaged("only its log is left".to_owned()));
}

#[test]
fn commits_that_are_lost_are_noticed() {
    // Without its log, with the end of its log cut off, and an older copy.
    let (_, killed) = killed();
    let mut without_log = killed.clone();
    without_log.remove("state.sqlite3-wal");
    let mut cut = killed.clone();
    let log = cut.get_mut("state.sqlite3-wal").unwrap();
    log.truncate(log.len() - 4096);
    let (_, stopped) = stopped();
    let mut older = stopped.clone();
    let directory = directory_with(&stopped);
    let (store, _) = start(open(directory.path()));
    put(&store, 1, vec![1]);
    store.stop(Duration::from_secs(600)).unwrap();
    let commits = fs::read(directory.path().join("state.sqlite3-commits")).unwrap();
    older.insert("state.sqlite3-commits".to_owned(), commits);
    for files in [without_log, cut, older] {
        let directory = directory_with(&files);
        let reason = is_set_aside(open(directory.path()), directory.path(), &files);
        assert_eq!(
            reason,
            Reason::Damaged("its last changes are lost".to_owned())
        );
    }
}

#[test]
fn a_power_failure_that_loses_the_count_of_commits_is_no_damage() {
    let (rows, mut files) = killed();
    files.insert("state.sqlite3-commits".to_owned(), vec![0; 16]);
    let directory = directory_with(&files);
    assert_eq!(start(open(directory.path())).1, rows);
}

#[test]
fn a_database_of_another_key_is_set_aside_and_usable_when_it_is_put_back() {
    let (rows, files) = killed();
    let directory = directory_with(&files);
    let opened = state_store::open(directory.path(), &key(2)).unwrap();
    let aside = opened.set_aside().unwrap().clone();
    assert_eq!(aside.reason, Reason::OtherKey);
    assert!(
        aside
            .reason
            .to_string()
            .contains("put that key and the database back")
    );
    drop(opened);
    for end in ["", "-wal", "-commits"] {
        let from = format!("{}{end}", aside.path.display());
        fs::rename(from, directory.path().join(format!("state.sqlite3{end}"))).unwrap();
    }
    for (name, bytes) in &files {
        let now = fs::read(directory.path().join(name)).unwrap();
        let place = now.iter().zip(bytes).position(|(a, b)| a != b);
        assert!(
            &now == bytes,
            "{name} was changed: {} and {} bytes, {place:?}",
            now.len(),
            bytes.len()
        );
    }
    assert_eq!(start(open(directory.path())).1, rows);
}

#[test]
fn a_newer_database_is_set_aside() {
    let (_, files) = stopped();
    let directory = directory_with(&files);
    let connection = rusqlite::Connection::open(directory.path().join("state.sqlite3")).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    connection.close().unwrap();
    let files = self::files(directory.path());
    let reason = is_set_aside(open(directory.path()), directory.path(), &files);
    assert_eq!(reason, Reason::Newer(2));
    assert!(reason.to_string().contains("a later version"));
}

#[test]
fn what_is_no_store_is_set_aside() {
    let text = BTreeMap::from([("state.sqlite3".to_owned(), b"no database".repeat(1000))]);
    let directory = directory_with(&text);
    let reason = is_set_aside(open(directory.path()), directory.path(), &text);
    assert!(matches!(reason, Reason::Damaged(_)), "{reason:?}");
    let directory = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(directory.path().join("state.sqlite3")).unwrap();
    connection
        .execute_batch("CREATE TABLE sessions (key, value)")
        .unwrap();
    connection.close().unwrap();
    let other = files(directory.path());
    let reason = is_set_aside(open(directory.path()), directory.path(), &other);
    assert_eq!(
        reason,
        Reason::Damaged("it is not a store of sessions".to_owned())
    );
}

/// A row that was put in another one's place, by hand.
#[test]
fn exchanged_rows_are_noticed() {
    let (_, files) = stopped();
    let directory = directory_with(&files);
    let connection = rusqlite::Connection::open(directory.path().join("state.sqlite3")).unwrap();
    let exchange = "UPDATE sessions SET value = (SELECT value FROM sessions ORDER BY key LIMIT 1)
                    WHERE key = (SELECT max(key) FROM sessions)";
    assert_eq!(connection.execute(exchange, []).unwrap(), 1);
    connection.close().unwrap();
    let files = self::files(directory.path());
    let reason = is_set_aside(open(directory.path()), directory.path(), &files);
    assert!(
        format!("{reason:?}").contains("is not authentic"),
        "{reason:?}"
    );
}

/// A generation is forgotten only when no row and no record of it is left.
#[test]
fn what_was_written_in_an_early_generation_is_read_in_each_later_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = Rows::default();
    for generation in 1..8_u8 {
        let (store, found) = start(open(directory.path()));
        assert_eq!(found, rows);
        match generation {
            1 => {
                let value = Zeroizing::new(vec![generation; 60]);
                store.put_record(KINDS[2], b"first", value).unwrap();
                let key = (KINDS[2], b"first".to_vec());
                rows.records.insert(key, vec![generation; 60]);
            }
            2 => {
                put(&store, 1, vec![generation; 60]);
                rows.sessions.insert(1, (vec![generation; 60], None));
            }
            _ => {}
        }
        store.stop(Duration::from_secs(600)).unwrap();
    }
}

#[test]
fn records_that_were_moved_or_have_other_keys_are_noticed() {
    let (_, good) = stopped();
    for (change, what) in [
        (
            "UPDATE records SET kind = 7 WHERE kind = 1",
            "is not authentic",
        ),
        (
            "UPDATE records SET key = CAST(key || x'00' AS BLOB) WHERE length(key) < 60",
            "is not authentic",
        ),
        (
            "UPDATE records SET kind = 256 WHERE kind = 1",
            "the key of a record is malformed",
        ),
        (
            "UPDATE records SET kind = -1 WHERE kind = 1",
            "the key of a record is malformed",
        ),
        (
            "UPDATE records SET key = x'' WHERE key = (SELECT key FROM records LIMIT 1)",
            "the key of a record is malformed",
        ),
        (
            "UPDATE records SET key = zeroblob(65) WHERE key = (SELECT key FROM records LIMIT 1)",
            "the key of a record is malformed",
        ),
        (
            "UPDATE records SET value = x'' WHERE kind = 9",
            "is not authentic",
        ),
    ] {
        let directory = directory_with(&good);
        let path = directory.path().join("state.sqlite3");
        let connection = rusqlite::Connection::open(path).unwrap();
        assert!(connection.execute(change, []).unwrap() > 0, "{change}");
        connection.close().unwrap();
        let files = self::files(directory.path());
        let reason = is_set_aside(open(directory.path()), directory.path(), &files);
        assert!(format!("{reason:?}").contains(what), "{change}: {reason:?}");
    }
}

#[test]
fn nothing_of_a_row_is_readable_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = start(open(directory.path()));
    let secret = b"this is a secret of a session".to_vec();
    put(&store, 1, secret.clone());
    let relay = Zeroizing::new(secret.clone());
    store.put_record(Kind::RELAY, &[1; 32], relay).unwrap();
    wait_until_synced(&store);
    let of_files = |directory: &Path| -> bool {
        let mut files = files(directory).into_values();
        files.any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
    };
    assert!(!of_files(directory.path()));
    store.stop(Duration::from_secs(600)).unwrap();
    assert!(!of_files(directory.path()));
}

#[test]
fn a_second_process_is_refused_until_the_first_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = start(open(directory.path()));
    let second = state_store::open(directory.path(), &key(1)).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    store.stop(Duration::from_secs(600)).unwrap();
    open(directory.path());
}

#[test]
fn a_start_that_is_killed_while_it_creates_the_store_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    // An empty file; and one that has nothing but SQLite's header.
    fs::write(directory.path().join("state.sqlite3"), []).unwrap();
    assert_eq!(open(directory.path()).set_aside(), None);
    let directory = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(directory.path().join("state.sqlite3")).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL")
        .unwrap();
    connection.close().unwrap();
    let opened = open(directory.path());
    assert_eq!(opened.set_aside(), None);
    let (store, _) = start(opened);
    put(&store, 1, vec![1]);
    store.stop(Duration::from_secs(600)).unwrap();
    assert_eq!(open(directory.path()).sessions(), 1);
}

#[test]
fn a_path_that_can_be_no_directory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "not a directory").unwrap();
    let error = state_store::open(&path, &key(1)).unwrap_err();
    assert!(matches!(error, OpenError::Disk { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a directory");
}
