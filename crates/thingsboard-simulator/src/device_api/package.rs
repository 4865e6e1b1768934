//! `GET /{token}/firmware` and `GET /{token}/software`.
//!
//! There is no ETag, and no header with the package's size. ThingsBoard's framework probably takes a `Range` header
//! here (untested); the simulator ignores it.

use super::parameter::{int, query_parameter};
use crate::fault::status_code;
use crate::packages::{Fetched, PackageKind, PackageRequest};
use crate::response::HttpResponse;
use crate::state::State;
use axum::http::StatusCode;

const BINARY: &str = "application/octet-stream";

/// Parses the query's parameters in Spring's order. The error is Spring's message about the first one that is wrong.
pub(super) fn request(kind: PackageKind, query: Option<&str>) -> Result<PackageRequest, String> {
    let required = |name: &str| {
        query_parameter(query, name).ok_or_else(|| {
            format!(
                "Required request parameter '{name}' for method parameter type String is not present"
            )
        })
    };
    Ok(PackageRequest {
        kind,
        title: required("title")?,
        version: required("version")?,
        size: int(query, "size")?,
        chunk: int(query, "chunk")?,
    })
}

/// Responds with the requested part, or with an error without a body.
pub(super) fn get(state: &mut State, device: &str, request: &PackageRequest) -> HttpResponse {
    match state.packages.fetch(device, request) {
        Fetched::Part { bytes, file_name } => HttpResponse {
            file_name: Some(file_name),
            ..HttpResponse::with_body(StatusCode::OK, BINARY, bytes)
        },
        error @ (Fetched::NotFound | Fetched::OtherAssigned | Fetched::Failed) => {
            HttpResponse::empty(status_code(error.status()))
        }
    }
}
