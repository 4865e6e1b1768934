//! `listen.admin` and `[admin]`.

use super::*;

fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = Place::new().load(text, &[]).unwrap();
    let about = |warning: &&Warning| warning.key.starts_with("admin.");
    warnings
        .iter()
        .filter(about)
        .map(Warning::to_string)
        .collect()
}

#[test]
fn there_is_no_admin_server_unless_an_address_is_given() {
    for text in ["", "[listen]\nadmin = \"\""] {
        let (config, _) = Place::new().load(text, &[]).unwrap();
        assert_eq!(config.listen.admin, None);
        assert_eq!(config.admin, Admin::default());
        assert!(!config.admin.sessions && !config.admin.require_upstream);
    }
    let text =
        "[listen]\nadmin = \"127.0.0.1:9684\"\n[admin]\nsessions = true\nrequire_upstream = true";
    let (config, _) = Place::new().load(text, &[]).unwrap();
    assert_eq!(config.listen.admin, Some("127.0.0.1:9684".parse().unwrap()));
    assert!(config.admin.sessions && config.admin.require_upstream);
    assert_mistakes(
        Place::new().load("[listen]\nadmin = \"9684\"", &[]),
        &[&[
            "gateway.toml:2: listen.admin",
            "text of 4 characters is no address",
            "127.0.0.1:9684",
        ]],
    );
}

#[test]
fn an_admin_server_open_to_others_and_keys_without_effect_are_warned_about() {
    let to_all = "[listen]\nadmin = \"0.0.0.0:9684\"\n[admin]\nsessions = true";
    let [warning] = &warnings(to_all)[..] else {
        panic!("one warning");
    };
    assert!(
        warning.contains("names and addresses of all devices"),
        "{warning}"
    );
    for key in ["sessions", "require_upstream"] {
        let [warning] = &warnings(&format!("[admin]\n{key} = true"))[..] else {
            panic!("one warning");
        };
        assert!(warning.contains("has no effect"), "{warning}");
    }
    assert!(warnings("[listen]\nadmin = \"0.0.0.0:9684\"").is_empty());
    assert!(warnings("[listen]\nadmin = \"[::1]:1\"\n[admin]\nsessions = true").is_empty());
}

#[test]
fn the_address_alone_is_read_where_nothing_else_is_wanted() {
    let place = Place::new();
    let address = |text: &str, environment: &[(&str, &str)]| {
        let file = place.write("gateway.toml", text);
        let pairs = environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        admin_address(Some(&file), pairs)
    };
    // There is no certificate, a key is unknown, another has an invalid value: these are ignored.
    let text = "[listen]\nadmin = \"127.0.0.1:1\"\nzebra = 1\n[log]\nlevel = \"loud\"";
    assert_eq!(address(text, &[]), Ok(Some("127.0.0.1:1".parse().unwrap())));
    let other = [("COAPS_GATEWAY__LISTEN__ADMIN", "127.0.0.1:2")];
    assert_eq!(
        address(text, &other),
        Ok(Some("127.0.0.1:2".parse().unwrap()))
    );
    assert_eq!(address("", &[]), Ok(None));
    for wrong in ["[listen]\nadmin = 1", "[listen\n"] {
        assert_eq!(address(wrong, &[]).unwrap_err().0.len(), 1, "{wrong}");
    }
    let nowhere = place.path("nowhere.toml");
    assert!(admin_address(Some(&nowhere), []).is_err());
}
