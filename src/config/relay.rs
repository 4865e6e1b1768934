//! `[relay]`: how what devices observe is fetched from ThingsBoard.

use super::mistake::Wrong;
use super::reader::Reader;
use super::value;
use config::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// 136 years, as they are written in the file. Four bytes hold a few weeks more.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(136 * 31_557_600);

/// ThingsBoard's monolith ends what takes 30 s with a 503, a long poll too.
const MONOLITH: Duration = Duration::from_secs(29);

/// Connections that ThingsBoard's Tomcat takes unless it is told otherwise.
const TOMCAT: usize = 8192;

/// `[relay]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// `attributes`: how changes of shared attributes are noticed.
    pub attributes: RelayMode,
    /// `rpc`: how commands are fetched.
    pub rpc: RelayMode,
    /// `poll_timeout`: how long ThingsBoard may hold one long poll; 2 to 290 seconds.
    pub poll_timeout: Duration,
    /// `sync_interval`: how often shared attributes are read beside it all; 5 seconds or more.
    pub sync_interval: Duration,
    /// `alive_for`: how long after it was last heard a device is taken to be there; 10 seconds or more.
    pub alive_for: Duration,
    /// `command_answer`: how long after it has a command a device may take to reply, until the gateway replies in its
    /// place with an error; 1 second or more. Without it, it never does.
    pub command_answer: Option<Duration>,
    /// `max_polls`: long polls at once, one for each device and kind; 1 or more.
    pub max_polls: usize,
    /// `max_age`: of notifications; 1 second or more, and whole seconds fit Max-Age's four bytes.
    pub max_age: Duration,
}

/// When the relay asks ThingsBoard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayMode {
    /// Always: one long poll after the other, as long as the device is there.
    LongPoll,
    /// After each message of the device.
    OnUplink,
}

impl Default for Relay {
    fn default() -> Self {
        Relay {
            attributes: RelayMode::LongPoll,
            rpc: RelayMode::LongPoll,
            poll_timeout: SECOND * 25,
            sync_interval: SECOND * 300,
            alive_for: SECOND * 900,
            command_answer: None,
            max_polls: 6000,
            max_age: SECOND * 24 * 3600,
        }
    }
}

impl Relay {
    /// Reads of attributes that may be under way at once, beside the polls.
    pub const READS: usize = 64;

    /// Connections it may need at once: each poll's successor is opened about a second before the poll
    /// ends, and there are reads beside the polls.
    pub fn connections(&self) -> usize {
        self.max_polls
            .saturating_add(self.max_polls / 8)
            .saturating_add(Self::READS)
    }
}

impl Reader {
    pub(super) fn relay(&mut self) -> Relay {
        let default = Relay::default();
        let modes = [
            ("long-poll", RelayMode::LongPoll),
            ("on-uplink", RelayMode::OnUplink),
        ];
        Relay {
            attributes: self.read("relay.attributes", default.attributes, |v| {
                value::choice(v, &modes)
            }),
            rpc: self.read("relay.rpc", default.rpc, |v| value::choice(v, &modes)),
            poll_timeout: self.read("relay.poll_timeout", default.poll_timeout, |v| {
                let why = "ThingsBoard's Tomcat ends what takes five minutes";
                within(v, SECOND * 2..=SECOND * 290, why)
            }),
            sync_interval: self.read("relay.sync_interval", default.sync_interval, |v| {
                let why = "each read counts for ThingsBoard's rate limits";
                within(v, SECOND * 5..=YEAR, why)
            }),
            alive_for: self.read("relay.alive_for", default.alive_for, |v| {
                let why = "a device is not gone for being silent a moment";
                within(v, SECOND * 10..=YEAR, why)
            }),
            command_answer: self.read("relay.command_answer", default.command_answer, |v| {
                let why =
                    "a device needs a moment to reply, and a command waits no longer than a day";
                within(v, SECOND..=SECOND * 24 * 3600, why).map(Some)
            }),
            max_polls: self.read("relay.max_polls", default.max_polls, |v| {
                let why = "each is a TCP connection, and one address has about 64,000 ports";
                value::number(v, 1..=50_000).map_err(|wrong| wrong.because(why))
            }),
            max_age: self.read("relay.max_age", default.max_age, |v| {
                let why = "Max-Age has whole seconds and four bytes";
                within(v, SECOND..=LONGEST_MAX_AGE, why)
            }),
        }
    }

    /// What works against some ThingsBoards only. `max_in_flight`: `upstream`'s, whose connections come on top.
    pub(super) fn warn_about_polls(&mut self, relay: &Relay, max_in_flight: usize) {
        if ![relay.attributes, relay.rpc].contains(&RelayMode::LongPoll) {
            return;
        }
        if relay.poll_timeout > MONOLITH {
            let message = "above 29s: ThingsBoard ends long polls at 30 s, unless its \
                SPRING_MVC_ASYNC_REQUEST_TIMEOUT is raised or its HTTP transport runs on its own";
            self.warn("relay.poll_timeout", message);
        }
        let connections = relay.connections().saturating_add(max_in_flight);
        if connections > TOMCAT {
            let message = format!(
                "with upstream.max_in_flight these are up to {connections} connections: ThingsBoard takes {TOMCAT} \
                 unless its SERVER_TOMCAT_MAX_CONNECTIONS is raised, and lets the others wait, telemetry too"
            );
            self.warn("relay.max_polls", message);
        }
    }
}

/// A time within a range that has its reason.
fn within(value: &Value, range: RangeInclusive<Duration>, why: &str) -> Result<Duration, Wrong> {
    value::duration(value, range).map_err(|wrong| wrong.because(why))
}
