//! `GET` and `POST /{token}/attributes`.

use super::{Request, query_parameter};
use crate::directory::Scope;
use crate::json::{Element, Exception, key_values, read};
use crate::response::{HttpResponse, JSON};
use crate::state::State;
use axum::http::StatusCode;
use std::collections::BTreeMap;

/// Sets client attributes, from one flat object.
pub(super) fn post(
    state: &mut State,
    device: &str,
    request: &Request<'_>,
) -> Result<HttpResponse, Exception> {
    let document = read(request.body)?;
    if !matches!(document, Element::Object(_)) {
        return Err(Exception::cannot_parse(&document));
    }
    let values = key_values(&document)?;
    state
        .directory
        .set_attributes(device, Scope::Client, values)?;
    Ok(HttpResponse::empty(StatusCode::OK))
}

/// Responds with `{"client":{…},"shared":{…}}`. Without key lists all attributes are read, with one list only those of
/// its scope. A scope without attributes is left out, so the response may be `{}`; so it is when ThingsBoard's
/// attribute store fails.
pub(super) fn get(
    state: &mut State,
    device: &str,
    request: &Request<'_>,
) -> Result<HttpResponse, Exception> {
    if state.attribute_store_fails > 0 {
        state.attribute_store_fails -= 1;
        return Ok(HttpResponse::with_body(StatusCode::OK, JSON, "{}"));
    }
    let client = keys(request, "clientKeys");
    let shared = keys(request, "sharedKeys");
    let all = client.is_empty() && shared.is_empty();
    let Some(device) = state.directory.get(device) else {
        return Err(Exception::Other);
    };
    let mut scopes = Vec::new();
    for (scope, keys) in [(Scope::Client, client), (Scope::Shared, shared)] {
        let found = if all {
            element(device.attributes(scope))
        } else {
            pick(device.attributes(scope), &keys)
        };
        if found != Element::Object(Vec::new()) {
            scopes.push((scope.name().to_owned(), found));
        }
    }
    let body = Element::Object(scopes).to_string();
    Ok(HttpResponse::with_body(StatusCode::OK, JSON, body))
}

/// Java's `split(",")`: empty keys at the end are dropped, none is trimmed.
fn keys(request: &Request<'_>, name: &str) -> Vec<String> {
    let list = query_parameter(request.query, name).unwrap_or_default();
    let list = list.trim_end_matches(',');
    if list.is_empty() {
        return Vec::new();
    }
    list.split(',').map(str::to_owned).collect()
}

/// The attributes of a scope as one JSON object.
pub(crate) fn element(attributes: &BTreeMap<String, Element>) -> Element {
    let members = attributes
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    Element::Object(members.collect())
}

/// The attributes of these keys.
fn pick(attributes: &BTreeMap<String, Element>, keys: &[String]) -> Element {
    let mut members: Vec<(String, Element)> = Vec::new();
    for key in keys {
        if let Some(value) = attributes.get(key)
            && !members.iter().any(|(known, _)| known == key)
        {
            members.push((key.clone(), value.clone()));
        }
    }
    Element::Object(members)
}
