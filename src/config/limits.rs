//! `[limits]`: bounds of handshakes and sessions.

use super::key::{Section, key};
use super::kind::{Number, Time};
use crate::device::Limits;
use crate::dtls;
use std::time::Duration;

/// `[dtls]` and `[limits]`, which have fields of each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) dtls: dtls::Parameters,
    pub(super) limits: Limits,
}

pub(super) fn section() -> Section<Bounds> {
    Section {
        name: "limits",
        doc: "",
        keys: vec![
            key(
                "limits.sessions",
                Number(1..=10_000_000),
                |bounds: &mut Bounds| &mut bounds.dtls.sessions,
                "established sessions; beyond it new handshakes get alert 80",
            ),
            key(
                "limits.sessions_per_device",
                Number(1..=10_000),
                |bounds: &mut Bounds| &mut bounds.limits.sessions_per_device,
                "beyond it the session that is silent for longest is closed",
            ),
            key(
                "limits.unregistered_sessions",
                Number(0..=1_000_000),
                |bounds: &mut Bounds| &mut bounds.limits.unregistered_sessions,
                "sessions of certificates that are not registered, each of 60 s at most; beyond it the oldest of the \
                 address that has most is closed",
            ),
            key(
                "limits.handshakes",
                Number(1..=1_000_000),
                |bounds: &mut Bounds| &mut bounds.dtls.handshakes,
                "half-open handshakes",
            ),
            key(
                "limits.hellos",
                Number(1..=1_000_000),
                |bounds: &mut Bounds| &mut bounds.dtls.hellos,
                "ClientHellos a second, in units of this: 2 × for the first of a client, 1 × more for repeated ones, ½ × \
                 for those that return their cookie in fragments, ½ × for those that need an engine before they get a \
                 cookie. One that returns its cookie whole is not limited: its handshake begins when there is time",
            ),
            key(
                "limits.handshakes_per_address",
                Number(1..=1_000_000),
                |bounds: &mut Bounds| &mut bounds.dtls.handshakes_per_address,
                "a second, from one proven source address; those that registered devices complete are not counted",
            ),
            key(
                super::dtls::RESUMABLE_SESSIONS,
                Number(0..=10_000_000),
                |bounds: &mut Bounds| &mut bounds.dtls.resumable_sessions,
                "sessions of DTLS 1.2 that can be resumed by their ids, each of 700 bytes; beyond it the oldest can't any \
                 more. Tickets take no room. 0: none can be resumed, by tickets neither",
            ),
            key(
                "limits.session_idle",
                Time(Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600)),
                |bounds: &mut Bounds| &mut bounds.dtls.session_idle,
                "a session that is silent for this long is closed",
            ),
        ],
    }
}
