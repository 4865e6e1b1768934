//! A gateway between CoAP devices with X.509 certificates and ThingsBoard's HTTP device API.
//!
//! It terminates DTLS on UDP 5684, knows each device by the fingerprint of its client certificate,
//! and forwards the decoded CoAP request to ThingsBoard under that device's access token. To a device
//! it looks like ThingsBoard's own CoAP transport with X.509 credentials; to ThingsBoard, like a
//! device that speaks HTTP.
//!
//! This page is the way into the code. How to run and configure the gateway is in the README and in docs/.
//!
//! # The idea
//!
//! A **sans-IO core** (state machines: datagrams, answers and `now` in; datagrams, upstream requests and the time of the next
//! timeout out) inside **one short I/O loop**. Only calls to ThingsBoard are tasks. So the whole gateway, with loss,
//! reordering, rebooting devices, forgers and a slow upstream, runs in a unit test with a simulated clock, without sockets
//! and sleeps: see `gateway/simulation.rs`.
//!
//! ```text
//!  device ──UDP──▶ udp ─▶ gateway::shard ─▶ dtls ─▶ device registry ─▶ coap ─▶ gateway::route/translate
//!                           ▲   │ the only loop        (certificate → device)        │
//!                           │   ▼                                                    ▼
//!                      completions ◀───────────── upstream (ThingsBoard HTTP) ◀── forward / relay
//! ```
//!
//! `docs/architecture.md` follows a request and a change of an attribute through the files, and says where to change what.
//!
//! # Rooms
//!
//! | Room | Owns | May use |
//! |---|---|---|
//! | [`shown`] | what a message or a log line may show of others' text | – |
//! | [`dtls`] | datagrams from an address ⇄ plaintext from a verified certificate, at bounded cost | timers, shares, shown |
//! | [`device`] | which certificate is which device | – |
//! | [`upstream`] | one request to ThingsBoard, and what its outcome means | device, shown |
//! | [`gateway`] | joining them | coap, dtls, device, upstream, config, udp, timers, shares, metrics, admin |
//! | [`metrics`] | counts and levels as Prometheus reads them | – |
//! | [`admin`] | liveness, readiness, metrics and sessions over HTTP | metrics, cross_site |
//! | [`config`] | a file and the environment in, only valid values out, every mistake at once | coap, dtls, device, upstream, shown |
//! | [`reload`] | files read again while the gateway runs | config, device, dtls, gateway |
//! | [`authority`] | a small CA for tests and trials | device, dtls, shown |
//! | [`logging`] | log lines, panics among them, that never block the process | config |
//! | [`timers`], [`udp`] | deadlines of many; the socket | – |
//! | [`cli`] | the process | all |
//!
//! `tests/layering.rs` reads the sources and holds them to this table, and each library to the one
//! file that may name it.
//!
//! # Habits
//!
//! * Time is a parameter: only the loop reads the clock (a lint says so).
//! * What handles a peer's bytes has no `unwrap`, no indexing, no `as`: a panic there would end the
//!   loop for every device (lints say so).
//! * Errors are named by the decision that their caller makes; what a peer sends is never an error but a counter.
//! * Every queue, table and body has a bound, and what exceeds it gets a response or is counted. If several devices share it,
//!   each has a share: [`shares`] lists them.
//! * Secrets have types whose `Debug` hides them; text from peers is never logged raw, and no message repeats a value that
//!   could be a secret: [`shown`] decides.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "these pages are for those who change the gateway, and built with --document-private-items too"
)]
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
pub mod metrics;
pub mod reload;
pub mod shown;
pub mod timers;
pub mod udp;
pub mod upstream;
