//! `[admin]` and `listen.admin`: what is told to those who operate the gateway.

use super::mistake::{Mistakes, Wrong};
use super::reader::Reader;
use super::{DEFAULT_FILE, Listen, layers, text_of, value};
use crate::shown::Shown;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

const KEY: &str = "listen.admin";

/// `[admin]`
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    /// `sessions`: whether `/sessions` tells of each device with its address.
    pub sessions: bool,
    /// `require_upstream`: whether a gateway that can't reach ThingsBoard is not ready.
    pub require_upstream: bool,
}

impl Admin {
    /// For commands that ask a gateway that runs: `listen.admin`, and nothing else, of what [`super::Config::load`]
    /// reads. What is wrong elsewhere is not told, and no other file is read.
    pub fn address(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Option<SocketAddr>, Mistakes> {
        let environment: layers::Environment = environment.into_iter().collect();
        let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
        let name = Shown::path(file.unwrap_or(Path::new(DEFAULT_FILE))).to_string();
        let text =
            text_of(file, &name, &mut Vec::new(), &mut mistakes, &mut warnings).unwrap_or_default();
        let values = layers::merge(&name, &text, &environment, &mut mistakes, &mut warnings);
        let mut reader = Reader::new(name, values, mistakes, warnings);
        let address = reader.listen_admin();
        let (mut mistakes, _) = reader.finish();
        // Without a key it is the file as a whole that can't be read.
        mistakes.retain(|mistake| mistake.key.is_empty() || mistake.key == KEY);
        match mistakes.is_empty() {
            true => Ok(address),
            false => Err(Mistakes(mistakes)),
        }
    }
}

impl Reader {
    /// Empty text means the same as none: an environment variable can't say "not set" otherwise.
    pub(super) fn listen_admin(&mut self) -> Option<SocketAddr> {
        self.read(KEY, None, |value| {
            let text = value::text(value)?;
            if text.is_empty() {
                return Ok(None);
            }
            text.parse().map(Some).map_err(|_| {
                let right = "an IP address and a port: \"127.0.0.1:9684\", \"0.0.0.0:9684\"; or \"\" for none";
                Wrong::new(format!("{} is no address with a port", Shown::misplaced(&text)), right)
            })
        })
    }

    pub(super) fn admin(&mut self, listen: &Listen) -> Admin {
        let admin = Admin {
            sessions: self.read("admin.sessions", false, value::boolean),
            require_upstream: self.read("admin.require_upstream", false, value::boolean),
        };
        match listen.admin {
            None if admin.sessions => {
                self.warn("admin.sessions", "has no effect: listen.admin is not set");
            }
            None if admin.require_upstream => {
                self.warn(
                    "admin.require_upstream",
                    "has no effect: listen.admin is not set",
                );
            }
            Some(address) if admin.sessions && !address.ip().is_loopback() => {
                self.warn(
                    "admin.sessions",
                    format!("names and addresses of all devices are there for whoever reaches {address} (listen.admin)"),
                );
            }
            Some(_) | None => {}
        }
        admin
    }
}
