use super::*;
use std::os::unix::fs::symlink;

fn locked(path: &Path) -> LockedFile {
    LockedFile::new(path, LOCK_TIMEOUT, || panic!("it is not locked")).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// The names in a directory, hidden ones included.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_for_its_owner_alone_and_an_old_one_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    locked(&path).replace(None, b"one").unwrap();
    assert_eq!(
        (fs::read(&path).unwrap(), mode(&path)),
        (b"one".to_vec(), 0o600)
    );
    for kept in [0o640, 0o604, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(kept)).unwrap();
        locked(&path).replace(Some(b"one"), b"one").unwrap();
        assert_eq!(mode(&path), kept);
    }
    assert_eq!(names(directory.path()), ["devices.toml"]);
}

#[test]
fn the_owner_is_kept_if_the_system_allows_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    fs::write(&path, "one").unwrap();
    let file = File::open(&path).unwrap();
    // Only root may change a file's owner; for other users the owner is the same before and after.
    let _ = fchown(&file, Some(12_345), Some(54_321));
    let before = fs::metadata(&path).unwrap();
    assert_eq!(locked(&path).replace(Some(b"one"), b"two").unwrap(), None);
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino());
}

#[test]
fn links_stay_links_and_their_target_changes() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/devices.toml"), "one").unwrap();
    symlink("real/devices.toml", at("link")).unwrap();
    symlink("link", at("link-to-link")).unwrap();
    symlink("real/nothing-yet", at("dangling")).unwrap();
    locked(&at("link-to-link"))
        .replace(Some(b"one"), b"two")
        .unwrap();
    locked(&at("dangling")).replace(None, b"new").unwrap();
    assert_eq!(fs::read(at("real/devices.toml")).unwrap(), b"two");
    assert_eq!(fs::read(at("real/nothing-yet")).unwrap(), b"new");
    for link in ["link", "link-to-link", "dangling"] {
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
    }
    symlink("loop", at("loop")).unwrap();
    assert!(
        LockedFile::new(&at("loop"), LOCK_TIMEOUT, || ())
            .is_err_and(|error| error.contains("too many links"))
    );
}

#[test]
fn changes_of_an_editor_are_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    fs::write(&path, "an editor's").unwrap();
    for before in [None, Some(b"one".as_slice())] {
        let refused = locked(&path).replace(before, b"two").unwrap_err();
        assert!(refused.contains("changed by another program"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"an editor's");
    }
    assert_eq!(names(directory.path()), ["devices.toml"]);
}

#[test]
fn a_file_left_by_a_crash_is_removed_and_no_link_in_its_place_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("elsewhere"), "untouched").unwrap();
    symlink("elsewhere", at(".devices.toml.new")).unwrap();
    locked(&at("devices.toml")).replace(None, b"one").unwrap();
    assert_eq!(fs::read(at("elsewhere")).unwrap(), b"untouched");
    assert!(
        !fs::symlink_metadata(at("devices.toml"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(names(directory.path()), ["devices.toml", "elsewhere"]);
}

#[test]
fn a_second_command_waits_until_the_first_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    let first = locked(&path);
    let (sender, waits) = std::sync::mpsc::sync_channel(1);
    let second = {
        let path = path.clone();
        std::thread::spawn(move || {
            let lock = LockedFile::new(&path, LOCK_TIMEOUT, || sender.send(()).unwrap()).unwrap();
            let before = fs::read(&path).unwrap();
            lock.replace(Some(&before), &[before.as_slice(), b" two"].concat())
                .unwrap();
        })
    };
    waits.recv().unwrap();
    first.replace(None, b"one").unwrap();
    drop(first);
    second.join().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one two");
}

#[test]
fn waiting_for_a_lock_ends_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    let _held = locked(&path);
    let mut waits = 0;
    let error = LockedFile::new(&path, Duration::from_millis(100), || waits += 1)
        .err()
        .unwrap();
    assert_eq!(waits, 1);
    assert!(error.contains("locked by another process"), "{error}");
    assert!(
        error.contains(&directory.path().display().to_string()),
        "{error}"
    );
}
