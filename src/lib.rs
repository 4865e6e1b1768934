//! A gateway between CoAP devices with X.509 certificates and ThingsBoard's HTTP device API.
//!
//! It terminates DTLS on UDP 5684, identifies each device by the fingerprint of its client certificate, and forwards
//! the decoded CoAP request to ThingsBoard under that device's access token. To a device it looks like ThingsBoard's own
//! CoAP transport with X.509 credentials; to ThingsBoard, like a device that speaks HTTP.
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
//!                      completions ◀──────── upstream (ThingsBoard HTTP) ◀── relay / ota
//! ```
//!
//! # The path of one request
//!
//! 1. [`udp`] takes a batch of datagrams from the kernel, each with the local address it was sent to.
//! 2. [`gateway::driver`] reads the clock once and passes each datagram to [`gateway::core`]. What exceeds its device's
//!    share of the loop's turn waits in [`quotas::turns`].
//! 3. [`dtls::demux`] looks at the first record's header. A known path leads to its session; a ClientHello from an
//!    unknown path is answered with a cookie, and one that returns a cookie begins a handshake, within its bounds;
//!    all else is counted and dropped. [`dtls::inbound`] decides which records reach the engine, and [`dtls::engine`]
//!    decrypts.
//! 4. `coap::RemoteEndpoint` decodes and validates the message, recognises duplicates, checks the options and opens an
//!    exchange, or lets the request wait for others of its session. A body in blocks is put together first; a later
//!    block of a response that is still kept is answered from there.
//! 5. [`mapping::resource`] says which resource the path names (a token in it is skipped), and [`mapping::translate`]
//!    makes an [`upstream::Request`] of it, or answers 4.xx at once.
//! 6. If the device may have another call ([`quotas::in_flight`]), [`gateway::upstream_call`] sends it under a deadline,
//!    in a task of its own, where [`gateway::reading`] parses the answer as well. The completion returns on a bounded
//!    channel.
//! 7. [`mapping::translate`] has chosen the response code. The response is piggybacked on the acknowledgement if
//!    `coap.piggyback_timeout` has not passed, and is a Confirmable message of its own otherwise.
//! 8. [`dtls::engine`] encrypts, [`udp`] sends from the address the request was sent to.
//!
//! A GET for firmware or software takes another way from step 5 on: [`mapping::package`] makes a range of the package of
//! it, and [`ota`] answers from the cache that all devices share, or fetches a chunk from ThingsBoard.
//!
//! What a device observes goes the other way: [`relay`] polls ThingsBoard for it, and `coap::observe` keeps track of what
//! its client was notified of. The life of a change is described in [`relay`].
//!
//! Operators use another address: [`admin`] takes the HTTP request, [`gateway::handle`] has the loop copy its plain
//! counters, and a task outside of the loop makes text of them.
//!
//! # Rooms
//!
//! A room is a top-level module, or a crate of the workspace.
//!
//! | Room | Owns | May use |
//! |---|---|---|
//! | `crates/coap` | what CoAP's bytes and times mean for one remote endpoint | shares |
//! | `crates/shares` | how much each source or device may take of what all share; its page has the table of all bounds | – |
//! | [`dtls`] | datagrams from an address ⇄ plaintext from a verified certificate, at bounded cost | timers, shares, shown |
//! | [`device`] | which certificate is which device | – |
//! | [`upstream`] | one request to ThingsBoard, and what its outcome means | device, shown |
//! | [`mapping`] | CoAP resources ⇄ ThingsBoard's operations | coap, device, upstream, relay, ota |
//! | [`relay`] | Observe over what ThingsBoard pushes: attributes and commands | coap, device, dtls, upstream, ota, timers |
//! | [`ota`] | firmware and software: one cache for all devices | coap, device, upstream, timers, shares |
//! | [`quotas`] | how much one device may have of the loop and of ThingsBoard | mapping, upstream, device, dtls, coap, shares |
//! | [`gateway`] | connecting them: the sans-IO core, and the loop around it | all above, metrics, logging, udp |
//! | [`metrics`] | counts and levels as Prometheus reads them | – |
//! | [`admin`] | liveness, readiness, metrics and sessions over HTTP | gateway, reload, ota, relay, upstream, dtls, metrics |
//! | [`config`] | `gateway.toml` and the environment, checked as a whole, with every mistake reported at once | the rooms whose settings it reads |
//! | [`reload`] | files that are read again while the gateway runs | config, device, dtls, gateway |
//! | [`authority`] | a small CA for tests and trials | device, dtls, shown |
//! | [`logging`] | log lines, panics among them, that never block the process | shares |
//! | [`shown`] | what a message or a log line may show of others' text | – |
//! | [`timers`], [`udp`] | deadlines of many; the socket | – |
//! | [`cli`] | the process | all |
//! | `simulation` | the whole core in a simulated network, for tests | all |
//! | `crates/thingsboard-simulator` | a ThingsBoard device API in memory, faithful to its quirks | – |
//! | `crates/demo` | gateway, simulator and a device in one process, and a page that shows what happens | the gateway's facade |
//! | `crates/load` | a load driver, and what the benchmarks need beside it | the gateway's facade |
//! | `crates/test-support` | what the integration tests stand on | the gateway's facade |
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

pub mod admin;
pub mod authority;
pub mod cli;
pub mod config;
pub mod device;
pub mod dtls;
pub mod gateway;
pub mod logging;
pub mod mapping;
pub mod metrics;
pub mod ota;
pub mod quotas;
pub mod relay;
pub mod reload;
pub mod shown;
#[cfg(test)]
mod simulation;
pub mod timers;
pub mod udp;
pub mod upstream;
