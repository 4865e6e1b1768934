//! `[state]`: where sessions are stored, so that they outlive the process.

use super::certificates::warn_of_open_key;
use super::file::Unreadable;
use super::group::{self, GroupKeys};
use super::key::{Key, Section, key};
use super::kind::{FilePath, Kind, OrEmpty, Time};
use super::layers::Environment;
use super::mistake::Problem;
use super::reader::Reader;
use super::value::Value;
use crate::shown::Shown;
use crate::state::settings::{KeySource, Settings};
use state_store::StoreKey;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DIRECTORY: &str = "state.directory";
pub(super) const KEY_FILE: &str = "state.key_file";
pub(super) const KEY_ENV: &str = "state.key_env";
const WINDOW: &str = "state.window";

/// The key file's name in the directory.
const KEY_NAME: &str = "key";
/// A key file has 64 digits and a line break.
pub(super) const LARGEST_KEY: u64 = 1024;
pub(super) const EXPECTED_KEY: &str =
    "64 hexadecimal digits, as `openssl rand -hex 32` makes them, and nothing else";

/// `[state]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    directory: Option<PathBuf>,
    key_file: Option<PathBuf>,
    /// The name of an environment variable.
    key_env: Option<String>,
    window: Duration,
    pub(super) group: GroupKeys,
}

