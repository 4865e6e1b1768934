//! Why a call has no reply, over either version of HTTP: the error that the caller gets, and the reason for the log.

use super::connect::ConnectError;
use super::connection;
use super::http2::{self, OpenError};
use crate::shown::Shown;
use crate::upstream::Error;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;

/// Why there is no reply.
pub(super) enum Failure {
    /// No connection, so nothing was sent.
    Connect(ConnectError),
    /// No HTTP/2 connection, so nothing was sent.
    Open(Arc<OpenError>),
    /// The connection was lost, or what came over it is no HTTP.
    Exchange(hyper::Error),
    /// The same over HTTP/2.
    Stream(h2::Error),
    /// Over HTTP/2: the server has not acted upon it.
    Refused,
    /// Over HTTP/2: too many interim replies.
    Interim,
    /// The target is too long.
    Request,
}

impl From<connection::ExchangeError> for Failure {
    fn from(error: connection::ExchangeError) -> Failure {
        match error {
            connection::ExchangeError::Unsent(_, error)
            | connection::ExchangeError::Broken(error) => Failure::Exchange(error),
        }
    }
}

impl From<http2::ExchangeError> for Failure {
    fn from(error: http2::ExchangeError) -> Failure {
        match error {
            http2::ExchangeError::Unsent(error) | http2::ExchangeError::Broken(error) => {
                Failure::Stream(error)
            }
            http2::ExchangeError::Refused(_) => Failure::Refused,
            http2::ExchangeError::TooManyInterim => Failure::Interim,
        }
    }
}

impl Failure {
    /// The error that the caller gets.
    pub(super) fn decision(&self) -> Error {
        match self {
            Failure::Connect(_) => Error::Unreachable,
            Failure::Open(error) if error.is_no_http2 => Error::Unintelligible(NO_HTTP2),
            Failure::Open(_) => Error::Unreachable,
            Failure::Exchange(error) if is_no_http(error) => Error::Unintelligible(NO_HTTP),
            Failure::Exchange(_) => Error::Unreachable,
            // The server broke the protocol.
            Failure::Stream(error) if error.is_library() => Error::Unintelligible(NO_HTTP2),
            Failure::Stream(_) => Error::Unreachable,
            Failure::Refused => Error::Overloaded,
            Failure::Interim => Error::Unintelligible("it has too many interim (1xx) replies"),
            // A target is made of percent-encoded pieces, so it fails only above 64 KiB.
            Failure::Request => Error::Unintelligible("the request is too large for HTTP"),
        }
    }

    /// For the log. Errors of connections and exchanges never have the path, which holds the token.
    pub(super) fn reason(&self) -> String {
        let error: &dyn StdError = match self {
            Failure::Connect(error) => error.as_ref(),
            Failure::Open(open) => open.error.as_ref(),
            Failure::Exchange(error) => error,
            Failure::Stream(error) => error,
            Failure::Refused | Failure::Interim | Failure::Request => return String::new(),
        };
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a String can't fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        // It may quote names of the server's certificate.
        Shown::public(&text).to_string()
    }
}

const NO_HTTP: &str = "it is not HTTP";
const NO_HTTP2: &str = "it is not HTTP/2";

/// Only an inner error says whether the stream ended, or is no HTTP.
fn is_no_http(error: &hyper::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        let is_no_http = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_parse)
            || error.downcast_ref::<std::io::Error>().is_some_and(|io| {
                matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
            });
        if is_no_http {
            return true;
        }
        cause = error.source();
    }
    false
}
