//! The device registry's file.

mod entry;
mod listing;
mod pieces;

pub use listing::{ListedDevice, RegistryFile, TokenSource, is_device_name};

use super::file::{self, Contents, WatchedFile};
use super::key::{Section, key};
use super::kind::{FilePath, OrEmpty};
use super::layers::Environment;
use super::mistake::{Mistake, Problem};
use super::reader::Reader;
use super::toml_text::{Lines, parse};
use super::unknown::unknown;
use crate::device::{Device, Fingerprint, Registry};
use crate::shown::Shown;
use entry::{Entry, Label};
use pieces::{Piece, Pieces};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Well over a million devices.
const LARGEST: u64 = 256 * 1024 * 1024;

/// Mistakes told of one registry. Whoever made more than this made the same one in every line.
const MOST_MISTAKES: usize = 100;

pub(super) const KEY: &str = "devices.file";
const EMPTY: &str = "every device gets 4.01 until it is registered";
const ONE_FOR_ONE: &str = "one name and one certificate for one device";
const ONCE_FOR_EACH: &str = "[[device]] in two brackets, once for each";
pub(super) const FIELDS: [&str; 7] = [
    "name",
    "fingerprint",
    "certificate",
    "token",
    "token_file",
    "token_env",
    "package_group",
];

/// `[devices]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Devices {
    pub(super) file: Option<PathBuf>,
}

impl Default for Devices {
    fn default() -> Devices {
        Devices {
            file: Some(PathBuf::from("config/devices.toml")),
        }
    }
}

pub(super) fn section() -> Section<Devices> {
    Section {
        name: "devices",
        doc: "",
        keys: vec![key(
            KEY,
            OrEmpty(FilePath("config/devices.toml")),
            |devices: &mut Devices| &mut devices.file,
            "the device registry. Without one every device gets 4.01, and the log shows what to register",
        )],
    }
}

/// Reads the registry. It may be missing or empty: the first device is then logged with the lines to paste. But if
/// `former` has devices, the file must still be there.
pub(super) fn load(
    reader: &mut Reader,
    devices: &Devices,
    environment: &Environment,
    former: &Registry,
) -> Registry {
    if reader.is_wrong(KEY) {
        return Registry::default();
    }
    let Some(path) = &devices.file else {
        reader.warn(KEY, format!("no registry: {EMPTY}"));
        return Registry::default();
    };
    let name = Shown::path(path).to_string();
    let contents = match reader.file(path, LARGEST) {
        Ok(contents) => contents,
        Err(file::Unreadable::Missing) if !reader.is_set(KEY) && former.is_empty() => {
            reader.warn(KEY, format!("{name} is not there: {EMPTY}"));
            return Registry::default();
        }
        Err(reason) => {
            reader.mistake(
                KEY,
                format!("{name} can't be read: {reason}"),
                "a file of [[device]] entries; an empty one will do",
            );
            return Registry::default();
        }
    };
    if contents.bytes.is_empty() && !former.is_empty() {
        // A disk that is full, or an editor that was interrupted. Nobody means all devices to be gone by that.
        let right = "a file of [[device]] entries; one that is to have none holds a comment";
        reader.mistake_at(name, "", "the file is empty", right);
        return Registry::default();
    }
    judge(reader, &name, &contents, environment, Purpose::Run(former)).0
}

/// Reads what stands in a registry. Mistakes and warnings go to the reader; devices are listed if that is what for.
fn judge(
    reader: &mut Reader,
    name: &str,
    contents: &Contents,
    environment: &Environment,
    purpose: Purpose<'_>,
) -> (Registry, Vec<ListedDevice>) {
    let Ok(text) = std::str::from_utf8(&contents.bytes) else {
        reader.mistake_at(
            name.to_owned(),
            "",
            "this is not text (UTF-8)",
            "a file of [[device]] entries",
        );
        return Default::default();
    };
    let mut file = DevicesFile {
        name,
        lines: Lines::of(""),
        environment,
        purpose,
        listed: Vec::new(),
        held_elsewhere: Vec::new(),
        registry: Registry::default(),
        seen: 0,
        list: None,
        mistakes: Vec::new(),
        count: 0,
        names: HashMap::new(),
        owners: HashMap::new(),
        tokens: HashMap::new(),
        hasher: RandomState::new(),
        shared_tokens: Vec::new(),
        holds_tokens: false,
        open_to_all: Vec::new(),
        watched: Vec::new(),
    };
    let damages = file.read(text);
    reader.watch(std::mem::take(&mut file.watched));
    if !damages.is_empty() {
        // What stands around a syntax error says little about what was meant.
        reader.mistakes().extend(damages);
        return Default::default();
    }
    let DevicesFile {
        mut registry,
        mut mistakes,
        count,
        holds_tokens,
        open_to_all,
        shared_tokens,
        listed,
        held_elsewhere,
        names,
        owners,
        tokens,
        ..
    } = file;
    // Before the registry takes a size of its own: what was needed for reading alone makes room for that.
    drop((names, owners, tokens));
    let more = count.saturating_sub(mistakes.len());
    if more > 0 {
        let problem = Problem::new(format!("{more} more mistakes in this file"), "");
        mistakes.push(Mistake::new(name, "", problem));
    }
    let none = registry.is_empty() && listed.is_empty();
    if none && mistakes.is_empty() {
        reader.warn_at(
            name.to_owned(),
            "",
            format!("there is no device in it: {EMPTY}"),
        );
    }
    reader.mistakes().append(&mut mistakes);
    if contents.open_to_all && holds_tokens {
        reader.warn_at(
            name.to_owned(),
            "",
            format!("everyone on this machine may read these tokens: chmod 600 {name}"),
        );
    }
    for (line, first) in shared_tokens.into_iter().take(MOST_MISTAKES) {
        let message = format!(
            "the same token as the device on line {first}: what both send arrives as one device's"
        );
        reader.warn_at(format!("{name}:{line}"), "token", message);
    }
    for (place, token_file) in open_to_all {
        let message =
            format!("everyone on this machine may read {token_file}: chmod 600 {token_file}");
        reader.warn_at(place, "token_file", message);
    }
    if let Some(line) = held_elsewhere.first() {
        let more = match held_elsewhere.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!(
            "the token of this device{more} can't be read here; `coaps-gateway check` tells why, and the gateway \
             won't start until it can read it"
        );
        reader.warn_at(format!("{name}:{line}"), "", message);
    }
    registry.shrink_to_fit();
    (registry, listed)
}

