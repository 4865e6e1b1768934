use super::*;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_directory_is_for_its_owner_alone_and_one_process_uses_it() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("of/state");
    let first = Directory::lock(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert!(matches!(Directory::lock(&path), Err(Unusable::InUse)));
    drop(first);
    Directory::lock(&path).unwrap();
}

#[test]
fn what_is_set_aside_gets_names_that_are_free_and_not_too_many() {
    let path = tempfile::tempdir().unwrap();
    let directory = Directory::lock(path.path()).unwrap();
    for number in 1..=MAX_SET_ASIDE {
        fs::write(directory.database(), number.to_string()).unwrap();
        fs::write(path.path().join("state.sqlite3-wal"), "log").unwrap();
        let aside = directory.set_aside().unwrap();
        assert_eq!(fs::read_to_string(&aside).unwrap(), number.to_string());
        assert_eq!(fs::read_to_string(with_end(&aside, "-wal")).unwrap(), "log");
        assert!(!directory.has_database().unwrap());
    }
    fs::write(directory.database(), "one more").unwrap();
    let error = directory.set_aside().unwrap_err();
    assert!(error.to_string().contains("remove those"), "{error}");
    assert_eq!(
        fs::read_to_string(directory.database()).unwrap(),
        "one more"
    );
}

#[test]
fn a_log_without_a_database_is_something_of_one() {
    let path = tempfile::tempdir().unwrap();
    let directory = Directory::lock(path.path()).unwrap();
    assert!(!directory.has_database().unwrap());
    fs::write(path.path().join("state.sqlite3-wal"), "log").unwrap();
    assert!(directory.has_database().unwrap());
}
