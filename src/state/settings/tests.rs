use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn a_key_file_is_created_once_and_its_directory_for_the_owner_alone() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("a/state");
    let mut settings = Settings {
        key: KeySource::File(directory.join("key")),
        directory,
        window: Duration::from_secs(5),
    };
    assert!(settings.load_key().unwrap().is_new);
    assert!(!settings.load_key().unwrap().is_new);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&settings.directory), 0o700);
    assert_eq!(mode(&settings.directory.join("key")), 0o600);
    // Another directory is the operator's.
    settings.key = KeySource::File(place.path().join("b/key"));
    let error = settings.load_key().unwrap_err();
    assert!(matches!(error, KeyError::Create { .. }), "{error}");
    settings.key = KeySource::Given(StoreKey::from_hex(KEY).unwrap());
    assert!(!settings.load_key().unwrap().is_new);
}

#[test]
fn a_key_that_was_written_in_the_place_of_a_path_is_not_shown() {
    let settings = Settings {
        directory: PathBuf::from(KEY.to_uppercase()),
        key: KeySource::File(PathBuf::from(KEY.to_uppercase())),
        window: Duration::from_secs(5),
    };
    let text = format!("{settings:?}");
    assert!(!text.contains(&KEY.to_uppercase()), "{text}");
    assert!(text.contains("a path of 64 characters"), "{text}");
}
