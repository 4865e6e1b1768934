//! Merges the file and the environment; every value keeps the place it came from.

use super::key::{PREFIX, variable};
use super::mistake::{Mistake, Problem, Warning};
use super::toml_text::{Lines, parse};
use super::unknown::unknown;
use super::value::Value;
use crate::shown::{Shown, may_show};
use std::collections::BTreeMap;
use std::ffi::OsString;
use toml::de::DeValue;

/// The environment as it was when the process started; a parameter, so that tests never change the real one.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// Every key that is set, as `section.key`.
pub(super) type Settings = BTreeMap<&'static str, Setting>;

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    /// `FILE:LINE`, or the name of an environment variable.
    pub(super) place: String,
    /// Whether the value turned out to be wrong. What it names is then not read.
    pub(super) is_wrong: bool,
}

impl Setting {
    fn new(value: Value, place: String) -> Setting {
        Setting {
            value,
            place,
            is_wrong: false,
        }
    }
}

/// Reads the settings of the file's text, and those of the environment over them. `known`: every key there is.
pub(super) fn merge(
    file: &str,
    text: &str,
    environment: &Environment,
    known: &[&'static str],
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Warning>,
) -> Settings {
    let mut settings = of_file(file, text, known, mistakes);
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            warnings.extend(missing_underscores(name, known));
            continue;
        };
        let key = rest.replace("__", ".").to_lowercase();
        let problem = match (known.iter().find(|known| **known == key), value.to_str()) {
            (Some(key), Some(text)) => {
                let value = Value::Text(text.to_owned());
                settings.insert(key, Setting::new(value, name.to_owned()));
                continue;
            }
            (Some(_), None) => Problem::new("the value is not UTF-8", ""),
            (None, _) => unknown(&key, known),
        };
        mistakes.push(mistake_in_key(shown_variable(name), &key, problem));
    }
    settings
}

/// A mistake in a key that may be any text: someone may have written a value in its place.
fn mistake_in_key(place: String, key: &str, problem: Problem) -> Mistake {
    Mistake::new(place, &Shown::key(key).to_string(), problem)
}

/// The variable's name, or only its prefix if it does not look like the name of a key's variable.
fn shown_variable(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_uppercase() || c == '_';
    if may_show(name) && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("{PREFIX}… ({})", Shown::misplaced(name))
    }
}

/// `COAPS_GATEWAY_UPSTREAM_URL` is not read, though it was probably meant for the gateway.
fn missing_underscores(name: &str, known: &[&'static str]) -> Option<Warning> {
    let flat = name.strip_prefix("COAPS_GATEWAY_")?;
    let is_meant = |key: &&&str| key.replace('.', "_").to_uppercase() == flat;
    let key = known.iter().find(is_meant)?;
    Some(Warning {
        place: name.to_owned(),
        key: (*key).to_owned(),
        message: format!(
            "not read: two underscores separate the parts, as in {}",
            variable(key)
        ),
    })
}

fn of_file(
    file: &str,
    text: &str,
    known: &[&'static str],
    mistakes: &mut Vec<Mistake>,
) -> Settings {
    let lines = Lines::of(text);
    let (document, damaged) = parse(file, text, &lines, mistakes);
    let mut settings = Settings::new();
    for (section, value) in document.get_ref() {
        let line = lines.at(section.span().start);
        let place = format!("{file}:{line}");
        let section = section.get_ref().as_ref();
        let DeValue::Table(table) = value.get_ref() else {
            if !damaged.contains(&line) {
                mistakes.push(mistake_in_key(place, section, unknown(section, known)));
            }
            continue;
        };
        let is_known = known
            .iter()
            .any(|key| key.split('.').next() == Some(section));
        if !is_known && table.is_empty() {
            mistakes.push(mistake_in_key(place, section, unknown(section, known)));
        }
        for (name, value) in table {
            let line = lines.at(name.span().start);
            if damaged.contains(&line) {
                continue;
            }
            let place = format!("{file}:{line}");
            let key = format!("{section}.{}", name.get_ref());
            match known.iter().find(|known| **known == key) {
                Some(key) => {
                    let value = Value::of_toml(value.get_ref());
                    settings.insert(key, Setting::new(value, place));
                }
                None => mistakes.push(mistake_in_key(place, &key, unknown(&key, known))),
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["coap.nstart", "dtls.versions", "devices.file"];

    /// The settings of this text and these variables, as `key = value (place)`, and the mistakes.
    fn merged(text: &str, environment: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let pairs = environment.iter();
        let environment = pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut mistakes = Vec::new();
        let settings = merge("f", text, &environment, KNOWN, &mut mistakes, &mut vec![]);
        let settings = settings
            .iter()
            .map(|(key, Setting { value, place, .. })| format!("{key} = {value:?} ({place})"));
        let mistakes = mistakes.iter().map(Mistake::to_string);
        (settings.collect(), mistakes.collect())
    }

    #[test]
    fn a_variable_replaces_the_value_of_the_file_whatever_its_type() {
        let text = "[dtls]\nversions = [\"1.2\", \"1.3\"]\n[coap]\nnstart = 3\n";
        let environment = [("COAPS_GATEWAY__DTLS__VERSIONS", "1.3")];
        let expected = [
            "coap.nstart = Integer(3) (f:4)",
            "dtls.versions = Text(\"1.3\") (COAPS_GATEWAY__DTLS__VERSIONS)",
        ];
        assert_eq!(merged(text, &environment).0, expected);
    }

    #[test]
    fn an_empty_variable_sets_empty_text() {
        let environment = [("COAPS_GATEWAY__DEVICES__FILE", "")];
        let (settings, mistakes) = merged("[devices]\nfile = \"a\"\n", &environment);
        let expected = ["devices.file = Text(\"\") (COAPS_GATEWAY__DEVICES__FILE)"];
        assert_eq!(
            (&settings[..], &mistakes[..]),
            (&expected.map(str::to_owned)[..], &[][..])
        );
    }

    #[test]
    fn the_key_in_a_variable_may_have_any_case_but_not_the_prefix() {
        let environment = [
            ("COAPS_GATEWAY__COAP__nStart", "2"),
            ("coaps_gateway__COAP__NSTART", "3"),
            ("COAPS_GATEWAY__COAP_NSTART", "4"),
        ];
        let (settings, mistakes) = merged("", &environment);
        assert_eq!(
            settings,
            ["coap.nstart = Text(\"2\") (COAPS_GATEWAY__COAP__nStart)"]
        );
        assert_eq!(mistakes.len(), 1);
        assert!(
            mistakes[0].ends_with("did you mean coap.nstart?"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn the_same_table_is_read_however_it_is_written() {
        for text in [
            "coap = { nstart = 2 }",
            "coap.nstart = 2",
            "[coap]\nnstart = 2",
        ] {
            let (settings, mistakes) = merged(text, &[]);
            assert!(
                settings[0].starts_with("coap.nstart = Integer(2)"),
                "{settings:?}"
            );
            assert_eq!(mistakes, [""; 0]);
        }
    }
}
