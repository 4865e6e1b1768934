//! The registry for those who list or edit it: every device, and no token.

use super::super::layers::{Environment, Settings};
use super::super::mistake::{Mistakes, Warning};
use super::entry::Entry;
use super::{DeValue, DevicesFile, Fingerprint, LARGEST, Purpose, Reader, file, judge};
use crate::shown::{Shown, is_visible};
use std::path::{Path, PathBuf};
use toml::Spanned;
use zeroize::Zeroizing;

/// One device as it stands in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its name.
    pub name: String,
    /// The line on which it begins.
    pub line: usize,
    /// What its certificates are called. Both names of each certificate that is given as a file.
    pub fingerprints: Vec<Fingerprint>,
    /// The certificate files it names, if it does.
    pub certificates: Vec<String>,
    /// Where its token comes from.
    pub token: TokenSource,
}

/// Where a token comes from. What is named is `None` where nothing could be read from it: it may be a token
/// under the wrong key, and then nobody should see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// It stands in the registry itself.
    Registry,
    /// The file of this path.
    File(Option<String>),
    /// The environment variable of this name.
    Variable(Option<String>),
}

/// Whether a device may have this name. Names stand in the log and in lists: none may hide a part of itself there, or
/// reorder what stands beside it.
pub fn is_device_name(name: &str) -> bool {
    (1..=128).contains(&name.chars().count()) && name.chars().all(is_visible) && name.trim() == name
}

/// The file that the configuration names as its registry.
pub struct RegistryFile {
    path: PathBuf,
    /// Whether the configuration says so; a default may be missing.
    is_set: bool,
    environment: Environment,
}

impl RegistryFile {
    /// The registry at this path. `is_set`: whether the configuration names it.
    pub(in crate::config) fn new(path: PathBuf, is_set: bool, environment: Environment) -> Self {
        RegistryFile {
            path,
            is_set,
            environment,
        }
    }

    /// Its path, as the configuration has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it may well not be there: the configuration does not name it.
    pub fn may_be_missing(&self) -> bool {
        !self.is_set
    }

    /// What stands in it; `None` if it is not there.
    pub fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        match file::read(&self.path, LARGEST, &mut Vec::new()) {
            Ok(contents) => Ok(Some(contents.bytes)),
            Err(file::Unreadable::Missing) => Ok(None),
            Err(reason) => Err(format!(
                "{} can't be read: {reason}",
                Shown::path(&self.path)
            )),
        }
    }

    /// Every device in `bytes`, read as the gateway reads this file. Tokens that are in variables or files this
    /// process can't read are no mistake here but a warning: the shell is not the gateway's.
    pub fn devices(&self, bytes: &[u8]) -> Result<(Vec<ListedDevice>, Vec<Warning>), Mistakes> {
        let name = Shown::path(&self.path).to_string();
        let mut reader = Reader::new(name.clone(), Settings::new(), Vec::new(), Vec::new());
        let contents = file::Contents {
            bytes: Zeroizing::new(bytes.to_vec()),
            open_to_all: file::is_open_to_all(&self.path),
        };
        let purpose = Purpose::List;
        let (_, listed) = judge(&mut reader, &name, &contents, &self.environment, purpose);
        match reader.finish() {
            (mistakes, warnings) if mistakes.is_empty() => Ok((listed, warnings)),
            (mistakes, _) => Err(Mistakes(mistakes)),
        }
    }
}

impl DevicesFile<'_> {
    /// Lists one device. `read`: whether its token could be read.
    pub(super) fn list(
        &mut self,
        entry: &Entry<'_>,
        name: &str,
        fingerprints: &[Fingerprint],
        read: bool,
    ) {
        let named = |key: &str| texts(entry, key).into_iter().next();
        let token = if entry.get("token_file").is_some() {
            TokenSource::File(named("token_file").filter(|_| read))
        } else if entry.get("token_env").is_some() {
            TokenSource::Variable(named("token_env").filter(|_| read))
        } else {
            TokenSource::Registry
        };
        self.listed.push(ListedDevice {
            name: name.to_owned(),
            line: entry.line,
            fingerprints: fingerprints.to_vec(),
            certificates: texts(entry, "certificate"),
            token,
        });
    }
}

/// A key's text, or the texts in its list.
fn texts(entry: &Entry<'_>, key: &str) -> Vec<String> {
    let one = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    match entry.get(key) {
        Some((DeValue::Array(items), _)) => {
            items.iter().map(Spanned::get_ref).filter_map(one).collect()
        }
        Some((single, _)) => one(single).into_iter().collect(),
        None => Vec::new(),
    }
}
