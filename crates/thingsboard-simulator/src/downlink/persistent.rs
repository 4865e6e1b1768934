//! Persistent commands: ThingsBoard keeps them, with their status, in its database.

use super::{
    Command, CommandId, CommandOutcome, DeliveryReport, Downlink, LimitReached, RpcStatus,
};
use std::collections::BTreeMap;

/// More persistent commands than this are refused, unless older ones have a final status: those are removed.
const MAX_PERSISTENT: usize = 100_000;
/// When the replies of all persistent commands have more bytes than this, commands with a final status are removed.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// All persistent commands.
pub(super) type PersistentRpcs = BTreeMap<CommandId, PersistentRpc>;

/// A persistent command as it is stored.
pub(super) struct PersistentRpc {
    status: RpcStatus,
    reply: Option<String>,
}

impl PersistentRpc {
    pub(super) fn queued() -> PersistentRpc {
        PersistentRpc {
            status: RpcStatus::Queued,
            reply: None,
        }
    }

    /// Sets the status for the outcome of the command.
    fn finish(&mut self, outcome: &CommandOutcome) {
        match outcome {
            CommandOutcome::Delivered => self.status = RpcStatus::Delivered,
            CommandOutcome::Reply(reply) => {
                self.status = RpcStatus::Successful;
                self.reply = Some(reply.clone());
            }
            CommandOutcome::TimedOut | CommandOutcome::NoActiveConnection => {
                self.status = RpcStatus::Expired;
            }
            // The database has it as it was.
            CommandOutcome::Lost => {}
        }
    }
}

impl Downlink {
    /// Sends a persistent command. It waits for a subscription until it expires, and is not delivered by being sent.
    /// `retries` is the request's own limit on timeouts of its PUBACK, at most ThingsBoard's 5.
    ///
    /// # Errors
    /// A limit on devices or commands is reached.
    pub fn persistent_command(
        &mut self,
        device: &str,
        command: &Command,
        retries: Option<u32>,
        now_ms: u64,
    ) -> Result<CommandId, LimitReached> {
        if self.persistent.len() >= MAX_PERSISTENT {
            self.remove_final();
            if self.persistent.len() >= MAX_PERSISTENT {
                return Err(LimitReached(format!(
                    "there are {MAX_PERSISTENT} persistent commands already"
                )));
            }
        }
        self.send_command(device, command, Some(retries.unwrap_or(u32::MAX)), now_ms)
    }

    /// Removes the persistent commands with a final status.
    fn remove_final(&mut self) {
        let callers = &self.callers;
        self.persistent.retain(|id, _| callers.contains_key(id));
        self.reply_bytes = 0;
    }

    /// Sets the status of a persistent command for its outcome; false if it is not persistent.
    pub(super) fn finish_persistent(
        &mut self,
        command: CommandId,
        outcome: &CommandOutcome,
    ) -> bool {
        let Some(mut persistent) = self.persistent.remove(&command) else {
            return false;
        };
        persistent.finish(outcome);
        let bytes = persistent.reply.as_ref().map_or(0, String::len);
        if self.reply_bytes + bytes > MAX_REPLY_BYTES {
            self.remove_final();
        }
        self.reply_bytes += bytes;
        self.persistent.insert(command, persistent);
        true
    }

    /// The status of a persistent command, and the device's reply.
    pub fn rpc_status(&self, command: CommandId) -> Option<(RpcStatus, Option<&str>)> {
        let persistent = self.persistent.get(&command)?;
        Some((persistent.status, persistent.reply.as_deref()))
    }

    /// Applies a report of the MQTT transport on the command of a device with this id.
    pub fn report(&mut self, device: &str, id: i32, report: DeliveryReport) {
        let device = self.devices.get_mut(device);
        let Some(reported) = device.and_then(|device| device.actor.report(id, report)) else {
            return;
        };
        let Some(persistent) = self.persistent.get_mut(&reported.command) else {
            // A command that failed is no longer sent, and its caller waits until it expires.
            return;
        };
        persistent.status = reported.status;
        if reported.removed {
            self.remove_caller(reported.command);
        }
    }

    /// Reports that a poll has got a command, if that is persistent.
    pub(super) fn report_persistent(&mut self, device: &str, id: i32, command: CommandId) {
        if self.persistent.contains_key(&command) {
            self.report(device, id, DeliveryReport::Delivered);
        }
    }

    /// Whether a restarted ThingsBoard loads this command again: it loads only those that were never sent.
    pub(super) fn survives_restart(persistent: &PersistentRpcs, command: CommandId) -> bool {
        persistent
            .get(&command)
            .is_some_and(|persistent| persistent.status == RpcStatus::Queued)
    }
}
