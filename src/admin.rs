//! The admin server: liveness, readiness, metrics and sessions for operators, over plain HTTP on `listen.admin`.
//!
//! | Path | Response |
//! |---|---|
//! | `/livez` | whether the gateway's loop runs |
//! | `/readyz` | whether devices can be served, and why not |
//! | `/metrics` | counters and gauges in Prometheus's format |
//! | `/sessions` | the established sessions, if `admin.sessions = true` |
//!
//! There is no authentication, so the server is read-only: no request changes anything, and bodies of requests are not read.
//! A connection carries one request and its response. How many there are, how long each may take and how much of it is
//! read is bounded in `connections`. Idle connections, before their request or after the response, are evicted for newer
//! ones, so that they don't keep probes out.

mod connections;
mod counters;
mod exposition;
mod pieces;
mod readiness;
mod routes;
mod session_list;
pub(crate) mod status;
#[cfg(test)]
mod tests;
mod upstream_check;

pub(crate) use counters::Counters;
pub(crate) use readiness::Finding;

use crate::gateway::bind_advice;
use bytes::Bytes;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What the server reads from the gateway. Each call must end within seconds.
pub(crate) trait Source: Send + Sync + 'static {
    /// Whether the loop runs; if not, why.
    fn live(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// The result of each readiness check.
    fn ready(&self) -> impl Future<Output = Vec<Finding>> + Send;

    /// All metrics, as OpenMetrics text. `own`: the admin server's counters.
    fn metrics(&self, own: Counters) -> impl Future<Output = Result<String, String>> + Send;

    /// Sends all sessions as one JSON document, in pieces. Ends if the receiver is dropped.
    fn sessions(&self, pieces: mpsc::Sender<Bytes>) -> impl Future<Output = ()> + Send;
}

/// `listen.admin` can't be bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "listen.admin: TCP {address} can't be bound: {error}{}",
    bind_advice(error, "ss -ltnp", "")
)]
pub(crate) struct BindError {
    address: SocketAddr,
    error: io::Error,
}

/// A server that is bound to its address.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Must be called within a tokio runtime.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Admin, BindError> {
        let failed = |error| BindError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Admin { listener, address })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped. `lists_sessions`: whether `/sessions` lists them.
    pub(crate) async fn serve<S: Source>(self, source: Arc<S>, lists_sessions: bool) -> Infallible {
        connections::serve(self.listener, source, lists_sessions).await
    }
}
