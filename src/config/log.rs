//! `[log]`: what is logged, and how.

use super::key::{Section, key};
use super::kind::{Choice, Kind};
use super::mistake::Problem;
use super::value::Value;
use crate::logging::{Format, Settings};
use crate::shown::Shown;

pub(super) fn section() -> Section<Settings> {
    Section {
        name: "log",
        doc: "on standard error",
        keys: vec![
            key(
                "log.level",
                Level,
                |log: &mut Settings| &mut log.level,
                "error, warn, info, debug, trace; with modules: `\"info,coaps_gateway::dtls=debug\"`",
            ),
            key(
                "log.format",
                Choice(&[("text", Format::Text), ("json", Format::Json)]),
                |log: &mut Settings| &mut log.format,
                "or `\"json\"`",
            ),
        ],
    }
}

/// A level, or directives with commas between. Checked here because the filter takes a mistyped level for the name of a
/// module, and then logs nothing.
struct Level;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Kind<String> for Level {
    fn read(&self, value: &Value) -> Result<String, Problem> {
        let Some(text) = value.text() else {
            return Err(value.is_not("text in quotes"));
        };
        let expected = "off, error, warn, info, debug or trace; or with modules: \"info,coaps_gateway::dtls=debug\"";
        for directive in text.split(',') {
            let (module, level) = directive
                .rsplit_once('=')
                .map_or((None, directive), |(module, level)| (Some(module), level));
            let level = level.trim().to_lowercase();
            if !LEVELS.contains(&level.as_str()) {
                let found = format!("{} is no level", Shown::misplaced(&level));
                return Err(Problem::new(found, expected));
            }
            if module.is_some_and(|module| !is_module(module.trim())) {
                let found = format!("{} names no module", Shown::misplaced(directive));
                return Err(Problem::new(found, expected));
            }
        }
        Ok(text.to_owned())
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn range(&self) -> String {
        "a level, or levels of modules".to_owned()
    }
}

fn is_module(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    !name.is_empty() && name.chars().all(is_part)
}
