//! The gateway's log lines.

pub(crate) mod journal;
pub(crate) mod state;
