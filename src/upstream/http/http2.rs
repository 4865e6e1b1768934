//! HTTP/2 (RFC 9113) towards one server: exchanges share connections.
//!
//! | Part | Does |
//! |---|---|
//! | [`connection`] | one connection: its limits, and an exchange on it |
//! | [`driver`] | the task of a connection: reads and writes its socket, and closes it when it is dead |
//! | [`traffic`] | counts what a connection reads and writes |
//! | [`pool`] | the connections of one lane, and the exchanges that wait for a place |
//! | [`places`] | which connection an exchange gets, and when another is opened; without sockets |
//!
//! The library is `h2`, without hyper around it: see Cargo.toml.
//!
//! # Nothing is sent twice
//!
//! An exchange is made again on another connection only if the first one's server says that it has not acted upon it, with
//! REFUSED_STREAM or with a GOAWAY whose last stream is an earlier one (RFC 9113 §8.7), and then once; or if not one byte
//! was written on the connection since the exchange began.
//!
//! # Dead connections
//!
//! A connection carries a hundred exchanges, so it must not be kept when its server is gone without a word. With streams
//! open and nothing received for a while, the driver sends a PING, and closes the connection if nothing comes after that
//! either. Tomcat counts PINGs as overhead and closes a connection with too many of them, so there are at most as many as
//! exchanges.

mod connection;
mod driver;
mod places;
mod pool;
mod traffic;

pub(super) use connection::ExchangeError;
pub(in crate::upstream) use connection::MOST_STREAMS;
pub(super) use pool::{Granted, OpenError, Pool};
