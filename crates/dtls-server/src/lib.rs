//! A DTLS 1.2 server (RFC 6347) for constrained devices with certificates, as pure state machines.
//!
//! It speaks the cipher suites of CoAP (RFC 7252 §9.1.3.3, RFC 7925), authenticates clients by their certificates, knows
//! sessions by connection IDs (RFC 9146), and keeps an established session as some hundred bytes that can be stored and
//! restored. It is a server only, and DTLS 1.2 only.
//!
//! Datagrams and `now` go in; datagrams, events and deadlines come out. The crate never reads a clock, opens a socket, starts
//! a task or logs. It does not know addresses: which session a datagram belongs to is its user's decision, for which the
//! datagram's connection ID can be read ([`record::connection_id`]).
//!
//! # The life of a session
//!
//! ```text
//!  ClientHello ──▶ cookie ──▶ HelloVerifyRequest            nothing is kept (RFC 6347 §4.2.1)
//!  ClientHello with a valid cookie
//!       │
//!       ▼
//!   Handshake (every buffer is inside, and is freed as a whole)
//!       │  ServerHello … ServerHelloDone ──▶
//!       │  ◀── Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished
//!       │  the user decides about the client's certificates
//!       ▼
//!   Association (keys, numbers, connection IDs: plain bytes) + the last flight, for as long as it may be repeated
//! ```
//!
//! `examples/echo_server` is a complete server over a socket of the standard library: it has cookies, sessions by address and
//! by connection ID, moves of an address, and resumption.
//!
//! | Part | Owns |
//! |---|---|
//! | [`alert`] | alerts (RFC 5246 §7.2) |
//! | [`suite`] | cipher suites and their parameters |
//! | [`wire`] | reading and writing of the presentation language (RFC 5246 §4) |
//! | [`record`] | records of a datagram (RFC 6347 §4.1, RFC 9146) |
//! | [`window`] | the replay window (RFC 6347 §4.1.2.6) |
//! | [`crypto`] | AEADs, the PRF and key schedule, key exchange, signatures |
//! | [`association`] | an established session: protect, unprotect, export, restore |
//! | [`message`] | handshake messages and their extensions |
//! | [`reassembly`] | messages out of fragments (RFC 6347 §4.2.3) |
//! | [`fragment`] | fragments out of messages, and datagrams of records |
//! | [`cookie`] | stateless cookies (RFC 6347 §4.2.1) |
//! | [`negotiation`] | what a ClientHello and the configuration have in common |
//! | [`established`] | what a record of an established session means |
//! | [`handshake`] | the states of a handshake, its flights and their retransmission |
//! | [`resumption`] | sessions that are resumed by session id or ticket |
//! | [`config`] | identities, suites, bounds |

pub mod alert;
pub mod association;
pub mod config;
pub mod cookie;
pub mod crypto;
pub mod established;
pub mod fragment;
pub mod handshake;
pub mod message;
pub mod negotiation;
pub mod reassembly;
pub mod record;
pub mod resumption;
pub mod suite;
pub mod window;
pub mod wire;

#[cfg(test)]
mod test;
