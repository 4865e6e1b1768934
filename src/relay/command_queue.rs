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

use super::command_error::CommandError;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Commands queued for one device, until it is not polled for any more.
const CAPACITY: usize = 16;
/// How long a command stays queued for a device that does not answer.
const QUEUED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Delivered commands remembered for one device. The oldest is removed for another.
const MAX_DELIVERED: usize = 32;
/// How long a delivered command is recognised after a poll last brought it.
const RECOGNISED: Duration = Duration::from_secs(600);
/// The same once polls have failed: ThingsBoard may have restarted.
const RECOGNISED_AFTER_OUTAGE: Duration = Duration::from_secs(60);
/// The same once the device has replied: polls that ThingsBoard answered before it had the reply have ended by then.
const RECOGNISED_AFTER_REPLY: Duration = Duration::from_secs(10);

/// SipHash under keys of this process, so that no one can make two commands with the same hash.
static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A command as ThingsBoard sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub id: u32,
    /// `{"id":…,"method":…,"params":…}`, byte for byte.
    pub body: Bytes,
    hash: u64,
}

impl Command {
    /// Parses ThingsBoard's answer to a poll for commands; `None` if it is no JSON object, or has no id that a device could
    /// reply to. Not to be called in the I/O loop.
    pub fn read(body: Bytes) -> Option<Command> {
        Some(Command {
            id: id(&body)?,
            hash: HASH.hash_one(&body),
            body,
        })
    }
}

#[derive(Debug)]
struct Queued {
    command: Command,
    received: Instant,
    /// Whether an endpoint was given a notification of it: the device may have it.
    notified: bool,
    /// See [`Delivered::is_outdated`].
    is_outdated: bool,
}

impl Queued {
    fn expires(&self) -> Instant {
        self.received + QUEUED_FOR
    }
}

#[derive(Debug)]
struct Delivered {
    id: u32,
    hash: u64,
    received: Instant,
    delivered: Instant,
    expires: Instant,
    reply: Reply,
    /// The gateway replies to it itself.
    error: Option<CommandError>,
    /// ThingsBoard has restarted since, and the id may be another command's: no reply to this one may reach ThingsBoard.
    is_outdated: bool,
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

/// What [`CommandQueue::push`] did with a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    New,
    /// Nothing: it is queued or was delivered.
    Repeated(Repeated),
}

/// A command that a poll has brought again.
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
}

impl CommandQueue {
    /// Queues a command that a poll has brought, unless it is known.
    pub(crate) fn push(&mut self, now: Instant, command: Command) -> Pushed {
        self.remove_expired(now);
        let is_it = |id, hash| id == command.id && hash == command.hash;
        let mut queued = self.queued.iter_mut();
        if let Some(known) = queued.find(|q| is_it(q.command.id, q.command.hash)) {
            known.is_outdated = false;
            return Pushed::Repeated(Repeated::Queued);
        }
        if let Some(known) = self.delivered.iter_mut().find(|d| is_it(d.id, d.hash)) {
            known.is_outdated = false;
            known.expires = known.expires.max(now + RECOGNISED);
            return Pushed::Repeated(match known.reply {
                Reply::None => match known.error {
                    Some(error) => Repeated::Rejected(error),
                    None => Repeated::Unanswered(known.delivered),
                },
                Reply::InFlight => Repeated::ReplyInFlight,
                Reply::Accepted => Repeated::Answered,
            });
        }
        for known in self.queued.iter_mut() {
            known.is_outdated |= known.command.id >= command.id;
        }
        for known in self.delivered.iter_mut() {
            known.is_outdated |= known.id >= command.id;
        }
        self.queued.push_back(Queued {
            command,
            received: now,
            notified: false,
            is_outdated: false,
        });
        Pushed::New
    }

    pub(crate) fn first(&self) -> Option<&Command> {
        self.queued.front().map(|first| &first.command)
    }

    /// An endpoint is given a notification of the first.
    pub(crate) fn first_notified(&mut self) {
        if let Some(first) = self.queued.front_mut() {
            first.notified = true;
        }
    }

    /// Whether the first has this id, and the device may have it.
    pub(crate) fn may_have_first(&self, id: u32) -> bool {
        let first = self.queued.front();
        first.is_some_and(|first| first.notified && first.command.id == id)
    }

    /// Whether not to poll for more.
    pub(crate) fn is_full(&self) -> bool {
        self.queued.len() >= CAPACITY
    }

    /// The device has the first.
    pub(crate) fn first_delivered(&mut self, now: Instant) {
        if let Some(first) = self.queued.pop_front() {
            self.remember(now, first);
        }
    }

    fn remember(&mut self, now: Instant, first: Queued) {
        let Queued {
            command,
            received,
            is_outdated,
            ..
        } = first;
        // One from before a restart: from now on a reply under this id is to this command.
        self.delivered.retain(|known| known.id != command.id);
        if self.delivered.len() >= MAX_DELIVERED {
            self.delivered.pop_front();
        }
        self.delivered.push_back(Delivered {
            id: command.id,
            hash: command.hash,
            received,
            delivered: now,
            expires: now + RECOGNISED,
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
        known.expires = now + RECOGNISED_AFTER_REPLY;
        Some(now.saturating_duration_since(known.received))
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

    /// Polls have failed, so ThingsBoard may have restarted: delivered commands are not recognised for much longer.
    pub(crate) fn polls_interrupted(&mut self, now: Instant) {
        for known in &mut self.delivered {
            known.expires = known.expires.min(now + RECOGNISED_AFTER_OUTAGE);
        }
    }

    /// Removes queued and delivered commands that have expired. Returns how many of them were not delivered.
    pub(crate) fn remove_expired(&mut self, now: Instant) -> usize {
        self.delivered.retain(|known| known.expires > now);
        let before = self.queued.len();
        self.queued.retain(|queued| queued.expires() > now);
        if self.queued.is_empty() && self.delivered.is_empty() {
            *self = CommandQueue::default();
        }
        before - self.queued.len()
    }

    /// When [`remove_expired`](Self::remove_expired) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let queued = self.queued.iter().map(Queued::expires);
        let delivered = self.delivered.iter().map(|known| known.expires);
        queued.chain(delivered).min()
    }

    /// Drops the newest, for which there is no room, and returns its id. Polls that repeat it find it as if it were delivered.
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

/// The id of a command: a whole number that ThingsBoard's `int` holds, as `rpc/{id}` takes it.
fn id(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct WithId {
        id: u32,
    }
    // serde would take an array for a struct, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let with_id: WithId = serde_json::from_slice(body).ok()?;
    i32::try_from(with_id.id).is_ok().then_some(with_id.id)
}

#[cfg(test)]
mod tests;
