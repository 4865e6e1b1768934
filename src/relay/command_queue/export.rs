//! Commands as bytes: see [`crate::relay::export`].

use super::{
    CommandQueue, Delivered, MAX_ACKNOWLEDGED, MAX_QUEUED, Queued, RECOGNISED,
    RECOGNISED_ACKNOWLEDGED, RECOGNISED_AFTER_OUTAGE, Reply,
};
use crate::downlink::{Acknowledgement, Command, ConnectionId};
use crate::relay::command_error::CommandError;
use crate::relay::export::{
    RestoreError, Times, get_count, get_number, put_length, put_number, take, take_array,
};
use bytes::{Buf, BufMut, Bytes};
use std::collections::VecDeque;
use std::time::Instant;

/// ThingsBoard has restarted since it sent the command.
const OUTDATED: u8 = 1;
/// The command came by a subscription, and is acknowledged to ThingsBoard.
const ACKNOWLEDGED: u8 = 2;
/// The device may have the queued command.
const NOTIFIED: u8 = 4;
/// The gateway's own reply to the delivered command, in two bits: its number in [`ERRORS`], from one on.
const ERROR_SHIFT: u32 = 2;
const ERRORS: [CommandError; 3] = [
    CommandError::TooLarge,
    CommandError::NoRoom,
    CommandError::Unanswered,
];

/// Stands for the acknowledgement of a former process's connection: it does nothing but tell that there was one.
const VOID: Acknowledgement = Acknowledgement {
    connection: ConnectionId::OF_FORMER_PROCESS,
    packet: 0,
};

fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

impl Queued {
    fn export(&self, times: Times, out: &mut Vec<u8>) {
        out.put_u8(
            flag(self.is_outdated, OUTDATED)
                | flag(self.acknowledgement.is_some(), ACKNOWLEDGED)
                | flag(self.notified, NOTIFIED),
        );
        put_number(out, times.age(self.received));
        put_length(out, self.command.body.len());
        out.put_slice(&self.command.body);
    }

    fn restore(times: Times, exported: u64, from: &mut &[u8]) -> Result<Queued, RestoreError> {
        let flags = get_flags(from, OUTDATED | ACKNOWLEDGED | NOTIFIED)?;
        let received = times.at(exported, get_number(from)?);
        let length = get_count(from, usize::MAX)?;
        let body = Bytes::copy_from_slice(take(from, length)?);
        Ok(Queued {
            command: Command::read(body).ok_or(RestoreError::Malformed)?,
            acknowledgement: (flags & ACKNOWLEDGED != 0).then_some(VOID),
            received,
            last_sent: received,
            notified: flags & NOTIFIED != 0,
            is_outdated: flags & OUTDATED != 0,
        })
    }
}

impl Delivered {
    fn export(&self, times: Times, out: &mut Vec<u8>) {
        let error = ERRORS.iter().position(|error| Some(*error) == self.error);
        let error = error.map_or(0, |position| position + 1) << ERROR_SHIFT;
        out.put_u8(
            flag(self.is_outdated, OUTDATED)
                | flag(self.connection.is_some(), ACKNOWLEDGED)
                | u8::try_from(error).unwrap_or_default(),
        );
        put_number(out, u64::from(self.id));
        out.put_slice(&self.hash);
        put_number(out, times.age(self.delivered));
    }

    /// It is recognised until [`begins_at`](CommandQueue::begins_at) says for how long.
    fn restore(times: Times, exported: u64, from: &mut &[u8]) -> Result<Delivered, RestoreError> {
        let flags = get_flags(from, OUTDATED | ACKNOWLEDGED | 3 << ERROR_SHIFT)?;
        let id = u32::try_from(get_number(from)?).map_err(|_| RestoreError::Malformed)?;
        let hash = take_array(from)?;
        let delivered = times.at(exported, get_number(from)?);
        let is_acknowledged = flags & ACKNOWLEDGED != 0;
        let recognised_until = match is_acknowledged {
            // The next grant of the subscription shortens it.
            true => delivered + RECOGNISED_ACKNOWLEDGED,
            false => times.now + RECOGNISED,
        };
        let error = usize::from(flags >> ERROR_SHIFT).checked_sub(1);
        Ok(Delivered {
            id,
            hash,
            connection: is_acknowledged.then_some(ConnectionId::OF_FORMER_PROCESS),
            received: delivered,
            delivered,
            recognised_until,
            expires: recognised_until,
            reply: Reply::None,
            error: error.and_then(|position| ERRORS.get(position).copied()),
            is_outdated: flags & OUTDATED != 0,
        })
    }
}

