//! Commands on their way to a device, in order, and those it has and may be given again.
//!
//! ```text
//! taken from a poll ──▶ queued ──▶ delivered ──▶ replied to ──▶ forgotten
//!                         │ ▲          │ (nothing heard of it for a while)
//!                         └─┘          └──────────────────────▶ forgotten
//!                    not acknowledged:
//!                    the same again
//! ```
//!
//! ThingsBoard gives an unanswered two-way command to every poll, under the same id. Whether it is the
//! same, id *and* words say: ids begin at 0 again when ThingsBoard restarts, and a new command must not be
//! taken for an old one. Of a delivered command its id and a hash are kept, not its words.

use super::refusal::Refusal;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Commands that may wait for one device; polls wait while so many do.
const FULL: usize = 16;
/// How long one may wait: a device that was away for longer has other worries than an old command.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Delivered commands remembered for one device. Beyond it the oldest is forgotten.
const MOST_DELIVERED: usize = 32;
/// How long a delivered command is recognised after it was seen last.
const RECOGNISED: Duration = Duration::from_secs(600);
/// The same once polls were interrupted: ThingsBoard may have restarted.
const RECOGNISED_AFTER_OUTAGE: Duration = Duration::from_secs(60);
/// The same once the device has replied: polls answered before ThingsBoard had the reply are in by then.
const RECOGNISED_AFTER_REPLY: Duration = Duration::from_secs(10);

/// SipHash under keys of this process: nobody can make two commands that have one hash.
static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A command as ThingsBoard gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// ThingsBoard's name for it.
    pub id: u32,
    /// `{"id":…,"method":…,"params":…}`, byte for byte.
    pub body: Bytes,
    hash: u64,
}

impl Command {
    /// Reads ThingsBoard's answer to a poll for commands; nothing if it is no JSON, or names no id that a device could
    /// reply to. Not to be called in the loop.
    pub fn read(body: Bytes) -> Option<Command> {
        Some(Command {
            id: id(&body)?,
            hash: HASH.hash_one(&body),
            body,
        })
    }
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    taken: Instant,
    /// Whether a notification of it was given to an endpoint: the device may have it.
    notified: bool,
}

impl Waiting {
    fn until(&self) -> Instant {
        self.taken + KEPT
    }
}

#[derive(Debug)]
struct Delivered {
    id: u32,
    hash: u64,
    taken: Instant,
    delivered: Instant,
    until: Instant,
    reply: Reply,
    /// The gateway replies to it itself, until ThingsBoard has taken that.
    refused: Option<Refusal>,
}

/// How far the reply to a delivered command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// None has come, or ThingsBoard did not take it.
    None,
    /// On its way to ThingsBoard.
    UnderWay,
    /// ThingsBoard has it.
    Taken,
}

/// What a poll's answer turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A command the device does not have.
    New,
    /// One that is queued, or that the device has.
    Repeated(Known),
}

/// A command that a poll has brought again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It still waits for the device.
    Waiting,
    /// The device has it since then, and has not replied.
    Unanswered(Instant),
    /// The gateway has to reply to it once more: ThingsBoard did not take the last.
    Refused(Refusal),
    /// A reply is on its way to ThingsBoard.
    ReplyUnderWay,
    /// ThingsBoard has taken a reply.
    Answered,
}

/// The commands of one device.
#[derive(Debug, Default)]
pub struct CommandQueue {
    waiting: VecDeque<Waiting>,
    delivered: VecDeque<Delivered>,
}

impl CommandQueue {
    /// A poll has brought this.
    pub fn take(&mut self, now: Instant, command: Command) -> Taken {
        self.forget(now);
        let is_it = |id, hash| id == command.id && hash == command.hash;
        if self
            .waiting
            .iter()
            .any(|other| is_it(other.command.id, other.command.hash))
        {
            return Taken::Repeated(Known::Waiting);
        }
        if let Some(known) = self.delivered.iter_mut().find(|d| is_it(d.id, d.hash)) {
            known.until = known.until.max(now + RECOGNISED);
            return Taken::Repeated(match known.reply {
                Reply::None => match known.refused {
                    Some(refusal) => Known::Refused(refusal),
                    None => Known::Unanswered(known.delivered),
                },
                Reply::UnderWay => Known::ReplyUnderWay,
                Reply::Taken => Known::Answered,
            });
        }
        // The same id with other words: ThingsBoard counts anew, and what had it before is no more.
        self.delivered.retain(|d| d.id != command.id);
        self.waiting.push_back(Waiting {
            command,
            taken: now,
            notified: false,
        });
        Taken::New
    }

