//! The gateway's log lines.

pub(crate) mod journal;
