use super::*;
use std::os::unix::fs::symlink;

fn held(path: &Path) -> Held {
    Held::new(path, PATIENCE, || panic!("nobody holds it")).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// What lies in a directory, hidden files too.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    held(&path).replace(None, b"one").unwrap();
    assert_eq!(
        (fs::read(&path).unwrap(), mode(&path)),
        (b"one".to_vec(), 0o600)
    );
    for kept in [0o640, 0o604, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(kept)).unwrap();
        held(&path).replace(Some(b"one"), b"one").unwrap();
        assert_eq!(mode(&path), kept);
    }
    assert_eq!(names(directory.path()), ["devices.toml"]);
}

#[test]
fn the_owner_stays_where_the_system_allows_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    fs::write(&path, "one").unwrap();
    let file = File::open(&path).unwrap();
    // Only root may give files away; who is not, is the owner before and after.
    let _ = fchown(&file, Some(12_345), Some(54_321));
    let before = fs::metadata(&path).unwrap();
    assert_eq!(held(&path).replace(Some(b"one"), b"two").unwrap(), None);
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
    held(&at("link-to-link"))
        .replace(Some(b"one"), b"two")
        .unwrap();
    held(&at("dangling")).replace(None, b"new").unwrap();
    assert_eq!(fs::read(at("real/devices.toml")).unwrap(), b"two");
    assert_eq!(fs::read(at("real/nothing-yet")).unwrap(), b"new");
    for link in ["link", "link-to-link", "dangling"] {
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
    }
    symlink("loop", at("loop")).unwrap();
    assert!(
        Held::new(&at("loop"), PATIENCE, || ())
            .is_err_and(|error| error.contains("too many links"))
    );
}

#[test]
fn what_an_editor_has_saved_meanwhile_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    fs::write(&path, "an editor's").unwrap();
    for before in [None, Some(b"one".as_slice())] {
        let refused = held(&path).replace(before, b"two").unwrap_err();
        assert!(refused.contains("changed by someone else"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"an editor's");
    }
    assert_eq!(names(directory.path()), ["devices.toml"]);
}

#[test]
fn what_a_crash_left_behind_is_taken_away_and_no_link_there_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("elsewhere"), "untouched").unwrap();
    symlink("elsewhere", at(".devices.toml.new")).unwrap();
    held(&at("devices.toml")).replace(None, b"one").unwrap();
    assert_eq!(fs::read(at("elsewhere")).unwrap(), b"untouched");
    assert!(
        !fs::symlink_metadata(at("devices.toml"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(names(directory.path()), ["devices.toml", "elsewhere"]);
}

#[test]
fn the_second_waits_until_the_first_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    let first = held(&path);
    let (told, waits) = std::sync::mpsc::sync_channel(1);
    let second = {
        let path = path.clone();
        std::thread::spawn(move || {
            let held = Held::new(&path, PATIENCE, || told.send(()).unwrap()).unwrap();
            let before = fs::read(&path).unwrap();
            held.replace(Some(&before), &[before.as_slice(), b" two"].concat())
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
fn a_lock_that_is_never_given_up_ends_the_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.toml");
    let _held = held(&path);
    let mut waits = 0;
    let error = Held::new(&path, Duration::from_millis(100), || waits += 1)
        .err()
        .unwrap();
    assert_eq!(waits, 1);
    assert!(error.contains("locked by another process"), "{error}");
    assert!(
        error.contains(&directory.path().display().to_string()),
        "{error}"
    );
}
