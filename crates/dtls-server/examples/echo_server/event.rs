//! What a server reports.

use crate::server::Client;
use dtls_server::established::Reason;
use dtls_server::handshake::{Complete, HandshakeError};
use std::fmt;
use std::net::SocketAddr;

/// Something that has happened to a client.
pub(crate) enum Event {
    Connected {
        address: SocketAddr,
        description: String,
    },
    Failed(SocketAddr, HandshakeError),
    Moved(SocketAddr, SocketAddr),
    Ended(SocketAddr, Reason),
}

/// What was agreed on.
pub(crate) fn describe(complete: &Complete, client: Option<&Client>) -> String {
    let association = &complete.association;
    let yes_no = |is_so| if is_so { "yes" } else { "no" };
    format!(
        "{} ems={} resumed={} own_cid={} peer_cid={} max_content={} client={}",
        association.suite(),
        yes_no(association.has_extended_master_secret()),
        yes_no(complete.is_resumed),
        association.own_connection_id().len(),
        association.peer_connection_id().len(),
        association.max_content(),
        client.map_or("none", Client::as_str),
    )
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Connected {
                address,
                description,
            } => write!(f, "connected {address} {description}"),
            Event::Failed(address, error) => write!(f, "failed {address}: {error}"),
            Event::Moved(before, after) => write!(f, "moved {before} to {after}"),
            Event::Ended(address, reason) => write!(f, "ended {address} {reason:?}"),
        }
    }
}
