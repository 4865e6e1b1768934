//! A full disk, as far as an unprivileged test can make one: files can't become longer (RLIMIT_FSIZE).
#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use rlimit::Resource;
use state_store::{DiskError, Event, SendNumbers, Settings, StoreKey};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use zeroize::Zeroizing;

/// The directory of the process whose disk is full.
const DIRECTORY: &str = "STATE_STORE_TEST_DIRECTORY";
const ROWS: u64 = 5_000;

fn fill(directory: &Path) {
    let key = StoreKey::from_hex(&"ab".repeat(32)).unwrap();
    let open = || state_store::open(directory, &key).unwrap();
    let (sender, events) = sync_channel(10);
    let settings = Settings {
        interval: Duration::from_millis(1),
        first_retry: Duration::from_millis(1),
        ..Settings::new(2 * usize::try_from(ROWS).unwrap())
    };
    let restored = open().restore(|_| true).unwrap();
    let store = restored
        .start(settings, move |event| sender.send(event).unwrap())
        .unwrap();
    let put = |key| {
        let row = Zeroizing::new(vec![1; 300]);
        store
            .put_session(key, &mut SendNumbers::of_new_session(), 0, row)
            .unwrap();
    };
    let (_, hard) = rlimit::getrlimit(Resource::FSIZE).unwrap();
    rlimit::setrlimit(Resource::FSIZE, 200_000, hard).unwrap();
    (0..ROWS).for_each(put);
    let event = events.recv().unwrap();
    assert!(
        matches!(
            event,
            Event::Failing(DiskError::Full | DiskError::Failed(_))
        ),
        "{event:?}"
    );
    // It goes on.
    (ROWS..ROWS + 100).for_each(put);
    assert!(store.report().pending > 0);
    rlimit::setrlimit(Resource::FSIZE, hard, hard).unwrap();
    assert!(matches!(events.recv().unwrap(), Event::WorksAgain { .. }));
    store.stop(Duration::from_secs(600)).unwrap();
    let opened = open();
    assert_eq!(opened.set_aside(), None);
    assert_eq!(opened.sessions(), ROWS + 100);
}

#[test]
fn a_full_disk_is_reported_and_everything_is_written_when_there_is_space_again() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return fill(&PathBuf::from(directory));
    }
    let directory = tempfile::tempdir().unwrap();
    // The signal that comes with a file that is too long would end the process. A shell has it ignored, as a process can't
    // do without unsafe code.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap());
    shell.args([
        "--exact",
        "a_full_disk_is_reported_and_everything_is_written_when_there_is_space_again",
        "--nocapture",
    ]);
    let output = shell
        .env(DIRECTORY, directory.path().join("state"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
