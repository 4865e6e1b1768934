//! Registries, valid and invalid.

use super::*;
use crate::credentials::certificates;
use crate::device::{CertificateId, Fingerprint};

impl Place {
    fn devices(&self, text: &str) -> Result<(Config, Vec<Warning>), Vec<String>> {
        let file = self.write("devices.toml", text);
        self.load(
            "",
            &[
                ("COAPS_GATEWAY__DEVICES__FILE", file.to_str().unwrap()),
                ("A_TOKEN", "TOKEN-FROM-ENV"),
            ],
        )
    }
}

const ONES: &str = "1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn a_device_is_found_by_each_way_to_name_its_certificate_and_its_token() {
    let place = Place::new();
    let token_file = place.write("token", "TOKEN-FROM-FILE\n");
    let certificate = place.path("certs/meter-17.pem");
    let text = format!(
        "[[device]]\nname = \"a\"\nfingerprint = [\"{ONES}\", \"sha3:{ONES}\"]\ntoken = \"TOKEN\"\n\
         [[device]]\nname = \"b\"\ncertificate = {certificate:?}\ntoken_file = {token_file:?}\n\
         [[device]]\nname = \"c\"\nfingerprint = \"{}\"\ntoken_env = \"A_TOKEN\"\n",
        ONES.replace('1', "2"),
    );
    let (config, _) = place.devices(&text).unwrap();
    let token = |id: CertificateId| {
        config
            .registry
            .find(&id)
            .map(|device| device.token.expose().to_owned())
    };
    let der = certificates(&fs::read(certificate).unwrap())
        .unwrap()
        .remove(0);
    assert_eq!(
        token(CertificateId {
            sha256: [0x11; 32],
            sha3: [0; 32]
        })
        .as_deref(),
        Some("TOKEN")
    );
    assert_eq!(
        token(CertificateId {
            sha256: [0; 32],
            sha3: [0x11; 32]
        })
        .as_deref(),
        Some("TOKEN")
    );
    assert_eq!(
        token(CertificateId::of(&der)).as_deref(),
        Some("TOKEN-FROM-FILE")
    );
    assert_eq!(
        token(CertificateId {
            sha256: [0x22; 32],
            sha3: [0; 32]
        })
        .as_deref(),
        Some("TOKEN-FROM-ENV")
    );
    assert_eq!(config.registry.len(), 3);
}

#[test]
fn every_mistake_in_the_registry_is_reported_at_once_and_no_token_with_it() {
    let place = Place::new();
    let text = format!(
        "devices = 1
[[device]]
name = \"a\"
fingerprint = \"AB:CD\"
token = \"SECRET TOKEN\"
[[device]]
nmae = \"b\"
fingerprint = \"{ONES}\"
certificate = \"x.pem\"
token_file = \"/nowhere\"
token_env = \"NOPE\"
[[device]]
name = \"c\"
fingerprint = \"{ONES}\"
token = 5
[[device]]
name = \"c\"
certificate = [\"/nowhere\"]
token_env = \"NOPE\"
[[device]]
name = \"d\"
fingerprint = [\"{ONES}\", \"{ONES}\"]
[[device]]
name = \" e\"
fingerprint = []
token_file = \"/nowhere\"
"
    );
    let result = place.devices(&text);
    assert!(!format!("{result:?}").contains("SECRET"));
    assert_mistakes(
        result,
        &[
            &["devices.toml:1: devices:", "[[device]]"],
            &[
                "devices.toml:4: device \"a\": fingerprint:",
                "64 hex digits",
            ],
            &["devices.toml:5: device \"a\": token:", "no spaces"],
            &["devices.toml:6: device 2: name:", "no name"],
            &["devices.toml:7: device 2:", "did you mean name?"],
            &["devices.toml:9: device 2: certificate:", "both"],
            &[
                "devices.toml:11: device 2: token_env:",
                "token_file and token_env are given",
            ],
            &["devices.toml:15: device \"c\": token:", "not text"],
            &["devices.toml:17: device \"c\": name:", "on line 12"],
            &[
                "devices.toml:18: device \"c\": certificate:",
                "no such file",
            ],
            &[
                "devices.toml:19: device \"c\": token_env:",
                "the environment variable named here is not set",
            ],
            &["devices.toml:20: device \"d\": token:", "no token"],
            &[
                "devices.toml:22: device \"d\": fingerprint:",
                "already belongs to device \"c\", on line 12",
            ],
            &[
                "devices.toml:22: device \"d\": fingerprint:",
                "is given twice",
            ],
            &[
                "devices.toml:24: device 6: name:",
                "text of 2 characters is no name",
            ],
            &["devices.toml:25: device 6: fingerprint:", "0 entries"],
            &["devices.toml:26: device 6: token_file:", "no such file"],
        ],
    );
}

#[test]
fn a_syntax_error_is_reported_by_its_line_alone_and_many_mistakes_are_only_counted() {
    let place = Place::new();
    let result = place.devices("[[device]]\nname = \"a\"\ntoken = \"SECRET\nfingerprint = \"\"\n");
    assert!(!format!("{result:?}").contains("SECRET"));
    assert_mistakes(result, &[&["devices.toml:3: this is not TOML"]]);
    let many = "[[device]]\n".repeat(1000);
    let mistakes = place.devices(&many).unwrap_err();
    assert_eq!(mistakes.len(), 101);
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.contains("2900 more mistakes")),
        "{mistakes:?}"
    );
    place.write("devices.bin", [0x80, 0x00]);
    let path = place.path("devices.bin");
    let result = place.load(
        "",
        &[("COAPS_GATEWAY__DEVICES__FILE", path.to_str().unwrap())],
    );
    assert_mistakes(result, &[&["devices.bin: this is not text"]]);
}

