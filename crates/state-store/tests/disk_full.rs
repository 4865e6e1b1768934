//! A full disk: files that can't become longer (RLIMIT_FSIZE), and a file system in memory of 8 MB.
#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use rlimit::Resource;
use state_store::{DiskError, Event, OpenError, SendNumbers, Settings, Store, StoreKey};
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use zeroize::Zeroizing;

/// The directory of the process whose disk is full.
const DIRECTORY: &str = "STATE_STORE_TEST_DIRECTORY";
const ROWS: u64 = 5_000;
const STOP: Duration = Duration::from_secs(600);

/// What is in the way on the small file system, until there is to be space.
const BALLAST: &str = "ballast";

fn key() -> StoreKey {
    StoreKey::from_hex(&"ab".repeat(32)).unwrap()
}

fn start(directory: &Path) -> (Store, Receiver<Event>) {
    let opened = state_store::open(directory, &key()).unwrap();
    assert_eq!(opened.set_aside(), None);
    let (sender, events) = sync_channel(10);
    let settings = Settings {
        interval: Duration::from_millis(1),
        first_retry: Duration::from_millis(1),
        ..Settings::new(4 * usize::try_from(ROWS).unwrap())
    };
    let restored = opened.restore(|_| true).unwrap();
    let on_event = move |event| sender.send(event).unwrap();
    (restored.start(settings, on_event).unwrap(), events)
}

fn put(store: &Store, key: u64) {
    let row = Zeroizing::new(vec![1; 300]);
    let numbers = &mut SendNumbers::of_new_session();
    store.put_session(key, numbers, 0, row).unwrap();
}

fn stored(directory: &Path) -> u64 {
    let opened = state_store::open(directory, &key()).unwrap();
    assert_eq!(opened.set_aside(), None);
    opened.sessions()
}

fn wait_until_synced(store: &Store) {
    while store.report().pending > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn fill_files(directory: &Path) {
    let (store, events) = start(directory);
    let (_, hard) = rlimit::getrlimit(Resource::FSIZE).unwrap();
    rlimit::setrlimit(Resource::FSIZE, 200_000, hard).unwrap();
    (0..ROWS).for_each(|key| put(&store, key));
    let event = events.recv().unwrap();
    assert!(
        matches!(
            event,
            Event::Failing(DiskError::Full | DiskError::Failed(_))
        ),
        "{event:?}"
    );
    // It goes on.
    (ROWS..ROWS + 100).for_each(|key| put(&store, key));
    assert!(store.report().pending > 0);
    rlimit::setrlimit(Resource::FSIZE, hard, hard).unwrap();
    assert!(matches!(events.recv().unwrap(), Event::WorksAgain { .. }));
    store.stop(STOP).unwrap();
    assert_eq!(stored(directory), ROWS + 100);
}

fn fill_file_system(directory: &Path) {
    let ballast = directory.join(BALLAST);
    let fill = || {
        let full = fs::write(&ballast, vec![0; 9 << 20]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    };
    let directory = directory.join("state");
    // A store can't be begun, and later it can.
    fill();
    let error = state_store::open(&directory, &key()).unwrap_err();
    assert!(
        error.to_string().ends_with("no space is left on the disk"),
        "{error}"
    );
    fs::remove_file(&ballast).unwrap();
    let (store, events) = start(&directory);
    (0..100).for_each(|key| put(&store, key));
    wait_until_synced(&store);
    fill();
    (100..ROWS).for_each(|key| put(&store, key));
    assert_eq!(events.recv().unwrap(), Event::Failing(DiskError::Full));
    // A stop says what is lost. What was synced is there, but a start may need space as well.
    let error = store.stop(STOP).unwrap_err();
    assert_eq!(error.error, DiskError::Full);
    let lost = u64::try_from(error.pending).unwrap();
    assert!((1..=ROWS - 100).contains(&lost), "{lost}");
    match state_store::open(&directory, &key()) {
        Ok(opened) => assert_eq!(opened.set_aside(), None),
        Err(error) => assert!(matches!(error, OpenError::Disk { .. }), "{error}"),
    }
    fs::remove_file(&ballast).unwrap();
    assert_eq!(stored(&directory), ROWS - lost);
    // While it runs: everything is written as soon as there is space.
    let (store, events) = start(&directory);
    fill();
    (100..ROWS).for_each(|key| put(&store, key));
    assert_eq!(events.recv().unwrap(), Event::Failing(DiskError::Full));
    put(&store, ROWS);
    fs::remove_file(&ballast).unwrap();
    assert!(matches!(events.recv().unwrap(), Event::WorksAgain { .. }));
    store.stop(STOP).unwrap();
    assert_eq!(stored(&directory), ROWS + 1);
}

/// Runs a test again, by a command that a shell is given, and which runs its arguments.
fn run(mut shell: Command, script: &str, test: &str, directory: &Path) {
    shell.args(["-c", script]).arg(env::current_exe().unwrap());
    shell.args(["--exact", test, "--nocapture"]);
    let output = shell.env(DIRECTORY, directory).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn a_full_disk_is_reported_and_everything_is_written_when_there_is_space_again() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return fill_files(&PathBuf::from(directory));
    }
    let directory = tempfile::tempdir().unwrap();
    // The signal that comes with a file that is too long would end the process. A shell has it ignored, as a process can't
    // do without unsafe code.
    run(
        Command::new("sh"),
        "trap '' XFSZ; exec \"$0\" \"$@\"",
        "a_full_disk_is_reported_and_everything_is_written_when_there_is_space_again",
        &directory.path().join("state"),
    );
}

#[test]
fn a_full_file_system_loses_nothing_that_was_synced() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return fill_file_system(&PathBuf::from(directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh"]);
        command
    };
    let mount = format!("mount -t tmpfs -o size=8m none \"${DIRECTORY}\"");
    let mut probe = namespace();
    probe.args(["-c", &mount]).env(DIRECTORY, directory.path());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!(
            "not tested: this machine does not let its users mount a file system of their own"
        );
        return;
    }
    run(
        namespace(),
        &format!("{mount} && exec \"$0\" \"$@\""),
        "a_full_file_system_loses_nothing_that_was_synced",
        directory.path(),
    );
}
