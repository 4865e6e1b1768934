//! A gateway between CoAP devices with X.509 certificates and ThingsBoard's HTTP device API.
//!
//! It terminates DTLS on UDP 5684, knows each device by the fingerprint of its client certificate,
//! and forwards the decoded CoAP request to ThingsBoard under that device's access token. To a device
//! it looks like ThingsBoard's own CoAP transport with X.509 credentials; to ThingsBoard, like a
//! device that speaks HTTP.
//!
//! This page is the way into the code. How to run and configure the gateway is in the README.
//!
//! # The idea
//!
//! A **sans-IO core** (pure state machines: bytes, events and `now` in; datagrams, deadlines and
//! upstream requests out) inside **one short I/O loop**. Only calls to ThingsBoard are tasks. So the
//! whole gateway, with loss, reordering, rebooting devices, forgers and a slow upstream, runs in a
//! unit test under a clock of the test's own, without sockets and without sleeps: see
//! `gateway/simulation.rs`.
//!
//! ```text
//!  device ──UDP──▶ udp ─▶ gateway::shard ─▶ dtls ─▶ device registry ─▶ coap ─▶ gateway::route/translate
//!                           ▲   │ the only loop        (certificate → device)        │
//!                           │   ▼                                                    ▼
//!                      completions ◀───────────── upstream (ThingsBoard HTTP) ◀── forward / relay
//! ```
//!
//! # The walk of one request
//!
//! 1. [`udp`] takes a batch of datagrams from the kernel, each with the address of ours it came to.
//! 2. [`gateway::shard`] reads the clock once and hands each datagram to [`gateway::core`]. What is more than its device's
//!    share of the loop's turn waits in [`gateway::turns`].
//! 3. [`dtls::demux`] looks at the first record's header. A known path leads to its session; a
//!    ClientHello from an unknown one begins a handshake, within its bounds; all else is counted and
//!    dropped. [`dtls::inbound`] says which records reach the engine, and [`dtls::engine`] decrypts.
//! 4. [`coap::remote_endpoint`] decodes and validates the message, recognises duplicates, judges the
//!    options and opens an exchange, or has the request wait for others of its session. A body in blocks is
//!    put together first; a later block of a response that is held is answered from there.
//! 5. [`gateway::route`] says which resource the path names (a token in it is skipped), and
//!    [`gateway::translate`] makes an [`upstream::Request`] of it, or answers 4.xx at once.
//! 6. If the device has a call left ([`gateway::in_flight`]), [`gateway::forward`] sends it under a deadline, in a task of
//!    its own, where [`gateway::reading`] reads the answer as well. The completion comes back on a bounded channel.
//! 7. [`gateway::translate`] has picked the response code. The response rides on the acknowledgement if
//!    `coap.piggyback_timeout` is not over, and is a Confirmable message of its own otherwise.
//! 8. [`dtls::engine`] encrypts, [`udp`] sends from the address the request came to.
//!
//! A GET for firmware or software takes another way from step 5 on: [`gateway::download`] makes a place in the
//! package of it, and [`gateway::firmware`] answers from the fleet's cache, or asks ThingsBoard for a chunk.
//!
//! What a device observes goes the other way: [`gateway::relay`] polls ThingsBoard for it, and
//! [`coap::observe`] keeps track of what its client was notified of. The life of a change is told there.
//!
//! Who operates it asks on another address: [`admin`] takes the HTTP request, [`gateway::handle`] has the loop make a
//! copy of its plain counters, and a task outside of the loop makes text of them.
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
//! * Errors are by the decision their receiver takes; what a stranger sends is never an error but a
//!   counter.
//! * Every queue, table and body has a bound, and what is over it gets an answer or is counted. Where many share it, each
//!   has a share of its own: [`shares`] lists them.
//! * Secrets have types whose `Debug` hides them; what devices or strangers choose is never logged raw, and no message
//!   repeats a value that could be a secret: [`shown`] decides.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "these pages are read by who builds the gateway, with --document-private-items too"
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
