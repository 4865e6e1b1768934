//! Reading a request's body within bounds, and what Spring makes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes, HttpBody};

use super::device_api::form_decoded;
use super::state::Shared;

/// `transport.http.max_payload_size` for `/api/v1/*/rpc/**`.
const RPC_LIMIT: u64 = 65_536;
/// `transport.http.max_payload_size` for the rest of `/api/v1/**`, and our bound on what chunked bodies (which
/// ThingsBoard does not check) may take up.
pub(super) const LIMIT: u64 = 52_428_800;
/// Bodies of all requests together. ThingsBoard has a heap instead.
const ALL_BODIES: usize = 256 * 1024 * 1024;
/// Tomcat's `maxSwallowSize`: of a refused body this much is read, so that the client sees the answer.
const SWALLOW: usize = 2 * 1024 * 1024;

/// Why a body is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than the limit.
    TooLong,
    /// All bodies together have reached their bound.
    NoRoom,
    /// The client broke off, or its framing is no HTTP.
    Broken,
}

/// A body in memory; the room it takes is given back when it goes.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: Room,
}

/// The limit `PayloadSizeFilter` holds a `Content-Length` against: the first pattern that matches wins.
pub(super) fn payload_limit(path: &str) -> Option<u64> {
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
pub(super) async fn read(body: Body, limit: u64, shared: &Arc<Shared>) -> Result<Held, BodyError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = body;
    let mut room = Room {
        shared: Arc::clone(shared),
        taken: 0,
    };
    let mut bytes = Vec::new();
    while let Some(data) = next(&mut body).await? {
        if bytes.len() + data.len() > limit {
            drop(bytes);
            swallow(body).await;
            return Err(BodyError::TooLong);
        }
        room.take(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Held {
        bytes: Bytes::from(bytes),
        _room: room,
    })
}

/// Reads what is left of a refused body, up to a bound.
pub(super) async fn swallow(mut body: Body) {
    let mut swallowed = 0;
    while let Ok(Some(data)) = next(&mut body).await {
        swallowed += data.len();
        if swallowed > SWALLOW {
            break;
        }
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => {
                // Trailers are not data.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

struct Room {
    shared: Arc<Shared>,
    taken: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.taken += bytes;
        let before = self.shared.buffered.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes > ALL_BODIES {
            return Err(BodyError::NoRoom);
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.buffered.fetch_sub(self.taken, Ordering::AcqRel);
    }
}

/// The body as the `String` that Spring hands a controller.
///
/// A form (which is what curl's `-d` sends unless told otherwise) is taken apart into parameters by Tomcat and put
/// together again by Spring, percent-encoded: JSON does not survive that.
pub(super) fn text(content_type: Option<&str>, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let media_type = content_type.unwrap_or_default().trim_start();
    let form = "application/x-www-form-urlencoded";
    let is_form = media_type
        .get(..form.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(form));
    if !is_form {
        return text;
    }
    let parameters: Vec<String> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let encoded = |part: &str| form_encoded(&form_decoded(part));
            format!("{}={}", encoded(name), encoded(value))
        })
        .collect();
    parameters.join("&")
}

/// `java.net.URLEncoder`.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
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
    fn a_form_comes_out_percent_encoded() {
        let form = Some("application/x-www-form-urlencoded; charset=UTF-8");
        assert_eq!(text(form, b"{\"a\":1}"), "%7B%22a%22%3A1%7D=");
        assert_eq!(text(form, b""), "");
        assert_eq!(text(Some("text/plain"), b"{\"a\":1}"), "{\"a\":1}");
        assert_eq!(text(None, b"\xff"), "\u{fffd}");
    }

    #[tokio::test]
    async fn a_body_gives_its_room_back() {
        let shared = Arc::new(Shared::new());
        let held = read(Body::from("12345"), 5, &shared).await.ok().unwrap();
        assert_eq!(shared.buffered.load(Ordering::Acquire), 5);
        drop(held);
        assert_eq!(shared.buffered.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_or_out_of_room_is_refused() {
        let shared = Arc::new(Shared::new());
        let long = read(Body::from("123456"), 5, &shared).await.err();
        assert_eq!(long, Some(BodyError::TooLong));
        shared.buffered.store(ALL_BODIES, Ordering::Release);
        let crowded = read(Body::from("1"), 5, &shared).await.err();
        assert_eq!(crowded, Some(BodyError::NoRoom));
        assert_eq!(shared.buffered.load(Ordering::Acquire), ALL_BODIES);
    }
}
