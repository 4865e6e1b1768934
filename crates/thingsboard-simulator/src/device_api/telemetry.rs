//! `POST /{token}/telemetry`.

use super::{Completion, Request};
use crate::directory::OutOfSpace;
use crate::json::{Element, Exception, key_values, long, read};
use crate::response::HttpResponse;
use crate::state::State;
use axum::http::StatusCode;

/// Stores telemetry. All values are converted before the first is stored. An empty array is never answered: ThingsBoard
/// responds when the last of its elements is stored. The servlet container's timeout ends that.
pub(super) fn post(
    state: &mut State,
    device: &str,
    request: &Request<'_>,
) -> Result<Completion, Exception> {
    let entries = entries(request.body, request.now_ms)?;
    if entries.is_empty() {
        return Ok(Completion::unanswered(state, request));
    }
    store(state, device, entries)?;
    Ok(Completion::Now(HttpResponse::empty(StatusCode::OK)))
}

/// Reads an object, `{"ts":…,"values":{…}}`, or an array of either.
pub(crate) fn entries(body: &str, now_ms: u64) -> Result<Vec<Entry>, Exception> {
    let document = read(body)?;
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let mut entries = Vec::new();
    match &document {
        Element::Object(_) => entries.push(entry(&document, now)?),
        Element::Array(elements) => {
            for element in elements {
                if !matches!(element, Element::Object(_)) {
                    return Err(Exception::cannot_parse(element));
                }
                entries.push(entry(element, now)?);
            }
        }
        Element::Null | Element::Boolean(_) | Element::Number(_) | Element::Text(_) => {
            return Err(Exception::cannot_parse(&document));
        }
    }
    Ok(entries)
}

/// Stores what [`entries`] has read.
pub(crate) fn store(
    state: &mut State,
    device: &str,
    entries: Vec<Entry>,
) -> Result<(), OutOfSpace> {
    for (ts, values) in entries {
        state.directory.set_telemetry(device, ts, values)?;
    }
    Ok(())
}

/// A time in milliseconds since the Unix epoch, and the values.
pub(crate) type Entry = (i64, Vec<(String, Element)>);

/// The timestamp and values of one object. It has a timestamp only with **both** `ts` and `values`; either of them
/// alone is an ordinary key.
fn entry(element: &Element, now: i64) -> Result<Entry, Exception> {
    match (element.get("ts"), element.get("values")) {
        (Some(ts), Some(values)) => Ok((long(ts)?, key_values(values)?)),
        _ => Ok((now, key_values(element)?)),
    }
}
