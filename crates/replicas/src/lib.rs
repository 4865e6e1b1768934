//! Several gateways that serve one fleet behind a UDP balancer: who owns a session, and how its datagrams get there.
//!
//! docs/state.md ("Many replicas") has the design and its reasons.
#![warn(missing_docs)]

mod absent;
mod addresses;
mod hop;
mod id;
mod lease;
pub mod model;
mod path;
mod replica;
mod routes;
mod seal;
mod secret;
mod send_numbers;
mod settings;
pub mod store;
mod waiting;

#[cfg(test)]
mod simulation;

pub use id::{AddressKey, DeviceKey, Instance, MAX_NODES, Member, Name, Node, Owner, SessionKey};
pub use path::{Path, Route};
pub use replica::{Counters, Numbers, Output, Replica, SaveId};
pub use secret::{Addresses, ConnectionIds, Devices, GroupSecret};
pub use settings::Settings;
