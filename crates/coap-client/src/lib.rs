//! A CoAP client over DTLS with an X.509 certificate. The load driver and the demo's device are built on it.
//!
//! ```text
//!  Request ──▶ Endpoint ──datagram──▶ Session ──▶ UDP
//!  Event   ◀── (RFC 7252, 7641)  ◀──  (dtls::Client)
//! ```
//!
//! - [`Endpoint`]: the message layer of a client (RFC 7252 §4), its requests and its observations (RFC 7641). Sans-IO:
//!   datagrams, `now` and a random number generator go in, datagrams and [`Event`]s come out. It does not transfer
//!   blocks (RFC 7959): neither of its users sends or fetches more than one message holds.
//! - [`dtls::Client`]: one DTLS association. Sans-IO.
//! - [`Session`]: a [`dtls::Client`] with a UDP socket and tokio's timers.
//!
//! # What it shares with the gateway
//! The message format (crate `coap`) and the library that the gateway has for DTLS 1.3, but none of the gateway's own code around the
//! latter. A mistake in either could go unnoticed between this client and the gateway. Conformance is therefore tested
//! with clients that share neither: `test-support` has a message format of its own over `webrtc-dtls`, and
//! `tests/interop` uses libcoap, OpenSSL and GnuTLS.

pub mod dtls;
mod endpoint;
mod exchange;
mod request;
mod session;

pub use endpoint::{Endpoint, Event, Parameters};
pub use request::Request;
pub use session::{Error, Session};