    /// The command whose turn it is.
    pub fn first(&self) -> Option<&Command> {
        self.waiting.front().map(|first| &first.command)
    }

    /// A notification of the first is given to an endpoint.
    pub fn first_notified(&mut self) {
        if let Some(first) = self.waiting.front_mut() {
            first.notified = true;
        }
    }

    /// Whether the device may have the first, and it is the one of this id.
    pub fn may_have_first(&self, id: u32) -> bool {
        let first = self.waiting.front();
        first.is_some_and(|first| first.notified && first.command.id == id)
    }

    /// Whether polls should wait.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= FULL
    }

    /// The first has reached the device.
    pub fn first_delivered(&mut self, now: Instant) {
        if let Some(first) = self.waiting.pop_front() {
            self.remember(now, first);
        }
    }

    fn remember(&mut self, now: Instant, Waiting { command, taken, .. }: Waiting) {
        if self.delivered.len() >= MOST_DELIVERED {
            self.delivered.pop_front();
        }
        self.delivered.push_back(Delivered {
            id: command.id,
            hash: command.hash,
            taken,
            delivered: now,
            until: now + RECOGNISED,
            reply: Reply::None,
            refused: None,
        });
    }

    fn delivered_mut(&mut self, id: u32) -> Option<&mut Delivered> {
        self.delivered.iter_mut().find(|known| known.id == id)
    }

    /// The gateway replies to a command that was delivered, or that can't be.
    pub fn refuse(&mut self, id: u32, refusal: Refusal) {
        if let Some(known) = self.delivered_mut(id) {
            known.refused = Some(refusal);
            known.reply = Reply::UnderWay;
        }
    }

    /// A reply is on its way to ThingsBoard. Returns whether it is the first to a command that was delivered.
    pub fn reply_begins(&mut self, id: u32) -> bool {
        let known = self.delivered_mut(id);
        let Some(known) = known.filter(|known| known.reply == Reply::None) else {
            return false;
        };
        known.reply = Reply::UnderWay;
        true
    }

    /// ThingsBoard has taken the reply. Returns how long after the command it has, if it was waited for.
    pub fn replied(&mut self, now: Instant, id: u32) -> Option<Duration> {
        let known = self.delivered_mut(id);
        let known = known.filter(|known| known.reply == Reply::UnderWay)?;
        known.reply = Reply::Taken;
        known.until = now + RECOGNISED_AFTER_REPLY;
        Some(now.saturating_duration_since(known.taken))
    }

    /// ThingsBoard has not taken the reply. Returns whether it was waited for.
    pub fn reply_failed(&mut self, id: u32) -> bool {
        let known = self.delivered_mut(id);
        let Some(known) = known.filter(|known| known.reply == Reply::UnderWay) else {
            return false;
        };
        known.reply = Reply::None;
        true
    }

    /// ThingsBoard may have restarted.
    pub fn interrupted(&mut self, now: Instant) {
        for known in &mut self.delivered {
            known.until = known.until.min(now + RECOGNISED_AFTER_OUTAGE);
        }
    }

    /// Drops what has waited too long, and forgets what is past recognising. Returns how many commands
    /// were dropped undelivered.
    pub fn forget(&mut self, now: Instant) -> usize {
        self.delivered.retain(|known| known.until > now);
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.until() > now);
        if self.waiting.is_empty() && self.delivered.is_empty() {
            *self = CommandQueue::default();
        }
        before - self.waiting.len()
    }

    /// When [`forget`](Self::forget) has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(Waiting::until);
        let delivered = self.delivered.iter().map(|known| known.until);
        waiting.chain(delivered).min()
    }

    /// The newest has no room, and is not kept: it is delivered as far as polls that bring it again go.
    pub fn drop_newest(&mut self, now: Instant) -> Option<u32> {
        let newest = self.waiting.pop_back()?;
        let id = newest.command.id;
        self.remember(now, newest);
        Some(id)
    }

    /// What the commands that wait cost, in bytes.
    pub fn bytes(&self) -> usize {
        let each = self.waiting.iter();
        each.map(|waiting| waiting.command.body.len() + 128).sum()
    }

    /// Commands waiting.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is waiting or remembered.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.delivered.is_empty()
    }
}

/// The id of a command: a whole number that ThingsBoard's `int` holds, as `rpc/{id}` takes it.
fn id(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Named {
        id: u32,
    }
    // An array would do for a struct, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let named: Named = serde_json::from_slice(body).ok()?;
    i32::try_from(named.id).is_ok().then_some(named.id)
}

#[cfg(test)]
mod tests;
