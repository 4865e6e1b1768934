//! One HTTP request, complete but for the server's address.

use bytes::Bytes;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest reply that is read, in bytes, unless a call says otherwise. Attribute answers are a few KiB;
/// what is larger would not fit a device either.
pub(in crate::upstream) const LARGEST_REPLY: usize = 256 * 1024;

/// The two methods of the device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Method {
    Get,
    Post,
}

/// A request to send. It has no `Debug`: the target holds a token.
pub(in crate::upstream) struct Call {
    pub(in crate::upstream) method: Method,
    /// Path and query as they go onto the wire, beginning with `/`. Wiped when dropped.
    pub(in crate::upstream) target: Zeroizing<String>,
    pub(in crate::upstream) body: Bytes,
    /// For the exchange as a whole: connecting, sending, and the reply to its last byte.
    pub(in crate::upstream) timeout: Duration,
    /// Whether it is a long poll: a proxy may end those, which is no outage.
    pub(in crate::upstream) is_poll: bool,
    /// The longest body of a reply that is read, in bytes.
    pub(in crate::upstream) largest_reply: usize,
}
