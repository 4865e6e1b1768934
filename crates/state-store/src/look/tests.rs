use super::*;
use crate::{SendNumbers, Settings, open};
use std::collections::BTreeMap;
use tempfile::TempDir;
use zeroize::Zeroizing;

fn key(byte: u8) -> StoreKey {
    StoreKey::from_hex(&format!("{byte:02x}").repeat(32)).unwrap()
}

/// A store of three sessions.
fn store(directory: &Path) {
    let opened = open(directory, &key(1)).unwrap();
    let restored = opened.restore(|_| true).unwrap();
    let store = restored.start(Settings::new(10), |_| {}).unwrap();
    for session in 0..3 {
        let mut numbers = SendNumbers::of_new_session();
        let row = Zeroizing::new(vec![7; 200]);
        store.put_session(session, &mut numbers, 0, row).unwrap();
    }
    store.stop(std::time::Duration::from_secs(60)).unwrap();
}

/// Every file, with its contents.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(directory).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_look_finds_what_an_opening_would_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    assert_eq!(look(path, &key(1)).unwrap(), Look::Nothing);
    assert!(!has_database(path));
    assert_eq!(files(path).len(), 0);
    store(path);
    assert!(has_database(path));
    let before = files(path);
    let Look::Usable { sessions, bytes } = look(path, &key(1)).unwrap() else {
        panic!("it is in order")
    };
    assert_eq!(sessions, 3);
    assert!(bytes > 600, "{bytes}");
    assert_eq!(
        look(path, &key(2)).unwrap(),
        Look::Unusable(Reason::OtherKey)
    );
    let database = path.join(DATABASE);
    let mut damaged = fs::read(&database).unwrap();
    damaged[0] ^= 1;
    fs::write(&database, &damaged).unwrap();
    let found = look(path, &key(1)).unwrap();
    assert!(
        matches!(found, Look::Unusable(Reason::Damaged(_))),
        "{found:?}"
    );
    damaged[0] ^= 1;
    fs::write(&database, &damaged).unwrap();
    assert!(files(path) == before);
    assert_eq!(open(path, &key(1)).unwrap().sessions(), 3);
}

#[test]
fn a_store_that_is_open_is_in_use() {
    let directory = TempDir::new().unwrap();
    let opened = open(directory.path(), &key(1)).unwrap();
    assert_eq!(look(directory.path(), &key(1)).unwrap(), Look::InUse);
    drop(opened);
    // Nor is it in use for those that have looked.
    let _ = look(directory.path(), &key(1)).unwrap();
    open(directory.path(), &key(1)).unwrap();
}