impl State {
    pub(super) fn has_directory(&self) -> bool {
        self.directory.is_some()
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// The key's file, and the name of its variable.
    pub(super) fn key_source(&self) -> (Option<&Path>, Option<&str>) {
        (self.key_file.as_deref(), self.key_env.as_deref())
    }
}

impl Default for State {
    fn default() -> State {
        State {
            directory: None,
            key_file: None,
            key_env: None,
            window: Duration::from_secs(5),
            group: GroupKeys::default(),
        }
    }
}

pub(super) fn section() -> Section<State> {
    let mut keys = of_one_gateway();
    keys.extend(group::keys());
    Section {
        name: "state",
        doc: "what outlives a restart, and what other gateways go on with",
        keys,
    }
}

fn of_one_gateway() -> Vec<Key<State>> {
    vec![
            key(
                DIRECTORY,
                OrEmpty(NewPath("/var/lib/coaps-gateway")),
                |state: &mut State| &mut state.directory,
                "a directory of the gateway alone, where established sessions of DTLS 1.2 are stored, encrypted: after a \
                 restart they go on without a handshake. Created if it does not exist. Not set by default: sessions end \
                 with the process",
            )
            .example("\"/var/lib/coaps-gateway\""),
            key(
                KEY_FILE,
                OrEmpty(NewPath("/etc/coaps-gateway/state.key")),
                |state: &mut State| &mut state.key_file,
                "the key that they are encrypted with: 64 hexadecimal digits. Created at the first start, for its owner \
                 alone. With state.url all gateways have the same, and none makes it. Not set by default: `key` in \
                 state.directory",
            )
            .example("\"/var/lib/coaps-gateway/key\""),
            key(
                KEY_ENV,
                OrEmpty(VariableName),
                |state: &mut State| &mut state.key_env,
                "the name of an environment variable that holds the key, instead of a file. Not set by default",
            )
            .example("\"STATE_KEY\""),
            key(
                WINDOW,
                Time(Duration::from_secs(1)..=Duration::from_secs(60)),
                |state: &mut State| &mut state.window,
                "how often it is stored which records a session has received. After a crash, records that were received \
                 within this time are accepted once more",
            )
            .because("each time costs a write for each session in use"),
    ]
}

/// A path that is not read as the configuration is, as that may have to be created. A key that is pasted in its place has line
/// breaks, and must not become a name.
pub(super) struct NewPath(pub(super) &'static str);

impl Kind<PathBuf> for NewPath {
    fn read(&self, value: &Value) -> Result<PathBuf, Problem> {
        match value.text() {
            Some(text) if text.contains(char::is_control) => {
                let found = format!("{} is no path", Shown::misplaced(text));
                Err(Problem::new(found, format!("a path like {:?}", self.0)))
            }
            Some(_) | None => FilePath(self.0).read(value),
        }
    }

    fn write(&self, value: &PathBuf) -> Option<String> {
        FilePath(self.0).write(value)
    }

    fn range(&self) -> String {
        FilePath(self.0).range()
    }
}

/// The name of an environment variable.
struct VariableName;

impl Kind<String> for VariableName {
    fn read(&self, value: &Value) -> Result<String, Problem> {
        let expected = "the NAME of an environment variable: letters, digits and underscores";
        let Some(text) = value.text() else {
            return Err(value.is_not(expected));
        };
        let is_usual = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(is_usual) {
            true => Ok(text.to_owned()),
            false => {
                // It may be the key itself.
                let found = format!("{} is no name of a variable", Shown::misplaced(text));
                Err(Problem::new(found, expected))
            }
        }
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn range(&self) -> String {
        "the name of a variable".to_owned()
    }
}

/// Checks the keys, and reads the key if it is there. Nothing is created yet.
pub(super) fn read(
    reader: &mut Reader,
    state: &State,
    environment: &Environment,
) -> Option<Settings> {
    let Some(directory) = &state.directory else {
        let set = [KEY_FILE, KEY_ENV]
            .into_iter()
            .find(|key| reader.is_set(key));
        if let Some(key) = set
            && !reader.is_wrong(DIRECTORY)
            && state.group.url.is_none()
        {
            reader.warn(
                key,
                "has no effect: neither state.directory nor state.url is set",
            );
        }
        return None;
    };
    if directory.exists() && !directory.is_dir() {
        let found = format!("{} is not a directory", Shown::path(directory));
        reader.mistake(DIRECTORY, found, "a directory of the gateway alone");
    }
    let key = match (&state.key_file, &state.key_env) {
        (Some(_), Some(_)) => {
            reader.mistake(KEY_ENV, "state.key_file is set as well", "one of them");
            return None;
        }
        (None, Some(name)) => KeySource::Given(of_variable(reader, name, environment)?),
        (file, None) => {
            let path = file.clone().unwrap_or_else(|| directory.join(KEY_NAME));
            let key = file.as_ref().map_or(DIRECTORY, |_| KEY_FILE);
            check_file(reader, key, &path);
            KeySource::File(path)
        }
    };
    Some(Settings {
        directory: directory.clone(),
        key,
        window: state.window,
    })
}

pub(super) fn of_variable(
    reader: &mut Reader,
    name: &str,
    environment: &Environment,
) -> Option<StoreKey> {
    let value = environment.get(OsStr::new(name));
    let key = match value.map(|value| value.to_str()) {
        None => Err("the environment variable named here is not set".to_owned()),
        Some(None) => Err("the environment variable named here is not UTF-8".to_owned()),
        Some(Some(text)) => StoreKey::from_hex(text)
            .map_err(|_| "the environment variable named here holds no key".to_owned()),
    };
    let expected = format!("the NAME of a variable that holds {EXPECTED_KEY}");
    key.map_err(|found| reader.mistake(KEY_ENV, found, expected))
        .ok()
}

/// Looks at the key file, if it is there.
fn check_file(reader: &mut Reader, key: &'static str, path: &Path) {
    let contents = match reader.file(path, LARGEST_KEY) {
        Ok(contents) => contents,
        Err(Unreadable::Missing) => return,
        Err(Unreadable::Other(reason)) => {
            let found = format!("{} can't be read: {reason}", Shown::path(path));
            return reader.mistake(key, found, format!("a file of {EXPECTED_KEY}"));
        }
    };
    if contents.open_to_all {
        warn_of_open_key(reader, key, &Shown::path(path).to_string());
    }
    let text = std::str::from_utf8(&contents.bytes).unwrap_or_default();
    if StoreKey::from_hex(text).is_err() {
        let found = format!("{} holds no key", Shown::path(path));
        let expected = format!(
            "{EXPECTED_KEY}. If it is lost, remove the file: a new key is made, and sessions are begun again"
        );
        reader.mistake(key, found, expected);
    }
}
