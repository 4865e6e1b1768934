//! HTTP/1.1 towards one server: a call and its reply.
//!
//! | Part | Does |
//! |---|---|
//! | [`call`] | the request to send |
//! | [`client`] | sends a call on a connection and waits for its reply, within its time |
//! | [`connection`] | one connection, one exchange at a time |
//! | [`pool`] | keeps idle connections for the next call |
//! | [`connect`] | opens connections: name look-up, TCP, TLS |
//! | [`tls`] | TLS: trust anchors, client certificate, and their replacement |
//! | [`trust`] | the certificates that the server's must chain to |
//! | [`interim`] | counts 1xx replies, and stops reading after a few |
//! | [`retry_after`] | reads Retry-After |
//! | [`outage`] | when to log that the server is gone, and that it is back |

pub(super) mod call;
pub(super) mod client;
pub(super) mod connect;
pub(super) mod connection;
pub(super) mod interim;
pub(super) mod outage;
mod pool;
mod retry_after;
pub(super) mod tls;
mod trust;
