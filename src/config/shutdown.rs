//! `[shutdown]`: how the gateway stops.

use super::key::{Section, key};
use super::kind::Time;
use std::time::Duration;

/// `[shutdown]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long exchanges and calls in flight may take to complete; zero: they are cut off.
    pub drain: Duration,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown {
            drain: Duration::from_secs(10),
        }
    }
}

pub(super) fn section() -> Section<Shutdown> {
    Section {
        name: "shutdown",
        doc: "",
        keys: vec![key(
            "shutdown.drain",
            Time(Duration::ZERO..=Duration::from_secs(3600)),
            |shutdown: &mut Shutdown| &mut shutdown.drain,
            "after SIGTERM, for requests in flight; a second signal ends it. If it is longer than relay.poll_timeout, no \
             command is lost with a poll that is cut off",
        )],
    }
}
