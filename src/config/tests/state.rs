//! `[state]`.

use super::*;
use crate::state::settings::KeySource;
use std::os::unix::fs::PermissionsExt;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn warnings(place: &Place, text: &str) -> Vec<String> {
    let (_, warnings) = place.load(text, &[]).unwrap();
    warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn without_a_directory_nothing_is_stored_and_other_keys_have_no_effect() {
    let place = Place::new();
    assert!(place.load("", &[]).unwrap().0.state.is_none());
    for line in ["key_file = \"a/b\"", "key_env = \"A\""] {
        let text = format!("[state]\n{line}\n");
        assert!(place.load(&text, &[]).unwrap().0.state.is_none());
        let warnings = warnings(&place, &text).join("\n");
        assert!(
            warnings.contains("has no effect: neither state.directory nor state.url is set"),
            "{line}: {warnings}"
        );
    }
}

#[test]
fn the_key_is_in_the_directory_unless_another_place_is_named() {
    let place = Place::new();
    let directory = place.path("state");
    let text = format!("[state]\ndirectory = {directory:?}\n");
    let state = place.load(&text, &[]).unwrap().0.state.unwrap();
    assert_eq!(state.directory, directory);
    assert_eq!(state.window, Duration::from_secs(5));
    assert!(matches!(state.key, KeySource::File(path) if path == directory.join("key")));
    let text = format!("{text}key_file = \"certs/state.key\"\nwindow = \"500ms\"\n");
    assert_mistakes(
        place.load(&text, &[]),
        &[&["state.window", "500ms", "a write for each session in use"]],
    );
    let text = text.replace("500ms", "60s");
    let state = place.load(&text, &[]).unwrap().0.state.unwrap();
    assert_eq!(state.window, Duration::from_secs(60));
    assert!(matches!(state.key, KeySource::File(path) if path == Path::new("certs/state.key")));
    // Nothing is created by reading the configuration.
    assert!(!directory.exists());
}

#[test]
fn the_key_can_be_in_a_variable_whose_name_is_given() {
    let place = Place::new();
    let text = format!(
        "[state]\ndirectory = {:?}\nkey_env = \"A_KEY\"\n",
        place.path("state")
    );
    let state = place.load(&text, &[("A_KEY", KEY)]).unwrap().0.state;
    let state = state.unwrap();
    assert!(matches!(state.key, KeySource::Given(_)));
    assert!(!format!("{state:?}").contains("0011"));
    for (value, found) in [(None, "is not set"), (Some("0011"), "holds no key")] {
        let variables: Vec<_> = value.iter().map(|value| ("A_KEY", *value)).collect();
        let expected = ["state.key_env", found, "64 hexadecimal digits"];
        assert_mistakes(place.load(&text, &variables), &[&expected]);
    }
    // The key in the place of its name is not repeated.
    let text = text.replace("A_KEY", KEY);
    let mistakes = place.load(&text, &[]).unwrap_err();
    assert!(!mistakes.concat().contains("0011"), "{mistakes:?}");
    assert_mistakes(Err::<(), _>(mistakes), &[&["state.key_env", "no name"]]);
    let text = format!("{text}key_file = \"a/b\"\n").replace(KEY, "A_KEY");
    assert_mistakes(
        place.load(&text, &[("A_KEY", KEY)]),
        &[&["state.key_env", "state.key_file is set as well"]],
    );
}

#[test]
fn a_file_that_is_no_key_and_a_directory_that_is_none_are_mistakes() {
    let place = Place::new();
    let file = place.write("key", "too short");
    let state = place.path("state");
    let text = format!("[state]\ndirectory = {state:?}\nkey_file = {file:?}\n");
    let expected = ["state.key_file", "key holds no key", "64 hexadecimal"];
    assert_mistakes(place.load(&text, &[]), &[&expected]);
    let text = format!("[state]\ndirectory = {file:?}\n");
    assert_mistakes(
        place.load(&text, &[]),
        &[
            &["state.directory", "is not a directory"],
            &["state.directory", "can't be read"],
        ],
    );
}

#[test]
fn text_on_several_lines_is_no_path() {
    let place = Place::new();
    for key in ["directory", "key_file"] {
        let text = format!("[state]\n{key} = '''a\nb'''\n");
        let found = ["text of 3 characters on 2 lines is no path"];
        assert_mistakes(place.load(&text, &[]), &[&found]);
    }
}

#[test]
fn a_key_file_that_everyone_may_read_is_warned_of() {
    let place = Place::new();
    let file = place.write("key", format!("{KEY}\n"));
    let text = format!(
        "[state]\ndirectory = {:?}\nkey_file = {file:?}\n",
        place.path("state")
    );
    for (mode, is_open) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = warnings(&place, &text).join("\n");
        assert_eq!(
            warnings.contains("everyone on this machine may read"),
            is_open,
            "{warnings}"
        );
    }
}
