//! Shared attributes as bytes: see [`crate::relay::export`].

use super::{SharedAttributes, Unread};
use crate::downlink::attribute_json::{MAX_KEYS, ValueHash, hash_of};
use crate::relay::export::{RestoreError, get_count, put_length, take, take_array};

/// Keys of one export at most: as many as are kept.
const MAX_EXPORTED: usize = 2 * MAX_KEYS;

impl SharedAttributes {
    /// Each key that the device may have, with the hash of the value that it has confirmed. `None` if that takes more bytes
    /// than this.
    pub(crate) fn export(&self, limit: usize) -> Option<Vec<u8>> {
        let values = self.values.iter().map(|(key, value)| {
            let is_confirmed = !self.unconfirmed.contains_key(key);
            (&**key, is_confirmed.then(|| hash_of(value)))
        });
        let deleted = self.unconfirmed.keys();
        let deleted = deleted.filter(|key| !self.values.contains_key(*key));
        let deleted = deleted.map(|key| (&**key, None));
        let mut keys: Vec<(&str, Option<ValueHash>)> =
            values.chain(deleted).chain(self.unread.iter()).collect();
        // In the same order, whether they are unread or not.
        keys.sort_unstable();
        if keys.len() > MAX_EXPORTED {
            return None;
        }
        let mut out = Vec::new();
        put_length(&mut out, keys.len());
        for (key, confirmed) in keys {
            let length = key.len().saturating_mul(2);
            put_length(
                &mut out,
                length.saturating_add(usize::from(confirmed.is_none())),
            );
            out.extend_from_slice(key.as_bytes());
            out.extend(confirmed.into_iter().flatten());
            if out.len() > limit {
                return None;
            }
        }
        Some(out)
    }

    pub(crate) fn restore(from: &mut &[u8]) -> Result<SharedAttributes, RestoreError> {
        let mut unread = Unread::default();
        for _ in 0..get_count(from, MAX_EXPORTED)? {
            let length = get_count(from, usize::MAX)?;
            let key = take(from, length / 2)?;
            let key = std::str::from_utf8(key).map_err(|_| RestoreError::Malformed)?;
            let confirmed: Option<ValueHash> = match length % 2 {
                0 => Some(take_array(from)?),
                _ => None,
            };
            if !unread.insert(key.into(), confirmed) {
                return Err(RestoreError::Malformed);
            }
        }
        Ok(SharedAttributes {
            unread,
            ..SharedAttributes::default()
        })
    }
}
