//! Reads the fields of one `[[device]]`.

use super::super::file::{self, WatchedFile};
use super::entry::{Entry, is_device_name};
use super::registry_reader::{Mode, RegistryReader};
use crate::credentials::{certificates, own_certificate};
use crate::device::{AccessToken, CertificateId, Fingerprint};
use crate::shown::Shown;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;

/// The largest file of one certificate or one token.
const LARGEST_PART: u64 = 64 * 1024;

/// Fingerprints of one device: two during a change of certificate, a few more for a fleet behind one token.
const MAX_FINGERPRINTS: usize = 64;

impl RegistryReader<'_> {
    pub(super) fn name_of(&mut self, entry: &Entry<'_>) -> Option<Arc<str>> {
        let expected = "name = \"…\", 1 to 128 characters, each device its own";
        match entry.get("name") {
            None => self.mistake_in(entry, "name", "the device has no name", expected),
            Some((DeValue::String(name), _)) => {
                if is_device_name(name) {
                    return Some(Arc::from(name.as_ref()));
                }
                self.mistake_in(
                    entry,
                    "name",
                    format!("{} is no name", Shown::misplaced(name)),
                    expected,
                );
            }
            Some(_) => self.mistake_in(entry, "name", "this is not text in quotes", expected),
        }
        None
    }

    pub(super) fn fingerprints(&mut self, entry: &Entry<'_>) -> Vec<Fingerprint> {
        let expected = "fingerprint = \"AB:CD:…\" (see `coaps-gateway fingerprint CERT.pem`) or certificate = \"PATH\"";
        let key = match (entry.get("fingerprint"), entry.get("certificate")) {
            (Some(_), None) => "fingerprint",
            (None, Some(_)) => "certificate",
            (Some(_), Some(_)) => {
                self.mistake_in(
                    entry,
                    "certificate",
                    "both fingerprint and certificate are given",
                    "one of the two",
                );
                return Vec::new();
            }
            (None, None) => {
                self.mistake_in(
                    entry,
                    "fingerprint",
                    "neither fingerprint nor certificate is given",
                    expected,
                );
                return Vec::new();
            }
        };
        let items: Vec<&DeValue<'_>> = match entry.get(key) {
            Some((DeValue::Array(items), _)) => items.iter().map(Spanned::get_ref).collect(),
            Some((single, _)) => vec![single],
            None => Vec::new(),
        };
        if items.is_empty() || items.len() > MAX_FINGERPRINTS {
            self.mistake_in(
                entry,
                key,
                format!("the list has {} entries", items.len()),
                format!("1 to {MAX_FINGERPRINTS}"),
            );
            return Vec::new();
        }
        let mut fingerprints = Vec::new();
        for item in items {
            let DeValue::String(text) = item else {
                self.mistake_in(entry, key, "this is not text in quotes", expected);
                continue;
            };
            let read = if key == "fingerprint" {
                text.parse()
                    .map(|one| vec![one])
                    .map_err(|error| format!("{}: {error}", Shown::misplaced(text)))
            } else {
                let path = Path::new(text.as_ref());
                of_certificate(path, &mut self.watched)
                    .map_err(|error| format!("{}: {error}", Shown::path(path)))
            };
            match read {
                Ok(some) => fingerprints.extend(some),
                Err(found) => self.mistake_in(entry, key, found, expected),
            }
        }
        fingerprints
    }

    /// Reads the token from the registry, its file or its variable.
    pub(super) fn token(&mut self, entry: &Entry<'_>) -> Option<AccessToken> {
        let expected = "one of token = \"…\", token_file = \"PATH\", token_env = \"NAME\"";
        let given: Vec<&str> = ["token", "token_file", "token_env"]
            .into_iter()
            .filter(|key| entry.get(key).is_some())
            .collect();
        let [key] = given.as_slice() else {
            let found = if given.is_empty() {
                "no token is given".to_owned()
            } else {
                format!("{} are given", given.join(" and "))
            };
            self.mistake_in(entry, given.last().unwrap_or(&"token"), found, expected);
            return None;
        };
        let Some((DeValue::String(text), start)) = entry.get(key) else {
            self.mistake_in(entry, key, "this is not text in quotes", expected);
            return None;
        };
        let token = match *key {
            "token_file" | "token_env"
                if matches!(self.mode, Mode::List) && !self.is_accessible(key, text) =>
            {
                self.unreadable_tokens.push(entry.line);
                return None;
            }
            "token" => {
                self.holds_tokens = true;
                AccessToken::new(text.as_ref()).map_err(|error| error.to_string())
            }
            "token_env" => match self
                .environment
                .get(std::ffi::OsStr::new(text.as_ref()))
                .map(|value| value.to_str())
            {
                None => Err("the environment variable named here is not set".to_owned()),
                Some(None) => Err("the environment variable named here is not UTF-8".to_owned()),
                Some(Some(value)) => AccessToken::new(value)
                    .map_err(|error| format!("the environment variable named here: {error}")),
            },
            _ => match file::read(Path::new(text.as_ref()), LARGEST_PART, &mut self.watched) {
                Err(reason) => Err(format!("the file named here can't be read: {reason}")),
                Ok(contents) => {
                    if contents.open_to_all {
                        let place = self.place(self.lines.at(start));
                        self.open_to_all.push((place, text.to_string()));
                    }
                    // Editors end a file with a line break, which is not part of the token.
                    std::str::from_utf8(&contents.bytes)
                        .map_err(|_| "it is not text (UTF-8)".to_owned())
                        .and_then(|token| {
                            AccessToken::new(token.trim_end_matches(['\r', '\n']))
                                .map_err(|e| e.to_string())
                        })
                        .map_err(|error| format!("the file named here: {error}"))
                }
            },
        };
        // The value is never repeated: it may be a token under the wrong key.
        let expected = match *key {
            "token" => "a token as ThingsBoard shows it",
            "token_env" => "the NAME of a variable that holds a token as ThingsBoard shows it",
            _ => "the PATH of a file that holds a token as ThingsBoard shows it, and nothing else",
        };
        token
            .map_err(|found: String| self.mistake_in(entry, key, found, expected))
            .ok()
    }

    pub(super) fn package_group<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t str> {
        let expected = "package_group = \"…\", 1 to 128 characters, the same for devices that trust each other";
        let (value, _) = entry.get("package_group")?;
        let found = match value.as_str() {
            Some(group) if is_device_name(group) => return Some(group),
            Some(group) => format!("{} is no name", Shown::misplaced(group)),
            None => "this is not text in quotes".to_owned(),
        };
        self.mistake_in(entry, "package_group", found, expected);
        None
    }

    /// Whether this process has the variable, or may read the file, that holds a token.
    fn is_accessible(&self, key: &str, named: &str) -> bool {
        if key == "token_env" {
            self.environment.contains_key(std::ffi::OsStr::new(named))
        } else {
            // Opening a pipe would wait for a writer. What is no file becomes a mistake when it is read.
            std::fs::metadata(named)
                .is_ok_and(|found| !found.is_file() || std::fs::File::open(named).is_ok())
        }
    }
}

/// Both fingerprints of the device's certificate in a PEM file, so that a second device with the other one is noticed.
fn of_certificate(path: &Path, watched: &mut Vec<WatchedFile>) -> Result<Vec<Fingerprint>, String> {
    let contents = file::read(path, LARGEST_PART, watched)
        .map_err(|reason| format!("can't be read: {reason}"))?;
    let all = certificates(&contents.bytes).map_err(|error| error.to_string())?;
    let CertificateId { sha256, sha3 } = CertificateId::of(own_certificate(&all)?);
    Ok(vec![Fingerprint::Sha256(sha256), Fingerprint::Sha3(sha3)])
}
