//! Records: what belongs not to a session, but to a device or to all. A record has a kind, a key of a few bytes, and a value.

use std::fmt;

/// Bytes that the key of a record may have. It has at least one.
pub const MAX_RECORD_KEY: usize = 64;

/// What a record is of. A number never gets another meaning.
///
/// A store keeps records of kinds that its user does not ask for: a later version has written them, and may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// What is kept of a device's observations and commands.
    pub const RELAY: Kind = Kind(1);
    /// The certificates that lead from a client's to a trust anchor. The key is their digest.
    pub const AUTHORITY_PATH: Kind = Kind(2);
    /// What all sessions share. The key says what.
    pub const SHARED: Kind = Kind(3);
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key of a record among those of all kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordKey {
    pub(crate) kind: Kind,
    pub(crate) key: Box<[u8]>,
}

/// The key is empty, or longer than [`MAX_RECORD_KEY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyLength;

impl RecordKey {
    pub(crate) fn new(kind: Kind, key: &[u8]) -> Result<RecordKey, KeyLength> {
        if !(1..=MAX_RECORD_KEY).contains(&key.len()) {
            return Err(KeyLength);
        }
        Ok(RecordKey {
            kind,
            key: key.into(),
        })
    }
}
