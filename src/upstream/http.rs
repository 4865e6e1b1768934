//! HTTP/1.1 and HTTP/2 towards one server: a call and its reply.
//!
//! | Part | Does |
//! |---|---|
//! | [`call`] | the request to send |
//! | [`client`] | sends a call on a connection and waits for its reply, within its time |
//! | [`reply`] | what comes back |
//! | [`connection`] | one connection of HTTP/1.1, one exchange at a time |
//! | [`pool`] | keeps idle connections of HTTP/1.1 for the next call |
//! | [`http2`] | connections of HTTP/2, which exchanges share |
//! | [`connect`] | opens connections: name look-up, TCP, TLS |
//! | [`tls`] | TLS: trust anchors, client certificate, and their replacement |
//! | [`trust`] | the certificates that the server's must chain to |
//! | [`interim`] | counts 1xx replies, and stops reading after a few |
//! | [`retry_after`] | reads Retry-After |
//! | [`failure`] | why there is no reply: the error, and the reason for the log |
//! | [`outage`] | when to log that the server is gone, and that it is back |

pub(super) mod call;
pub(super) mod client;
pub(super) mod connect;
mod connection;
mod failure;
pub(super) mod http2;
pub(super) mod interim;
pub(super) mod outage;
mod pool;
pub(super) mod reply;
mod retry_after;
pub(super) mod tls;
mod trust;
