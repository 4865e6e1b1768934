//! A key of `gateway.toml`: its name, the field that takes its value, how values are written, and what it means.
//!
//! From these entries come the reading of the file and the environment, `config/gateway.toml` itself, `--help` and the
//! documentation's reference ([`reference`](super::reference)). So a new key is one entry in its section's file, and the
//! field it sets.

use super::kind::Kind;
use super::mistake::Problem;
use super::value::Value;

/// What the names of the gateway's environment variables begin with. Two underscores, because Kubernetes sets
/// `COAPS_GATEWAY_PORT=…` for a service that is named `coaps-gateway`.
pub(super) const PREFIX: &str = "COAPS_GATEWAY__";

/// The environment variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// One table of the file. Its values go into a `V`, and `V`'s default has the defaults.
pub(super) struct Section<V> {
    pub(super) name: &'static str,
    /// What the table is about, in a few words; may be empty.
    pub(super) doc: &'static str,
    pub(super) keys: Vec<Key<V>>,
}

impl<P: 'static> Section<P> {
    /// The same section for a `V` of which its values are a part.
    pub(super) fn of<V: 'static>(self, part: fn(&mut V) -> &mut P) -> Section<V> {
        let keys = self.keys.into_iter().map(|key| Key {
            name: key.name,
            doc: key.doc,
            in_file: key.in_file,
            reason: key.reason,
            field: Box::new(PartField {
                inner: key.field,
                part,
            }),
        });
        Section {
            name: self.name,
            doc: self.doc,
            keys: keys.collect(),
        }
    }
}

pub(super) struct Key<V> {
    /// `section.key`
    pub(super) name: &'static str,
    /// One or two sentences in Markdown.
    pub(super) doc: &'static str,
    pub(super) in_file: InFile,
    /// Why only the values of its range are accepted; empty where that is plain.
    reason: &'static str,
    field: Box<dyn Field<V>>,
}

/// What `config/gateway.toml` has for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InFile {
    Default,
    /// This value, in a comment: there is no default.
    Example(&'static str),
    /// This value, though there is no default: it fits what `coaps-gateway certs` makes.
    Set(&'static str),
}

/// A key whose values are of this kind and set this field.
pub(super) fn key<V: 'static, T: 'static>(
    name: &'static str,
    kind: impl Kind<T>,
    field: fn(&mut V) -> &mut T,
    doc: &'static str,
) -> Key<V> {
    Key {
        name,
        doc,
        in_file: InFile::Default,
        reason: "",
        field: Box::new(KindField { kind, field }),
    }
}

impl<V> Key<V> {
    /// Adds why only the values of its range are accepted.
    pub(super) fn because(self, reason: &'static str) -> Self {
        Key { reason, ..self }
    }

    /// For a key without a default: the value that the file shows in a comment.
    pub(super) fn example(self, value: &'static str) -> Self {
        let in_file = InFile::Example(value);
        Key { in_file, ..self }
    }

    /// For a key without a default: the value that the file sets.
    pub(super) fn set_in_file(self, value: &'static str) -> Self {
        let in_file = InFile::Set(value);
        Key { in_file, ..self }
    }

    /// Reads a value into its field; the field stays as it is if the value is wrong.
    pub(super) fn read(&self, value: &Value, values: &mut V) -> Result<(), Problem> {
        self.field.read(value, values).map_err(|problem| {
            if self.reason.is_empty() {
                problem
            } else {
                problem.because(self.reason)
            }
        })
    }

    /// The field's value, as the file has it; `None`: by leaving the key out.
    pub(super) fn written(&self, values: &mut V) -> Option<String> {
        self.field.write(values)
    }

    /// Which values are accepted, for the documentation's table, which only a test makes.
    #[cfg(test)]
    pub(super) fn range(&self) -> String {
        self.field.range()
    }
}

/// A kind and a field, whatever their type.
trait Field<V>: Send + Sync {
    fn read(&self, value: &Value, values: &mut V) -> Result<(), Problem>;
    fn write(&self, values: &mut V) -> Option<String>;
    #[cfg(test)]
    fn range(&self) -> String;
}

struct KindField<K, V, T> {
    kind: K,
    field: fn(&mut V) -> &mut T,
}

impl<V, T, K: Kind<T>> Field<V> for KindField<K, V, T> {
    fn read(&self, value: &Value, values: &mut V) -> Result<(), Problem> {
        *(self.field)(values) = self.kind.read(value)?;
        Ok(())
    }

    fn write(&self, values: &mut V) -> Option<String> {
        self.kind.write((self.field)(values))
    }

    #[cfg(test)]
    fn range(&self) -> String {
        self.kind.range()
    }
}

struct PartField<P, V> {
    inner: Box<dyn Field<P>>,
    part: fn(&mut V) -> &mut P,
}

impl<P, V> Field<V> for PartField<P, V> {
    fn read(&self, value: &Value, values: &mut V) -> Result<(), Problem> {
        self.inner.read(value, (self.part)(values))
    }

    fn write(&self, values: &mut V) -> Option<String> {
        self.inner.write((self.part)(values))
    }

    #[cfg(test)]
    fn range(&self) -> String {
        self.inner.range()
    }
}
