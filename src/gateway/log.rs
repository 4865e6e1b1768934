//! The gateway's log lines.

pub mod journal;
