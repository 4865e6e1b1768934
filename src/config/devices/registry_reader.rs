//! Reads a registry: checks every entry, and collects every mistake.

use super::super::file::{Contents, WatchedFile};
use super::super::layers::Environment;
use super::super::mistake::{Mistake, Problem};
use super::super::reader::Reader;
use super::super::toml_text::{Lines, parse};
use super::super::unknown::unknown;
use super::entry::{Entry, Label};
use super::listed_device::ListedDevice;
use super::pieces::{Piece, Pieces};
use super::{EMPTY, FIELDS};
use crate::device::{Device, Fingerprint, Registry};
use crate::shown::Shown;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Mistakes reported of one registry. Whoever made more than this made the same one in every line.
const MAX_MISTAKES: usize = 100;

const ONE_FOR_ONE: &str = "one name and one certificate for one device";
const ONCE_FOR_EACH: &str = "[[device]] in two brackets, once for each";

/// What a registry is read for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode<'a> {
    /// To serve its devices: every token is needed. Devices that are the same in this former registry are shared with it: of
    /// 100,000 few change at a time, and to allocate and free all of them would fragment memory.
    Serve(&'a Registry),
    /// To list or edit it, in a shell that need not have the gateway's environment, nor its right to read tokens.
    List,
}

/// Reads a registry's contents. Mistakes and warnings go to the reader. The list is empty unless the mode is
/// [`List`](Mode::List).
pub(super) fn read_registry(
    reader: &mut Reader,
    name: &str,
    contents: &Contents,
    environment: &Environment,
    mode: Mode<'_>,
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
    let mut registry_reader = RegistryReader::new(name, environment, mode);
    let errors = registry_reader.read(text);
    reader.watch(std::mem::take(&mut registry_reader.watched));
    if !errors.is_empty() {
        // Mistakes around a syntax error say little about what was meant.
        reader.mistakes().extend(errors);
        return Default::default();
    }
    registry_reader.finish(reader, contents.open_to_all)
}

/// A registry's file while it is read.
pub(super) struct RegistryReader<'a> {
    name: &'a str,
    /// The lines of the current piece.
    pub(super) lines: Lines,
    pub(super) environment: &'a Environment,
    pub(super) mode: Mode<'a>,
    registry: Registry,
    /// The devices, in [`Mode::List`].
    listed: Vec<ListedDevice>,
    /// Lines of devices whose tokens this process can't read, in [`Mode::List`].
    pub(super) unreadable_tokens: Vec<usize>,
    /// Devices so far, right or wrong.
    device_count: usize,
    /// The line of a list of devices that replaces all `[[device]]`.
    inline_list: Option<usize>,
    /// At most [`MAX_MISTAKES`]; the others are only counted.
    mistakes: Vec<Mistake>,
    mistake_count: usize,
    /// The line of each name.
    names: HashMap<Arc<str>, usize>,
    /// The device of each fingerprint, and the line on which it begins.
    fingerprint_owners: HashMap<Fingerprint, (Label, usize)>,
    /// The line on which each token comes first, by a hash of it.
    tokens: HashMap<u64, usize>,
    hasher: RandomState,
    /// The lines of devices that have the token of an earlier one, and the lines of these.
    shared_tokens: Vec<(usize, usize)>,
    /// Whether the file itself holds a token.
    pub(super) holds_tokens: bool,
    /// Token files that everyone may read: the place that names each, and its path.
    pub(super) open_to_all: Vec<(String, String)>,
    /// The files that it names.
    pub(super) watched: Vec<WatchedFile>,
}

impl<'a> RegistryReader<'a> {
    fn new(name: &'a str, environment: &'a Environment, mode: Mode<'a>) -> Self {
        RegistryReader {
            name,
            lines: Lines::of(""),
            environment,
            mode,
            registry: Registry::default(),
            listed: Vec::new(),
            unreadable_tokens: Vec::new(),
            device_count: 0,
            inline_list: None,
            mistakes: Vec::new(),
            mistake_count: 0,
            names: HashMap::new(),
            fingerprint_owners: HashMap::new(),
            tokens: HashMap::new(),
            hasher: RandomState::new(),
            shared_tokens: Vec::new(),
            holds_tokens: false,
            open_to_all: Vec::new(),
            watched: Vec::new(),
        }
    }

