//! What outlives the process: sessions of registered devices, and what belongs to their relays, in a
//! [store](state_store).
//!
//! The core says what has changed; this room knows what is due, which row a session has, how it is written and read, and
//! which numbers it may send with. docs/state.md says when a row is written and why.
//!
//! | File | Holds |
//! |---|---|
//! | [`kept`] | what a session keeps of its row: its key, and the numbers that it may send with |
//! | [`pending`] | what is to be pushed to the store, and when |
//! | [`keys`] | which keys rows have |
//! | [`session`] | a session as a row |
//! | [`record`] | what belongs to a device or to all, as records |
//! | [`clock`] | times of the process as times of the world |
//! | [`settings`] | where it is stored |
//! | [`report`] | what there is to say of it |
//!
//! A session of DTLS 1.3 has no row, since its engine can't be exported, and neither has one of a certificate that is not
//! registered.

pub(crate) mod clock;
pub(crate) mod kept;
pub(crate) mod keys;
pub(crate) mod pending;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod session;
pub(crate) mod settings;

use keys::Keys;
use pending::Pending;
use report::Restored;
use state_store::Store;
use std::time::{Duration, Instant};

/// A store that is in use, and what is to be pushed to it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) pending: Pending,
    pub(crate) restored: Restored,
    /// Rows and records that were too large to be stored.
    pub(crate) too_large: u64,
}

impl State {
    /// `window`: how often what changes with each record is written.
    pub(crate) fn new(
        now: Instant,
        store: Store,
        keys: Keys,
        window: Duration,
        restored: Restored,
    ) -> State {
        State {
            store,
            keys,
            pending: Pending::new(now, window),
            restored,
            too_large: 0,
        }
    }
}
