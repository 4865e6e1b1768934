//! Where the store of the group is, and how the gateways reach one another.

use replicas::GroupSecret;
use replicas_redis::Server;
use std::net::SocketAddr;
use std::time::Duration;

/// What a gateway needs to be one of a group.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The store.
    pub server: Server,
    /// The secret that all gateways of the group share.
    pub secret: GroupSecret,
    /// The UDP address for other gateways.
    pub listen: SocketAddr,
    /// Where those reach it. `None`: at the one that it listens on.
    pub address: Option<SocketAddr>,
    /// How often what changes with each record is written.
    pub window: Duration,
}
