//! A DTLS 1.2 client for the tests of [`dtls_server`], sans-IO.
//!
//! A [`Client`] makes a handshake as a lawful client does, or [move by move](Move), in any order and with any change that a
//! test wants. [`Server`] is the engine as its user has it, for one client. Both use the server's own records, messages and keys; that these are right is what vectors and real clients show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod client;
mod credentials;
mod moves;
mod options;
mod random;
pub mod recording;
mod server;

pub use client::Client;
pub use credentials::{Credentials, KeyType};
pub use moves::Move;
pub use options::{Options, Resumable};
pub use random::SeededRandom;
pub use server::{
    OWN_CONNECTION_ID, SESSION_ID, Server, TICKET_LIFETIME, builder, connect, exchange,
    exchange_data, second_flight,
};
