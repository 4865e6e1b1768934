//! Commands and their callers, from the command to its outcome.

use super::actor::Expired;
use super::persistent::PersistentRpc;
use super::{Command, CommandId, CommandOutcome, Downlink, LimitReached, Timer};
use std::sync::Arc;

/// More commands of one device without an outcome than this are refused.
pub(super) const MAX_COMMANDS: usize = 1000;
/// The bytes of all such commands together.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The bytes that each of them counts in addition to its method and parameters.
pub(super) const COMMAND_OVERHEAD: usize = 256;

/// The caller of a command that has no outcome yet.
pub(super) struct WaitingCaller {
    device: Arc<str>,
    expires_ms: u64,
    bytes: usize,
}

impl Downlink {
    /// Sends a command to a device.
    ///
    /// # Errors
    /// A limit on devices or commands is reached.
    pub fn command(
        &mut self,
        device: &str,
        command: Command,
        now_ms: u64,
    ) -> Result<CommandId, LimitReached> {
        self.send_command(device, &command, None, now_ms)
    }

    /// Sends a command; `retries` is given for a persistent one.
    pub(super) fn send_command(
        &mut self,
        device: &str,
        command: &Command,
        retries: Option<u32>,
        now_ms: u64,
    ) -> Result<CommandId, LimitReached> {
        let bytes = COMMAND_OVERHEAD + command.method.len() + command.params.len();
        if self.pending_bytes + bytes > MAX_BYTES {
            return Err(LimitReached(format!(
                "the commands that wait hold {MAX_BYTES} bytes already"
            )));
        }
        let name = self.device(device)?;
        let device = self.devices.entry(Arc::clone(&name)).or_default();
        if device.waiting_callers >= MAX_COMMANDS {
            return Err(LimitReached(format!(
                "{MAX_COMMANDS} commands of device {name:?} wait already"
            )));
        }
        device.waiting_callers += 1;
        self.pending_bytes += bytes;
        self.last_command += 1;
        let id = CommandId(self.last_command);
        let caller = WaitingCaller {
            device: name,
            expires_ms: command.expires_ms,
            bytes,
        };
        self.callers.insert(id, caller);
        if retries.is_some() {
            self.persistent.insert(id, PersistentRpc::queued());
        }
        if command.expires_ms <= now_ms {
            // The actor ignores it, except that it takes an id.
            device.actor.take_rpc_id();
            self.finish_command(id, CommandOutcome::TimedOut);
            return Ok(id);
        }
        self.timers
            .insert((command.expires_ms, Timer::CommandExpiry(id)));
        let sent = device.actor.command(id, command, retries);
        self.send(sent);
        Ok(id)
    }

    /// Passes the reply that a device has posted to `rpc/{id}` on to the caller. An unknown id is ignored.
    pub fn reply(&mut self, device: &str, id: i32, body: &str) {
        let device = self.devices.get_mut(device);
        if let Some(command) = device.and_then(|device| device.actor.reply(id)) {
            self.finish_command(command, CommandOutcome::Reply(body.to_owned()));
        }
    }

    /// The next command that has an outcome.
    pub fn pop_command_outcome(&mut self) -> Option<(CommandId, CommandOutcome)> {
        self.command_outcomes.pop_front()
    }

    /// Ends a command that has timed out.
    pub(super) fn expire(&mut self, command: CommandId) {
        let Some(caller) = self.callers.get(&command) else {
            return;
        };
        let device = self.devices.get_mut(&caller.device);
        let outcome = match device.and_then(|device| device.actor.expire(command)) {
            Some(Expired::NotSent) => CommandOutcome::NoActiveConnection,
            // Where the device was deleted, the caller's own timeout gives the same outcome.
            Some(Expired::NoReply) | None => CommandOutcome::TimedOut,
        };
        self.finish_command(command, outcome);
    }

    /// Queues the outcome of a command, or sets the status of a persistent one, and removes its caller.
    pub(super) fn finish_command(&mut self, command: CommandId, outcome: CommandOutcome) {
        if !self.remove_caller(command) {
            return;
        }
        if !self.finish_persistent(command, &outcome) {
            self.command_outcomes.push_back((command, outcome));
        }
    }

    /// Removes the caller of a command; false if there is none.
    pub(super) fn remove_caller(&mut self, command: CommandId) -> bool {
        let Some(caller) = self.callers.remove(&command) else {
            return false;
        };
        self.timers
            .remove(&(caller.expires_ms, Timer::CommandExpiry(command)));
        self.pending_bytes = self.pending_bytes.saturating_sub(caller.bytes);
        if let Some(device) = self.devices.get_mut(&caller.device) {
            device.waiting_callers = device.waiting_callers.saturating_sub(1);
        }
        true
    }
}