#[test]
fn a_registry_of_endless_text_is_refused_at_the_first_mebibyte() {
    let place = Place::new();
    let garbage = "no TOML at all\n".repeat(200_000);
    assert_mistakes(
        place.devices(&garbage),
        &[&["devices.toml:1: what begins here goes on for more than a mebibyte"]],
    );
    let entry = format!("[[device]]\nname = \"a\"\nfingerprint = \"{ONES}\"\ntoken = \"T\"\n");
    assert_mistakes(
        place.devices(&(entry + "# comment\n[[device]]\n" + &garbage)),
        &[&["devices.toml:6: what begins here", "once for each"]],
    );
}

#[test]
fn unchanged_devices_are_shared_with_the_registry_that_was_read_before() {
    let place = Place::new();
    let entry = |name: &str, digit: &str, token: &str| {
        let fingerprint = digit.repeat(64);
        format!(
            "[[device]]\nname = \"{name}\"\nfingerprint = \"{fingerprint}\"\ntoken = \"{token}\"\n"
        )
    };
    let before = ["stays", "renews", "passes on"].map(str::to_owned);
    let [stays, renews, passes] = before.each_ref();
    let text = entry(stays, "1", "T1") + &entry(renews, "2", "T2") + &entry(passes, "3", "T3");
    let (config, _) = place.devices(&text).unwrap();
    let text = entry(stays, "1", "T1") + &entry(renews, "2", "T4") + &entry("takes", "3", "T3");
    place.write("devices.toml", text);
    let (again, _) = config
        .sources
        .read_registry(&config.registry)
        .outcome
        .unwrap();
    let both = |byte: u8| {
        let fingerprint = Fingerprint::Sha256([byte; 32]);
        [&*config.registry, &again]
            .map(|registry| registry.device_with(&fingerprint).unwrap().clone())
    };
    let [before, now] = both(0x11);
    assert!(Arc::ptr_eq(&before, &now));
    let [before, now] = both(0x22);
    assert_eq!((before.token.expose(), now.token.expose()), ("T2", "T4"));
    assert!(Arc::ptr_eq(&before.name, &now.name));
    let [before, now] = both(0x33);
    assert_eq!((&*before.name, &*now.name), ("passes on", "takes"));
}

#[test]
fn a_list_of_devices_excludes_other_entries() {
    let place = Place::new();
    let inline = "device = [{ name = \"a\", fingerprint = \"sha3:11\", token = \"T\" }]\n"
        .replace("11", ONES);
    assert_eq!(place.devices(&inline).unwrap().0.registry.len(), 1);
    let entry = format!("name = \"b\"\nfingerprint = \"{ONES}\"\ntoken = \"S\"\n");
    assert_mistakes(
        place.devices(&format!("{inline}[[device]]\n{entry}")),
        &[&["devices.toml:2: device:", "in the list on line 1"]],
    );
    // The header has more spellings than one.
    let mixed = format!(
        "\u{feff}[[ device ]]\n{}[[device]]\n{entry}[[\"device\"]]\n{}",
        entry
            .replace('b', "c")
            .replace("1111", "2222")
            .replace('S', "U"),
        entry
            .replace('b', "d")
            .replace("1111", "3333")
            .replace('S', "V"),
    );
    assert_eq!(place.devices(&mixed).unwrap().0.registry.len(), 3);
}

#[test]
fn syntax_errors_and_mistakes_have_the_line_of_the_whole_file() {
    let place = Place::new();
    let entry = |name: &str, digit: &str| {
        format!(
            "[[device]]\nname = \"{name}\"\nfingerprint = \"{}\"\ntoken = \"T-{name}\"\n\n# next\n",
            digit.repeat(64)
        )
    };
    let (first, second) = (entry("a", "a"), entry("b", "b"));
    let typo = second.replace("\"T-b\"", "\"T-b");
    assert_mistakes(
        place.devices(&format!("{first}{typo}{}", first.replace("name", "nam"))),
        &[&["devices.toml:10: this is not TOML"]],
    );
    assert_mistakes(
        place.devices(&format!("{first}{second}{}", first.replace("name", "nam"))),
        &[
            &["devices.toml:13: device 3: name", "no name"],
            &["devices.toml:14: device 3:", "did you mean name?"],
            &["devices.toml:15: device 3:", "on line 1"],
        ],
    );
}

