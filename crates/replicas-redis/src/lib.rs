//! The shared store of several gateways ([`replicas::store`]) in Redis or Valkey.
//!
//! docs/state.md ("Many replicas") has the design and its reasons.
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
//! | `d:` and a device's name | its newest session; expires |
//! | `superseded`, `ended` | sorted set of the sessions that a newer one has superseded, in that order; how many |
//! | `o:` and an owner | set of its sessions with observations |
//! | `owners` | set of the owners that have such a set |
//! | `addresses`, `added` | sorted set of all addresses' names, in the order in which they were added; how many |
//!
//! Over TLS ([`Server::is_tls`]) the server's certificate is verified; the gateway shows none. The user of the URL needs, for the
//! prefix `coaps-gateway`:
//!
//! ```text
//! ~coaps-gateway:* -@all +@read +@write -@dangerous +time +evalsha +script|load +select +info +client|id +client|kill
//! ```
//!
//! What the server has to be: one primary at a time, Redis 6.2 or later, or Valkey; with `maxmemory-policy` `noeviction` or one of
//! `volatile-…`. A session that is evicted can't be taken over: its device shakes hands. A Redis Cluster will not do.
#![warn(missing_docs)]

mod about;
mod connection;
mod error;
mod reply;
mod scripts;
mod server;
mod stream;
mod thread;
mod tls;
mod url;

pub use about::Warning;
pub use error::ConnectError;
pub use server::Server;
pub use thread::{Full, RedisStore, StartError, StoreEvent};
pub use tls::TlsError;
pub use url::UrlError;
