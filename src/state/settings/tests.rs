use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn a_key_file_is_created_once() {
    let directory = tempfile::tempdir().unwrap();
    let source = KeySource::File(directory.path().join("key"));
    assert!(source.load().unwrap().is_new);
    assert!(!source.load().unwrap().is_new);
    let given = KeySource::Given(StoreKey::from_hex(KEY).unwrap());
    assert!(!given.load().unwrap().is_new);
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
