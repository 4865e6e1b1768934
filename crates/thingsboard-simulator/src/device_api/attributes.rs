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
    let values = values(request.body)?;
    state
        .directory
        .set_attributes(device, Scope::Client, values)?;
    Ok(HttpResponse::empty(StatusCode::OK))
}

/// Reads client attributes.
pub(crate) fn values(body: &str) -> Result<Vec<(String, Element)>, Exception> {
    let document = read(body)?;
    if !matches!(document, Element::Object(_)) {
        return Err(Exception::cannot_parse(&document));
    }
    key_values(&document)
}

/// Responds with [`selected`] attributes; with `{}` when ThingsBoard's attribute store fails.
pub(super) fn get(
    state: &mut State,
    device: &str,
    request: &Request<'_>,
) -> Result<HttpResponse, Exception> {
    if state.attribute_store_fails > 0 {
        state.attribute_store_fails -= 1;
        return Ok(HttpResponse::with_body(StatusCode::OK, JSON, "{}"));
    }
    let keys = |name: &str| split(&query_parameter(request.query, name).unwrap_or_default());
    let found = selected(state, device, &keys("clientKeys"), &keys("sharedKeys"));
    let body = found.ok_or(Exception::Other)?.to_string();
    Ok(HttpResponse::with_body(StatusCode::OK, JSON, body))
}

/// `{"client":{…},"shared":{…}}`. Without keys all attributes are read, with those of one scope only that scope. A scope
/// without attributes is left out, so it may be `{}`. `None` for an unknown device.
pub(crate) fn selected(
    state: &State,
    device: &str,
    client: &[String],
    shared: &[String],
) -> Option<Element> {
    let all = client.is_empty() && shared.is_empty();
    let device = state.directory.get(device)?;
    let mut scopes = Vec::new();
    for (scope, keys) in [(Scope::Client, client), (Scope::Shared, shared)] {
        let found = if all {
            element(device.attributes(scope))
        } else {
            pick(device.attributes(scope), keys)
        };
        if found != Element::Object(Vec::new()) {
            scopes.push((scope.name().to_owned(), found));
        }
    }
    Some(Element::Object(scopes))
}

/// Java's `split(",")`, but without a key for empty text: empty keys at the end are dropped, none is trimmed.
pub(crate) fn split(list: &str) -> Vec<String> {
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
