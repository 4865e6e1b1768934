//! `[admin]`: what the admin server shows.

use super::key::{Section, key};
use super::kind::Boolean;
use super::listen::Listen;
use super::reader::Reader;

const SESSIONS: &str = "admin.sessions";
const REQUIRE_UPSTREAM: &str = "admin.require_upstream";

/// `[admin]`
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    /// Whether `/sessions` lists each device with its address.
    pub sessions: bool,
    /// Whether a gateway that can't reach ThingsBoard is not ready.
    pub require_upstream: bool,
}

pub(super) fn section() -> Section<Admin> {
    Section {
        name: "admin",
        doc: "",
        keys: vec![
            key(
                SESSIONS,
                Boolean,
                |admin: &mut Admin| &mut admin.sessions,
                "/sessions lists each device with its address, and what it observes",
            ),
            key(
                REQUIRE_UPSTREAM,
                Boolean,
                |admin: &mut Admin| &mut admin.require_upstream,
                "whether /readyz fails while ThingsBoard can't be reached. Otherwise it only warns",
            ),
        ],
    }
}

/// Warns of what has no effect, or shows devices to other machines.
pub(super) fn check(reader: &mut Reader, admin: Admin, listen: &Listen) {
    match listen.admin {
        None => {
            let set = [
                (SESSIONS, admin.sessions),
                (REQUIRE_UPSTREAM, admin.require_upstream),
            ];
            if let Some((key, _)) = set.iter().find(|(_, is_set)| *is_set) {
                reader.warn(key, "has no effect: listen.admin is not set");
            }
        }
        Some(address) if admin.sessions && !address.ip().is_loopback() => {
            let message = format!(
                "names and addresses of all devices can be read by anyone who can connect to {address} (listen.admin)"
            );
            reader.warn(SESSIONS, message);
        }
        Some(_) => {}
    }
}
