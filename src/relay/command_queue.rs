//! Commands queued for a device, in order, and those delivered that ThingsBoard may repeat.
//!
//! ```text
//! pushed ──▶ queued ──▶ delivered ──▶ replied to ──▶ removed 10 s later
//!             │ ▲           │ (not repeated for 10 min)
//!             └─┘           └──────────────────────▶ removed
//!        not acknowledged:
//!        notified again
//! ```
//!
//! ThingsBoard gives an unanswered two-way command to every poll, under the same id. Commands are the same if id *and* body
//! are: ids begin at 0 again when ThingsBoard restarts, and a new command must not be taken for an old one. Of a delivered
//! command only the id and a hash of the body are kept.
//!
//! Nor must the reply to an old command be taken for one to a new command: ThingsBoard knows them by their ids alone, and
//! would drop the new one. ThingsBoard sends its oldest command first, so ids ascend until it restarts. A new command shows
//! that those with the same or a higher id are from before a restart, and makes them [`is_outdated`](Delivered::is_outdated):
//! the device gets them, and their replies end here. (Those with a lower id were sent by now, or are of no consequence.)

mod export;

use super::command_error::CommandError;
use crate::downlink::{Acknowledgement, Command, CommandHash, ConnectionId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long ThingsBoard waits for the acknowledgement of a command, less what it takes to get there.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(9);
/// Commands queued for one device, until no more are requested.
const CAPACITY: usize = 16;
/// The same if they come unrequested, at most.
const MAX_QUEUED: usize = 128;
/// How long a command stays queued for a device that does not answer.
const QUEUED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Delivered commands remembered for one device. The oldest is removed for another.
const MAX_DELIVERED: usize = 32;
/// The same if they are acknowledged to ThingsBoard, which may send again all whose acknowledgement came late.
const MAX_ACKNOWLEDGED: usize = MAX_QUEUED;
/// How long a delivered command is recognised after ThingsBoard last sent it.
const RECOGNISED: Duration = Duration::from_secs(600);
/// The same for one that is acknowledged: ThingsBoard sends it again at the next subscription, whenever that is.
const RECOGNISED_ACKNOWLEDGED: Duration = QUEUED_FOR;
/// The same once ThingsBoard may have restarted.
const RECOGNISED_AFTER_OUTAGE: Duration = Duration::from_secs(60);
/// The same once the device has replied: polls that ThingsBoard answered before it had the reply have ended by then.
const RECOGNISED_AFTER_REPLY: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Queued {
    command: Command,
    /// To be given when the device has it.
    acknowledgement: Option<Acknowledgement>,
    received: Instant,
    /// When ThingsBoard last sent it.
    last_sent: Instant,
    /// Whether an endpoint was given a notification of it: the device may have it.
    notified: bool,
    /// See [`Delivered::is_outdated`].
    is_outdated: bool,
}

impl Queued {
    fn expires(&self) -> Instant {
        self.received + QUEUED_FOR
    }

    /// On which ThingsBoard last sent it, if it is acknowledged.
    fn connection(&self) -> Option<ConnectionId> {
        self.acknowledgement.map(|own| own.connection)
    }
}

#[derive(Debug)]
struct Delivered {
    id: u32,
    hash: CommandHash,
    /// On which ThingsBoard last sent it, if it is acknowledged.
    connection: Option<ConnectionId>,
    received: Instant,
    delivered: Instant,
    /// Until when it is recognised at most.
    recognised_until: Instant,
    /// The same, if ThingsBoard may have restarted meanwhile.
    expires: Instant,
    reply: Reply,
    /// The gateway replies to it itself.
    error: Option<CommandError>,
    /// ThingsBoard has restarted since, and the id may be another command's: no reply to this one may reach ThingsBoard.
    is_outdated: bool,
}

impl Delivered {
    fn recognise_until(&mut self, until: Instant) {
        self.recognised_until = until;
        self.expires = until;
    }
}

/// Where the reply to a delivered command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// None has come, or ThingsBoard did not take it.
    None,
    /// On its way to ThingsBoard.
    InFlight,
    Accepted,
}

/// How long a delivered command is recognised. `connection`: on which it came, if it is acknowledged.
fn recognised_for(connection: Option<ConnectionId>) -> Duration {
    match connection {
        Some(_) => RECOGNISED_ACKNOWLEDGED,
        None => RECOGNISED,
    }
}

/// What [`CommandQueue::push`] did with a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    New,
    /// Nothing: it is queued or was delivered.
    Repeated(Repeated),
}

/// A command that ThingsBoard has sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// It is still queued for the device.
    Queued,
    /// The device has it since then, and has not replied.
    Unanswered(Instant),
    /// The gateway has to reply to it once more: ThingsBoard did not take the last reply.
    Rejected(CommandError),
    /// A reply is on its way to ThingsBoard.
    ReplyInFlight,
    /// ThingsBoard has a reply.
    Answered,
}

