use super::*;
use crate::MAX_WINDOW;
use crate::queue::Batch;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const LONG: Duration = Duration::from_secs(60);

/// A disk of which a test decides whether it works, and when a commit goes on.
#[derive(Clone, Default)]
struct TestDisk(Arc<TestDiskState>);

#[derive(Default)]
struct TestDiskState {
    is_broken: AtomicBool,
    /// Held by a test: a commit hangs.
    hangs: Mutex<()>,
    panics: AtomicBool,
    commits: AtomicUsize,
    rows: AtomicUsize,
    tidied: AtomicUsize,
}

impl Disk for TestDisk {
    fn commit(&mut self, batch: &Batch) -> Result<(), DiskError> {
        drop(self.0.hangs.lock().unwrap());
        assert!(!self.0.panics.load(Ordering::SeqCst), "a test wants it");
        if self.0.is_broken.load(Ordering::SeqCst) {
            return Err(DiskError::Full);
        }
        self.0.commits.fetch_add(1, Ordering::SeqCst);
        self.0.rows.fetch_add(batch.changes.len(), Ordering::SeqCst);
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), DiskError> {
        self.0.tidied.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn settings(capacity: usize, interval: Duration) -> Settings {
    Settings {
        capacity,
        interval,
        first_retry: Duration::from_millis(1),
    }
}

fn start(disk: &TestDisk, settings: Settings) -> (Store, Receiver<Event>) {
    let (sender, receiver): (SyncSender<Event>, _) = sync_channel(100);
    let on_event = move |event| sender.try_send(event).unwrap();
    let block = crate::send_numbers::BLOCK;
    let store = Store::start(disk.clone(), None, block, settings, Box::new(on_event)).unwrap();
    (store, receiver)
}

fn put(store: &Store, key: u64) -> Result<SendNumbers, PutError> {
    let mut numbers = SendNumbers::of_new_session();
    store.put_session(key, &mut numbers, 0, Zeroizing::new(vec![1]))?;
    Ok(numbers)
}

/// Waits until something is so. A busy machine makes it slow, and does not make it fail.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("never: {what}");
}

#[test]
fn changes_are_collected_and_written_at_a_stop() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, LONG));
    for key in 0..10 {
        put(&store, key).unwrap();
        put(&store, key).unwrap();
    }
    assert_eq!(store.report().pending, 10);
    store.stop(LONG).unwrap();
    assert_eq!(disk.0.commits.load(Ordering::SeqCst), 1);
    assert_eq!(disk.0.rows.load(Ordering::SeqCst), 10);
    assert_eq!(disk.0.tidied.load(Ordering::SeqCst), 1);
}

#[test]
fn changes_are_written_after_the_interval_and_synced() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, Duration::from_millis(1)));
    let before = store.synced();
    put(&store, 1).unwrap();
    wait_until("written", || store.report().changes == 1);
    assert!(store.synced() > before);
    assert_eq!(store.report().pending, 0);
}

#[test]
fn a_queue_that_gets_full_is_written_before_its_interval_ends() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, LONG));
    for key in 0..50 {
        put(&store, key).unwrap();
    }
    wait_until("written", || store.report().changes >= 50);
}

#[test]
fn a_broken_disk_is_reported_once_and_everything_is_written_when_it_works_again() {
    let disk = TestDisk::default();
    let (store, events) = start(&disk, settings(4, Duration::from_millis(1)));
    disk.0.is_broken.store(true, Ordering::SeqCst);
    put(&store, 1).unwrap();
    assert_eq!(events.recv().unwrap(), Event::Failing(DiskError::Full));
    wait_until("tried again", || store.report().failed_commits >= 3);
    assert!(store.report().is_failing);
    for key in 2..=4 {
        put(&store, key).unwrap();
    }
    // Bounded: what does not fit is refused, and is as before.
    let mut numbers = SendNumbers::of_new_session();
    let refused = store.put_session(5, &mut numbers, 0, Zeroizing::new(vec![1]));
    assert_eq!(refused, Err(PutError::Full(Full)));
    assert!(numbers.limit(store.synced()).allows(1 << 40));
    assert_eq!(store.delete_session(6), Err(Full));
    assert_eq!(store.report().refused, 2);
    disk.0.is_broken.store(false, Ordering::SeqCst);
    let event = events.recv().unwrap();
    let Event::WorksAgain { failed } = event else {
        panic!("{event:?}");
    };
    assert!(failed >= 3, "{failed}");
    wait_until("written", || store.report().pending == 0);
    assert!(!store.report().is_failing);
    assert_eq!(disk.0.rows.load(Ordering::SeqCst), 4);
    assert!(events.try_recv().is_err());
}

