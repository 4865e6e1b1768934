//! Requests of devices that can't be answered yet, and what they wait for.

use super::cache::Key;
use super::edition::EditionId;
use super::proving::Content;
use super::readers::ReaderId;
use super::{Name, WaiterId, Wanted};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Requests that wait, in all.
pub const MOST: usize = 16_384;
/// Requests that wait for the same.
pub const MOST_FOR_ONE: usize = 4096;
/// How often a request may have to wait before it is given up: what it waits for comes and goes.
const MOST_ROUNDS: u8 = 20;

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// Which package is assigned to a device.
    Assignment(ReaderId),
    /// Whether a device may have a package.
    Check(ReaderId, Name),
    /// A chunk.
    Chunk(Key),
    /// Whether what another device fetches is the content that this checksum names.
    Proof(Arc<Content>),
}

/// One request, and how far it has come.
#[derive(Debug)]
pub struct Waiter {
    /// Of which device.
    pub reader: ReaderId,
    /// What for.
    pub wanted: Wanted,
    /// Bytes that are there already. A block may lie on the border of two chunks.
    pub gathered: Vec<u8>,
    /// Where they are from: of two editions nothing is put together.
    pub edition: Option<EditionId>,
    rounds: u8,
}

impl Waiter {
    /// From the beginning.
    pub fn new(reader: ReaderId, wanted: Wanted) -> Waiter {
        Waiter {
            reader,
            wanted,
            gathered: Vec::new(),
            edition: None,
            rounds: 0,
        }
    }

    /// Counts a wait; true if it was one too many.
    pub fn is_tired(&mut self) -> bool {
        self.rounds = self.rounds.saturating_add(1);
        self.rounds > MOST_ROUNDS
    }
}

/// All requests that wait, and those that may go on.
#[derive(Debug, Default)]
pub struct Waiters {
    waiters: HashMap<WaiterId, Waiter>,
    queues: HashMap<Awaited, Vec<WaiterId>>,
    woken: VecDeque<WaiterId>,
}

impl Waiters {
    /// A request that may go on, out of the list.
    pub fn pop_woken(&mut self) -> Option<(WaiterId, Waiter)> {
        while let Some(id) = self.woken.pop_front() {
            if let Some(waiter) = self.waiters.remove(&id) {
                return Some((id, waiter));
            }
        }
        None
    }

    /// A request waits. False if too many do, or too many wait for the same.
    pub fn wait(&mut self, id: WaiterId, waiter: Waiter, awaited: Awaited) -> bool {
        if self.waiters.len() >= MOST {
            return false;
        }
        let queue = self.queues.entry(awaited).or_default();
        let room = queue.len() < MOST_FOR_ONE;
        if room {
            queue.push(id);
            self.waiters.insert(id, waiter);
        }
        room
    }

    /// What they waited for has come, or will not: they may go on.
    pub fn wake(&mut self, awaited: &Awaited) {
        self.woken
            .extend(self.queues.remove(awaited).unwrap_or_default());
    }

    /// What they waited for will not come: they are out of the list.
    pub fn give_up(&mut self, awaited: &Awaited) -> Vec<WaiterId> {
        let mut waited = self.queues.remove(awaited).unwrap_or_default();
        waited.retain(|id| self.waiters.remove(id).is_some());
        waited
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.waiters.len()
    }

    /// How many things are waited for.
    #[cfg(test)]
    pub(super) fn queues(&self) -> usize {
        self.queues.len()
    }
}