/// The commands of one device.
#[derive(Debug, Default)]
pub(crate) struct CommandQueue {
    queued: VecDeque<Queued>,
    delivered: VecDeque<Delivered>,
    /// Another one after each change of what is exported.
    revision: u32,
}

impl CommandQueue {
    /// Another number after each change of what is exported.
    pub(crate) fn revision(&self) -> u32 {
        self.revision
    }

    fn export_changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// Queues a command, unless it is known.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        command: Command,
        acknowledgement: Option<Acknowledgement>,
    ) -> Pushed {
        self.remove_expired(now);
        let connection = acknowledgement.map(|own| own.connection);
        let is_it = |id, hash| id == command.id && hash == command.hash;
        let mut queued = self.queued.iter_mut();
        if let Some(known) = queued.find(|q| is_it(q.command.id, q.command.hash)) {
            let had = (known.is_outdated, known.acknowledgement.is_some());
            known.is_outdated = false;
            known.acknowledgement = acknowledgement.or(known.acknowledgement);
            known.last_sent = now;
            if had != (false, known.acknowledgement.is_some()) {
                self.export_changed();
            }
            return Pushed::Repeated(Repeated::Queued);
        }
        if let Some(known) = self.delivered.iter_mut().find(|d| is_it(d.id, d.hash)) {
            let had = (known.is_outdated, known.connection.is_some());
            known.is_outdated = false;
            known.connection = connection.or(known.connection);
            known.recognise_until(known.expires.max(now + recognised_for(connection)));
            let repeated = match known.reply {
                Reply::None => match known.error {
                    Some(error) => Repeated::Rejected(error),
                    None => Repeated::Unanswered(known.delivered),
                },
                Reply::InFlight => Repeated::ReplyInFlight,
                Reply::Accepted => Repeated::Answered,
            };
            if had != (false, known.connection.is_some()) {
                self.export_changed();
            }
            return Pushed::Repeated(repeated);
        }
        // Not while a connection lasts, on which commands may come out of order.
        let may_have_restarted =
            |known: Option<ConnectionId>| connection.is_none() || known != connection;
        for known in self.queued.iter_mut() {
            known.is_outdated |=
                known.command.id >= command.id && may_have_restarted(known.connection());
        }
        for known in self.delivered.iter_mut() {
            known.is_outdated |= known.id >= command.id && may_have_restarted(known.connection);
        }
        self.queued.push_back(Queued {
            command,
            acknowledgement,
            received: now,
            last_sent: now,
            notified: false,
            is_outdated: false,
        });
        self.export_changed();
        Pushed::New
    }

    pub(crate) fn first(&self) -> Option<&Command> {
        self.queued.front().map(|first| &first.command)
    }

    /// An endpoint is given a notification of the first.
    pub(crate) fn first_notified(&mut self) {
        if let Some(first) = self.queued.front_mut()
            && !std::mem::replace(&mut first.notified, true)
        {
            self.export_changed();
        }
    }

    /// Whether the first has this id, and the device may have it.
    pub(crate) fn may_have_first(&self, id: u32) -> bool {
        let first = self.queued.front();
        first.is_some_and(|first| first.notified && first.command.id == id)
    }

    /// Whether to request no more.
    pub(crate) fn is_full(&self) -> bool {
        self.queued.len() >= CAPACITY
    }

    /// Whether there are too many, although no more were requested.
    pub(crate) fn is_overfull(&self) -> bool {
        self.queued.len() > MAX_QUEUED
    }

    /// Whether ThingsBoard does not expect the acknowledgement of the first any more.
    pub(crate) fn is_first_overdue(&self, now: Instant) -> bool {
        let first = self.queued.front();
        first.is_some_and(|first| {
            let waits = now.saturating_duration_since(first.last_sent);
            first.acknowledgement.is_some() && waits >= ACKNOWLEDGED_WITHIN
        })
    }

    /// The device has the first. Returns what acknowledges it to ThingsBoard.
    pub(crate) fn first_delivered(&mut self, now: Instant) -> Option<Acknowledgement> {
        let first = self.queued.pop_front()?;
        let acknowledgement = first.acknowledgement;
        self.remember(now, first);
        acknowledgement
    }

    fn remember(&mut self, now: Instant, first: Queued) {
        self.export_changed();
        let Queued {
            command,
            acknowledgement,
            received,
            is_outdated,
            ..
        } = first;
        let connection = acknowledgement.map(|own| own.connection);
        let most = match connection {
            Some(_) => MAX_ACKNOWLEDGED,
            None => MAX_DELIVERED,
        };
        // One from before a restart: from now on a reply under this id is to this command.
        self.delivered.retain(|known| known.id != command.id);
        if self.delivered.len() >= most {
            self.delivered.pop_front();
        }
        self.delivered.push_back(Delivered {
            id: command.id,
            hash: command.hash,
            connection,
            received,
            delivered: now,
            recognised_until: now + recognised_for(connection),
            expires: now + recognised_for(connection),
            reply: Reply::None,
            error: None,
            is_outdated,
        });
    }

    fn delivered_mut(&mut self, id: u32) -> Option<&mut Delivered> {
        self.delivered.iter_mut().find(|known| known.id == id)
    }

    /// The gateway replies to a command that was delivered, or that can't be. Returns whether ThingsBoard may get the reply.
    pub(crate) fn gateway_replies(&mut self, id: u32, error: CommandError) -> bool {
        let known = self.delivered_mut(id);
        let Some(known) = known.filter(|known| !known.is_outdated) else {
            return false;
        };
        known.error = Some(error);
        known.reply = Reply::InFlight;
        self.export_changed();
        true
    }

    /// Whether a reply under this id is to a command from before ThingsBoard's restart, and must not reach ThingsBoard.
    pub(crate) fn is_reply_outdated(&self, id: u32) -> bool {
        let first = self.queued.front().filter(|_| self.may_have_first(id));
        let delivered = || self.delivered.iter().find(|known| known.id == id);
        match first {
            Some(first) => first.is_outdated,
            None => delivered().is_some_and(|known| known.is_outdated),
        }
    }

    /// A reply is on its way to ThingsBoard. Returns whether it is the first to a command that was delivered.
    pub(crate) fn reply_begins(&mut self, id: u32) -> bool {
        let known = self.delivered_mut(id);
        let is_first = |known: &&mut Delivered| known.reply == Reply::None && !known.is_outdated;
        let Some(known) = known.filter(is_first) else {
            return false;
        };
        known.reply = Reply::InFlight;
        true
    }

    /// ThingsBoard has the reply. Returns how long after the command, if a reply was in flight.
    pub(crate) fn reply_accepted(&mut self, now: Instant, id: u32) -> Option<Duration> {
        let known = self.delivered_mut(id);
        let known = known.filter(|known| known.reply == Reply::InFlight)?;
        known.reply = Reply::Accepted;
        known.recognise_until(now + RECOGNISED_AFTER_REPLY);
        let received = known.received;
        self.export_changed();
        Some(now.saturating_duration_since(received))
    }

    /// ThingsBoard did not take the reply. Returns whether one was in flight.
    pub(crate) fn reply_failed(&mut self, id: u32) -> bool {
        let known = self.delivered_mut(id);
        let Some(known) = known.filter(|known| known.reply == Reply::InFlight) else {
            return false;
        };
        known.reply = Reply::None;
        true
    }

    /// The connection is lost, and acknowledgements with it. Until the next one ThingsBoard can send nothing again, so that
    /// time does not count.
    pub(crate) fn interrupted(&mut self) {
        for known in &mut self.delivered {
            if known.connection.is_some() {
                known.expires = known.recognised_until;
            }
        }
    }

    /// ThingsBoard may have restarted, and number commands from 0 again: delivered commands are not recognised for much longer.
    pub(crate) fn may_have_restarted(&mut self, now: Instant) {
        for known in &mut self.delivered {
            known.expires = known.recognised_until.min(now + RECOGNISED_AFTER_OUTAGE);
        }
    }

    /// Removes queued and delivered commands that have expired. Returns how many of them were not delivered.
    pub(crate) fn remove_expired(&mut self, now: Instant) -> usize {
        let known = self.delivered.len();
        self.delivered.retain(|known| known.expires > now);
        let before = self.queued.len();
        self.queued.retain(|queued| queued.expires() > now);
        if known + before > self.delivered.len() + self.queued.len() {
            self.export_changed();
        }
        if self.is_empty() {
            (self.queued, self.delivered) = (VecDeque::new(), VecDeque::new());
        }
        before - self.queued.len()
    }

    /// When [`remove_expired`](Self::remove_expired) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let queued = self.queued.iter().map(Queued::expires);
        let delivered = self.delivered.iter().map(|known| known.expires);
        queued.chain(delivered).min()
    }

    /// Drops the commands that were not delivered. The others are remembered: ThingsBoard may send them again.
    pub(crate) fn drop_queued(&mut self) {
        self.queued = VecDeque::new();
        self.export_changed();
    }

    /// Drops the newest, for which there is no room, and returns its id. If it comes again, it is found as if it were delivered.
    pub(crate) fn drop_newest(&mut self, now: Instant) -> Option<u32> {
        let newest = self.queued.pop_back()?;
        let id = newest.command.id;
        self.remember(now, newest);
        Some(id)
    }

    /// What the queued commands cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let each = self.queued.iter();
        each.map(|queued| queued.command.body.len() + 128).sum()
    }

    /// Commands that are queued.
    pub(crate) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether nothing is queued or remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.delivered.is_empty()
    }
}

#[cfg(test)]
mod tests;