/// What a registry is read for.
#[derive(Debug, Clone, Copy)]
enum Purpose<'a> {
    /// To serve its devices: every token is needed. What is as in the registry that was read before is taken over from
    /// there: of 100,000 devices few change at a time, and to make and free all of them leaves memory full of holes.
    Run(&'a Registry),
    /// To list or edit it, in a shell that need not have the gateway's environment, nor its right to read tokens.
    List,
}

/// The file while it is read.
struct DevicesFile<'a> {
    name: &'a str,
    /// Of the piece that is being read.
    lines: Lines,
    environment: &'a Environment,
    purpose: Purpose<'a>,
    registry: Registry,
    /// The devices, if that is the purpose.
    listed: Vec<ListedDevice>,
    /// Lines of devices whose tokens stand where they can't be read here.
    held_elsewhere: Vec<usize>,
    /// Devices seen so far, right or wrong.
    seen: usize,
    /// On which line a list stands that takes the place of all `[[device]]`.
    list: Option<usize>,
    mistakes: Vec<Mistake>,
    /// How many mistakes there are; beyond a bound they are only counted.
    count: usize,
    /// On which line each name is taken.
    names: HashMap<Arc<str>, usize>,
    /// Who has a fingerprint, and on which line that device begins.
    owners: HashMap<Fingerprint, (Label, usize)>,
    /// On which line each token stands first, by a hash of it.
    tokens: HashMap<u64, usize>,
    hasher: RandomState,
    /// Lines of devices that share a token with an earlier one, and that one's.
    shared_tokens: Vec<(usize, usize)>,
    /// Whether a token stands in the file itself.
    holds_tokens: bool,
    /// Token files that everyone may read, and where they are named.
    open_to_all: Vec<(String, String)>,
    /// The files it names that were looked at.
    watched: Vec<WatchedFile>,
}

