//! `[relay]`: how the gateway fetches what devices observe.

use super::key::{Section, key};
use super::kind::{Choice, Number, OrUnset, Size, Time};
use super::reader::Reader;
use crate::downlink::Mode;
use crate::relay::Settings;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// 136 years, as they are written in the file. Four bytes hold a few weeks more.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(136 * 31_557_600);

/// ThingsBoard's monolith ends requests that take 30 s with a 503, long polls too.
const MONOLITH: Duration = Duration::from_secs(29);

/// Connections that ThingsBoard's Tomcat accepts by default.
const TOMCAT: usize = 8192;

const POLL_TIMEOUT: &str = "relay.poll_timeout";
const MAX_POLLS: &str = "relay.max_polls";

const MODES: &[(&str, Mode)] = &[
    ("long-poll", Mode::WhileLive),
    ("on-uplink", Mode::OnUplink),
];

pub(super) fn section() -> Section<Settings> {
    Section {
        name: "relay",
        doc: "Observe: attributes and commands come by long polls over HTTP, by subscriptions over MQTT",
        keys: vec![
            key(
                "relay.attributes",
                Choice(MODES),
                |relay: &mut Settings| &mut relay.attributes,
                "or `\"on-uplink\"`: read after each message of the device and every sync_interval, without polls; for \
                 devices that sleep, and for large fleets",
            ),
            key(
                "relay.rpc",
                Choice(MODES),
                |relay: &mut Settings| &mut relay.rpc,
                "or `\"on-uplink\"`: a short poll after each message of the device",
            ),
            key(
                POLL_TIMEOUT,
                Time(SECOND * 2..=SECOND * 290),
                |relay: &mut Settings| &mut relay.poll_timeout,
                "http: of one long poll; ThingsBoard ends them at 30 s by default",
            )
            .because("ThingsBoard's Tomcat ends requests that take five minutes"),
            key(
                "relay.sync_interval",
                Time(SECOND * 5..=YEAR),
                |relay: &mut Settings| &mut relay.sync_interval,
                "shared attributes are also read this often, because polls may miss changes",
            )
            .because("each read counts for ThingsBoard's rate limits"),
            key(
                "relay.alive_for",
                Time(SECOND * 10..=YEAR),
                |relay: &mut Settings| &mut relay.alive_for,
                "polls pause for a device that is silent for longer: each one makes ThingsBoard show the device as active",
            )
            .because("a device that is silent for a moment is not gone"),
            key(
                "relay.command_answer",
                OrUnset(Time(SECOND..=SECOND * 24 * 3600)),
                |relay: &mut Settings| &mut relay.command_answer,
                "a two-way command that its device has received and does not reply to for this long gets `{\"error\":…}` \
                 as its reply, so that the next ones come: ThingsBoard gives the oldest one to every poll until it is \
                 replied to or expires. Not set by default: the gateway waits for that",
            )
            .example("\"2m\"")
            .because("a device needs a moment to reply, and a command waits no longer than a day"),
            key(
                MAX_POLLS,
                Number(1..=50_000),
                |relay: &mut Settings| &mut relay.max_polls,
                "http: concurrent polls, one for each device and kind; beyond it an observation gets 5.03. ThingsBoard's \
                 Tomcat accepts 8,192 HTTP connections by default",
            )
            .because("each is a TCP connection, and one address has about 64,000 ports"),
            key(
                "relay.bytes",
                Size(1 << 20..=64 << 30),
                |relay: &mut Settings| &mut relay.bytes,
                "commands that wait for their devices, and observed attributes, of all devices together; once half of it \
                 is in use, a device has an even share. Beyond it a command gets `{\"error\":…}` as its reply, and an \
                 observation of attributes 5.03",
            )
            .because("one device's attributes may have 256 KiB"),
            key(
                "relay.max_age",
                Time(SECOND..=LONGEST_MAX_AGE),
                |relay: &mut Settings| &mut relay.max_age,
                "Max-Age of notifications: how long a device need not renew its observation",
            )
            .because("Max-Age has whole seconds and four bytes"),
        ],
    }
}

/// Warns of polls that work with some ThingsBoards only. `max_in_flight`: `upstream`'s, whose connections are added.
pub(super) fn check(reader: &mut Reader, relay: &Settings, max_in_flight: usize) {
    if ![relay.attributes, relay.rpc].contains(&Mode::WhileLive) {
        return;
    }
    if relay.poll_timeout > MONOLITH {
        let message = "above 29s: ThingsBoard ends long polls at 30 s, unless its \
            SPRING_MVC_ASYNC_REQUEST_TIMEOUT is raised or its HTTP transport runs on its own";
        reader.warn(POLL_TIMEOUT, message);
    }
    let connections = relay.connections().saturating_add(max_in_flight);
    if connections > TOMCAT {
        let message = format!(
            "with upstream.max_in_flight these are up to {connections} connections: ThingsBoard accepts {TOMCAT} \
             unless its SERVER_TOMCAT_MAX_CONNECTIONS is raised, and lets the others wait, telemetry too"
        );
        reader.warn(MAX_POLLS, message);
    }
}
