//! Support of the integration tests: certificates, the real binary, a simulated ThingsBoard, and devices.
//!
//! [`device::Device`] shares no code with the gateway, neither DTLS nor CoAP. [`client::Client`] uses `coap_client`'s DTLS, for
//! many sessions, and [`attacker`] [`dtls`], which has every version; their CoAP is [`coap`], too.
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
pub mod attacker;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod closed_port;
pub mod coap;
pub mod demo;
pub mod device;
pub mod dtls;
pub mod fleet;
pub mod libcoap;
pub mod library;
pub mod lossy;
pub mod mutation;
pub mod nat;
pub mod packages;
pub mod pipe;
pub mod process;
pub mod scrape;
pub mod siege;
pub mod terminal;
pub mod tls_clients;
pub mod tls_front;
pub mod udp_proxy;
pub mod world;

use std::time::Duration;

/// The time limit of everything that must happen, on a machine that is busy with other tests.
pub const TIMEOUT: Duration = Duration::from_secs(30);
