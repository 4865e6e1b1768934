//! Keeps what must outlive the process on disk, encrypted: sessions, and records of what belongs to a device or to all.
//!
//! The crate owns one directory, and what is in it; the key of the store; and which send numbers a restored session may use.
//! It knows neither CoAP nor devices, and of DTLS only that no number is ever sent with twice. What is in a row, besides its
//! [sections](session_row), and in a record, is its user's.
//!
//! ```text
//!                 ┌ set aside, with the reason: damaged, newer, another key
//!  open ──────────┤
//!    │            └ io error: the caller goes on in memory, or not at all
//!    ▼
//!  Opened ── restore_records: each record of a kind ──▶ restore: each session's row, and its SendNumbers ──▶ Restored
//!                                                                                                            │ start
//!                                                                                                            ▼
//!  the loop:    put_session, put_window, put_record … ──▶ queue (bounded; the last change of a key)        Store
//!  its thread:  queue ──▶ one transaction, encrypted, synced ──▶ Synced, Event                               │
//!                                                                                                      stop ─┘
//! ```
//!
//! # What holds
//!
//! - **The loop never waits** for the disk: it takes a lock that is held only to insert into a table or to replace it.
//! - **Bounded**: the queue has a [capacity](Settings::capacity) in keys; what does not fit is [refused](Full) and counted, and
//!   the caller tries again. A row, and a record, has at most [`MAX_ROW`] bytes.
//! - **A full or broken disk** ends nothing: the changes stay pending, the commit is tried again later, an [`Event`] says so
//!   once, and once when it works again.
//! - **No send number twice**: [`send_numbers`].
//! - **Nothing of a row is readable** without the key, and no row is accepted in another one's place: `seal`.
//! - **What a later version keeps is not lost**: records of a [kind](Kind) that is not asked for stay as they are.
//! - **A stop ends**: a disk that hangs can't hold it for longer than the caller wants.
//! - **One process**: the directory is locked. A second one gets [`OpenError::InUse`].
//! - **What can't be read is not overwritten**: it is renamed beside, byte by byte as it was, and the store begins empty.
//!
//! | Part | Owns |
//! |---|---|
//! | [`store`] | the handle of the loop |
//! | [`mod@open`] | opening: what is checked, and what is set aside |
//! | [`send_numbers`] | which numbers a session may send with |
//! | [`session_row`] | the sections of a session's row |
//! | [`key`] | the key of the store |
//! | `record` | kinds and keys of records |
//! | `place` | tables, and what a row is authenticated with |
//! | `changes` | changes to each table |
//! | `queue` | pending changes, and which of them are synced |
//! | `writer` | the thread that commits them |
//! | `database` | SQLite: tables, checks, commits |
//! | `seal` | encryption of rows |
//! | `varint` | short numbers |
//! | `commits` | a count beside the database, so that a loss of commits is noticed |
//! | `directory` | the lock, and renaming |
//! | `look` | what an opening would find, without a change |
//! | `simulated_disk` | a disk for simulations, with the feature `simulation` |
//!
//! docs/state.md says why it is SQLite, and how the gateway is to use it.
#![warn(missing_docs)]

mod changes;
mod commits;
mod database;
mod directory;
mod disk_error;
pub mod key;
mod look;
pub mod open;
mod place;
mod queue;
mod record;
mod seal;
pub mod send_numbers;
pub mod session_row;
#[cfg(any(test, feature = "simulation"))]
mod simulated_disk;
pub mod store;
mod varint;
mod writer;

#[cfg(test)]
mod kills;

pub use disk_error::DiskError;
pub use key::{KeyError, KeyFile, StoreKey};
pub use look::{Look, has_database, look};
pub use open::{OpenError, Opened, Reason, Restored, SetAside, StoredSession, open};
pub use queue::{Full, Synced};
pub use record::{Kind, MAX_RECORD_KEY};
pub use send_numbers::{SendLimit, SendNumbers};
pub use session_row::{SessionRow, SessionWindow};
#[cfg(any(test, feature = "simulation"))]
pub use simulated_disk::SimulatedDisk;
pub use store::{Event, PutError, Report, Settings, StopError, Store};

/// Bytes that a row may have, and the value of a record.
pub const MAX_ROW: usize = 64 * 1024;
/// Bytes that what is written beside a session's row may have.
pub const MAX_WINDOW: usize = 31;
