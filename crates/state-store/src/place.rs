//! The places that rows have: a table, and a key in it.

use crate::record::{MAX_RECORD_KEY, RecordKey};
use std::fmt;

/// A table, and a key in it. Keys of sessions have 63 bits, as SQLite's have.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// An established session, by the number of its place.
    Session(u64),
    /// What changes with each record of a session, by the same key, so that little is written for it. It belongs to the
    /// session's row that was written before it: another one deletes it.
    Window(u64),
    /// What belongs to a device or to all.
    Record(&'a RecordKey),
}

/// A place as bytes: what a row is authenticated with, besides its own.
pub(crate) struct PlaceBytes {
    bytes: [u8; PlaceBytes::MAX],
    length: usize,
}

impl PlaceBytes {
    /// Format, table, and kind and key of a record.
    const MAX: usize = 3 + MAX_RECORD_KEY;
}

impl AsRef<[u8]> for PlaceBytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl Place<'_> {
    /// `format ‖ table ‖ key`, where a record's key has its kind in front. The numbers of tables never change.
    pub(crate) fn bytes(self, format: u8) -> PlaceBytes {
        let mut bytes = [0; PlaceBytes::MAX];
        let (table, key, kind) = match self {
            Place::Session(key) => (1, &key.to_be_bytes()[..], None),
            Place::Window(key) => (2, &key.to_be_bytes()[..], None),
            Place::Record(record) => (3, &record.key[..], Some(record.kind.0)),
        };
        let parts = [format, table].into_iter().chain(kind);
        let mut length = 0_usize;
        for (to, from) in bytes.iter_mut().zip(parts.chain(key.iter().copied())) {
            *to = from;
            length = length.saturating_add(1);
        }
        PlaceBytes { bytes, length }
    }
}

/// As an error has it. A record's key may be a device's name.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Session(key) => write!(f, "the session {key}"),
            Place::Window(key) => write!(f, "the window of session {key}"),
            Place::Record(record) => write!(f, "a record of kind {}", record.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

    #[test]
    fn each_place_has_bytes_of_its_own() {
        let record = |kind, key: &[u8]| RecordKey::new(Kind(kind), key).unwrap();
        let records = [
            record(1, &[0; 64]),
            record(1, &[0; 63]),
            record(1, &[5; 8]),
            record(2, &[5; 8]),
            record(5, &[5; 7]),
        ];
        let places = [Place::Session(5), Place::Window(5), Place::Session(6)];
        let places = places.into_iter().chain(records.iter().map(Place::Record));
        let mut bytes: Vec<_> = places
            .map(|place| place.bytes(1).as_ref().to_vec())
            .collect();
        assert_eq!(bytes[0], [1, 1, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(bytes[3].len(), 67);
        assert_eq!(bytes[5], [&[1, 3, 1][..], &[5; 8]].concat());
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), 8);
    }
}
