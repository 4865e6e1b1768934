use super::*;
use std::os::unix::fs::MetadataExt;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_key_file_is_made_for_its_owner_alone_and_read_again() {
    let directory = directory();
    let path = directory.path().join("key");
    let made = StoreKey::load_or_create(&path).unwrap();
    assert!(made.is_new && !made.is_open_to_all);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), 65);
    let read = StoreKey::load_or_create(&path).unwrap();
    assert!(!read.is_new);
    assert_eq!(read.key.bytes(), made.key.bytes());
    assert_ne!(made.key.bytes(), &[0; 32]);
    // Nothing else is left.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_start_has_left_is_no_hindrance() {
    let directory = directory();
    let path = directory.path().join("key");
    let left = directory.path().join("key.new");
    fs::write(&left, "12".repeat(100)).unwrap();
    fs::set_permissions(&left, Permissions::from_mode(0o644)).unwrap();
    let made = StoreKey::load_or_create(&path).unwrap();
    assert!(made.is_new);
    let read = StoreKey::load_or_create(&path).unwrap();
    assert!(!read.is_new && !read.is_open_to_all);
    assert_eq!(read.key.bytes(), made.key.bytes());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_link_in_place_of_a_new_file_is_not_written_through() {
    let directory = directory();
    let other = directory.path().join("other");
    fs::write(&other, "other").unwrap();
    std::os::unix::fs::symlink(&other, directory.path().join("key.new")).unwrap();
    let error = StoreKey::load_or_create(&directory.path().join("key")).unwrap_err();
    assert!(
        error.to_string().contains("is not a regular file"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&other).unwrap(), "other");
}

#[test]
fn processes_that_start_at_once_have_the_same_key() {
    for _ in 0..20 {
        let directory = directory();
        let path = directory.path().join("key");
        let start = || StoreKey::load_or_create(&path).unwrap();
        let made: Vec<KeyFile> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            let made = threads.into_iter().map(|thread| thread.join().unwrap());
            made.collect()
        });
        let key = StoreKey::load_or_create(&path).unwrap().key;
        assert!(made.iter().all(|made| made.key.bytes() == key.bytes()));
        assert_eq!(made.iter().filter(|made| made.is_new).count(), 1);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_file_that_all_may_read_is_reported() {
    let directory = directory();
    let path = directory.path().join("key");
    StoreKey::load_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(StoreKey::load_or_create(&path).unwrap().is_open_to_all);
}

#[test]
fn only_64_digits_are_a_key() {
    let digits = "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff";
    assert_eq!(StoreKey::from_hex(digits).unwrap().bytes()[10], 0xaa);
    assert!(StoreKey::from_hex(&format!(" {digits}\r\n")).is_ok());
    for wrong in [
        "",
        &digits[1..],
        &digits[2..],
        &format!("{digits}00"),
        &digits.replace('7', "g"),
        &digits.replace("77", "ä"),
    ] {
        assert!(
            matches!(StoreKey::from_hex(wrong), Err(KeyError::Malformed)),
            "{wrong}"
        );
    }
}

#[test]
fn a_file_without_a_key_is_an_error_and_stays() {
    let directory = directory();
    let path = directory.path().join("key");
    for text in ["", "no key", &"0".repeat(100_000)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(
            StoreKey::load_or_create(&path),
            Err(KeyError::Malformed)
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let missing = directory.path().join("no/key");
    let error = StoreKey::load_or_create(&missing).unwrap_err();
    assert!(matches!(error, KeyError::Create { .. }), "{error}");
    let error = StoreKey::load_or_create(directory.path()).unwrap_err();
    assert!(matches!(error, KeyError::Read { .. }), "{error}");
}

#[test]
fn a_key_is_not_shown() {
    let key = StoreKey::from_hex(&"ab".repeat(32)).unwrap();
    assert_eq!(format!("{key:?}"), "StoreKey(…)");
}
