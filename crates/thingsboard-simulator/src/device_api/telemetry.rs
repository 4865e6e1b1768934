//! `POST /{token}/telemetry`.

use super::Request;
use crate::json::{Element, Exception, key_values, read};
use crate::response::HttpResponse;
use crate::state::State;
use axum::http::StatusCode;

/// Accepts an object, `{"ts":…,"values":{…}}`, or an array of either. All values are converted before the first is
/// stored.
pub(super) fn post(
    state: &mut State,
    device: &str,
    request: &Request<'_>,
) -> Result<HttpResponse, Exception> {
    let document = read(request.body)?;
    let now = i64::try_from(request.now_ms).unwrap_or(i64::MAX);
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
    for (ts, values) in entries {
        state.directory.set_telemetry(device, ts, values)?;
    }
    Ok(HttpResponse::empty(StatusCode::OK))
}

type Entry = (i64, Vec<(String, Element)>);

/// The timestamp and values of one object. It has a timestamp only with **both** `ts` and `values`; either of them
/// alone is an ordinary key.
fn entry(element: &Element, now: i64) -> Result<Entry, Exception> {
    match (element.get("ts"), element.get("values")) {
        (Some(ts), Some(values)) => {
            let ts = ts.as_long().ok_or(Exception::Other)?;
            Ok((ts, key_values(values)?))
        }
        _ => Ok((now, key_values(element)?)),
    }
}
