//! Commands and their callers: from the call to what the caller learns.

use super::actor::Expired;
use super::{Command, CommandId, CommandOutcome, Downlink, LimitReached, Timer};
use std::sync::Arc;

/// More commands of one device waiting for their end than this are refused.
pub(super) const MAX_COMMANDS: usize = 1000;
/// All such commands together, by their weight.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What a command weighs beside its method and parameters.
pub(super) const COMMAND_OVERHEAD: usize = 256;

/// A command whose caller waits.
pub(super) struct WaitingCaller {
    device: Arc<str>,
    expires_ms: u64,
    weight: usize,
}

impl Downlink {
    /// Someone calls a device.
    pub fn command(
        &mut self,
        device: &str,
        command: Command,
        now_ms: u64,
    ) -> Result<CommandId, LimitReached> {
        let weight = COMMAND_OVERHEAD + command.method.len() + command.params.len();
        if self.pending_bytes + weight > MAX_BYTES {
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
        self.pending_bytes += weight;
        self.last_command += 1;
        let id = CommandId(self.last_command);
        let call = WaitingCaller {
            device: name,
            expires_ms: command.expires_ms,
            weight,
        };
        self.callers.insert(id, call);
        if command.expires_ms <= now_ms {
            // The actor ignores it, but for its id.
            device.actor.take_id();
            self.finish_command(id, CommandOutcome::TimedOut);
            return Ok(id);
        }
        self.timers
            .insert((command.expires_ms, Timer::CommandExpiry(id)));
        let sent = device.actor.command(id, &command);
        self.send(sent);
        Ok(id)
    }

    /// A device posts `rpc/{id}`. A stale id is ignored.
    pub fn reply(&mut self, device: &str, id: i32, body: &str) {
        let device = self.devices.get_mut(device);
        if let Some(command) = device.and_then(|device| device.actor.reply(id)) {
            self.finish_command(command, CommandOutcome::Reply(body.to_owned()));
        }
    }

    /// What a caller learns.
    pub fn pop_command_outcome(&mut self) -> Option<(CommandId, CommandOutcome)> {
        self.outcomes.pop_front()
    }

    /// A caller's time is over.
    pub(super) fn expire(&mut self, command: CommandId) {
        let Some(call) = self.callers.get(&command) else {
            return;
        };
        let device = self.devices.get_mut(&call.device);
        let outcome = match device.and_then(|device| device.actor.expire(command)) {
            Some(Expired::Unsent) => CommandOutcome::NoActiveConnection,
            // With the actor gone, the caller's own timer says the same.
            Some(Expired::Unanswered) | None => CommandOutcome::TimedOut,
        };
        self.finish_command(command, outcome);
    }

    /// Tells a caller, and forgets it.
    pub(super) fn finish_command(&mut self, command: CommandId, outcome: CommandOutcome) {
        let Some(call) = self.callers.remove(&command) else {
            return;
        };
        self.timers
            .remove(&(call.expires_ms, Timer::CommandExpiry(command)));
        self.pending_bytes = self.pending_bytes.saturating_sub(call.weight);
        if let Some(device) = self.devices.get_mut(&call.device) {
            device.waiting_callers = device.waiting_callers.saturating_sub(1);
        }
        self.outcomes.push_back((command, outcome));
    }
}
