//! Sessions of this node, and their rows in the store.

use super::{Follow, Held, InFlight, Output, Replica, SaveId, Stored, WRITE_EVERY, WRITES_AT_ONCE};
use crate::id::{AddressKey, DeviceKey, Name, SessionKey};
use crate::send_numbers::SendNumbers;
use crate::store::{Call, Reply};
use std::ops::Bound;
use std::time::Instant;

impl Replica {
    /// Adds a session that was established here. It is served at once, and protected once its row is
    /// [stored](Replica::store). `next` is the first send number that it has not used. `address` is given for a session that
    /// is found by its peer's address. If the store is away it is served unprotected, and stored when that is back.
    pub fn establish(
        &mut self,
        now: Instant,
        key: SessionKey,
        next: u64,
        address: Option<AddressKey>,
        device: Option<DeviceKey>,
    ) {
        let held = Held {
            established: now,
            numbers: SendNumbers::of_new_session(next),
            address: None,
            moves: false,
            stored: None,
            asks_for_block: false,
            device,
            observes: false,
            follow: Follow::No,
        };
        self.sessions.insert(key, held);
        self.unfollowed.insert(key);
        self.set_address(key, address);
        self.dirty.insert(key);
        self.follow_if_due(now, key);
    }

    /// The device of a session that was [restored](Output::Restore).
    pub fn set_device(&mut self, key: SessionKey, device: DeviceKey) {
        if let Some(held) = self.sessions.get_mut(&key) {
            held.device = Some(device);
        }
    }

    /// Whether the session has observations, as of its next row: if this node dies, another one goes on with it before its device
    /// sends anything.
    pub fn set_observes(&mut self, key: SessionKey, observes: bool) {
        if let Some(held) = self.sessions.get_mut(&key) {
            held.observes = observes;
        }
    }

    /// All numbers below this one are used. If few are left, another block is requested: [`Output::Write`].
    pub fn used(&mut self, key: SessionKey, next: u64) {
        let block = self.settings.block;
        if let Some(held) = self.sessions.get_mut(&key) {
            held.numbers.used(next);
            if held.stored.is_some() && !held.asks_for_block && held.numbers.are_low(block) {
                self.dirty.insert(key);
            }
        }
    }

    /// The numbers that the session may use.
    #[must_use]
    pub fn numbers(&self, key: SessionKey) -> Option<super::Numbers> {
        let numbers = &self.sessions.get(&key)?.numbers;
        Some(super::Numbers {
            next: numbers.next(),
            end: numbers.first_end(),
            next_block: numbers.spare().map(|(start, end)| start..end),
        })
    }

    /// The session's peer has another address now, by which it is found.
    pub fn set_address(&mut self, key: SessionKey, address: Option<AddressKey>) {
        if self.place(key, address) {
            if let Some(held) = self.sessions.get_mut(&key) {
                held.moves = true;
            }
            self.dirty.insert(key);
        }
    }

    /// At an address is one session: the last one. Returns whether it is another address.
    pub(super) fn place(&mut self, key: SessionKey, address: Option<AddressKey>) -> bool {
        let Some(held) = self.sessions.get_mut(&key) else {
            return false;
        };
        let former = std::mem::replace(&mut held.address, address);
        if former == address {
            return false;
        }
        if let Some(former) = former
            && self.by_address.get(&former) == Some(&key)
        {
            self.by_address.remove(&former);
        }
        if let Some(address) = address
            && let Some(other) = self.by_address.insert(address, key)
            && let Some(other) = self.sessions.get_mut(&other)
        {
            other.address = None;
        }
        true
    }

    /// Writes the session's row. [`Output::Saved`] or [`Output::NotSaved`] follow, or [`Output::Lost`].
    pub fn store(&mut self, now: Instant, key: SessionKey, row: &[u8]) -> SaveId {
        self.last_save = self.last_save.wrapping_add(1);
        let save = SaveId(self.last_save);
        if self.write(now, key, save, row).is_none() {
            self.not_saved(key, save);
        }
        save
    }

