//! `/simulator/arrivals`: the requests that arrived at the device API.

use super::extract::Params;
use super::{ApiError, JsonLine, NO_CONTENT, NoContent};
use crate::arrival::Arrival;
use crate::control::Control;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// A page of arrivals ends when their bodies reach this many bytes.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
pub(super) struct Selection {
    /// The most arrivals to list, 1000 at most.
    #[serde(default = "default_limit")]
    limit: usize,
    /// List the first ones after this sequence number, instead of the latest.
    after: Option<u64>,
    /// List those of one device.
    device: Option<String>,
    /// List polls as well.
    polls: Option<String>,
}

fn default_limit() -> usize {
    100
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    arrived: u64,
    dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    polled: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_polls: Option<u64>,
    /// Oldest first.
    arrivals: Vec<&'a Arrival>,
}

pub(super) async fn list(
    control: Control,
    Params(selection): Params<Selection>,
) -> Result<Response, ApiError> {
    if selection.limit > 1000 {
        return Err(ApiError::bad_request(
            "limit is at most 1000: go on with after=<sequence>",
        ));
    }
    let state = control.0.lock();
    let requests = state.arrivals.requests();
    let polls = selection.polls.map(|_| state.arrivals.polls());
    let selected = |arrival: &&Arrival| {
        selection.after.is_none_or(|after| arrival.sequence > after)
            && (selection.device.is_none() || arrival.device == selection.device)
    };
    let mut found: Vec<&Arrival> = requests.iter().filter(selected).collect();
    if let Some(polls) = polls {
        found.extend(polls.iter().filter(selected));
        found.sort_by_key(|arrival| arrival.sequence);
    }
    let mut bytes = 0;
    let fits = |arrival: &&Arrival| {
        bytes += arrival.body.len();
        bytes <= MAX_PAGE_BYTES
    };
    let found = found.into_iter();
    let arrivals = if selection.after.is_some() {
        found.take(selection.limit).take_while(fits).collect()
    } else {
        let latest = found.rev().take(selection.limit).take_while(fits);
        let mut latest: Vec<&Arrival> = latest.collect();
        latest.reverse();
        latest
    };
    let page = Page {
        arrived: requests.total(),
        dropped: requests.dropped(),
        polled: polls.map(|polls| polls.total()),
        dropped_polls: polls.map(|polls| polls.dropped()),
        arrivals,
    };
    Ok(JsonLine(page).into_response())
}

pub(super) async fn clear(control: Control) -> NoContent {
    control.clear_arrivals();
    NO_CONTENT
}
