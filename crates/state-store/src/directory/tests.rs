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

#[test]
fn a_look_at_the_lock_does_not_keep_a_start_from_it() {
    let path = tempfile::tempdir().unwrap();
    drop(Directory::lock(path.path()).unwrap());
    let look = File::open(path.path().join(LOCK)).unwrap();
    look.lock_shared().unwrap();
    let end = thread::spawn(move || {
        thread::sleep(LOCK_PAUSE);
        drop(look);
    });
    let locked = Directory::lock(path.path());
    end.join().unwrap();
    // On a busy machine it may end later.
    assert!(locked.is_ok() || Directory::lock(path.path()).is_ok());
}

#[test]
fn what_is_no_file_is_an_error_and_is_not_waited_for() {
    for name in [
        "lock",
        "state.sqlite3",
        "state.sqlite3-wal",
        "state.sqlite3-commits",
    ] {
        let path = tempfile::tempdir().unwrap();
        let (file, other) = (path.path().join(name), path.path().join("other"));
        let is_refused = |what: &str| {
            let Err(Unusable::Io(error)) = Directory::lock(path.path()) else {
                panic!("{name}: {what}");
            };
            let text = format!("{} is not a regular file", file.display());
            assert_eq!(error.to_string(), text);
        };
        fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, &file).unwrap();
        is_refused("a link");
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        is_refused("a directory");
        fs::remove_dir(&file).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&file).status();
        assert!(made.unwrap().success());
        is_refused("a pipe");
        if name == LOCK {
            Directory::is_locked(path.path()).unwrap_err();
        }
    }
}

#[test]
fn files_that_others_may_read_become_private() {
    let path = tempfile::tempdir().unwrap();
    let file = path.path().join("state.sqlite3");
    fs::write(&file, "database").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    Directory::lock(path.path()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}
