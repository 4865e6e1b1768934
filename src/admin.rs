//! What the gateway tells those who operate it: over plain HTTP, on an address of its own.
//!
//! | Path | Says |
//! |---|---|
//! | `/livez` | whether the gateway's loop turns |
//! | `/readyz` | whether devices can be served, and why not, in words |
//! | `/metrics` | counts and levels, as Prometheus reads them |
//! | `/sessions` | who is connected, if `admin.sessions` says so |
//!
//! Nobody is authenticated here, so whoever reaches it may read and nothing more: no request changes anything, and
//! no body of one is read. One connection carries one request and its answer; how many there are, how long each may
//! take and how much of it is read is bounded in `connections`. A connection that waits for no answer gives way to
//! a newer one: those who keep them open, before they ask or after, don't keep the probes out.

mod answer;
mod connections;
mod exposition;
mod pages;
mod readiness;
mod session_list;
pub mod status;
#[cfg(test)]
mod tests;
mod upstream_check;

pub use connections::Counters;
pub use readiness::Finding;

use bytes::Bytes;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What is asked of the gateway. Each must come to an end by itself, soon.
pub trait Source: Send + Sync + 'static {
    /// Whether the loop turns; if not, what is known of it.
    fn live(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// What was found about serving devices, everything that was looked at.
    fn ready(&self) -> impl Future<Output = Vec<Finding>> + Send;

    /// All metrics, as OpenMetrics text: the gateway's, and `own` of this room.
    fn metrics(&self, own: Counters) -> impl Future<Output = Result<String, String>> + Send;

    /// All sessions as one JSON document, piece by piece. It ends where the receiver is gone.
    fn sessions(&self, pieces: mpsc::Sender<Bytes>) -> impl Future<Output = ()> + Send;
}

/// The address can't be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen.admin: TCP {address} can't be bound: {error}{}", advice(error))]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other forty kinds need no advice"
)]
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another process has it: `ss -ltnp` shows which; or choose another port)"
        }
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need the capability CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// A server that is bound to its address.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds it. Within a tokio runtime.
    pub async fn bind(address: SocketAddr) -> Result<Admin, BindError> {
        let failed = |error| BindError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Admin { listener, address })
    }

    /// Where it is reached.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped. `sessions`: whether `/sessions` does.
    pub async fn serve<S: Source>(self, source: Arc<S>, sessions: bool) -> Infallible {
        connections::serve(self.listener, source, sessions).await
    }
}