    /// Reports the mistakes, and what deserves a warning. `open_to_all`: whether everyone may read the file.
    fn finish(self, reader: &mut Reader, open_to_all: bool) -> (Registry, Vec<ListedDevice>) {
        let RegistryReader {
            name,
            mut registry,
            listed,
            mut mistakes,
            ..
        } = self;
        // Before the registry shrinks: what was needed for reading alone makes room for that.
        drop((self.names, self.fingerprint_owners, self.tokens));
        let more = self.mistake_count.saturating_sub(mistakes.len());
        if more > 0 {
            let problem = Problem::new(format!("{more} more mistakes in this file"), "");
            mistakes.push(Mistake::new(name, "", problem));
        }
        let mut warn = |place: &str, key: &str, message: String| {
            reader.warn_at(place.to_owned(), key, message);
        };
        if registry.is_empty() && listed.is_empty() && mistakes.is_empty() {
            warn(name, "", format!("there is no device in it: {EMPTY}"));
        }
        if open_to_all && self.holds_tokens {
            let message =
                format!("everyone on this machine may read these tokens: chmod 600 {name}");
            warn(name, "", message);
        }
        for (line, first) in self.shared_tokens.into_iter().take(MAX_MISTAKES) {
            let message = format!(
                "the same token as the device on line {first}: ThingsBoard takes both for one device"
            );
            warn(&format!("{name}:{line}"), "token", message);
        }
        for (place, token_file) in self.open_to_all {
            let message =
                format!("everyone on this machine may read {token_file}: chmod 600 {token_file}");
            warn(&place, "token_file", message);
        }
        if let Some(line) = self.unreadable_tokens.first() {
            let more = match self.unreadable_tokens.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let message = format!(
                "the token of this device{more} can't be read here; `coaps-gateway check` says why, and the gateway \
                 won't start until it can read it"
            );
            warn(&format!("{name}:{line}"), "", message);
        }
        reader.mistakes().append(&mut mistakes);
        registry.shrink_to_fit();
        (registry, listed)
    }

    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    fn mistake(
        &mut self,
        line: usize,
        key: String,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.mistake_count += 1;
        if self.mistakes.len() < MAX_MISTAKES {
            let problem = Problem::new(found, expected);
            self.mistakes
                .push(Mistake::new(self.place(line), &key, problem));
        }
    }

    /// Reports a mistake in one field of one device, with that field's line.
    pub(super) fn mistake_in(
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

    /// Reads the whole file, a piece at a time. Returns the syntax errors, if any; what else was found is then
    /// meaningless.
    fn read(&mut self, text: &str) -> Vec<Mistake> {
        let mut errors = Vec::new();
        for piece in Pieces::of(text) {
            self.lines = Lines::after(piece.before, piece.text);
            if piece.is_too_large {
                let problem = Problem::new(
                    "what begins here goes on for more than a mebibyte",
                    ONCE_FOR_EACH,
                );
                errors.push(Mistake::new(self.place(piece.before + 1), "", problem));
                break;
            }
            let (document, _) = parse(self.name, piece.text, &self.lines, &mut errors);
            if errors.is_empty() {
                self.read_piece(&piece, &document);
            } else if errors.len() >= MAX_MISTAKES {
                break;
            }
        }
        errors.truncate(MAX_MISTAKES);
        errors
    }

    fn read_piece(&mut self, piece: &Piece<'_>, document: &Spanned<DeTable<'_>>) {
        if let (true, Some(list)) = (piece.is_entry(), self.inline_list) {
            let found = format!("all devices are in the list on line {list}");
            let key = "device".to_owned();
            self.mistake(piece.before + 1, key, found, ONCE_FOR_EACH);
            return;
        }
        for (key, value) in document.get_ref() {
            let line = self.lines.at(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("device", DeValue::Array(devices)) => {
                    // `[[ device ]]` with spaces makes one piece of all devices: the text of each then begins with its header.
                    let first = devices.iter().next().map(|first| first.span().start);
                    let text = first.and_then(|start| piece.text.get(start..));
                    if !text.is_some_and(|text| text.starts_with('[')) {
                        self.inline_list = Some(line);
                    }
                    for device in devices {
                        self.device_count += 1;
                        self.device(self.device_count, device);
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
        let before = self.mistake_count;
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
        self.check_duplicates(&entry, &fingerprints);
        if let (Mode::List, Some(name)) = (self.mode, &name) {
            let device = ListedDevice::new(&entry, name, &fingerprints, token.is_some());
            self.listed.push(device);
        }
        if let Some(token) = &token {
            let hash = self.hasher.hash_one(token.expose());
            match self.tokens.get(&hash) {
                Some(first) => self.shared_tokens.push((entry.line, *first)),
                None => drop(self.tokens.insert(hash, entry.line)),
            }
        }
        if let (Some(name), Some(token), true) = (name, token, self.mistake_count == before) {
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

    /// The device of the former registry with this name and certificate.
    fn former(&self, name: Option<&str>, fingerprints: &[Fingerprint]) -> Option<Arc<Device>> {
        let Mode::Serve(former) = self.mode else {
            return None;
        };
        let holder = former.device_with(fingerprints.first()?)?;
        (Some(&*holder.name) == name).then(|| holder.clone())
    }

    /// Reports a name or certificate that another device has. Devices with other mistakes are compared as well, so that
    /// every mistake is reported at once.
    fn check_duplicates(&mut self, entry: &Entry<'_>, fingerprints: &[Fingerprint]) {
        if let Some(name) = &entry.label.name {
            match self.names.get(name) {
                Some(line) => {
                    let found = format!("another device has this name, on line {line}");
                    self.mistake_in(entry, "name", found, ONE_FOR_ONE);
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
            let found = if fingerprints
                .iter()
                .take(index)
                .any(|other| other == fingerprint)
            {
                format!("{fingerprint} is given twice")
            } else if let Some((owner, line)) = self.fingerprint_owners.get(fingerprint) {
                format!("{fingerprint} already belongs to {owner}, on line {line}")
            } else {
                self.fingerprint_owners
                    .insert(*fingerprint, (entry.label.clone(), entry.line));
                continue;
            };
            self.mistake_in(entry, key, found, ONE_FOR_ONE);
        }
    }
}
