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

pub(crate) mod admin;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod coap;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod fleet;
pub(crate) mod libcoap;
pub(crate) mod mutation;
pub(crate) mod packages;
pub(crate) mod process;
pub(crate) mod scrape;
pub(crate) mod siege;
pub(crate) mod stranger;
pub(crate) mod terminal;
pub(crate) mod wire;
pub(crate) mod world;

use std::time::Duration;

/// How long anything that must happen may take, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
