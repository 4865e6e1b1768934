//! A gateway between CoAP devices with X.509 certificates and ThingsBoard's HTTP or MQTT device API.
//!
//! It terminates DTLS on UDP 5684, identifies each device by the fingerprint of its client certificate, and forwards
//! the decoded CoAP request to ThingsBoard under that device's access token. To a device it looks like ThingsBoard's own
//! CoAP transport with X.509 credentials; to ThingsBoard, like a device that speaks HTTP or MQTT.
//!
//! This page is the way into the code. How to run and configure the gateway is in the README and in `docs/`.
//!
//! # The idea
//!
//! A **sans-IO core** (pure state machines: bytes, events and `now` in; datagrams, deadlines and upstream requests out)
//! inside **one short I/O loop**. Only calls to ThingsBoard are tasks. So the whole gateway, with loss, reordering,
//! rebooting devices, forgers and a slow upstream, runs in a unit test under a simulated clock, without sockets and
//! without sleeps: see `src/simulation.rs`.
//!
//! ```text
//!  device ──UDP──▶ udp ─▶ gateway::driver ─▶ dtls ─▶ device registry ─▶ coap ─▶ mapping
//!                           ▲   │ the only loop   (certificate → device)          │
//!                           │   ▼                                                 ▼
//!                      completions ◀──────── upstream (HTTP or MQTT) ◀────── relay / ota
//! ```
//!
//! `docs/architecture.md` follows a request and a change of an attribute through the files, and says where to change what.
//!
//! # Rooms
//!
//! A room is a top-level module, or a crate of the workspace.
//!
//! | Room | Owns | May use |
//! |---|---|---|
//! | `crates/coap` | what CoAP's bytes and times mean for one remote endpoint | shares |
//! | `crates/shares` | how much each source or device may take of what all share; its page has the table of all bounds | – |
//! | [`credentials`] | the gateway's certificate and key; which client certificates are accepted: chains, policies, revocation lists | device, shown |
//! | [`dtls`] | datagrams from an address ⇄ plaintext from a verified certificate, at bounded cost | credentials, device, timers, shares, shown |
//! | [`device`] | which certificate is which device | – |
//! | [`upstream`] | one request to ThingsBoard, and what its outcome means | device, shown |
//! | [`mapping`] | CoAP resources ⇄ ThingsBoard's operations | coap, device, upstream, downlink, ota |
//! | [`downlink`] | how attribute changes and commands come from ThingsBoard | upstream |
//! | [`state`] | what outlives the process | `crates/state-store`, credentials, device, dtls, coap, shown |
//! | [`relay`] | Observe over what comes by the downlink: attributes and commands | coap, device, dtls, upstream, downlink, ota, timers |
//! | [`ota`] | firmware and software: one cache for all devices | coap, device, upstream, timers, shares |
//! | [`calls`] | calls to ThingsBoard, between the core and the tasks that make them | mapping, downlink, relay, ota, dtls, upstream, coap |
//! | [`quotas`] | how much one device may have of the loop and of ThingsBoard | mapping, upstream, device, dtls, coap, shares |
//! | [`gateway`] | connecting them: the sans-IO core, and the loop around it | all above, metrics, logging, udp |
//! | [`metrics`] | counts and levels as Prometheus reads them | – |
//! | [`admin`] | liveness, readiness, metrics and sessions over HTTP | gateway, reload, ota, downlink, relay, upstream, dtls, credentials, metrics |
//! | [`config`] | a file and the environment in, only valid values out, every mistake at once | relay, downlink, ota, state, coap, credentials, dtls, device, upstream, shown |
//! | [`reload`] | files that are read again while the gateway runs | config, credentials, device, dtls, gateway |
//! | [`authority`] | a small CA for tests and trials | device, credentials, shown |
//! | [`logging`] | log lines, panics among them, that never block the process | config, shares |
//! | [`shown`] | what a message or a log line may show of others' text | – |
//! | [`timers`], [`udp`] | deadlines of many; the socket | – |
//! | [`cli`] | the process | all |
//! | [`facade`] | what the other crates use; everything else is `pub(crate)` | all |
//! | `simulation` | the whole core in a simulated network, for tests | all |
//! | `crates/thingsboard-simulator` | a ThingsBoard device API in memory, faithful to its quirks | – |
//! | `crates/demo` | gateway, simulator and a device in one process, and a page that shows what happens | the gateway's facade |
//! | `crates/load` | a load driver, and what the benchmarks need beside it | the gateway's facade |
//! | `crates/test-support` | what the integration tests share | the gateway's facade |
//! | `crates/core-harness` | a core with one device, for benchmarks and fuzzing | the gateway's facade |
//! | `crates/coap-client` | a CoAP client over DTLS, for the demo and the load driver | coap |
//! | `crates/cross-site` | refuses requests that another site's page makes to the demo or the simulator | – |
//! | `crates/state-store` | a database of what outlives the process, encrypted, in which no send number is given out twice | – |
//! | `crates/heap-trim` | returns freed memory to the operating system after a peak | – |
//!
//! `tests/layering.rs` reads the sources and holds them to this table, and each library to the one file that may name
//! it. Between crates Cargo does.
//!
//! `coap` is a crate because it uses no room of the gateway, and four others use it: the demo, the load driver, the
//! benchmarks and the fuzz targets. A change in the gateway compiles neither its code nor its tests again. The other
//! rooms stay modules: they change together, and a boundary that a test holds costs no public API.
//!
//! # Habits
//!
//! * Time is a parameter: only the loop reads the clock (a lint says so).
//! * What handles a peer's bytes has no `unwrap`, no indexing, no `as`: a panic there would end the loop for every
//!   device (lints say so).
//! * Errors are named by the decision their receiver takes; what an unauthenticated peer sends is never an error but a
//!   counter.
//! * Every queue, table and body has a bound, and what exceeds it gets an answer or is counted. Where many share it, each
//!   has a share of its own: `crates/shares` lists them.
//! * Secrets have types whose `Debug` hides them; what devices or other peers choose is never logged raw, and no message
//!   repeats a value that could be a secret: [`shown`] decides.
#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "a test may say \"anything else is wrong\"; the code itself is linted without cfg(test)"
    )
)]

mod admin;
mod authority;
mod calls;
mod cli;
mod config;
mod credentials;
mod device;
mod downlink;
mod dtls;
pub mod facade;
mod gateway;
mod group;
mod logging;
mod mapping;
mod metrics;
mod ota;
mod quotas;
mod relay;
mod reload;
mod shown;
#[cfg(test)]
mod simulation;
mod state;
mod timers;
mod udp;
mod upstream;
