//! The log lines about the group: few, when something begins or ends.

use replicas_redis::StoreEvent;
use std::net::SocketAddr;
use tracing::{error, info, warn};

/// The store can be used, or not, from now on.
pub(crate) fn store_event(event: &StoreEvent) {
    match event {
        StoreEvent::Connected { version } => info!(version, "connected to the store of the group"),
        StoreEvent::Warning(warning) => warn!("the store of the group: {warning}"),
        StoreEvent::Failed(error) => warn!(
            "the store of the group can't be used: {error}. Devices are served; new sessions end with this process until it is back"
        ),
    }
}

/// The socket for other gateways fails.
pub(crate) fn socket_fails(error: &std::io::Error) {
    warn!("the UDP socket for other gateways reports: {error}");
}

/// This gateway has begun as one of a group.
pub(crate) fn joined(listen: SocketAddr, address: SocketAddr) {
    info!(%listen, %address, "sessions are shared with other gateways: listening for those");
}

/// This gateway may not serve its members.
pub(crate) fn suspended(sessions: usize) {
    error!(
        sessions,
        "the store of the group and another gateway can't be reached: sessions that are stored are not served here, as another \
         gateway may serve them by now"
    );
}

/// It may again.
pub(crate) fn resumed() {
    info!("the store of the group is back: sessions are served again");
}

/// This gateway stops with so many members.
pub(crate) fn stopped(sessions: usize, is_written: bool) {
    if is_written {
        info!(
            sessions,
            "sessions are stored, and other gateways go on with them"
        );
    } else {
        error!(
            sessions,
            "not all sessions are stored: the store can't be reached, or has not replied in time. Other gateways go on with them as they were stored last"
        );
    }
}
