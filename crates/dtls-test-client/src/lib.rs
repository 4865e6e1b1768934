//! A DTLS 1.2 client for the tests of [`dtls_server`], sans-IO.
//!
//! A [`Client`] makes a handshake as a lawful client does, or [move by move](Move), in any order and with any change that a
//! test wants. It uses the server's own records, messages and keys; that these are right is what vectors and real clients show.
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
mod random;

pub use client::{Client, Options, Resumable};
pub use credentials::{Credentials, KeyType};
pub use moves::Move;
pub use random::SeededRandom;
