//! The gateway's log lines.

pub(crate) mod group;
pub(crate) mod journal;
pub(crate) mod state;
