//! Server-side RPC, and the subscriptions of polls.

use super::{Control, ControlError, require_device};
use crate::clock::in_ms;
use crate::downlink::{
    Command, CommandId, CommandOutcome, LimitReached, RpcStatus, SubscriptionCounts,
};
use serde_json::Value;
use std::time::Duration;

/// A command to a device, as `POST /api/rpc/{oneway|twoway}/{deviceId}` of ThingsBoard's REST API sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRpc {
    pub(crate) method: String,
    /// JSON, passed on unchanged.
    pub(crate) params: String,
    pub(crate) oneway: bool,
    pub(crate) timeout: Duration,
}

impl ServerRpc {
    /// ThingsBoard's default.
    pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A command that waits for the device's reply, for ten seconds.
    #[must_use]
    pub fn twoway(method: &str, params: &Value) -> ServerRpc {
        ServerRpc {
            method: method.to_owned(),
            params: params.to_string(),
            oneway: false,
            timeout: ServerRpc::DEFAULT_TIMEOUT,
        }
    }

    /// A command without a reply, which waits ten seconds for a poll.
    #[must_use]
    pub fn oneway(method: &str, params: &Value) -> ServerRpc {
        ServerRpc {
            oneway: true,
            ..ServerRpc::twoway(method, params)
        }
    }

    /// The same command with another timeout. (ThingsBoard's is five seconds at least; here it may be less.)
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> ServerRpc {
        self.timeout = timeout;
        self
    }

    fn into_command(self) -> Command {
        Command {
            method: self.method,
            params: self.params,
            oneway: self.oneway,
            expires_ms: 0,
        }
    }
}

impl Control {
    /// Sends a command to a device, and waits for its outcome. Once this future was polled, the command is sent even if
    /// the future is dropped. Timeouts run only while the simulator does; when it stops, the command is
    /// [`Lost`](CommandOutcome::Lost).
    ///
    /// # Errors
    /// An unknown device, or too many commands that are waiting.
    pub async fn command(
        &self,
        device: &str,
        rpc: ServerRpc,
    ) -> Result<CommandOutcome, ControlError> {
        let lasts_ms = in_ms(rpc.timeout);
        let command = rpc.into_command();
        let outcome = {
            let mut state = self.0.lock();
            require_device(&state, device)?;
            let sent = state.long_polls.command(device, command, lasts_ms);
            sent.map_err(|LimitReached(reason)| ControlError(reason))?
        };
        let mut closing = self.0.closing.subscribe();
        let outcome = tokio::select! {
            outcome = outcome => outcome.ok(),
            _ = closing.wait_for(|closing| *closing) => None,
        };
        Ok(outcome.unwrap_or(CommandOutcome::Lost))
    }

    /// Sends a persistent command, which ThingsBoard keeps until it expires. `retries` is the request's own limit on the
    /// timeouts of its PUBACK over MQTT, at most ThingsBoard's 5.
    ///
    /// # Errors
    /// An unknown device, or too many commands.
    pub fn persistent_command(
        &self,
        device: &str,
        rpc: ServerRpc,
        retries: Option<u32>,
    ) -> Result<CommandId, ControlError> {
        let lasts_ms = in_ms(rpc.timeout);
        let mut state = self.0.lock();
        require_device(&state, device)?;
        let polls = &mut state.long_polls;
        let sent = polls.persistent_command(device, rpc.into_command(), lasts_ms, retries);
        sent.map_err(|LimitReached(reason)| ControlError(reason))
    }

    /// The status of a persistent command, and the device's reply; `None` for an unknown one.
    #[must_use]
    pub fn rpc_status(&self, command: CommandId) -> Option<(RpcStatus, Option<String>)> {
        let mut state = self.0.lock();
        state.long_polls.apply(|downlink| {
            let (status, reply) = downlink.rpc_status(command)?;
            Some((status, reply.map(str::to_owned)))
        })
    }

    /// Counts a device's polls and subscriptions; `None` for an unknown device.
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

    /// Sets how long a poll's subscription takes to reach the device actor, by default 5 ms. Until then the poll gets
    /// no messages. (ThingsBoard sends it over its queue: a few milliseconds in memory, tens of them with Kafka.)
    pub fn set_subscription_delay(&self, delay: Duration) {
        self.0.lock().long_polls.apply(|downlink| {
            let mut delays = downlink.delays();
            delays.subscription_ms = in_ms(delay);
            downlink.set_delays(delays);
        });
    }
}
