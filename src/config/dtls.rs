//! `[dtls]`: the secure sessions.

use super::key::{Section, key};
use super::kind::{Kind, Number, Time};
use super::mistake::Problem;
use super::value::Value;
use crate::dtls::{Parameters, Versions};
use crate::shown::Shown;
use std::ops::RangeInclusive;
use std::time::Duration;

const HANDSHAKE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

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
