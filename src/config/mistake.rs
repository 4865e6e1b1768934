//! What is wrong with a configuration, in words that help to correct it.

use std::fmt;

/// One mistake: where it is, what was found there and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `FILE:LINE`, `FILE`, or the name of an environment variable.
    pub place: String,
    /// `section.key`, or what [`Shown::key`](crate::shown::Shown::key) makes of it. Empty: the whole file is wrong.
    pub key: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a value, wherever it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What was found. Never holds a secret.
    pub found: String,
    /// What was expected; empty where `found` says it.
    pub expected: String,
}

impl Problem {
    pub(super) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Problem {
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// Adds why only that is accepted.
    pub(super) fn because(mut self, reason: &str) -> Self {
        self.expected.push_str(" (");
        self.expected.push_str(reason);
        self.expected.push(')');
        self
    }
}

impl Mistake {
    pub(super) fn new(place: impl Into<String>, key: &str, problem: Problem) -> Self {
        Mistake {
            place: place.into(),
            key: key.to_owned(),
            problem,
        }
    }

    /// The file and the line, by which mistakes are sorted.
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
        let Problem { found, expected } = &self.problem;
        f.write_str(found)?;
        if expected.is_empty() {
            Ok(())
        } else {
            write!(f, "; expected {expected}")
        }
    }
}

/// Every mistake in file, environment, certificates and registry; at least one.
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

/// Something that works, but probably not as intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// As in [`Mistake::place`].
    pub place: String,
    /// As in [`Mistake::key`].
    pub key: String,
    /// What the operator should know.
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
