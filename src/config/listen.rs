//! `[listen]`: the addresses of the gateway.

use super::key::{Section, key};
use super::kind::{Address, OrEmpty};
use std::net::{Ipv6Addr, SocketAddr};

/// The key of the admin server's address.
pub(super) const ADMIN: &str = "listen.admin";

/// `[listen]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The UDP address for devices; port 0 lets the system choose.
    pub coaps: SocketAddr,
    /// The TCP address for probes and metrics, if there is to be one.
    pub admin: Option<SocketAddr>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            coaps: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5684)),
            admin: None,
        }
    }
}

pub(super) fn section() -> Section<Listen> {
    Section {
        name: "listen",
        doc: "",
        keys: vec![
            key(
                "listen.coaps",
                Address("\"[::]:5684\", \"0.0.0.0:5684\", \"192.0.2.1:5684\""),
                |listen: &mut Listen| &mut listen.coaps,
                "UDP; dual stack, or IPv4 alone where there is no IPv6",
            ),
            key(
                ADMIN,
                OrEmpty(Address(
                    "\"127.0.0.1:9684\", \"0.0.0.0:9684\"; or \"\" for none",
                )),
                |listen: &mut Listen| &mut listen.admin,
                "TCP, plain HTTP: /livez, /readyz, /metrics, /sessions. Off by default. Anyone who can connect can read \
                 it; probes and scrapers on other machines need another address",
            )
            .example("\"127.0.0.1:9684\""),
        ],
    }
}
