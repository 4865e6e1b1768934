//! ThingsBoard's HTTP device API in memory, faithful to its quirks, for the demo and the tests.
//!
//! Our tests are only as true as this is, so it does what ThingsBoard does and not what one would expect: bad JSON is
//! a 500 with Gson's message, JSON that a strict parser refuses is accepted, provisioning that fails is a 200, a body
//! over the limit is answered with a JSON *string*. Where it is known to differ, the file says so.
//!
//! A request walks through [`connection`] (faults below HTTP) → [`service`] (limits, faults, the note of its arrival)
//! → [`device_api`] (the controller: route, token, body) → [`directory`] and [`rule_chain`]. A long poll goes on to
//! [`long_poll`], where it waits for what [`downlink`] (a model without sockets, of ThingsBoard's sessions and device
//! actors) has for it. Beside it stands [`control_api`], under `/simulator`, with the same controls that [`Control`]
//! gives to code in the same process.
//!
//! [`packages`] is such a model as well: which firmware and software there is, who has it assigned, and the parts that
//! devices fetch of it.

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
pub mod packages;
mod response;
mod rule_chain;
mod service;
mod state;
#[cfg(test)]
mod tests;

use axum::middleware::from_fn_with_state;
use connection::{ConnectionHandle, LimitedListener};
use state::Shared;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

pub use arrival::Arrival;
pub use control::{Control, ControlError, ServerRpc};
pub use device_api::{Profile, Strategy};
pub use directory::Scope;
pub use downlink::{CommandOutcome, PollCounts, SubscriptionCounts};
pub use fault::{Fault, FaultAction};
pub use help::HELP;
pub use packages::{Assignee, Package, PackageId, PackageKind, Served};
pub use rule_chain::Reply;
pub use state::Timeouts;

/// How long requests that are being answered may take to end once the simulator stops.
const GRACE: Duration = Duration::from_secs(2);

/// A simulator that listens. It answers once [`run`](Simulator::run) runs; its state is empty but for what its
/// [`control`](Simulator::control) puts there.
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Simulator {
    /// Binds the listening socket; port 0 chooses a free one.
    ///
    /// # Errors
    /// What the operating system says: the port is taken, or not ours to take.
    pub async fn bind(address: SocketAddr) -> io::Result<Simulator> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Simulator {
            listener,
            address,
            shared: Arc::new(Shared::new()),
        })
    }

    /// The address it listens on, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The controls. They work before, while and after it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.shared))
    }

    /// Answers requests until `shutdown` completes, then lets those being answered end, for two seconds at most.
    /// Whoever still waits then (a hang, a silent rule chain) finds the connection closed.
    ///
    /// # Errors
    /// None today: a connection that cannot be accepted is logged and tried again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Simulator {
            listener,
            address,
            shared,
        } = self;
        tracing::info!(
            %address,
            "this is a simulator of ThingsBoard's device API, not ThingsBoard: it keeps everything in memory and \
             forgets it when it stops; its control API under /simulator asks for no password"
        );
        // Also when this future is dropped: connections already open must not go on answering.
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
        let door = LimitedListener::new(listener, Arc::clone(&shared.connections));
        let app = control_api::router(address.ip().is_loopback())
            .fallback(service::serve)
            .layer(from_fn_with_state(
                Arc::clone(&shared),
                service::count_request,
            ))
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<ConnectionHandle>();
        let server = axum::serve(door, app).with_graceful_shutdown(signal);
        let patience = async {
            // An error means that nobody can close it any more, which is closed as well.
            let _ = closed.wait_for(|closed| *closed).await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            result = server.into_future() => result,
            () = patience => Ok(()),
            () = long_poll::run_timers(&shared) => Ok(()),
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

/// Ends all waiting when it goes.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closing.send_replace(true);
    }
}
