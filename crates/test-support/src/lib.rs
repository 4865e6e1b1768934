//! What the integration tests stand on: certificates, the real binary as gateway and as simulator, and a device
//! that shares no code with the gateway.
#![allow(dead_code, reason = "each test program uses its part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

pub mod admin;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod coap;
pub mod demo;
pub mod device;
pub mod fleet;
pub mod libcoap;
pub mod mutation;
pub mod packages;
pub mod process;
pub mod scrape;
pub mod siege;
pub mod stranger;
pub mod terminal;
pub mod wire;
pub mod world;

use std::time::Duration;

/// How long anything that must happen may take, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);
