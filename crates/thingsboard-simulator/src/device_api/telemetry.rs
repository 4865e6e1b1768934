//! `POST /{token}/telemetry`.

use super::{HandlerError, Request};
use crate::json::{Element, ShapeError, key_values, read};
use crate::response::HttpResponse;
use crate::state::State;
use axum::http::StatusCode;

/// An object, `{"ts":…,"values":{…}}`, or an array of either. All of it is converted before any of it is kept.
pub(super) fn post(
    state: &mut State,
    device: &str,
    request: &Request<'_>,
) -> Result<HttpResponse, HandlerError> {
    let document = read(request.body)?;
    let now = i64::try_from(request.now_ms).unwrap_or(i64::MAX);
    let mut entries = Vec::new();
    match &document {
        Element::Object(_) => entries.push(entry(&document, now)?),
        Element::Array(elements) => {
            for element in elements {
                if !matches!(element, Element::Object(_)) {
                    return Err(ShapeError::cannot_parse(element).into());
                }
                entries.push(entry(element, now)?);
            }
        }
        Element::Null | Element::Boolean(_) | Element::Number(_) | Element::Text(_) => {
            return Err(ShapeError::cannot_parse(&document).into());
        }
    }
    for (ts, values) in entries {
        state.directory.set_telemetry(device, ts, values)?;
    }
    Ok(HttpResponse::empty(StatusCode::OK))
}

type Entry = (i64, Vec<(String, Element)>);

/// Timestamped only with **both** `ts` and `values`; either of them alone is an ordinary key.
fn entry(element: &Element, now: i64) -> Result<Entry, ShapeError> {
    match (element.get("ts"), element.get("values")) {
        (Some(ts), Some(values)) => {
            let ts = ts.as_long().ok_or(ShapeError::Other)?;
            Ok((ts, key_values(values)?))
        }
        _ => Ok((now, key_values(element)?)),
    }
}
