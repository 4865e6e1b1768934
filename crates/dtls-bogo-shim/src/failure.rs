//! Why a test ends.

use std::fmt;

/// Why a test ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The test needs something that is not there.
    Unimplemented(String),
    /// The connection failed, or is not what the test expects. The runner compares the text.
    Failed(String),
}

impl Failure {
    pub(crate) fn unimplemented(what: impl Into<String>) -> Failure {
        Failure::Unimplemented(what.into())
    }

    pub(crate) fn failed(why: impl Into<String>) -> Failure {
        Failure::Failed(why.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unimplemented(what) => write!(f, "not implemented: {what}"),
            Failure::Failed(why) => f.write_str(why),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Failed(format!(":IO_ERROR: {error}"))
    }
}
