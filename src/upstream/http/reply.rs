//! A reply, not yet judged.

use bytes::Bytes;

pub(in crate::upstream) struct Reply {
    pub(in crate::upstream) status: u16,
    /// `None`: it is larger than the call allows.
    pub(in crate::upstream) body: Option<Bytes>,
    /// Seconds, from Retry-After.
    pub(in crate::upstream) retry_after: Option<u32>,
}

/// Whether a body of this length, from Content-Length, is larger than allowed. Used only to refuse early.
pub(super) fn is_too_large(announced: Option<u64>, largest: usize) -> bool {
    announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > largest))
}
