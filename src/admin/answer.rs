//! An HTTP answer: whole, or piece by piece as it is made.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
/// What Prometheus asks for first, and what the metrics are.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What follows the head.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it; `None` once it was taken.
    Whole(Option<Bytes>),
    /// The first piece, and those that come.
    Pieces(Option<Bytes>, mpsc::Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Content::Whole(all) => Poll::Ready(all.take()),
            Content::Pieces(first, more) => match first.take() {
                Some(first) => Poll::Ready(Some(first)),
                None => more.poll_recv(context),
            },
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(all) => {
                let length = all.as_ref().map_or(0, Bytes::len);
                u64::try_from(length).map_or_else(|_| SizeHint::new(), SizeHint::with_exact)
            }
            Content::Pieces(..) => SizeHint::new(),
        }
    }
}

/// An answer with this content.
pub(super) fn answer(
    status: StatusCode,
    kind: &'static str,
    content: Content,
) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A line or some, for people.
pub(super) fn text(status: StatusCode, words: impl Into<Bytes>) -> Response<Content> {
    answer(status, TEXT, Content::Whole(Some(words.into())))
}

/// The answer to a method that there is not.
pub(super) fn wrong_method() -> Response<Content> {
    let words = "Only GET and HEAD: nothing can be changed here.\n";
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, words);
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}
