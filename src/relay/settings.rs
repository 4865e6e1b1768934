//! `[relay]`: how what devices observe is fetched from ThingsBoard.

use crate::downlink::Mode;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// How the relay fetches what devices observe: `[relay]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How changes of shared attributes are found.
    pub attributes: Mode,
    /// How commands are fetched.
    pub rpc: Mode,
    /// How long ThingsBoard may hold one long poll; 2 to 290 seconds.
    pub poll_timeout: Duration,
    /// How often shared attributes are read in any case, since polls lose changes; 5 seconds or more.
    pub sync_interval: Duration,
    /// How long a device counts as alive after its last message; 10 seconds or more.
    pub alive_for: Duration,
    /// How long a device that has received a command may take to reply, until the gateway replies in its place with an error;
    /// 1 second or more. `None`: the gateway never replies.
    pub command_answer: Option<Duration>,
    /// Concurrent long polls, one for each device and kind; 1 or more.
    pub max_polls: usize,
    /// Bytes of queued commands and of observed attributes, of all devices together; 1 MiB or more.
    pub bytes: usize,
    /// Max-Age of notifications; 1 second or more, and whole seconds fit its four bytes.
    pub max_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            attributes: Mode::WhileLive,
            rpc: Mode::WhileLive,
            poll_timeout: SECOND * 25,
            sync_interval: SECOND * 300,
            alive_for: SECOND * 900,
            command_answer: None,
            max_polls: 6000,
            bytes: 32 << 20,
            max_age: SECOND * 24 * 3600,
        }
    }
}

impl Settings {
    /// Concurrent reads of attributes, besides the polls.
    pub const READS: usize = 64;

    /// Concurrent connections that it may need: each poll's successor is opened about a second before the poll ends, and
    /// there are reads besides the polls.
    pub fn connections(&self) -> usize {
        self.max_polls
            .saturating_add(self.max_polls / 8)
            .saturating_add(Self::READS)
    }
}
