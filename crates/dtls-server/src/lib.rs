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
//! # What a forger can do
//!
//! Until a handshake has keys, its messages are plaintext, and a datagram from the client's address may be of anyone who knows
//! that address: its port, that it is shaking hands now, and the number of the next message, which is always the same.
//!
//! What such a forger sends has no effect, as long as it is neither a whole handshake message nor takes the place of a whole
//! fragment of the client's: no other fragment, whatever its length, offset, type, number or bytes, no alert, ChangeCipherSpec,
//! application data, record of epoch 1 or repeated hello ends a handshake, stops it, or makes it keep more than its bound. Only
//! who forges several fragments between each two of the client's, again and again, keeps a message that is in fragments from
//! becoming complete.
//!
//! A **whole forged message** ends this one handshake if it comes before the client's: one of any type in the place of
//! the next one, or a message that clients send a place or two later (a forged ClientKeyExchange, with which the client's
//! CertificateVerify then does not agree). So does a forged fragment of the length and place of one of the client's, if the
//! forger guesses the message's length too. No DTLS 1.2 server can tell it from the client's, as nothing in it is secret; RFC 6347
//! §4.1.2.7 is about records that have a MAC. It could be dropped in silence instead, in the hope that another follows;
//! but then each device whose certificate is unknown, expired or broken would wait for its own timeout instead of for an
//! alert, and would take a place for as long. The forger gains one
//! repetition: the client's next hello begins another handshake, and neither an established session nor another client is
//! concerned. It could as well forge an alert to the client.
//!
//! An attacker **on the path** can drop datagrams, so that no handshake completes. It gets neither keys nor a session:
//! the client's signature covers every message, and both Finished cover them again.
//!
//! # A server to begin with
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
//! | [`routability`] | return routability checks, when the client's address has changed (RFC 9853) |
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
pub mod routability;
pub mod suite;
pub mod window;
pub mod wire;

#[cfg(test)]
mod test;
