//! A private key or a token in the place of any value, by mistake: no message repeats it.

use super::*;
use crate::config::sections::NAMES;

/// In the form of `certs`; not in use anywhere.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
    OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
    1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n\
    -----END PRIVATE KEY-----\n";

const TOKEN: &str = "A1b2C3d4E5f6G7h8I9j0";

/// Secrets that someone may have pasted, and the parts of each that must not be shown.
fn pasted() -> Vec<(String, Vec<String>)> {
    let lines: Vec<String> = PEM.lines().map(str::to_owned).collect();
    let base64 = lines[1..4].concat();
    let mut all = vec![
        (PEM.to_owned(), lines.clone()),
        (PEM.replace('\n', " "), lines.clone()),
        (PEM.replace('\n', "\\n"), lines.clone()),
        (base64.clone(), vec![base64]),
        (TOKEN.to_owned(), vec![TOKEN.to_owned()]),
        (
            format!("https://user:{TOKEN}@thingsboard.example"),
            vec![TOKEN.to_owned()],
        ),
    ];
    all.push((lines[1].clone(), vec![lines[1].clone()]));
    all
}

/// A text as TOML values, quoted and not.
fn written(text: &str) -> [String; 5] {
    [
        format!("'''\n{text}'''"),
        format!("{text:?}"),
        format!("[{text:?}, {text:?}]"),
        text.to_owned(),
        format!("\"{text}"),
    ]
}

/// Everything that loading a configuration reports.
fn output(outcome: Result<(Config, Vec<Warning>), Mistakes>) -> String {
    match outcome {
        Ok((config, warnings)) => format!("{warnings:?} {config:?}"),
        Err(mistakes) => format!("{mistakes} {mistakes:?}"),
    }
}

fn assert_hidden(output: &str, secrets: &[String], what: &str) {
    for secret in secrets {
        assert!(!output.contains(secret.as_str()), "{what}\n{output}");
    }
}

#[test]
fn in_any_key_of_the_environment() {
    let place = Place::new();
    let file = place.write("gateway.toml", "");
    for key in NAMES.iter() {
        let name = format!("COAPS_GATEWAY__{}", key.replace('.', "__").to_uppercase());
        for (text, secrets) in pasted() {
            let environment = place.environment(&[(&name, &text)]);
            let output = output(Config::load(Some(&file), environment, now()));
            assert_hidden(&output, &secrets, key);
        }
    }
}

#[test]
fn in_any_key_of_the_file_and_in_the_place_of_a_key() {
    let place = Place::new();
    let mut refused = 0;
    for key in NAMES.iter() {
        let (section, name) = key.split_once('.').unwrap();
        for (text, secrets) in pasted() {
            let mut files: Vec<String> = written(&text)
                .iter()
                .map(|value| format!("[{section}]\n{name} = {value}\n"))
                .collect();
            files.push(format!("[{section}]\n{text}\n"));
            files.push(format!("[{section}]\n{text} = 1\n"));
            files.push(format!("[{section}]\n{text:?} = 1\n"));
            for contents in files {
                let file = place.write("gateway.toml", &contents);
                let outcome = Config::load(Some(&file), place.environment(&[]), now());
                refused += usize::from(outcome.is_err());
                assert_hidden(&output(outcome), &secrets, &contents);
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn in_the_place_of_a_section_of_the_whole_file_or_of_its_name() {
    let place = Place::new();
    for (text, secrets) in pasted() {
        for contents in [
            text.clone(),
            format!("[{text}]\n"),
            format!("[{text:?}]\na = 1\n"),
            format!("{text:?} = 1\n"),
        ] {
            let file = place.write("gateway.toml", &contents);
            let outcome = Config::load(Some(&file), place.environment(&[]), now());
            assert_hidden(&output(outcome), &secrets, &contents);
            let registry = place.write("devices.toml", &contents);
            let environment = [("COAPS_GATEWAY__DEVICES__FILE", registry.to_str().unwrap())];
            let file = place.write("gateway.toml", "");
            let outcome = Config::load(Some(&file), place.environment(&environment), now());
            assert_hidden(&output(outcome), &secrets, &contents);
        }
        let outcome = Config::load(Some(Path::new(&text)), place.environment(&[]), now());
        assert!(outcome.is_err());
        assert_hidden(&output(outcome), &secrets, "the file's name");
        let variable = format!("COAPS_GATEWAY__{text}");
        let outcome = Config::load(None, place.environment(&[(&variable, "1")]), now());
        assert_hidden(&output(outcome), &secrets, "a variable's name");
        let listing = RegistryFile::named_by(Some(Path::new(&text)), place.environment(&[]));
        assert_hidden(&listing.err().unwrap().to_string(), &secrets, "device list");
    }
}

#[test]
fn in_any_field_of_a_device() {
    let place = Place::new();
    let ones = "1".repeat(64);
    for field in crate::config::devices::FIELDS {
        for (text, secrets) in pasted() {
            // This one is a valid name.
            if field == "name" && is_device_name(&text) {
                continue;
            }
            for value in written(&text) {
                let fields = [
                    ("name", "'a'"),
                    ("fingerprint", ones.as_str()),
                    ("token", "'TOKEN'"),
                ];
                let stands_for = |other: &str| {
                    other == field
                        || (other == "token" && field.starts_with("token"))
                        || (other == "fingerprint" && field == "certificate")
                };
                let mut device = String::from("[[device]]\n");
                for (other, right) in fields.iter().filter(|(other, _)| !stands_for(other)) {
                    let quotes = if right.starts_with('\'') { "" } else { "'" };
                    device += &format!("{other} = {quotes}{right}{quotes}\n");
                }
                device += &format!("{field} = {value}\n");
                let registry = place.write("devices.toml", &device);
                let environment = [("COAPS_GATEWAY__DEVICES__FILE", registry.to_str().unwrap())];
                let environment = place.environment(&environment);
                let file = place.write("gateway.toml", "");
                let outcome = Config::load(Some(&file), environment.clone(), now());
                assert_hidden(&output(outcome), &secrets, &device);
                let list = RegistryFile::named_by(Some(&file), environment).unwrap();
                let listed = format!("{:?}", list.devices(device.as_bytes()));
                assert_hidden(&listed, &secrets, &device);
            }
        }
    }
}

#[test]
fn token_and_fingerprint_swapped() {
    let place = Place::new();
    let fingerprint = "AB:".repeat(31) + "CD";
    let device =
        format!("[[device]]\nname = 'a'\nfingerprint = '{TOKEN}'\ntoken = '{fingerprint}'\n");
    let registry = place.write("devices.toml", device);
    let environment = [("COAPS_GATEWAY__DEVICES__FILE", registry.to_str().unwrap())];
    let file = place.write("gateway.toml", "");
    let outcome = Config::load(Some(&file), place.environment(&environment), now());
    let output = output(outcome);
    assert!(
        output.contains("fingerprint: text of 20 characters: "),
        "{output}"
    );
    assert!(!output.contains(TOKEN), "{output}");
}
