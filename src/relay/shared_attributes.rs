//! A device's shared attributes: what ThingsBoard says they are, and what the device may not know yet.
//!
//! Attributes are state, so changes may be merged: what counts is that in the end each key has its last
//! value at the device, or is gone. Every key that changes is *in doubt* until a notification that tells
//! its last value is known to have arrived; a notification tells as many of the keys in doubt as fit,
//! oldest change first. So whatever was lost, superseded or repeated on the way, nothing is missed.

use crate::ota::AssignmentChange;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Keys and values of shared attributes. A value is kept as upstream wrote it: a number that no float
/// holds must arrive whole.
pub type Values = BTreeMap<Box<str>, Box<RawValue>>;

/// Bytes of keys and values kept for one device. ThingsBoard's answers are bounded by the same.
const MOST_BYTES: usize = 256 * 1024;

/// Keys kept for one device: what the loop does with a change grows with them.
const MOST_KEYS: usize = 2048;

/// Why an answer of ThingsBoard's can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not the JSON it should be.
    Nonsense,
    /// It has more keys than can be observed.
    TooMany,
}

/// Why a notification can't be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge;

/// What a poll brought.
#[derive(Debug)]
pub enum Update {
    /// `{"k":v,…}`
    Set(Values),
    /// `{"deleted":["k",…]}`
    Deleted(Vec<Box<str>>),
}

impl Update {
    /// Reads ThingsBoard's answer to a poll for attributes. Not to be called in the loop.
    pub fn read(body: &[u8]) -> Result<Update, Unreadable> {
        let mut values: Values = serde_json::from_slice(body).map_err(|_| Unreadable::Nonsense)?;
        // One message never mixes the two. (An attribute named "deleted" that is a list of strings is
        // taken for a deletion; the read that follows each update puts it right.)
        if values.len() == 1
            && let Some(list) = values.get("deleted")
            && let Ok(keys) = serde_json::from_str::<Vec<Box<str>>>(list.get())
        {
            return few(keys.len()).map(|()| Update::Deleted(keys));
        }
        values.retain(|key, _| !key.is_empty());
        if values.is_empty() {
            return Err(Unreadable::Nonsense);
        }
        few(values.len()).map(|()| Update::Set(values))
    }
}

fn few(keys: usize) -> Result<(), Unreadable> {
    match keys <= MOST_KEYS {
        true => Ok(()),
        false => Err(Unreadable::TooMany),
    }
}

/// Reads ThingsBoard's answer to `GET attributes`, of which the shared ones are wanted. Not to be called in the loop.
pub fn read_answer(body: &[u8]) -> Result<Values, Unreadable> {
    #[derive(Deserialize)]
    struct Answer {
        /// A scope without values is left out.
        #[serde(default)]
        shared: Values,
    }
    // An array would do for a struct, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unreadable::Nonsense);
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Unreadable::Nonsense)?;
    few(answer.shared.len()).map(|()| answer.shared)
}

/// All of them as one flat object, as a registration is answered.
pub fn flat(values: &Values) -> Bytes {
    object(values.iter().map(|(key, value)| (&**key, value.get())), &[])
}

/// The shared attributes of one device.
#[derive(Debug, Default)]
pub struct Shared {
    values: Values,
    /// The number of each key's last change, for keys that the device may not know as they are.
    in_doubt: BTreeMap<Box<str>, u64>,
    /// Changes so far; the last one's number.
    changes: u64,
    /// Keys that changed since the read that is under way began: it may be older than they are.
    since_read: Option<BTreeSet<Box<str>>>,
    /// What `values` cost, in bytes, and keys in doubt that are gone.
    values_cost: usize,
    gone_cost: usize,
    /// Whether keys that assign packages were among those that changed.
    assignment: AssignmentChange,
}

/// What a key and its value cost, in bytes: with the trees around them, and should the key be in doubt.
fn cost(key: &str, value: &RawValue) -> usize {
    doubt_cost(key) + key.len() + value.get().len() + 96
}

/// What it costs that a key is in doubt, and that it has changed since a read began.
fn doubt_cost(key: &str) -> usize {
    2 * (key.len() + 64)
}

