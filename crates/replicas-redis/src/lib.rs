//! The shared store of several gateways ([`replicas::store`]) in Redis or Valkey.
//!
//! **The gateway does not use this crate yet.** docs/state.md ("Many replicas") has the design and its reasons.
//!
//! Each call is one script, so one atomic step ([scripts]). Calls are carried out in the order in which they are made, by one
//! connection, on a thread of its own: those that are there when the replies to the last ones have arrived go together.
//! A connection that fails is closed, and *ended in the server* by the next one, so that no call of it is carried out after a later
//! one: a first row that arrives after its session has ended would give its send numbers out again.
//!
//! | Key, behind a prefix | |
//! |---|---|
//! | `node:7` | the lease: fencing number, instance, address; expires |
//! | `fence` | the last fencing number |
//! | `id` | the store's id |
//! | `s:` and a session key | hash: `owner`, `version`, `born`, `bound`, `run`, `row` (encrypted), `address`; expires |
//! | `a:` and an address's name | the session that was there last; expires |
//! | `addresses`, `added` | sorted set of all addresses' names, in the order in which they were added; how many |
//!
//! What the server has to be: one primary at a time, Redis 6.2 or later, or Valkey; with `maxmemory-policy` `noeviction` or one of
//! `volatile-…`. A session that is evicted can't be taken over: its device shakes hands. A Redis Cluster will not do.
#![warn(missing_docs)]

mod connection;
mod reply;
mod scripts;
mod thread;

pub use connection::{ConnectError, Server};
pub use thread::{Full, RedisStore};
