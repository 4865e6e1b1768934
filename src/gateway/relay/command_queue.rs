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
//! taken for an old one.

use bytes::Bytes;
use serde::Deserialize;
use std::collections::VecDeque;
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

/// A command as ThingsBoard gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// ThingsBoard's name for it.
    pub id: u32,
    /// `{"id":…,"method":…,"params":…}`, byte for byte.
    pub body: Bytes,
}

impl Command {
    /// Reads ThingsBoard's answer to a poll for commands; nothing if it is no JSON, or names no id that a device could
    /// reply to. Not to be called in the loop.
    pub fn read(body: Bytes) -> Option<Command> {
        Some(Command {
            id: id(&body)?,
            body,
        })
    }
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    until: Instant,
    /// Whether a notification of it was given to an endpoint: the device may have it.
    notified: bool,
}

#[derive(Debug)]
struct Delivered {
    command: Command,
    until: Instant,
}

/// What a poll's answer turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A command the device does not have.
    New,
    /// One that is queued, or that the device has.
    Repeated,
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
        if self.waiting.iter().any(|other| other.command == command) {
            return Taken::Repeated;
        }
        if let Some(known) = self.delivered.iter_mut().find(|d| d.command == command) {
            known.until = known.until.max(now + RECOGNISED);
            return Taken::Repeated;
        }
        // The same id with other words: ThingsBoard counts anew, and what had it before is no more.
        self.delivered.retain(|d| d.command.id != command.id);
        self.waiting.push_back(Waiting {
            command,
            until: now + KEPT,
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
        if let Some(Waiting { command, .. }) = self.waiting.pop_front() {
            if self.delivered.len() >= MOST_DELIVERED {
                self.delivered.pop_front();
            }
            self.delivered.push_back(Delivered {
                command,
                until: now + RECOGNISED,
            });
        }
    }

    /// ThingsBoard has the device's reply to this command.
    pub fn replied(&mut self, now: Instant, id: u32) {
        for known in self.delivered.iter_mut().filter(|d| d.command.id == id) {
            known.until = now + RECOGNISED_AFTER_REPLY;
        }
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
        self.waiting.retain(|waiting| waiting.until > now);
        if self.waiting.is_empty() && self.delivered.is_empty() {
            *self = CommandQueue::default();
        }
        before - self.waiting.len()
    }

    /// When [`forget`](Self::forget) has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        let delivered = self.delivered.iter().map(|known| known.until);
        waiting.chain(delivered).min()
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
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    fn body(id: u32, params: &str) -> Command {
        let body = format!(r#"{{"id":{id},"method":"set","params":"{params}"}}"#);
        Command::read(body.into()).unwrap()
    }

    fn delivered(now: Instant, id: u32, params: &str) -> CommandQueue {
        let mut queue = CommandQueue::default();
        assert_eq!(queue.take(now, body(id, params)), Taken::New);
        queue.first_delivered(now);
        queue
    }

    #[test]
    fn commands_keep_their_order_and_come_once() {
        let now = start();
        let mut queue = CommandQueue::default();
        for id in [3, 1, 2] {
            assert_eq!(queue.take(now, body(id, "x")), Taken::New);
            assert_eq!(queue.take(now, body(id, "x")), Taken::Repeated);
        }
        let mut order = Vec::new();
        while let Some(first) = queue.first() {
            order.push(first.id);
            queue.first_delivered(now);
        }
        assert_eq!(order, [3, 1, 2]);
        assert_eq!(queue.take(now, body(1, "x")), Taken::Repeated, "delivered");
    }

    #[test]
    fn a_command_that_keeps_coming_is_recognised_for_as_long_as_it_does() {
        let now = start();
        let mut queue = delivered(now, 7, "x");
        for minute in 1..60 {
            let taken = queue.take(now + MINUTE * minute * 5, body(7, "x"));
            assert_eq!(taken, Taken::Repeated);
        }
        let later = now + MINUTE * 5 * 59 + RECOGNISED;
        assert_eq!(queue.take(later, body(7, "x")), Taken::New);
    }

    #[test]
    fn the_same_id_with_other_words_is_another_command() {
        let now = start();
        let mut queue = delivered(now, 0, "before the restart");
        assert_eq!(queue.take(now, body(0, "after it")), Taken::New);
        queue.first_delivered(now);
        assert_eq!(queue.take(now, body(0, "before the restart")), Taken::New);
    }

    #[test]
    fn after_an_outage_the_same_words_are_a_new_command_soon() {
        let now = start();
        let mut queue = delivered(now, 0, "x");
        queue.interrupted(now);
        assert_eq!(queue.take(now + MINUTE, body(0, "x")), Taken::New);
        let mut calm = delivered(now, 0, "x");
        assert_eq!(calm.take(now + MINUTE, body(0, "x")), Taken::Repeated);
    }

    #[test]
    fn what_is_replied_to_is_recognised_a_little_longer() {
        let now = start();
        let mut queue = delivered(now, 0, "x");
        queue.replied(now, 0);
        let soon = now + RECOGNISED_AFTER_REPLY / 2;
        let mut other = delivered(now, 0, "x");
        other.replied(now, 0);
        assert_eq!(queue.forget(soon), 0);
        assert!(!queue.is_empty());
        assert_eq!(
            other.take(now + RECOGNISED_AFTER_REPLY, body(0, "x")),
            Taken::New
        );
    }

    #[test]
    fn what_waits_for_a_day_is_dropped_and_nothing_is_held_at_the_end() {
        let now = start();
        let mut queue = CommandQueue::default();
        queue.take(now, body(0, "x"));
        assert_eq!(queue.next_timeout(), Some(now + KEPT));
        assert_eq!(queue.forget(now + KEPT), 1);
        assert!(queue.is_empty());
        assert_eq!(queue.next_timeout(), None);
    }

    #[test]
    fn both_queues_are_bounded() {
        let now = start();
        let mut queue = CommandQueue::default();
        for id in 0..1000 {
            queue.take(now, body(id, "x"));
            queue.first_delivered(now);
        }
        assert_eq!(queue.delivered.len(), MOST_DELIVERED);
        for id in 0..16 {
            assert!(!queue.is_full());
            queue.take(now, body(id, "y"));
        }
        assert!(queue.is_full());
    }

    #[test]
    fn what_names_no_id_is_no_command() {
        for body in [
            &b""[..],
            b"[]",
            b"[7]",
            b"7",
            b"{",
            b"{}",
            br#"{"id":-1}"#,
            br#"{"id":2147483648}"#,
            br#"{"id":"7"}"#,
            br#"{"id":1.5}"#,
            br#"{"id":null,"method":"m"}"#,
            b"\xff\xfe",
            br#"{"id":1} {"id":2}"#,
        ] {
            let read = Command::read(Bytes::copy_from_slice(body));
            assert_eq!(read, None, "{body:?}");
        }
        assert_eq!(
            id(br#" {"method":"m","params":{"id":9},"id":2147483647}"#),
            Some(2_147_483_647)
        );
    }
}