fn get_flags(from: &mut &[u8], known: u8) -> Result<u8, RestoreError> {
    let flags = from.try_get_u8()?;
    match flags & !known {
        0 => Ok(flags),
        _ => Err(RestoreError::Malformed),
    }
}

impl CommandQueue {
    /// Queued commands, as many as fit so many bytes, and delivered ones that ThingsBoard may send again. `None` if there are
    /// neither.
    pub(crate) fn export(&self, times: Times, limit: usize) -> Option<Vec<u8>> {
        // Of one that ThingsBoard has the reply to, it only sends copies that are on their way.
        let delivered = || {
            let known = self.delivered.iter();
            known.filter(|known| known.reply != Reply::Accepted)
        };
        if self.queued.is_empty() && delivered().next().is_none() {
            return None;
        }
        let mut remembered = Vec::new();
        put_length(&mut remembered, delivered().count());
        delivered().for_each(|known| known.export(times, &mut remembered));
        let mut queue = Vec::new();
        let mut count = 0;
        for queued in &self.queued {
            let before = queue.len();
            queued.export(times, &mut queue);
            // Numbers in front take less than this.
            if queue.len() + remembered.len() + 16 > limit {
                queue.truncate(before);
                break;
            }
            count += 1;
        }
        let mut out = Vec::new();
        put_number(&mut out, times.unix);
        put_length(&mut out, count);
        out.append(&mut queue);
        out.append(&mut remembered);
        Some(out)
    }

    pub(crate) fn restore(times: Times, from: &mut &[u8]) -> Result<CommandQueue, RestoreError> {
        let mut restored = CommandQueue::default();
        let exported = get_number(from)?;
        for _ in 0..get_count(from, MAX_QUEUED)? {
            let queued = Queued::restore(times, exported, from)?;
            // Or the device would get it twice.
            let is_it = |other: &Queued| {
                (other.command.id, other.command.hash) == (queued.command.id, queued.command.hash)
            };
            if restored.queued.iter().any(is_it) {
                return Err(RestoreError::Malformed);
            }
            restored.queued.push_back(queued);
        }
        for _ in 0..get_count(from, MAX_ACKNOWLEDGED)? {
            let delivered = Delivered::restore(times, exported, from)?;
            // A reply is to one command.
            if restored.delivered_mut(delivered.id).is_some() {
                return Err(RestoreError::Malformed);
            }
            restored.delivered.push_back(delivered);
        }
        Ok(restored)
    }

    /// Adds what another export of the same device has: what one of both knows as delivered is delivered.
    pub(crate) fn adopt(&mut self, other: CommandQueue) {
        let of_queued = |one: &Queued| (one.command.id, one.command.hash);
        let is_known = |known: &VecDeque<Delivered>, (id, hash)| {
            known.iter().any(|one| (one.id, one.hash) == (id, hash))
        };
        self.queued
            .retain(|own| !is_known(&other.delivered, of_queued(own)));
        for queued in other.queued {
            let mut own = self.queued.iter().map(of_queued);
            let it = of_queued(&queued);
            if !own.any(|own| own == it) && !is_known(&self.delivered, it) {
                self.queued.push_back(queued);
            }
        }
        for delivered in other.delivered {
            if self.delivered_mut(delivered.id).is_none() {
                self.delivered.push_back(delivered);
            }
        }
        self.export_changed();
    }

    /// The restored device's downlink begins at this time. ThingsBoard may have sent again what the device had until the former
    /// process ended, and may have restarted since: the first poll brings it, if any does.
    pub(crate) fn begins_at(&mut self, now: Instant, begin: Instant) {
        for known in &mut self.delivered {
            if known.connection.is_none() {
                known.expires = begin.max(now) + RECOGNISED_AFTER_OUTAGE;
                known.recognised_until = known.recognised_until.max(known.expires);
            }
        }
    }
}
