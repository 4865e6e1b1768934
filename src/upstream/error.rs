//! Why a request to ThingsBoard has failed, by the decision that the gateway takes.

use std::fmt;

/// Why there is no [`Answer`](super::Answer).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No answer within `upstream.timeout`, or 408 or 504. Whether the request was acted upon is not known.
    #[error("ThingsBoard did not answer in time")]
    Timeout,
    /// 408 to a long poll: its time is over, and nothing has happened. Most polls end like this.
    #[error("the long poll has ended without a message")]
    Elapsed,
    /// No connection, or it broke before an answer came.
    #[error("ThingsBoard can't be reached")]
    Unreachable,
    /// 502 or 503 without Retry-After, or all places of the request's lane are taken.
    #[error("ThingsBoard is not serving requests now")]
    Overloaded,
    /// 429, 502 or 503 with Retry-After.
    #[error("ThingsBoard asks to retry after {} s (Retry-After)", .0.seconds)]
    RetryAfter(RetryAfter),
    /// The reply is none of the device API's: a redirect, a 1xx or 2xx other than 200, no HTTP, a body over the bound.
    #[error("the upstream's reply could not be understood: {0}")]
    Unintelligible(&'static str),
    /// ThingsBoard answered, and refused the request. Its text has the status.
    #[error("ThingsBoard refused the request with status {0}")]
    Rejected(Rejection),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter {
    pub cause: RetryCause,
    /// As the server says, but a second at least and an hour at most.
    pub seconds: u32,
}

/// Why a server sends Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    /// 429: there were too many requests.
    RateLimited,
    /// 502 or 503: it is not serving now.
    NotServing,
}

/// What a refusing status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// 400: a body or parameter is missing or malformed; of a package: another one is assigned.
    BadRequest,
    /// 401: no device has this access token.
    TokenRefused,
    /// 403: the device was deleted while it was polled for, or a proxy forbids the request.
    Forbidden,
    /// 404: no package is assigned. To anything else not ThingsBoard, but something before it has answered.
    NotFound,
    /// 413: the body is too large.
    TooLarge,
    /// 429 without Retry-After, from a proxy: ThingsBoard itself answers 500 or nothing.
    RateLimited,
    /// 500 with a text: ThingsBoard's parser can't read the body.
    Unparsable,
    /// 500 without a text: the device is over its rate limit, or a queue of ThingsBoard's is full.
    Failed,
    /// Another 4xx, which the device API does not use.
    UnexpectedClientError(u16),
    /// Another 5xx, which the device API does not use.
    UnexpectedServerError(u16),
}

impl Rejection {
    /// What a status from 400 to 599 means. `has_text`: whether a body came with it.
    pub fn new(status: u16, has_text: bool) -> Rejection {
        match status {
            400 => Rejection::BadRequest,
            401 => Rejection::TokenRefused,
            403 => Rejection::Forbidden,
            404 => Rejection::NotFound,
            413 => Rejection::TooLarge,
            429 => Rejection::RateLimited,
            500 if has_text => Rejection::Unparsable,
            500 => Rejection::Failed,
            other @ ..500 => Rejection::UnexpectedClientError(other),
            other => Rejection::UnexpectedServerError(other),
        }
    }

    /// The HTTP status code, for people.
    pub fn status(self) -> u16 {
        match self {
            Rejection::BadRequest => 400,
            Rejection::TokenRefused => 401,
            Rejection::Forbidden => 403,
            Rejection::NotFound => 404,
            Rejection::TooLarge => 413,
            Rejection::RateLimited => 429,
            Rejection::Unparsable | Rejection::Failed => 500,
            Rejection::UnexpectedClientError(status) | Rejection::UnexpectedServerError(status) => {
                status
            }
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_keeps_its_status_and_a_text_decides_about_500_alone() {
        for status in 400..600 {
            let (without, with) = (Rejection::new(status, false), Rejection::new(status, true));
            assert_eq!((without.status(), with.status()), (status, status));
            assert_eq!(without == with, status != 500, "{status}");
        }
    }
}
