//! What can go wrong upstream, by the decision the gateway takes.

/// Why there is no [`Answer`](super::Answer).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No answer within `upstream.timeout`. Whether the request was acted upon is not known.
    #[error("ThingsBoard did not answer in time")]
    Timeout,
    /// 408 to a long poll, and to nothing else: its time is over, and nothing has happened. This is how
    /// most polls end.
    #[error("the long poll has ended without news")]
    Elapsed,
    /// No connection, or it broke before an answer came.
    #[error("ThingsBoard can't be reached")]
    Unreachable,
    /// 502 or 503: ThingsBoard, or a proxy before it, is not serving now.
    #[error("ThingsBoard is not serving requests now")]
    Overloaded,
    /// 429, 502 or 503 with Retry-After: it is known when to come back.
    #[error("ThingsBoard says to come back in {} s", .0.seconds)]
    RetryAfter(RetryAfter),
    /// What came back is no answer of this API: a redirect, a 1xx/2xx other than 200, no HTTP, a body over the bound.
    #[error("the upstream's reply makes no sense: {0}")]
    Unintelligible(&'static str),
    /// Any other status.
    #[error("ThingsBoard refused the request with status {0}")]
    Rejected(Status),
}

/// A status that passes, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter {
    /// 429, 502 or 503.
    pub code: u16,
    /// As upstream says, but a second at least and an hour at most.
    pub seconds: u32,
}

/// A refusing status. 500 is told apart by its body: with text it is ThingsBoard's answer to bad JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code, 400 to 599.
    pub code: u16,
    /// Whether a body came with it.
    pub has_text: bool,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)
    }
}
