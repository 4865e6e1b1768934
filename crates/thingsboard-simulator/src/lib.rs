//! ThingsBoard's device API over HTTP and MQTT in memory, faithful to its quirks, for tests and trials of its clients.
//!
//! It does what ThingsBoard 4 does, not what its documentation suggests: malformed JSON gets a 500 with Gson's message,
//! JSON that a strict parser refuses is accepted, provisioning that fails is a 200, and a body over the limit gets a
//! JSON *string*. Where a module is known to differ from ThingsBoard, its documentation says so.
//!
//! * As a program, `thingsboard-simulator` serves the device API under `/api/v1`, and its controls under `/simulator`;
//!   with `--mqtt`, MQTT as well. `--help` lists commands to try.
//! * In a test, [`Simulator::bind`] takes a free port, [`Simulator::bind_mqtt`] another, and [`Control`] adds devices, sets
//!   attributes, sends commands, injects [faults](Fault), and shows what arrived.
//! * In a simulated network, [`downlink::Downlink`] and [`packages::Packages`] are the models alone, without a socket
//!   and without a clock.
//!
//! ## How it works
//!
//! ```text
//! server ─▶ connection (cuts, garbage, idle timeout) ─▶ service (limits, faults, arrivals) ─▶ device_api (routes, tokens, JSON)
//!                                                   │                                │              │
//!                                                   ▼                                ▼              ▼
//!                                       long_poll ─▶ downlink                    directory      rule_chain, packages
//!                                                   ▲                                ▲              ▲
//! mqtt: connection ─▶ session ──────────────────────┴────────────────────────────────┴──────────────┘
//! control_api, Control ─▶ all of these
//! ```

#![warn(missing_docs)]

mod arrival;
mod body;
mod clock;
mod connection;
mod connections;
mod control;
mod control_api;
mod device_api;
mod directory;
pub mod downlink;
mod fault;
mod help;
mod json;
mod long_poll;
mod mqtt;
pub mod packages;
mod response;
mod rule_chain;
mod server;
mod service;
mod state;
#[cfg(test)]
mod tests;

use axum::middleware::from_fn_with_state;
use connection::LimitedListener;
use state::Shared;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

pub use arrival::Arrival;
pub use control::{Control, ControlError, ServerRpc};
pub use device_api::{Profile, Strategy};
pub use directory::{Activity, Scope};
pub use downlink::{CommandId, CommandOutcome, PollCounts, RpcStatus, SubscriptionCounts};
pub use fault::{Fault, FaultAction};
pub use help::HELP;
pub use mqtt::{MqttCounts, MqttSettings, RateLimit};
pub use packages::{Assignee, Package, PackageId, PackageKind, Served};
pub use rule_chain::Reply;
pub use state::Timeouts;

/// How long requests in progress may take to end once the simulator stops.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// A simulator with a listening socket. It responds once [`run`](Simulator::run) runs, and contains only what its
/// [`control`](Simulator::control) has added.
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    mqtt: Option<TcpListener>,
    shared: Arc<Shared>,
}

impl Simulator {
    /// Binds the listening socket; port 0 chooses a free one.
    ///
    /// # Errors
    /// The operating system's, for example that the port is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Simulator> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Simulator {
            listener,
            address,
            mqtt: None,
            shared: Arc::new(Shared::new()),
        })
    }

    /// The address it listens on, with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Binds a second listening socket, for MQTT; port 0 chooses a free one. Returns its address.
    ///
    /// # Errors
    /// The operating system's, for example that the port is taken.
    pub async fn bind_mqtt(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.mqtt = Some(listener);
        Ok(address)
    }

    /// The controls. They work before, while and after it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.shared))
    }

    /// Serves requests until `shutdown` completes, then lets those in progress end, for two seconds at most.
    /// Connections of requests that still wait then (for a hang, or for the rule chain) are closed.
    ///
    /// # Errors
    /// None today: if a connection cannot be accepted, that is logged and tried again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Simulator {
            listener,
            address,
            mqtt,
            shared,
        } = self;
        tracing::info!(
            %address,
            "this is a simulator of ThingsBoard's device API, not ThingsBoard: it keeps everything in memory and \
             loses it when it stops; its control API under /simulator requires no password"
        );
        // Stops open connections as well when this future is dropped.
        let _closing = Closing(Arc::clone(&shared));
        let mut closed = shared.closing.subscribe();
        let signal = {
            let closing = Closing(Arc::clone(&shared));
            let mut closed = shared.closing.subscribe();
            async move {
                tokio::select! {
                    () = shutdown => {}
                    _ = closed.wait_for(|closed| *closed) => {}
                }
                drop(closing);
            }
        };
        let listener = LimitedListener::new(listener, Arc::clone(&shared.connections));
        let app = control_api::router(address.ip().is_loopback())
            .fallback(service::serve)
            .layer(from_fn_with_state(
                Arc::clone(&shared),
                service::count_request,
            ))
            .with_state(Arc::clone(&shared));
        let server = server::run(listener, app, signal);
        let grace_period = async {
            // An error means that the sender is gone: closed as well.
            let _ = closed.wait_for(|closed| *closed).await;
            tokio::time::sleep(GRACE_PERIOD).await;
        };
        let mqtt = async {
            match mqtt {
                Some(listener) => mqtt::run(&shared, listener).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = server => Ok(()),
            () = grace_period => Ok(()),
            () = long_poll::run_timers(&shared) => Ok(()),
            () = mqtt => Ok(()),
        }
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Ends all waiting when it is dropped.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closing.send_replace(true);
    }
}
