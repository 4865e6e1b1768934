//! What is wrong with a configuration, said so that it can be put right.

use std::fmt;

/// One mistake: where it is, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `FILE:LINE`, `FILE`, or the name of an environment variable.
    pub place: String,
    /// The key, as `section.key`, or [as it may be shown](crate::shown::Shown::key); empty where the whole file is meant.
    pub key: String,
    /// What is wrong. Never holds a secret.
    pub wrong: String,
    /// What would be right; empty where `wrong` says it.
    pub right: String,
}

impl Mistake {
    pub(super) fn new(place: String, key: &str, wrong: Wrong) -> Self {
        Mistake {
            place,
            key: key.to_owned(),
            wrong: wrong.wrong,
            right: wrong.right,
        }
    }

    /// The line in its file, for an order in which one can work.
    pub(super) fn line(&self) -> Option<(&str, usize)> {
        let (file, line) = self.place.rsplit_once(':')?;
        Some((file, line.parse().ok()?))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.wrong)?;
        if self.right.is_empty() {
            Ok(())
        } else {
            write!(f, "; right would be: {}", self.right)
        }
    }
}

/// Every mistake in file, environment, certificates and registry; one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Something that works, but hardly as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// As in [`Mistake::place`].
    pub place: String,
    /// As in [`Mistake::key`].
    pub key: String,
    /// What to know.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// What is wrong with a value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) wrong: String,
    pub(super) right: String,
}

impl Wrong {
    pub(super) fn new(wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Wrong {
            wrong: wrong.into(),
            right: right.into(),
        }
    }

    /// The same, and why only that would be right.
    pub(super) fn because(mut self, why: &str) -> Self {
        self.right.push_str(" (");
        self.right.push_str(why);
        self.right.push(')');
        self
    }
}
