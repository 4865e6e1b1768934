use super::*;
use crate::send_numbers::SendNumbers;
use crate::store::{Event, Report};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// A session by its key: its row, and what is beside it.
type Sessions = Vec<(u64, Vec<u8>, Option<Vec<u8>>)>;

/// A process: its store, what it restored, and its events.
struct Run {
    store: Store,
    sessions: Sessions,
    numbers: Vec<(SendNumbers, u64)>,
    relays: Vec<(Vec<u8>, Vec<u8>)>,
    events: Receiver<Event>,
}

fn run(disk: &SimulatedDisk) -> Run {
    let mut opened = disk.open().unwrap();
    let (mut sessions, mut numbers, mut relays) = (Vec::new(), Vec::new(), Vec::new());
    opened
        .restore_records(Kind::RELAY, |key, value| {
            relays.push((key.to_vec(), value.to_vec()));
            value[..] != *b"unwanted"
        })
        .unwrap();
    let restored = opened.restore(|stored| {
        let window = stored.window.map(|window| window.to_vec());
        sessions.push((stored.key, stored.row.to_vec(), window));
        numbers.push((stored.numbers, stored.first_send_number));
        stored.row[..] != *b"unwanted"
    });
    let (sender, events) = sync_channel(10);
    let on_event = move |event| sender.send(event).unwrap();
    let store = (restored.unwrap().start(Settings::new(100), on_event)).unwrap();
    Run {
        store,
        sessions,
        numbers,
        relays,
        events,
    }
}

fn put(store: &Store, key: u64, row: &[u8]) -> SendNumbers {
    let mut numbers = SendNumbers::of_new_session();
    let row = Zeroizing::new(row.to_vec());
    store.put_session(key, &mut numbers, 0, row).unwrap();
    numbers
}

fn put_relay(store: &Store, key: &[u8], value: &[u8]) {
    let value = Zeroizing::new(value.to_vec());
    store.put_record(Kind::RELAY, key, value).unwrap();
}

#[test]
fn what_was_committed_outlives_a_kill_and_a_stop() {
    let disk = SimulatedDisk::new();
    let first = run(&disk);
    put(&first.store, 1, b"lost");
    let numbers = put(&first.store, 2, b"two");
    put(&first.store, 1, b"one");
    put_relay(&first.store, b"meter", b"relay");
    disk.commit();
    assert_eq!(first.store.report().commits, 1);
    first.store.put_window(2, &numbers, b"window").unwrap();
    disk.commit();
    put(&first.store, 3, b"lost");
    put_relay(&first.store, b"meter", b"lost");
    disk.kill();
    // Of a process that is gone.
    first.store.stop(Duration::ZERO).unwrap();
    let second = run(&disk);
    let window = Some(b"window".to_vec());
    let expected = vec![(1, b"one".to_vec(), None), (2, b"two".to_vec(), window)];
    assert_eq!(second.sessions, expected);
    assert_eq!(second.relays, [(b"meter".to_vec(), b"relay".to_vec())]);
    second.store.delete_session(1).unwrap();
    // A row without a window, and a record.
    put(&second.store, 2, b"new");
    put_relay(&second.store, b"tracker", b"another");
    second.store.delete_record(Kind::RELAY, b"meter").unwrap();
    second.store.stop(Duration::ZERO).unwrap();
    let third = run(&disk);
    assert_eq!(third.sessions, [(2, b"new".to_vec(), None)]);
    assert_eq!(third.relays, [(b"tracker".to_vec(), b"another".to_vec())]);
}

#[test]
fn a_disk_that_fails_is_reported_and_written_later() {
    let disk = SimulatedDisk::new();
    let first = run(&disk);
    let mut numbers = put(&first.store, 1, b"one");
    disk.commit();
    disk.fail_commits(true);
    let row = Zeroizing::new(b"later".to_vec());
    let block = 1 << 20;
    first
        .store
        .put_session(1, &mut numbers, block, row)
        .unwrap();
    disk.commit();
    disk.commit();
    assert_eq!(numbers.limit(first.store.synced()).get(), block);
    let report = first.store.report();
    assert_eq!((report.failed_commits, report.pending), (2, 1));
    assert!(report.is_failing);
    disk.fail_commits(false);
    disk.commit();
    assert_eq!(numbers.limit(first.store.synced()).get(), 2 * block);
    let events: Vec<Event> = first.events.try_iter().collect();
    let expected = [
        Event::Failing(DiskError::Full),
        Event::WorksAgain { failed: 2 },
    ];
    assert_eq!(events, expected);
    disk.fail_commits(true);
    first.store.delete_session(1).unwrap();
    let error = first.store.stop(Duration::ZERO).unwrap_err();
    assert_eq!((error.pending, error.error), (1, DiskError::Full));
    // A start fails as well.
    let error = disk.open().unwrap_err();
    assert!(matches!(error, OpenError::Disk { .. }), "{error}");
    disk.fail_commits(false);
    assert_eq!(run(&disk).sessions, [(1, b"later".to_vec(), None)]);
}

#[test]
fn each_process_has_send_numbers_of_its_own() {
    let disk = SimulatedDisk::new();
    put(&run(&disk).store, 1, b"one");
    let mut blocks = Vec::new();
    for _ in 0..3 {
        let mut process = run(&disk);
        let (mut numbers, first) = process.numbers.pop().unwrap();
        blocks.push((first, numbers.limit(process.store.synced()).get()));
        disk.kill();
    }
    assert_eq!(
        blocks,
        [(1 << 20, 2 << 20), (2 << 20, 3 << 20), (3 << 20, 4 << 20)]
    );
}

#[test]
fn one_process_has_it_open() {
    let disk = SimulatedDisk::new();
    let opened = disk.open().unwrap();
    assert!(matches!(disk.open(), Err(OpenError::InUse(_))));
    drop(opened);
    let running = run(&disk);
    assert!(matches!(disk.open(), Err(OpenError::InUse(_))));
    running.store.stop(Duration::ZERO).unwrap();
    // Killed while it restores.
    let opened = disk.open().unwrap();
    disk.kill();
    disk.open().unwrap();
    let restored = opened.restore(|_| true).unwrap();
    let started = restored.start(Settings::new(1), |_| {});
    assert!(matches!(started, Err(DiskError::Failed(_))), "{started:?}");
}

#[test]
fn what_is_not_kept_is_deleted_and_kinds_that_are_not_restored_stay() {
    let disk = SimulatedDisk::new();
    let first = run(&disk);
    put(&first.store, 1, b"unwanted");
    put(&first.store, 2, b"wanted");
    put_relay(&first.store, b"a", b"unwanted");
    put_relay(&first.store, b"b", b"wanted");
    let later = Kind(200);
    let value = Zeroizing::new(b"of a later version".to_vec());
    first.store.put_record(later, b"a", value).unwrap();
    first.store.stop(Duration::ZERO).unwrap();
    let second = run(&disk);
    assert_eq!((second.sessions.len(), second.relays.len()), (2, 2));
    disk.commit();
    disk.kill();
    disk.commit();
    assert_eq!(
        second.store.report(),
        Report {
            commits: 1,
            changes: 2,
            ..Report::default()
        }
    );
    let opened = disk.open().unwrap();
    assert_eq!(opened.sessions(), 1);
    assert_eq!(
        opened.kinds(),
        BTreeMap::from([(Kind::RELAY, 1), (later, 1)])
    );
    drop(opened);
    let third = run(&disk);
    assert_eq!(third.sessions, [(2, b"wanted".to_vec(), None)]);
    assert_eq!(third.relays, [(b"b".to_vec(), b"wanted".to_vec())]);
}