    fn write(&mut self, now: Instant, key: SessionKey, save: SaveId, row: &[u8]) -> Option<()> {
        let owner = self.lease.owner().filter(|_| self.lease.may_call(now))?;
        let epoch = self.lease.epoch();
        let store = self.lease.store();
        let (block, pace) = (self.settings.block, self.settings.pace);
        let time = self.lease.store_time(now);
        if self.calls.len() >= self.settings.max_calls {
            self.counters.refused_calls = self.counters.refused_calls.saturating_add(1);
            return None;
        }
        let held = self.sessions.get_mut(&key)?;
        let (address, device, observes) = (held.address, held.device, held.observes);
        let stored = match held.stored {
            Some(stored) if stored.epoch != epoch => return None,
            Some(stored) => stored,
            None => {
                let start = held.numbers.next();
                // From here on another node may have it, with the numbers above.
                held.numbers.stop_at(start.saturating_add(block));
                // It may have waited for the store: a session of its device that is newer elsewhere must not be taken for older.
                let age = now.saturating_duration_since(held.established);
                Stored {
                    version: 0,
                    born: time.saturating_sub(age.as_secs()),
                    store,
                    epoch,
                    is_created: false,
                    is_fresh: true,
                    start,
                    is_unsure: false,
                }
            }
        };
        held.stored = Some(stored);
        let row = self.seal.seal(key, row)?;
        if stored.is_created {
            let with_block = held.numbers.are_low(block) && !held.asks_for_block;
            held.asks_for_block |= with_block;
            let with_address = std::mem::take(&mut held.moves);
            let call = Call::Save {
                key,
                version: stored.version,
                owner,
                address,
                moves: with_address,
                observes,
                block: with_block.then_some(block),
                pace,
                row,
            };
            let in_flight = InFlight::Save {
                key,
                save,
                with_block,
                with_address,
            };
            self.call(now, call, in_flight);
        } else {
            let call = Call::Create {
                key,
                owner,
                address,
                device,
                observes,
                start: stored.start,
                born: stored.born,
                is_again: !stored.is_fresh,
                block,
                pace,
                row,
            };
            let in_flight = InFlight::Create { key, save, epoch };
            self.call(now, call, in_flight);
        }
        self.dirty.remove(&key);
        Some(())
    }