#[test]
fn a_stop_on_a_broken_disk_ends_with_its_error() {
    let disk = TestDisk::default();
    let (store, events) = start(&disk, settings(4, LONG));
    disk.0.is_broken.store(true, Ordering::SeqCst);
    put(&store, 1).unwrap();
    let error = store.stop(LONG).unwrap_err();
    let expected = StopError {
        pending: 1,
        error: DiskError::Full,
    };
    assert_eq!(error, expected);
    assert_eq!(
        error.to_string(),
        "1 changes of the state are not on disk: no space is left on the disk"
    );
    assert_eq!(events.recv().unwrap(), Event::Failing(DiskError::Full));
}

#[test]
fn a_row_that_is_too_large_is_refused() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(4, LONG));
    let mut numbers = SendNumbers::of_new_session();
    let mut put = |length| {
        let row = Zeroizing::new(vec![0; length]);
        store.put_session(1, &mut numbers, 0, row)
    };
    assert_eq!(put(MAX_ROW + 1), Err(PutError::TooLarge));
    assert_eq!(put(MAX_ROW), Ok(()));
}

#[test]
fn a_window_is_written_beside_a_row_alone() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, LONG));
    let mut numbers = SendNumbers::of_new_session();
    let window = [0; MAX_WINDOW + 1];
    assert_eq!(
        store.put_window(1, &numbers, &window[..1]),
        Err(PutError::NotStored)
    );
    store
        .put_session(1, &mut numbers, 0, Zeroizing::new(vec![1]))
        .unwrap();
    assert_eq!(
        store.put_window(1, &numbers, &window),
        Err(PutError::TooLarge)
    );
    assert_eq!(store.put_window(1, &numbers, &window[..MAX_WINDOW]), Ok(()));
    assert_eq!(store.report().pending, 2);
}

#[test]
fn a_stop_on_a_disk_that_hangs_ends_in_time_and_says_what_is_not_on_it() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, Duration::ZERO));
    let hangs = disk.0.hangs.lock().unwrap();
    put(&store, 1).unwrap();
    let in_flight = |store: &Store| !store.shared.lock().queue.has_pending();
    wait_until("in flight", || in_flight(&store));
    put(&store, 2).unwrap();
    let stopped = store.stop(Duration::from_millis(10));
    let expected = StopError {
        pending: 2,
        error: DiskError::Hangs,
    };
    assert_eq!(stopped, Err(expected));
    // It goes on, and everything is written, if the process lives so long.
    drop(hangs);
    wait_until("written", || disk.0.rows.load(Ordering::SeqCst) == 2);
}

#[test]
fn a_thread_that_panics_does_not_hold_a_stop() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, LONG));
    disk.0.panics.store(true, Ordering::SeqCst);
    put(&store, 1).unwrap();
    let error = store.stop(LONG).unwrap_err();
    assert!(error.to_string().contains("has panicked"), "{error}");
}

#[test]
fn records_have_bounds() {
    let disk = TestDisk::default();
    let (store, _events) = start(&disk, settings(100, LONG));
    let put =
        |key: &[u8], length| store.put_record(Kind::RELAY, key, Zeroizing::new(vec![0; length]));
    assert_eq!(put(b"", 1), Err(PutError::Key));
    assert_eq!(put(&[1; MAX_RECORD_KEY + 1], 1), Err(PutError::Key));
    assert_eq!(put(b"1", MAX_ROW + 1), Err(PutError::TooLarge));
    assert_eq!(put(&[1; MAX_RECORD_KEY], MAX_ROW), Ok(()));
    assert_eq!(put(b"1", 0), Ok(()));
    assert_eq!(store.delete_record(Kind::RELAY, b""), Err(PutError::Key));
    assert_eq!(store.delete_record(Kind::RELAY, b"1"), Ok(()));
    assert_eq!(store.delete_record(Kind::AUTHORITY_PATH, b"1"), Ok(()));
    assert_eq!(store.report().pending, 3);
}
