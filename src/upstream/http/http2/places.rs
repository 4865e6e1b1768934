//! Which connection an exchange gets, and when another is opened. Without sockets and without a clock.
//!
//! An exchange gets a place on the oldest connection that has one, so that surplus ones become idle and expire. If there is
//! none, it waits: for a place, or for a connection that is being opened for as many as wait.

use super::connection::MOST_STREAMS;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// A connection without exchanges is closed after this many ticks.
const MAX_IDLE_TICKS: u64 = 2;

/// The number of a connection within its pool.
pub(super) type Id = u64;

/// A connection, as far as places go.
pub(super) trait Limited {
    /// How many exchanges there may be now.
    fn most(&self) -> usize;
}

/// An exchange that waits for a place.
pub(super) trait Waiting {
    /// Whether the exchange has been given up.
    fn is_gone(&self) -> bool;
}

/// Connections `C`, and exchanges that wait for a place, `W`.
pub(super) struct Places<C, W> {
    /// By id, the oldest first.
    entries: Vec<Entry<C>>,
    waiting: VecDeque<Waiter<W>>,
    /// Connections that are being opened.
    connecting: usize,
    /// How many exchanges the last connection allowed.
    expected: usize,
    last_id: Id,
    now: u64,
}

struct Entry<C> {
    id: Id,
    connection: C,
    /// Places that are taken.
    taken: usize,
    /// The tick of the end of the last exchange.
    idle_since: u64,
}

struct Waiter<W> {
    waiter: W,
    /// A connection that has refused it.
    except: Option<Id>,
}

/// A place for a waiter.
pub(super) struct Grant<C, W> {
    pub(super) waiter: W,
    pub(super) id: Id,
    pub(super) connection: C,
}

impl<C: Limited + Clone, W: Waiting> Places<C, W> {
    pub(super) fn new() -> Places<C, W> {
        Places {
            entries: Vec::new(),
            waiting: VecDeque::new(),
            connecting: 0,
            expected: MOST_STREAMS,
            last_id: 0,
            now: 0,
        }
    }

    /// Takes a place on a connection, but not on `except`.
    pub(super) fn take(&mut self, except: Option<Id>) -> Option<(Id, C)> {
        let entry = self.entries.iter_mut().find(|entry| {
            Some(entry.id) != except
                && entry.taken < MOST_STREAMS
                && entry.taken < entry.connection.most()
        })?;
        entry.taken += 1;
        Some((entry.id, entry.connection.clone()))
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Queues an exchange that found no place. Returns how many connections must be opened now.
    #[must_use]
    pub(super) fn wait(&mut self, waiter: W, except: Option<Id>) -> usize {
        self.waiting.push_back(Waiter { waiter, except });
        self.missing()
    }

    /// How many connections must be opened now, so that there is one for as many as wait.
    #[must_use]
    pub(super) fn missing(&mut self) -> usize {
        let wanted = self.waiting.len().div_ceil(self.expected.max(1));
        let missing = wanted.saturating_sub(self.connecting);
        self.connecting += missing;
        missing
    }

    /// A connection has been opened.
    pub(super) fn insert(&mut self, connection: C) -> Id {
        self.connecting = self.connecting.saturating_sub(1);
        self.expected = connection.most().clamp(1, MOST_STREAMS);
        self.last_id += 1;
        self.entries.push(Entry {
            id: self.last_id,
            connection,
            taken: 0,
            idle_since: self.now,
        });
        self.last_id
    }

    /// A connection couldn't be opened. Returns the exchanges that it was for: those that no other is being opened for.
    pub(super) fn failed(&mut self) -> Vec<W> {
        self.connecting = self.connecting.saturating_sub(1);
        let others = self.connecting.saturating_mul(self.expected);
        let failed = self.waiting.len().saturating_sub(others);
        let failed = self.waiting.drain(..failed);
        failed.map(|waiter| waiter.waiter).collect()
    }

    /// The server chose another protocol. Returns all exchanges that wait, and one connection less is being opened.
    pub(super) fn unsuitable(&mut self) -> Vec<W> {
        self.connecting = self.connecting.saturating_sub(1);
        let all = self.waiting.drain(..);
        all.map(|waiter| waiter.waiter).collect()
    }

    /// An exchange has ended.
    pub(super) fn release(&mut self, id: Id) {
        let now = self.now;
        if let Some(entry) = self.entry(id) {
            entry.taken = entry.taken.saturating_sub(1);
            entry.idle_since = now;
        }
    }

    /// A connection takes no more exchanges. Those that go on keep it open.
    pub(super) fn remove(&mut self, id: Id) -> Option<C> {
        let index = self.index(id)?;
        Some(self.entries.remove(index).connection)
    }

    /// The next exchange that waits and has a place now.
    pub(super) fn grant(&mut self) -> Option<Grant<C, W>> {
        while self
            .waiting
            .front()
            .is_some_and(|next| next.waiter.is_gone())
        {
            self.waiting.pop_front();
        }
        for index in 0..self.waiting.len() {
            let except = self.waiting.get(index)?.except;
            if let Some((id, connection)) = self.take(except) {
                let waiter = self.waiting.remove(index)?.waiter;
                return Some(Grant {
                    waiter,
                    id,
                    connection,
                });
            }
            // Where a waiter without exception finds no place, no other does.
            except?;
        }
        None
    }

    /// Counts a tick. Returns the connections that have expired, and whether any are left.
    pub(super) fn tick(&mut self) -> (Vec<C>, bool) {
        self.now += 1;
        let now = self.now;
        let expired = self
            .entries
            .extract_if(.., |entry| {
                entry.taken == 0 && entry.idle_since + MAX_IDLE_TICKS <= now
            })
            .map(|entry| entry.connection)
            .collect();
        (expired, !self.entries.is_empty())
    }

    fn entry(&mut self, id: Id) -> Option<&mut Entry<C>> {
        let index = self.index(id)?;
        self.entries.get_mut(index)
    }

    fn index(&self, id: Id) -> Option<usize> {
        self.entries
            .binary_search_by_key(&id, |entry| entry.id)
            .ok()
    }
}
