//! A device for commands that list or edit the registry.

use super::entry::Entry;
use crate::device::Fingerprint;
use toml::Spanned;
use toml::de::DeValue;

/// One device of the registry, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedDevice {
    /// Unique in the registry.
    pub name: String,
    /// The line on which it begins.
    pub line: usize,
    /// The fingerprints of its certificates; both of each certificate that is given as a file.
    pub fingerprints: Vec<Fingerprint>,
    /// The certificate files it names.
    pub certificates: Vec<String>,
    /// Where its token is.
    pub token: TokenSource,
}

/// Where a token is. The path or name is `None` if nothing could be read from it: it may be a token under the wrong key,
/// and must not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// In the registry itself.
    Registry,
    /// In the file of this path.
    File(Option<String>),
    /// In the environment variable of this name.
    Variable(Option<String>),
}

impl ListedDevice {
    /// `is_token_read`: whether its token could be read.
    pub(super) fn new(
        entry: &Entry<'_>,
        name: &str,
        fingerprints: &[Fingerprint],
        is_token_read: bool,
    ) -> ListedDevice {
        let named = |key: &str| {
            let first = texts(entry, key).into_iter().next();
            first.filter(|_| is_token_read)
        };
        let token = if entry.get("token_file").is_some() {
            TokenSource::File(named("token_file"))
        } else if entry.get("token_env").is_some() {
            TokenSource::Variable(named("token_env"))
        } else {
            TokenSource::Registry
        };
        ListedDevice {
            name: name.to_owned(),
            line: entry.line,
            fingerprints: fingerprints.to_vec(),
            certificates: texts(entry, "certificate"),
            token,
        }
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
