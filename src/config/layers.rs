//! File and environment, laid over each other; every value keeps the place it came from.

use super::keys::{KEYS, unknown};
use super::mistake::{Mistake, Warning, Wrong};
use crate::shown::{Shown, may_show};
use config::{ConfigError, Map, Source, Value, ValueKind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use toml::de::{DeTable, DeValue};

/// What environment variables of ours begin with. Two underscores, so that what Kubernetes sets for a
/// service named `coaps-gateway` (`COAPS_GATEWAY_PORT=…`) is never taken for ours.
pub(super) const PREFIX: &str = "COAPS_GATEWAY__";

/// The environment as it was when the process started; handed in, so that tests never change the real one.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// Known keys of one source. What is not known is sorted out before, because `config` reads keys as
/// path expressions, and `"a[999999999]"` would be an array of that many.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Lays the environment over the file. The result has `section.key` as keys.
pub(super) fn merge(
    file: &str,
    text: &str,
    environment: &Environment,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Warning>,
) -> BTreeMap<String, Value> {
    let layers = [
        of_file(file, text, mistakes),
        of_environment(environment, mistakes, warnings),
    ];
    let builder = layers
        .into_iter()
        .fold(config::Config::builder(), |builder, layer| {
            builder.add_source(layer)
        });
    let mut merged = BTreeMap::new();
    // Neither source can fail, and what they give is tables of known keys.
    let sections = builder
        .build()
        .ok()
        .and_then(|config| config.cache.into_table().ok())
        .unwrap_or_default();
    for (section, value) in sections {
        for (key, value) in value.into_table().unwrap_or_default() {
            merged.insert(format!("{section}.{key}"), value);
        }
    }
    merged
}

fn of_environment(
    environment: &Environment,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Warning>,
) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            forgotten_underscores(name, warnings);
            continue;
        };
        let key = rest.replace("__", ".").to_lowercase();
        let wrong = if !KEYS.contains(&key.as_str()) {
            unknown(&key, KEYS)
        } else if let Some(text) = value.to_str() {
            layer
                .0
                .insert(key, Value::new(Some(&name.to_owned()), text));
            continue;
        } else {
            Wrong::new("the value is not UTF-8", "")
        };
        mistakes.push(mistake_in_key(place(name), &key, wrong));
    }
    layer
}

/// A mistake in a key that may be anything: someone may have written a value in its place.
fn mistake_in_key(place: String, key: &str, wrong: Wrong) -> Mistake {
    Mistake::new(place, &Shown::key(key).to_string(), wrong)
}

/// The variable's name, or only how it begins where it is of no key's form.
fn place(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_uppercase() || c == '_';
    if may_show(name) && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("{PREFIX}… ({})", Shown::misplaced(name))
    }
}

/// `COAPS_GATEWAY_UPSTREAM_URL` is not ours, but someone thinks it is.
fn forgotten_underscores(name: &str, warnings: &mut Vec<Warning>) {
    let flat = |key: &&&str| format!("COAPS_GATEWAY_{}", key.replace('.', "_").to_uppercase());
    if name.starts_with("COAPS_GATEWAY_")
        && let Some(key) = KEYS.iter().find(|key| flat(key) == name)
    {
        let right = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
        warnings.push(Warning {
            place: name.to_owned(),
            key: (*key).to_owned(),
            message: format!("not read: between the parts stand two underscores, {right}"),
        });
    }
}

fn of_file(file: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Layer {
    let lines = Lines::of(text);
    let (document, damaged) = syntax(file, text, &lines, mistakes);
    let mut layer = Layer::default();
    for (section, value) in document.get_ref() {
        let line = lines.at(section.span().start);
        let place = format!("{file}:{line}");
        let section = section.get_ref().as_ref();
        let DeValue::Table(table) = value.get_ref() else {
            if !damaged.contains(&line) {
                mistakes.push(mistake_in_key(place, section, unknown(section, KEYS)));
            }
            continue;
        };
        let is_known = KEYS
            .iter()
            .any(|key| key.split('.').next() == Some(section));
        if !is_known && table.is_empty() {
            mistakes.push(mistake_in_key(
                place.clone(),
                section,
                unknown(section, KEYS),
            ));
        }
        let mut known = Map::new();
        for (name, value) in table {
            let key = format!("{section}.{}", name.get_ref());
            let line = lines.at(name.span().start);
            let place = format!("{file}:{line}");
            if KEYS.contains(&key.as_str()) && !damaged.contains(&line) {
                known.insert(name.get_ref().to_string(), convert(value.get_ref(), &place));
            } else if !damaged.contains(&line) {
                mistakes.push(mistake_in_key(place, &key, unknown(&key, KEYS)));
            }
        }
        if !known.is_empty() {
            layer.0.insert(
                section.to_owned(),
                Value::new(Some(&place), ValueKind::Table(known)),
            );
        }
    }
    layer
}

fn convert(value: &DeValue<'_>, place: &String) -> Value {
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => ValueKind::I64(number),
            Err(_) => ValueKind::String(number.as_str().to_owned()),
        },
        DeValue::Float(number) => ValueKind::String(number.as_str().to_owned()),
        DeValue::Boolean(boolean) => ValueKind::Boolean(*boolean),
        // No key takes one of these; each refuses it in its own words.
        DeValue::Datetime(_) | DeValue::Table(_) => ValueKind::Nil,
        DeValue::Array(items) => ValueKind::Array(
            items
                .iter()
                .map(|item| convert(item.get_ref(), place))
                .collect(),
        ),
    };
    Value::new(Some(place), kind)
}

/// Parses TOML as far as it goes. Every syntax error becomes a mistake; the lines they stand on are
/// given back, because a value recovered there is nobody's.
pub(super) fn syntax<'a>(
    file: &str,
    text: &'a str,
    lines: &Lines,
    mistakes: &mut Vec<Mistake>,
) -> (toml::Spanned<DeTable<'a>>, Vec<usize>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut damaged = Vec::new();
    for error in errors {
        let line = lines.at(error.span().map_or(0, |span| span.start));
        // One slip often makes several errors; the first on a line says it. The error's own text for
        // display is not used: it repeats the line, which may hold a token.
        if !damaged.contains(&line) && damaged.len() < 100 {
            damaged.push(line);
            let wrong = Wrong::new(format!("this is not TOML: {}", error.message()), "");
            mistakes.push(Mistake::new(format!("{file}:{line}"), "", wrong));
        }
    }
    (document, damaged)
}

/// Where lines begin, to tell a line's number from a byte's position.
pub(super) struct Lines {
    ends: Vec<usize>,
    /// Lines before the text, where it is only part of a file.
    before: usize,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Lines::after(0, text)
    }

    /// For a text before which so many lines stand.
    pub(super) fn after(before: usize, text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Lines { ends, before }
    }

    /// The line, counted from 1, in which this byte stands.
    pub(super) fn at(&self, byte: usize) -> usize {
        self.before + self.ends.partition_point(|end| *end < byte) + 1
    }
}
