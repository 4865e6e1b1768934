//! Server-side RPC: calling a device, and what its polls cost.

use super::{Control, ControlError, require_device};
use crate::clock::in_ms;
use crate::downlink::{Command, CommandOutcome, SubscriptionCounts};
use serde_json::Value;
use std::time::Duration;

/// A call to a device, as someone makes it with `POST /api/rpc/{oneway|twoway}/{deviceId}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRpc {
    pub(crate) method: String,
    /// JSON, as it is passed on.
    pub(crate) params: String,
    pub(crate) oneway: bool,
    pub(crate) timeout: Duration,
}

impl ServerRpc {
    /// How long ThingsBoard waits where the caller does not say.
    pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A call that waits for the device's reply, for ten seconds.
    #[must_use]
    pub fn twoway(method: &str, params: &Value) -> ServerRpc {
        ServerRpc {
            method: method.to_owned(),
            params: params.to_string(),
            oneway: false,
            timeout: ServerRpc::DEFAULT_TIMEOUT,
        }
    }

    /// A call that wants no reply, and waits ten seconds for someone to take it.
    #[must_use]
    pub fn oneway(method: &str, params: &Value) -> ServerRpc {
        ServerRpc {
            oneway: true,
            ..ServerRpc::twoway(method, params)
        }
    }

    /// The same call, waiting for so long. (ThingsBoard never waits less than five seconds; this does.)
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> ServerRpc {
        self.timeout = timeout;
        self
    }
}

impl Control {
    /// Calls a device, and waits for what its caller would learn. The call is made even if this future is dropped, once
    /// it was polled. Time goes forward only while the simulator runs; when it stops, the call is
    /// [`Lost`](CommandOutcome::Lost).
    ///
    /// # Errors
    /// An unknown device, or too many calls that wait already.
    pub async fn command(
        &self,
        device: &str,
        rpc: ServerRpc,
    ) -> Result<CommandOutcome, ControlError> {
        let lasts_ms = in_ms(rpc.timeout);
        let command = Command {
            method: rpc.method,
            params: rpc.params,
            oneway: rpc.oneway,
            expires_ms: 0,
        };
        let outcome = {
            let mut state = self.0.lock();
            require_device(&state, device)?;
            let begun = state.long_polls.command(device, command, lasts_ms);
            begun.map_err(|full| ControlError(full.0))?
        };
        let mut closing = self.0.closing.subscribe();
        let outcome = tokio::select! {
            outcome = outcome => outcome.ok(),
            _ = closing.wait_for(|closing| *closing) => None,
        };
        Ok(outcome.unwrap_or(CommandOutcome::Lost))
    }

    /// What a device's polls cost ThingsBoard; `None` for an unknown device.
    #[must_use]
    pub fn subscriptions(&self, device: &str) -> Option<SubscriptionCounts> {
        let mut state = self.0.lock();
        state.directory.get(device)?;
        Some(
            state
                .long_polls
                .apply(|downlink| downlink.subscriptions(device)),
        )
    }

    /// How long a poll's subscription takes to reach the device actor, missing everything meanwhile: 5 ms unless set
    /// here. (In ThingsBoard it is a hop over its queue, a few milliseconds in memory and tens of them with Kafka.)
    pub fn set_subscription_delay(&self, delay: Duration) {
        self.0.lock().long_polls.apply(|downlink| {
            let mut delays = downlink.delays();
            delays.subscription_ms = in_ms(delay);
            downlink.set_delays(delays);
        });
    }
}