#[test]
fn secrets_that_everyone_may_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    open(&place.path("certs/server.key"));
    let token_file = place.write("token", "T");
    open(&token_file);
    open(&place.write("devices.toml", ""));
    let text = format!(
        "[[device]]\nname = \"a\"\nfingerprint = \"{ONES}\"\ntoken = \"T\"\n\
         [[device]]\nname = \"b\"\nfingerprint = \"sha3:{ONES}\"\ntoken_file = {token_file:?}\n"
    );
    let (_, warnings) = place.devices(&text).unwrap();
    let count = warnings
        .iter()
        .filter(|warning| warning.message.contains("everyone on this machine"))
        .count();
    assert_eq!(count, 3, "{warnings:#?}");
}

#[test]
fn a_token_under_the_wrong_key_is_not_repeated() {
    for key in ["token_file", "token_env"] {
        let place = Place::new();
        let registry = format!(
            "[[device]]\nname = \"a\"\nfingerprint = \"{}\"\n{key} = \"A1_SECRET_TOKEN\"\n",
            "ab".repeat(32)
        );
        let mistakes = place.devices(&registry).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].contains(key) && !mistakes[0].contains("SECRET"),
            "{mistakes:?}"
        );
    }
}

#[test]
fn two_devices_with_one_token_are_warned_about_and_two_names_of_one_certificate_refused() {
    let place = Place::new();
    let one = |name: &str, digit: &str, token: &str| {
        format!(
            "[[device]]\nname = \"{name}\"\nfingerprint = \"{}\"\ntoken = \"{token}\"\n",
            digit.repeat(64)
        )
    };
    let both = one("a", "a", "SAME_TOKEN") + &one("b", "b", "SAME_TOKEN");
    let (_, warnings) = place.devices(&both).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let second = warnings
        .iter()
        .find(|warning| warning.contains("devices.toml:5"));
    let second = second.expect("no warning of the second");
    assert!(
        second.contains("line 1") && !second.contains("SAME_TOKEN"),
        "{second}"
    );

    let certificate = place.path("certs/meter-17.pem");
    let all = certificates(&fs::read(&certificate).unwrap()).unwrap();
    let sha3 = Fingerprint::Sha3(CertificateId::of(&all[0]).sha3);
    let registry = format!(
        "[[device]]\nname = \"a\"\ncertificate = {certificate:?}\ntoken = \"T1\"\n\
         [[device]]\nname = \"b\"\nfingerprint = \"{sha3}\"\ntoken = \"T2\"\n"
    );
    assert_mistakes(
        place.devices(&registry),
        &[&["devices.toml:7", "already belongs to device \"a\""]],
    );
}

#[test]
fn a_name_has_no_character_that_hides_or_reorders_its_neighbours() {
    let place = Place::new();
    for c in [
        '\u{202e}',
        '\u{2066}',
        '\u{200b}',
        '\u{200f}',
        '\u{feff}',
        '\u{ad}',
        '\u{2028}',
        '\u{e0041}',
        '\u{7f}',
    ] {
        let escaped = format!("\\U{:08x}", u32::from(c));
        let text = format!(
            "[[device]]\nname = \"meter{escaped}71\"\nfingerprint = \"{ONES}\"\ntoken = \"T\"\n"
        );
        let mistakes = place.devices(&text).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].contains("device 1: name: text of 8 characters is no name"),
            "{mistakes:?}"
        );
        assert!(!mistakes[0].contains(c), "{mistakes:?}");
    }
    assert!(is_device_name("Zähler 17 – 电表"));
}

#[test]
fn devices_with_the_same_package_group_share_packages() {
    let place = Place::new();
    let device = |name: &str, digit: &str, more: &str| {
        let fingerprint = ONES.replace('1', digit);
        format!(
            "[[device]]\nname = \"{name}\"\nfingerprint = \"{fingerprint}\"\ntoken = \"T{digit}\"\n{more}\n"
        )
    };
    let text = [
        device("a", "1", "package_group = \"fleet-7\""),
        device("b", "2", "package_group = \"fleet-7\""),
        device("c", "3", ""),
    ];
    let (config, _) = place.devices(&text.concat()).unwrap();
    let group = |name| config.registry.package_group(name).map(|group| &**group);
    assert_eq!(
        ["a", "b", "c"].map(group),
        [Some("fleet-7"), Some("fleet-7"), None]
    );
    for wrong in ["\"\"", "7", "[\"a\"]", "\"a\\u0007\""] {
        let text = device("a", "1", &format!("package_group = {wrong}"));
        let expected: &[&[&str]] = &[&["package_group: ", "package_group = "]];
        assert_mistakes(place.devices(&text), expected);
    }
}
