//! Who owns a session: what the store is called for, and what follows from its reply.

use super::{Follow, Held, InFlight, Output, Replica, Stored};
use crate::id::{AddressKey, Name, Owner, SessionKey};
use crate::send_numbers::SendNumbers;
use crate::store::{CLOCK_ERROR, Call, Reply};
use std::time::{Duration, Instant};

impl Replica {
    /// Looks a session up. `false`: that is not possible now.
    pub(super) fn claim(&mut self, now: Instant, name: Name) -> bool {
        let Some(owner) = self.lease.owner().filter(|_| self.lease.may_call(now)) else {
            return false;
        };
        if self.lease.has_promised(now) {
            // What it replied would count for nothing, and each claim takes a block of numbers.
            return false;
        }
        if self.calls.len() >= self.settings.max_calls {
            self.counters.refused_calls = self.counters.refused_calls.saturating_add(1);
            return false;
        }
        if !self.waiting.claim(name) {
            return true;
        }
        let held = self.held(name).and_then(|key| self.sessions.get(&key));
        let call = Call::Claim {
            name,
            owner,
            held: held
                .and_then(|held| held.stored)
                .map(|stored| stored.version),
            take: self.lease.may_take_over(now),
            block: self.settings.block,
            pace: self.settings.pace,
        };
        self.counters.claims = self.counters.claims.saturating_add(1);
        let epoch = self.lease.epoch();
        self.call(now, call, InFlight::Claim { name, epoch, owner })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other replies mean that it is not known to be done"
    )]
    pub(super) fn claimed(
        &mut self,
        now: Instant,
        name: Name,
        (epoch, owner): (u64, Owner),
        reply: Reply,
    ) {
        self.waiting.claimed(name);
        let reply = if self.lease.has_promised(now) {
            // It was carried out before the promise, and counts for nothing after it.
            Reply::NotLeased
        } else {
            reply
        };
        match reply {
            Reply::Claimed {
                key,
                previous,
                version,
                born,
                address,
                start,
                end,
                row,
            } => {
                if previous != owner {
                    self.lease.took_over_from(previous);
                }
                let stored = Stored {
                    version,
                    born,
                    store: self.lease.store(),
                    epoch,
                    is_created: true,
                    is_fresh: false,
                    start: 0,
                    is_unsure: false,
                };
                if self.take_over(now, key, stored, address, (start, end), &row) {
                    self.deliver(now, name, key);
                    self.advance_session(now, key);
                } else {
                    self.unknown(name);
                }
            }
            Reply::Owned { key } => {
                if let Some(held) = self.sessions.get_mut(&key)
                    && let Some(stored) = &mut held.stored
                {
                    stored.epoch = epoch;
                    stored.is_created = true;
                }
                self.confirmed(now, key);
                self.deliver(now, name, key);
                self.advance_session(now, key);
            }
            Reply::Superseded { key } => {
                self.superseded(now, key);
                self.unknown(name);
            }
            Reply::OwnedBy {
                key,
                owner,
                remaining,
            } => {
                self.lose(key);
                self.routes.insert(name, owner);
                match self.lease.member(owner) {
                    Some(member) => {
                        self.forward(name, member);
                        // If it has died, this is when it can be taken over.
                        self.wait(now, name, remaining.max(self.settings.retry));
                    }
                    None => self.wait(now, name, self.settings.retry),
                }
            }
            Reply::Missing => self.nobody_has(now, name),
            _ => {
                self.wait(now, name, self.settings.retry);
                self.next_write = now.checked_add(self.settings.retry).unwrap_or(now);
            }
        }
    }

    /// The store has given the session to this node. `false`: its row can't be read.
    fn take_over(
        &mut self,
        now: Instant,
        key: SessionKey,
        stored: Stored,
        address: Option<AddressKey>,
        (start, end): (u64, u64),
        row: &[u8],
    ) -> bool {
        if let Some(held) = self.sessions.get_mut(&key) {
            let is_newest = |was: Stored| was.version == stored.version.saturating_sub(1);
            if held.stored.is_some_and(is_newest) {
                // No other node has had it since: what is in memory is newer than the row.
                held.numbers.add(start, end);
                held.stored = Some(stored);
                self.confirmed(now, key);
                return true;
            }
            self.lose(key);
        }
        let Some(row) = self.seal.open(key, row) else {
            self.counters.bad_rows = self.counters.bad_rows.saturating_add(1);
            // It stays where it is: this node may have the wrong secret.
            return false;
        };
        // One that is new may just have superseded one of a node that has not learned that yet.
        let age = self.lease.store_time(now).saturating_sub(stored.born);
        let is_new = Duration::from_secs(age.saturating_sub(CLOCK_ERROR)) <= self.settings.lease;
        let at = now.checked_add(self.settings.lease).filter(|_| is_new);
        let held = Held {
            established: now,
            numbers: SendNumbers::of_block(start, end),
            address: None,
            moves: false,
            stored: Some(stored),
            asks_for_block: false,
            // Both are in the row, which the user reads.
            device: None,
            observes: false,
            follow: Follow::At(at.unwrap_or(now)),
        };
        self.sessions.insert(key, held);
        self.place(key, address);
        self.counters.taken_over = self.counters.taken_over.saturating_add(1);
        self.outputs.push_back(Output::Restore { key, row });
        self.unfollowed.insert(key);
        self.follow_if_due(now, key);
        true
    }

    /// Gives what waits for this name to a session that the store has found for it.
    pub(super) fn deliver(&mut self, now: Instant, name: Name, key: SessionKey) {
        if !self.serves(now, key) {
            self.wait(now, name, self.settings.retry);
            return;
        }
        for kept in self.waiting.take(name) {
            self.outputs.push_back(Output::Deliver {
                key,
                route: kept.route,
                datagram: kept.datagram,
            });
        }
    }

    /// The store doesn't have it.
    fn nobody_has(&mut self, now: Instant, name: Name) {
        if let Some(key) = self.held(name) {
            let is_by_address = matches!(name, Name::Address(_));
            let is_stored = self
                .sessions
                .get(&key)
                .and_then(|held| held.stored)
                .is_some_and(|stored| stored.epoch == self.lease.epoch());
            if is_by_address || is_stored {
                // Its address is not in the store yet, or it was confirmed in the meantime.
                if !is_stored {
                    self.claim(now, Name::Session(key));
                }
                self.wait(now, name, self.settings.retry);
                return;
            }
            self.missing(key);
            self.wait(now, name, self.settings.retry);
            if self.sessions.contains_key(&key) {
                return;
            }
        }
        if let Name::Address(address) = name {
            self.known.remove(address);
        }
        self.absent.insert(now, name);
        self.unknown(name);
    }
}
