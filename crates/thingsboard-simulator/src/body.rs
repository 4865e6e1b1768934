//! Reads a request's body within limits, and turns it into the text that Spring passes to a controller.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `transport.http.max_payload_size` for `/api/v1/*/rpc/**`.
const RPC_LIMIT: usize = 65_536;
/// `transport.http.max_payload_size` for the rest of `/api/v1/**`, and our own limit for chunked bodies, which
/// ThingsBoard does not check.
pub(super) const LIMIT: usize = 52_428_800;
/// The bytes of all bodies together. ThingsBoard has a heap instead.
const ALL_BODIES: usize = 256 * 1024 * 1024;
/// Tomcat's `maxSwallowSize`: of a refused body this much is read, so that the client sees the response.
const MAX_SWALLOW_SIZE: usize = 2 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than the limit.
    TooLong,
    /// All bodies together have reached their limit.
    NoRoom,
    /// The client broke off, or its framing is not HTTP.
    Broken,
}

/// A body in memory. Dropping it gives its bytes back to the budget of all bodies.
#[derive(Debug)]
pub(super) struct BufferedBody {
    pub(super) bytes: Bytes,
    _reserved: OwnedSemaphorePermit,
}

/// The budget of all bodies: one permit a byte.
pub(super) fn budget() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ALL_BODIES))
}

/// The limit that `PayloadSizeFilter` compares `Content-Length` with: the first pattern that matches wins.
pub(super) fn payload_limit(path: &str) -> Option<usize> {
    let rest = path.strip_prefix("/api/v1")?;
    if !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let mut segments = rest.split('/').skip(2);
    Some(if segments.next() == Some("rpc") {
        RPC_LIMIT
    } else {
        LIMIT
    })
}

/// Reads a whole body of at most `limit` bytes.
pub(super) async fn read(
    mut body: Body,
    limit: usize,
    budget: &Arc<Semaphore>,
) -> Result<BufferedBody, BodyError> {
    let reserve = |bytes: usize| {
        let permits = u32::try_from(bytes).map_err(|_| BodyError::NoRoom)?;
        let reserved = Arc::clone(budget).try_acquire_many_owned(permits);
        reserved.map_err(|_| BodyError::NoRoom)
    };
    let mut reserved = reserve(0)?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            // Trailers.
            continue;
        };
        if bytes.len() + data.len() > limit {
            drop((bytes, reserved));
            drain(body).await;
            return Err(BodyError::TooLong);
        }
        reserved.merge(reserve(data.len())?);
        bytes.extend_from_slice(&data);
    }
    Ok(BufferedBody {
        bytes: Bytes::from(bytes),
        _reserved: reserved,
    })
}

/// Reads and discards what is left of a refused body, up to [`MAX_SWALLOW_SIZE`].
pub(super) async fn drain(mut body: Body) {
    let mut drained = 0;
    while let Some(Ok(frame)) = body.frame().await {
        drained += frame.data_ref().map_or(0, Bytes::len);
        if drained > MAX_SWALLOW_SIZE {
            break;
        }
    }
}

/// The body as the `String` that Spring passes to a controller.
///
/// Tomcat takes a form (the default content type of curl's `-d`) apart into parameters, and Spring joins
/// them again, percent-encoded: JSON does not survive that.
pub(super) fn text(content_type: Option<&str>, bytes: &[u8]) -> String {
    let media_type = content_type.unwrap_or_default().trim_start();
    let form = "application/x-www-form-urlencoded";
    let is_form = media_type
        .get(..form.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(form));
    if !is_form {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form_urlencoded::parse(bytes))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpc_paths_have_the_smaller_limit() {
        for (path, limit) in [
            ("/api/v1/t/rpc", Some(RPC_LIMIT)),
            ("/api/v1/t/rpc/1", Some(RPC_LIMIT)),
            ("/api/v1/t/telemetry", Some(LIMIT)),
            ("/api/v1/provision", Some(LIMIT)),
            ("/api/v1x/t/rpc", None),
            ("/other", None),
        ] {
            assert_eq!(payload_limit(path), limit, "{path}");
        }
    }

    #[test]
    fn a_form_is_passed_on_percent_encoded() {
        let form = Some("application/x-www-form-urlencoded; charset=UTF-8");
        assert_eq!(text(form, b"{\"a\":1}"), "%7B%22a%22%3A1%7D=");
        assert_eq!(text(form, b""), "");
        assert_eq!(text(Some("text/plain"), b"{\"a\":1}"), "{\"a\":1}");
        assert_eq!(text(None, b"\xff"), "\u{fffd}");
    }

    #[tokio::test]
    async fn a_dropped_body_returns_its_bytes_to_the_budget() {
        let budget = budget();
        let body = read(Body::from("12345"), 5, &budget).await.ok().unwrap();
        assert_eq!(budget.available_permits(), ALL_BODIES - 5);
        drop(body);
        assert_eq!(budget.available_permits(), ALL_BODIES);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_or_out_of_room_is_refused() {
        let budget = budget();
        let long = read(Body::from("123456"), 5, &budget).await.err();
        assert_eq!(long, Some(BodyError::TooLong));
        let all = u32::try_from(ALL_BODIES).unwrap();
        let others = budget.try_acquire_many(all).unwrap();
        let crowded = read(Body::from("1"), 5, &budget).await.err();
        assert_eq!(crowded, Some(BodyError::NoRoom));
        drop(others);
        assert_eq!(budget.available_permits(), ALL_BODIES);
    }
}
