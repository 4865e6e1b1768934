//! `[dtls]`: the secure sessions.

mod suites;

use super::key::{Section, key};
use super::kind::{Choice, Kind, Number, Time};
use super::mistake::Problem;
use super::reader::Reader;
use super::value::Value;
use crate::dtls::{ExtendedMasterSecret, Parameters, Versions};
use crate::shown::Shown;
use std::ops::RangeInclusive;
use std::time::Duration;

const HANDSHAKE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
const MINUTE: Duration = Duration::from_secs(60);

const CIPHER_SUITES: &str = "dtls.cipher_suites";
const EXTENDED_MASTER_SECRET: &str = "dtls.extended_master_secret";
const CONNECTION_ID: &str = "dtls.connection_id";
const RESUMPTION_LIFETIME: &str = "dtls.resumption_lifetime";
/// In `[limits]`.
pub(super) const RESUMABLE_SESSIONS: &str = "limits.resumable_sessions";

pub(super) fn section() -> Section<Parameters> {
    Section {
        name: "dtls",
        doc: "",
        keys: vec![
            key(
                "dtls.mtu",
                Number(256..=16_384),
                |dtls: &mut Parameters| &mut dtls.mtu,
                "the largest UDP payload sent, in bytes",
            ),
            key(
                "dtls.versions",
                OfferedVersions,
                |dtls: &mut Parameters| &mut dtls.versions,
                "protocol versions offered",
            ),
            key(
                CIPHER_SUITES,
                suites::Suites,
                |dtls: &mut Parameters| &mut dtls.cipher_suites,
                "cipher suites of DTLS 1.2 by their IANA names, best first; empty: all, in this order. Those of ECDHE_RSA need \
                 server.rsa_certificate",
            ),
            key(
                EXTENDED_MASTER_SECRET,
                Choice(&[
                    ("prefer", ExtendedMasterSecret::Prefer),
                    ("require", ExtendedMasterSecret::Require),
                ]),
                |dtls: &mut Parameters| &mut dtls.extended_master_secret,
                "or `\"require\"`: clients of DTLS 1.2 without it (RFC 7627), such as Erlang/OTP 25, are refused; otherwise \
                 their sessions are only not resumed",
            ),
            key(
                CONNECTION_ID,
                ConnectionIdLength,
                |dtls: &mut Parameters| &mut dtls.connection_id,
                "bytes of the connection IDs (RFC 9146) that clients of DTLS 1.2 get if they ask for it: by them a device \
                 that its NAT gives another address or port is known again without a handshake. 0: none",
            )
            .because("shorter ones are guessed easily, and there are too few of them: one byte names a node"),
            key(
                RESUMPTION_LIFETIME,
                Time(MINUTE..=MINUTE * 60 * 24 * 7),
                |dtls: &mut Parameters| &mut dtls.resumption_lifetime,
                "how long a client of DTLS 1.2 can resume its session, by its id or a ticket, without a full handshake; its \
                 certificate is judged again each time. See limits.resumable_sessions",
            ),
            key(
                "dtls.unproven_timeout",
                Time(HANDSHAKE),
                |dtls: &mut Parameters| &mut dtls.unproven_timeout,
                "of a handshake whose client has not proven its address",
            ),
            key(
                "dtls.handshake_timeout",
                Time(HANDSHAKE),
                |dtls: &mut Parameters| &mut dtls.handshake_timeout,
                "of a handshake from a proven address: NB-IoT is slow",
            ),
        ],
    }
}

/// Bytes of a connection ID: none, or enough that they can't be guessed.
struct ConnectionIdLength;

/// The fewest bytes: one for the node, and 16 million for its sessions.
const FEWEST: u8 = 4;
const MOST: u8 = 8;

impl Kind<u8> for ConnectionIdLength {
    fn read(&self, value: &Value) -> Result<u8, Problem> {
        let expected = format!("0, or a number from {FEWEST} to {MOST}");
        let length = Number(0..=MOST).read(value).map_err(|problem| Problem {
            expected: expected.clone(),
            ..problem
        })?;
        if (1..FEWEST).contains(&length) {
            let found = format!("{length} bytes are too few");
            return Err(Problem::new(found, expected));
        }
        Ok(length)
    }

    fn write(&self, value: &u8) -> Option<String> {
        Some(value.to_string())
    }

    fn range(&self) -> String {
        format!("0, {FEWEST} to {MOST}")
    }
}

/// Checks the keys that depend on each other. `has_rsa`: whether there is a server identity with an RSA key.
pub(super) fn check(reader: &mut Reader, dtls: &mut Parameters, has_rsa: bool) {
    if dtls.versions == Versions::Only13 {
        for key in [
            CIPHER_SUITES,
            EXTENDED_MASTER_SECRET,
            CONNECTION_ID,
            RESUMPTION_LIFETIME,
            RESUMABLE_SESSIONS,
            super::server::RSA_CERTIFICATE,
        ] {
            if reader.is_set(key) && !reader.is_wrong(key) {
                let message =
                    "without effect: this is for DTLS 1.2, which dtls.versions does not have";
                reader.warn(key, message);
            }
        }
        return;
    }
    suites::check(reader, &mut dtls.cipher_suites, has_rsa);
    // One byte names a node; the others are random.
    let ids = 1_usize
        .checked_shl(u32::from(dtls.connection_id.saturating_sub(1)) * 8)
        .unwrap_or(usize::MAX);
    if dtls.connection_id > 0 && dtls.sessions > ids / 16 {
        let message = format!(
            "{} bytes are few for limits.sessions = {}: more than one of 16 connection IDs is in use, so that they are \
             guessed easily; 8 bytes cost each record from a device little",
            dtls.connection_id, dtls.sessions
        );
        reader.warn(CONNECTION_ID, message);
    }
}

/// A list of versions, or one; in the environment with commas between.
struct OfferedVersions;

const NAMES: [&str; 2] = ["1.2", "1.3"];

impl Kind<Versions> for OfferedVersions {
    fn read(&self, value: &Value) -> Result<Versions, Problem> {
        let expected = "[\"1.2\", \"1.3\"], or one of the two";
        let list = value.list("a list like [\"1.2\", \"1.3\"], or 1.2,1.3 in the environment")?;
        let is_unknown = |version: &&String| !NAMES.contains(&version.as_str());
        if let Some(unknown) = list.iter().find(is_unknown) {
            let found = format!(
                "{} is no DTLS version the gateway speaks",
                Shown::misplaced(unknown)
            );
            return Err(Problem::new(found, expected));
        }
        match NAMES.map(|name| list.iter().any(|version| version == name)) {
            [true, true] => Ok(Versions::Both),
            [true, false] => Ok(Versions::Only12),
            [false, true] => Ok(Versions::Only13),
            [false, false] => Err(Problem::new("the list is empty", expected)),
        }
    }

    fn write(&self, value: &Versions) -> Option<String> {
        Some(match value {
            Versions::Both => format!("{NAMES:?}"),
            Versions::Only12 => "[\"1.2\"]".to_owned(),
            Versions::Only13 => "[\"1.3\"]".to_owned(),
        })
    }

    fn range(&self) -> String {
        "`\"1.2\"`, `\"1.3\"`, or both".to_owned()
    }
}
