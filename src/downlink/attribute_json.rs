//! ThingsBoard's JSON for shared attributes: what polls and reads bring, and what a notification says.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Keys and values of shared attributes. A value is kept as ThingsBoard wrote it, so that a number with more digits than a
/// double has is not changed.
pub(crate) type Values = BTreeMap<Box<str>, Box<RawValue>>;

/// Keys kept for one device: the work that a change is for the I/O loop grows with them.
pub(crate) const MAX_KEYS: usize = 2048;

/// Why an answer of ThingsBoard can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not the JSON it should be.
    Malformed,
    /// It has more keys than can be observed.
    TooManyKeys,
}

/// What a poll brought.
#[derive(Debug)]
pub enum Update {
    /// `{"k":v,…}`
    Set(Values),
    /// `{"deleted":["k",…]}`
    Deleted(Vec<Box<str>>),
}

impl Update {
    /// Parses ThingsBoard's answer to a poll for attributes. Not to be called in the I/O loop.
    pub fn read(body: &[u8]) -> Result<Update, Unreadable> {
        let mut values: Values = serde_json::from_slice(body).map_err(|_| Unreadable::Malformed)?;
        // One message never mixes the two. (An attribute named "deleted" whose value is a list of strings is taken for a
        // deletion; the read that follows each update corrects that.)
        if values.len() == 1
            && let Some(list) = values.get("deleted")
            && let Ok(keys) = serde_json::from_str::<Vec<Box<str>>>(list.get())
        {
            return check_key_count(keys.len()).map(|()| Update::Deleted(keys));
        }
        values.retain(|key, _| !key.is_empty());
        if values.is_empty() {
            return Err(Unreadable::Malformed);
        }
        check_key_count(values.len()).map(|()| Update::Set(values))
    }
}

fn check_key_count(keys: usize) -> Result<(), Unreadable> {
    match keys <= MAX_KEYS {
        true => Ok(()),
        false => Err(Unreadable::TooManyKeys),
    }
}

/// Parses ThingsBoard's answer to `GET attributes`, and returns the shared ones. Not to be called in the I/O loop.
pub(crate) fn read_answer(body: &[u8]) -> Result<Values, Unreadable> {
    #[derive(Deserialize)]
    struct Answer {
        /// A scope without values is left out.
        #[serde(default)]
        shared: Values,
    }
    // serde would take an array for a struct, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unreadable::Malformed);
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Unreadable::Malformed)?;
    check_key_count(answer.shared.len()).map(|()| answer.shared)
}

/// All values as one flat object: the response to a registration.
pub(crate) fn flat(values: &Values) -> Bytes {
    object(values.iter().map(|(key, value)| (&**key, value.get())), &[])
}

/// One object of these values, and the deleted keys under `deleted`, as ThingsBoard's own notifications have them.
pub(crate) fn object<'a>(set: impl Iterator<Item = (&'a str, &'a str)>, deleted: &[&str]) -> Bytes {
    let mut members: Vec<String> = set
        .map(|(key, value)| format!("{}:{value}", quoted(key)))
        .collect();
    if !deleted.is_empty() {
        let keys: Vec<String> = deleted.iter().map(|key| quoted(key)).collect();
        members.push(format!("\"deleted\":[{}]", keys.join(",")));
    }
    Bytes::from(format!("{{{}}}", members.join(",")))
}

/// A key as a JSON string.
pub(crate) fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

/// Whether two values are the same text but for whitespace between tokens. Nothing is parsed: two numbers that have the same
/// double are different numbers, and so are `1` and `1.0`. A value that is written in two ways is notified once more, which
/// does no harm; a different value that was taken for the same would never be notified.
pub(crate) fn is_same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || significant(one.get()).eq(significant(other.get()))
}

/// Stands for a value that is no longer kept. Values that are [the same](is_same) have the same. Two values of which one is to
/// be taken for the other can be made, by whoever may set both; a longer hash would cost more on disk than that is worth.
pub(crate) type ValueHash = [u8; 8];

/// The first bytes of the value's SHA-256, without insignificant whitespace.
pub(crate) fn hash_of(value: &RawValue) -> ValueHash {
    let json = value.get();
    let hash = |bytes: &[u8]| {
        let digest = digest(&SHA256, bytes);
        digest.as_ref().first_chunk().copied().unwrap_or_default()
    };
    // Without an early end, so that many bytes are compared at a time: a device may have 2,048 values, and all are hashed for
    // each export.
    let has_none = json.bytes().fold(true, |all, byte| all & (byte > b' '));
    match has_none {
        true => hash(json.as_bytes()),
        false => hash(&significant(json).collect::<Vec<u8>>()),
    }
}

/// The bytes of a JSON text without its insignificant whitespace (RFC 8259 §2).
fn significant(json: &str) -> impl Iterator<Item = u8> + '_ {
    let (mut in_string, mut escaped) = (false, false);
    json.bytes().filter(move |byte| {
        if !in_string {
            in_string = *byte == b'"';
            return !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        }
        in_string = escaped || *byte != b'"';
        escaped = !escaped && *byte == b'\\';
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(json: &str) -> ValueHash {
        hash_of(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn values_that_are_the_same_have_the_same_hash_which_a_store_may_have_from_an_earlier_version()
    {
        // The first bytes of `printf %s 1 | sha256sum`.
        assert_eq!(hash("1"), [0x6b, 0x86, 0xb2, 0x73, 0xff, 0x34, 0xfc, 0xe1]);
        let compact = hash(r#"{"a b":[1,"\" "]}"#);
        assert_eq!(hash("{ \"a b\":\t[1,\n\"\\\" \"]\r}"), compact);
        assert_ne!(hash(r#"{"ab":[1,"\" "]}"#), compact);
        assert_eq!(hash("[1, 2]"), hash("[1,2]"));
        assert_ne!(hash("[1,2]"), hash("[12]"));
    }
}