    fn not_saved(&mut self, key: SessionKey, save: SaveId) {
        if self.sessions.contains_key(&key) {
            self.dirty.insert(key);
        }
        self.outputs.push_back(Output::NotSaved { key, save });
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other replies mean that it is not known to be done"
    )]
    pub(super) fn created(
        &mut self,
        now: Instant,
        key: SessionKey,
        save: SaveId,
        epoch: u64,
        reply: &Reply,
    ) {
        match reply {
            Reply::Created { start, end, former } => {
                let Some(held) = self.sessions.get_mut(&key) else {
                    return;
                };
                let is_unsure = held.stored.is_some_and(|stored| stored.is_unsure);
                if let Some(stored) = &mut held.stored
                    && stored.epoch == epoch
                {
                    // A new session goes on in its block; one that the store had forgotten has another one now.
                    let start = if stored.is_fresh {
                        held.numbers.end()
                    } else {
                        *start
                    };
                    if !stored.is_created {
                        held.numbers.add(start, *end);
                    }
                    stored.is_created = true;
                }
                self.outputs.push_back(Output::Saved { key, save });
                self.may_follow(now, key, *former, is_unsure);
                self.follow_if_due(now, key);
                self.advance_session(now, key);
            }
            Reply::Superseded { .. } => self.superseded(now, key),
            Reply::Exists => self.lose(key),
            _ => {
                let held = self.sessions.get_mut(&key);
                if let Some(stored) = held.and_then(|held| held.stored.as_mut()) {
                    stored.is_unsure = true;
                }
                self.not_saved(key, save);
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other replies mean that it is not known to be done"
    )]
    pub(super) fn saved(
        &mut self,
        now: Instant,
        key: SessionKey,
        save: SaveId,
        (with_block, with_address): (bool, bool),
        reply: &Reply,
    ) {
        if let Some(held) = self.sessions.get_mut(&key) {
            held.asks_for_block &= !with_block;
            held.moves |= with_address && !matches!(reply, Reply::Saved { .. });
        }
        match reply {
            Reply::Saved { block } => {
                if let Some(held) = self.sessions.get_mut(&key)
                    && let Some((start, end)) = block
                {
                    held.numbers.add(*start, *end);
                }
                self.outputs.push_back(Output::Saved { key, save });
            }
            Reply::NotOwner => self.lose(key),
            Reply::Superseded { .. } => self.superseded(now, key),
            Reply::Missing => {
                self.missing(key);
                self.not_saved(key, save);
            }
            _ => self.not_saved(key, save),
        }
    }

    /// The store doesn't have this session, which is in memory here.
    pub(super) fn missing(&mut self, key: SessionKey) {
        let (epoch, store) = (self.lease.epoch(), self.lease.store());
        let Some(held) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(stored) = held.stored else {
            return;
        };
        if stored.is_created && stored.store == store {
            // Another owner has ended it, or the store has evicted it: what others have done with it is not known.
            self.lose(key);
            return;
        }
        // The store has lost everything, or a first row never got there. What was given out before is not known.
        held.stored = Some(Stored {
            version: 0,
            born: stored.born,
            store,
            epoch,
            is_created: false,
            is_fresh: false,
            start: held.numbers.end(),
            is_unsure: false,
        });
        self.dirty.insert(key);
        self.outputs.push_back(Output::Write { key });
    }

    pub(super) fn lose(&mut self, key: SessionKey) {
        if self.forget(key).is_some() {
            self.counters.lost = self.counters.lost.saturating_add(1);
            self.outputs.push_back(Output::Lost { key });
        }
    }

    pub(super) fn forget(&mut self, key: SessionKey) -> Option<Held> {
        self.dirty.remove(&key);
        self.unfollowed.remove(&key);
        let held = self.sessions.remove(&key)?;
        if let Some(address) = held.address
            && self.by_address.get(&address) == Some(&key)
        {
            self.by_address.remove(&address);
        }
        Some(held)
    }

    /// The session has ended: by its peer, by a deadline, or as its device is not let in any more.
    pub fn end(&mut self, now: Instant, key: SessionKey) {
        let stored = self.forget(key).and_then(|held| held.stored);
        self.remove(now, key, stored);
    }

    /// Removes a session that was here from the store, if it may be there.
    pub(super) fn remove(&mut self, now: Instant, key: SessionKey, stored: Option<Stored>) {
        if let Some(stored) = stored
            && let Some(owner) = self.lease.owner().filter(|_| self.lease.may_call(now))
        {
            let version = stored.version;
            let call = Call::Remove {
                key,
                version,
                owner,
            };
            self.call(now, call, InFlight::Other);
        }
    }

    /// When the next rows are requested.
    pub(super) fn next_write(&self, now: Instant) -> Option<Instant> {
        let is_due = !self.dirty.is_empty() && self.lease.may_call(now);
        is_due.then_some(self.next_write)
    }

    /// Requests the rows that could not be written, some at a time.
    pub(super) fn write_dirty(&mut self, now: Instant) {
        if self.next_write(now).is_none_or(|at| at > now) {
            return;
        }
        self.next_write = now.checked_add(WRITE_EVERY).unwrap_or(now);
        // From where the last ones were, so that none is left out for ever.
        let behind = self
            .dirty
            .range((Bound::Excluded(self.last_written), Bound::Unbounded));
        let keys: Vec<SessionKey> = behind
            .chain(self.dirty.range(..=self.last_written))
            .copied()
            .take(WRITES_AT_ONCE)
            .collect();
        for key in keys {
            self.last_written = key;
            let stored = self.sessions.get(&key).and_then(|held| held.stored);
            if stored.is_some_and(|stored| stored.epoch != self.lease.epoch()) {
                self.claim(now, Name::Session(key));
            } else {
                self.dirty.remove(&key);
                self.outputs.push_back(Output::Write { key });
            }
        }
    }

    /// Has the store confirm that this node still owns the session, for one that is to be sent to without having received.
    pub fn confirm(&mut self, now: Instant, key: SessionKey) {
        let stored = self.sessions.get(&key).and_then(|held| held.stored);
        if stored.is_some_and(|stored| stored.epoch != self.lease.epoch()) {
            self.claim(now, Name::Session(key));
        }
    }
}