/// What it costs to keep these, in bytes.
pub fn cost_of(values: &Values) -> usize {
    values.iter().map(|(key, value)| cost(key, value)).sum()
}

impl Shared {
    /// The device has been told all of these, and nothing else.
    pub fn told(&mut self, values: Values) {
        self.note_assignment(&values);
        self.replace(values);
        self.in_doubt = BTreeMap::new();
        self.gone_cost = 0;
    }

    fn replace(&mut self, values: Values) {
        self.values_cost = cost_of(&values);
        self.values = values;
    }

    /// What it all costs, in bytes.
    pub fn bytes(&self) -> usize {
        self.values_cost + self.gone_cost
    }

    /// The device has been told all of these once more, while a notification may be on its way that tells
    /// older ones: what that one tells has to be told after it.
    pub fn told_again(&mut self, values: Values) {
        self.note_assignment(&values);
        let on_its_way = std::mem::take(&mut self.in_doubt);
        self.replace(values);
        on_its_way.into_keys().for_each(|key| self.changed(key));
        self.count_gone();
    }

    /// Notes which of these are not as they were, and which are gone, as far as they assign packages.
    fn note_assignment(&mut self, values: &Values) {
        let differs = |a: &Values, b: &Values, key: &str| {
            a.get(key).map(|value| value.get()) != b.get(key).map(|value| value.get())
        };
        for key in values.keys().chain(self.values.keys()) {
            if differs(values, &self.values, key) {
                self.assignment.add(key);
            }
        }
    }

    /// Whether keys that assign packages have changed since this was asked last.
    pub fn take_assignment_change(&mut self) -> AssignmentChange {
        std::mem::take(&mut self.assignment)
    }

    /// What ThingsBoard says they are, as far as is known.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The number of the last change.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether the device may not know something.
    pub fn is_in_doubt(&self) -> bool {
        !self.in_doubt.is_empty()
    }

    /// A poll brought this. False if there is no room for it, within `room` more bytes and the bounds of one device.
    pub fn update(&mut self, update: Update, room: usize) -> bool {
        match update {
            Update::Set(values) => {
                values.keys().for_each(|key| self.assignment.add(key));
                if weight(&self.values) + weight(&values) > MOST_BYTES
                    || self.values.len() + values.len() > 2 * MOST_KEYS
                    || self.in_doubt.len() + values.len() > 2 * MOST_KEYS
                    || cost_of(&values) > room
                {
                    return false;
                }
                for (key, value) in values {
                    self.set(key, value);
                }
            }
            Update::Deleted(keys) => {
                keys.iter().for_each(|key| self.assignment.add(key));
                keys.into_iter().for_each(|key| self.delete(key));
            }
        }
        true
    }

    /// Whether a read that brings so many keys can be taken: each may come to be in doubt, beside those that are. A device
    /// that acknowledges nothing would otherwise leave all in doubt that a tenant has ever set.
    pub fn has_room_for(&self, keys: usize) -> bool {
        self.in_doubt.len() + keys <= 2 * MOST_KEYS
    }

    /// A read begins.
    pub fn read_begins(&mut self) {
        self.since_read = Some(BTreeSet::new());
    }

    /// A read has brought all of them, as they were at some time since it began. Returns how many keys
    /// had changed without a word.
    pub fn read_ended(&mut self, mut values: Values) -> usize {
        let newer = self.since_read.take().unwrap_or_default();
        let before = self.changes;
        let known: Vec<Box<str>> = self.values.keys().cloned().collect();
        for key in known {
            if !values.contains_key(&key) && !newer.contains(&key) {
                self.delete(key);
            }
        }
        values.retain(|key, _| !newer.contains(key));
        for (key, value) in values {
            self.set(key, value);
        }
        usize::try_from(self.changes - before).unwrap_or(usize::MAX)
    }

    /// The read has come to nothing.
    pub fn read_failed(&mut self) {
        self.since_read = None;
    }

