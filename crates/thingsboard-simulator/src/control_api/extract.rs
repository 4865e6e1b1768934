//! Extractors: what a control reads from its request. All of them reject with an [`ApiError`].

use super::ApiError;
use crate::body::{self, BodyError, BufferedBody};
use crate::packages::MAX_PACKAGE_BYTES;
use crate::state::Shared;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The longest body of a control that is not a package.
const MAX_BODY: usize = 1024 * 1024;

/// The variable segments of the path, percent-decoded.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        path.map(|Path(parameters)| Segments(parameters))
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))
    }
}

pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(parameters)| Params(parameters))
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))
    }
}

/// The JSON that a control takes. Unknown fields are errors: a misspelt fault would never fire.
pub(super) trait Input: DeserializeOwned {
    /// Shown in the error for another body.
    const EXAMPLE: &str;

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "the body is not as expected ({error}); for example {}",
                Self::EXAMPLE
            )
        })
    }
}

/// A JSON body of any content type: `curl -d` calls it a form.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: Input> FromRequest<Arc<Shared>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let body = read(request, MAX_BODY, shared).await?;
        Ok(JsonBody(T::parse(&body.bytes)?))
    }
}

/// A body of UTF-8.
pub(super) struct TextBody(pub(super) String);

impl FromRequest<Arc<Shared>> for TextBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let body = read(request, MAX_BODY, shared).await?;
        match std::str::from_utf8(&body.bytes) {
            Ok(text) => Ok(TextBody(text.to_owned())),
            Err(_) => Err(ApiError::bad_request("the body is not UTF-8")),
        }
    }
}

/// A body that is a package.
pub(super) struct PackageBody(pub(super) Bytes);

impl FromRequest<Arc<Shared>> for PackageBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let body = read(request, MAX_PACKAGE_BYTES, shared).await?;
        // A copy of the right size: the buffer it was read into may be twice as large.
        Ok(PackageBody(Bytes::copy_from_slice(&body.bytes)))
    }
}

async fn read(
    request: Request,
    limit: usize,
    shared: &Arc<Shared>,
) -> Result<BufferedBody, ApiError> {
    let too_long = || ApiError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        reason: format!("this control takes at most {limit} bytes"),
    };
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let body = request.into_body();
    if announced.is_some_and(|length| length > limit) {
        body::drain(body).await;
        return Err(too_long());
    }
    body::read(body, limit, &shared.body_budget)
        .await
        .map_err(|error| match error {
            BodyError::TooLong => too_long(),
            BodyError::NoRoom => ApiError {
                status: StatusCode::SERVICE_UNAVAILABLE,
                reason: "too many request bodies are held at once, try again".to_owned(),
            },
            BodyError::Broken => ApiError::bad_request("the body broke off"),
        })
}

/// A duration in milliseconds, of a day at most.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub(super) struct Milliseconds(pub(super) Duration);

impl TryFrom<u64> for Milliseconds {
    type Error = String;

    fn try_from(ms: u64) -> Result<Milliseconds, String> {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        if ms > DAY {
            return Err(format!("{ms} ms are more than a day ({DAY})"));
        }
        Ok(Milliseconds(Duration::from_millis(ms)))
    }
}

impl From<Milliseconds> for u64 {
    fn from(Milliseconds(duration): Milliseconds) -> u64 {
        crate::clock::in_ms(duration)
    }
}