impl DevicesFile<'_> {
    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    fn mistake(
        &mut self,
        line: usize,
        key: String,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.count += 1;
        if self.mistakes.len() < MOST_MISTAKES {
            let problem = Problem::new(found, expected);
            self.mistakes
                .push(Mistake::new(self.place(line), &key, problem));
        }
    }

    /// A mistake in one key of one device; the position says where that key stands.
    fn wrong(
        &mut self,
        entry: &Entry<'_>,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let line = entry
            .get(key)
            .map_or(entry.line, |(_, start)| self.lines.at(start));
        self.mistake(line, format!("{}: {key}", entry.label), found, expected);
    }

    /// Reads the whole file, a piece at a time. Gives what is no TOML, if anything; then nothing else counts.
    fn read(&mut self, text: &str) -> Vec<Mistake> {
        let mut damages = Vec::new();
        for piece in Pieces::of(text) {
            self.lines = Lines::after(piece.before, piece.text);
            if piece.is_too_large {
                let wrong = Problem::new(
                    "what begins here goes on for more than a mebibyte",
                    ONCE_FOR_EACH,
                );
                damages.push(Mistake::new(self.place(piece.before + 1), "", wrong));
                break;
            }
            let (document, _) = parse(self.name, piece.text, &self.lines, &mut damages);
            if damages.is_empty() {
                self.read_piece(&piece, &document);
            } else if damages.len() >= MOST_MISTAKES {
                break;
            }
        }
        damages.truncate(MOST_MISTAKES);
        damages
    }

    fn read_piece(&mut self, piece: &Piece<'_>, document: &Spanned<DeTable<'_>>) {
        if let (true, Some(list)) = (piece.is_entry(), self.list) {
            let wrong = format!("all devices stand in the list on line {list}");
            let key = "device".to_owned();
            self.mistake(piece.before + 1, key, wrong, ONCE_FOR_EACH);
            return;
        }
        for (key, value) in document.get_ref() {
            let line = self.lines.at(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("device", DeValue::Array(devices)) => {
                    // `[[ device ]]` may be written in other ways: a device's text then begins with its header.
                    let first = devices.iter().next().map(|first| first.span().start);
                    let text = first.and_then(|start| piece.text.get(start..));
                    if !text.is_some_and(|text| text.starts_with('[')) {
                        self.list = Some(line);
                    }
                    for device in devices {
                        self.seen += 1;
                        self.device(self.seen, device);
                    }
                }
                ("device", _) => {
                    self.mistake(
                        line,
                        "device".into(),
                        "this is not a list of devices",
                        ONCE_FOR_EACH,
                    );
                }
                (unknown, _) => {
                    self.mistake(
                        line,
                        Shown::key(unknown).to_string(),
                        "there is no such key",
                        ONCE_FOR_EACH,
                    );
                }
            }
        }
    }

    fn device(&mut self, number: usize, device: &Spanned<DeValue<'_>>) {
        let line = self.lines.at(device.span().start);
        let DeValue::Table(table) = device.get_ref() else {
            self.mistake(
                line,
                format!("device {number}"),
                "this is not a device",
                "[[device]] with name, fingerprint and token",
            );
            return;
        };
        let mut entry = Entry {
            table,
            line,
            label: Label { number, name: None },
        };
        let before = self.count;
        let mut name = self.name_of(&entry);
        entry.label.name.clone_from(&name);
        for key in table.keys() {
            if !FIELDS.contains(&key.get_ref().as_ref()) {
                let line = self.lines.at(key.span().start);
                let Problem { found, expected } = unknown(key.get_ref(), &FIELDS);
                self.mistake(
                    line,
                    format!("{}: {}", entry.label, Shown::key(key.get_ref())),
                    found,
                    expected,
                );
            }
        }
        let fingerprints = self.fingerprints(&entry);
        let former = self.former(name.as_deref(), &fingerprints);
        if let Some(former) = &former {
            name = Some(former.name.clone());
            entry.label.name.clone_from(&name);
        }
        let token = self.token(&entry);
        let group = self.package_group(&entry);
        self.claims(&entry, &fingerprints);
        if let (Purpose::List, Some(name)) = (self.purpose, &name) {
            self.list(&entry, name, &fingerprints, token.is_some());
        }
        if let Some(token) = &token {
            let hash = self.hasher.hash_one(token.expose());
            match self.tokens.get(&hash) {
                Some(first) => self.shared_tokens.push((entry.line, *first)),
                None => drop(self.tokens.insert(hash, entry.line)),
            }
        }
        if let (Some(name), Some(token), true) = (name, token, self.count == before) {
            let device = former
                .filter(|former| former.token == token)
                .unwrap_or_else(|| Arc::new(Device { name, token }));
            if let Some(group) = group {
                self.registry.set_package_group(device.name.clone(), group);
            }
            if let Err(conflict) = self.registry.add(device, &fingerprints) {
                self.mistake(
                    line,
                    entry.label.to_string(),
                    conflict.to_string(),
                    ONE_FOR_ONE,
                );
            }
        }
    }

    /// The device with this name and certificate, if there was one before.
    fn former(&self, name: Option<&str>, fingerprints: &[Fingerprint]) -> Option<Arc<Device>> {
        let Purpose::Run(former) = self.purpose else {
            return None;
        };
        let holder = former.holder(fingerprints.first()?)?;
        (Some(&*holder.name) == name).then(|| holder.clone())
    }

    /// Notes what a device claims, also if something else is wrong with it, so that each conflict is
    /// told now and not only when the rest has been put right.
    fn claims(&mut self, entry: &Entry<'_>, fingerprints: &[Fingerprint]) {
        if let Some(name) = &entry.label.name {
            match self.names.get(name) {
                Some(line) => {
                    let wrong = format!("another device has this name, on line {line}");
                    self.wrong(entry, "name", wrong, ONE_FOR_ONE);
                }
                None => drop(self.names.insert(name.clone(), entry.line)),
            }
        }
        for (index, fingerprint) in fingerprints.iter().enumerate() {
            let key = if entry.get("fingerprint").is_some() {
                "fingerprint"
            } else {
                "certificate"
            };
            let wrong = if fingerprints
                .iter()
                .take(index)
                .any(|other| other == fingerprint)
            {
                format!("{fingerprint} is given twice")
            } else if let Some((owner, line)) = self.owners.get(fingerprint) {
                format!("{fingerprint} already belongs to {owner}, on line {line}")
            } else {
                self.owners
                    .insert(*fingerprint, (entry.label.clone(), entry.line));
                continue;
            };
            self.wrong(entry, key, wrong, ONE_FOR_ONE);
        }
    }
}