    fn set(&mut self, key: Box<str>, value: Box<RawValue>) {
        if self
            .values
            .get(&key)
            .is_none_or(|old| !is_same(old, &value))
        {
            self.values_cost += cost(&key, &value);
            if let Some(old) = self.values.insert(key.clone(), value) {
                self.values_cost = self.values_cost.saturating_sub(cost(&key, &old));
            } else if self.in_doubt.contains_key(&key) {
                self.gone_cost = self.gone_cost.saturating_sub(doubt_cost(&key));
            }
            self.changed(key);
        }
    }

    fn delete(&mut self, key: Box<str>) {
        if let Some(old) = self.values.remove(&key) {
            self.values_cost = self.values_cost.saturating_sub(cost(&key, &old));
            self.gone_cost += doubt_cost(&key);
            self.changed(key);
        }
    }

    fn changed(&mut self, key: Box<str>) {
        self.changes += 1;
        self.assignment.add(&key);
        if let Some(newer) = &mut self.since_read {
            newer.insert(key.clone());
        }
        self.in_doubt.insert(key, self.changes);
    }

    fn keep_doubts(&mut self, which: impl Fn(u64) -> bool) {
        self.in_doubt.retain(|_, change| which(*change));
        self.count_gone();
    }

    fn count_gone(&mut self) {
        let gone = self
            .in_doubt
            .keys()
            .filter(|key| !self.values.contains_key(*key));
        self.gone_cost = gone.map(|key| doubt_cost(key)).sum();
    }

    /// The device may know nothing at all.
    pub fn doubt_all(&mut self) {
        let keys: Vec<Box<str>> = self.values.keys().cloned().collect();
        for key in keys {
            self.changes += 1;
            self.in_doubt.insert(key, self.changes);
        }
    }

    /// What the device is to be told: changed keys flat, those that are gone in `deleted`, as ThingsBoard
    /// merges them; no more than fit `limit` bytes. Comes with the number of the last change it tells.
    /// `Err`: not even one change fits; with the number of the change that doesn't.
    pub fn compose(&self, limit: usize) -> Option<Result<(u64, Bytes), u64>> {
        let mut oldest_first: Vec<(u64, &str)> = self
            .in_doubt
            .iter()
            .map(|(key, change)| (*change, &**key))
            .collect();
        oldest_first.sort_unstable();
        let (first, _) = *oldest_first.first()?;
        let (mut set, mut deleted) = (Vec::new(), Vec::new());
        // The braces, and `"deleted":[]` with its comma once there is one.
        let mut length = 2;
        let mut last = None;
        for (change, key) in oldest_first {
            let value = self.values.get(key).map(|value| value.get());
            let quoted = quoted(key).len();
            length += match value {
                Some(value) => quoted + 2 + value.len(),
                None if deleted.is_empty() => quoted + 14,
                None => quoted + 1,
            };
            if length > limit {
                break;
            }
            match value {
                Some(value) => set.push((key, value)),
                None => deleted.push(key),
            }
            last = Some(change);
        }
        Some(match last {
            Some(last) => Ok((last, object(set.into_iter(), &deleted))),
            None => Err(first),
        })
    }

    /// A notification that told changes up to this one has arrived.
    pub fn delivered(&mut self, change: u64) {
        self.keep_doubts(|newest| newest > change);
    }

    /// Gives up telling this change, which fits no message.
    pub fn skip(&mut self, change: u64) {
        self.keep_doubts(|newest| newest != change);
    }
}

fn weight(values: &Values) -> usize {
    let each = values.iter();
    each.map(|(key, value)| key.len() + value.get().len()).sum()
}

/// Whether two values are the same text but for whitespace between tokens. Nothing is parsed: two numbers that one double
/// stands for are two numbers, and so are `1` and `1.0`. What is written in two ways is notified once more, which does no
/// harm; what differs and is taken for the same would never be.
fn is_same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || significant(one.get()).eq(significant(other.get()))
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

fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

fn object<'a>(set: impl Iterator<Item = (&'a str, &'a str)>, deleted: &[&str]) -> Bytes {
    let mut members: Vec<String> = set
        .map(|(key, value)| format!("{}:{value}", quoted(key)))
        .collect();
    if !deleted.is_empty() {
        let keys: Vec<String> = deleted.iter().map(|key| quoted(key)).collect();
        members.push(format!("\"deleted\":[{}]", keys.join(",")));
    }
    Bytes::from(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests;
