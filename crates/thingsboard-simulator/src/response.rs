//! ThingsBoard's HTTP responses, in the shapes of the monolith.

use axum::body::{Body, Bytes};
use axum::http::header::{ALLOW, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use std::sync::Arc;

/// Spring's content type for a `String` body, unless the client accepts only another.
pub(super) const TEXT: &str = "text/plain;charset=UTF-8";
pub(super) const JSON: &str = "application/json";

/// The header in which ThingsBoard repeats the file name of `Content-Disposition`.
const FILE_NAME: HeaderName = HeaderName::from_static("x-filename");

/// An HTTP response. Its body is small or shared, so it is held whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    pub(super) body: Bytes,
    /// The `Allow` header of a 405 and of `OPTIONS`.
    pub(super) allow: Option<&'static str>,
    /// The file name of a package.
    pub(super) file_name: Option<Arc<str>>,
}

/// The values of `ThingsboardErrorCode` that the device API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    General,
    BadRequestParams,
    ItemNotFound,
}

impl ErrorCode {
    fn number(self) -> u8 {
        match self {
            ErrorCode::General => 2,
            ErrorCode::BadRequestParams => 31,
            ErrorCode::ItemNotFound => 32,
        }
    }
}

impl HttpResponse {
    /// A response without a body.
    pub(super) fn empty(status: StatusCode) -> HttpResponse {
        HttpResponse {
            status,
            content_type: None,
            body: Bytes::new(),
            allow: None,
            file_name: None,
        }
    }

    pub(super) fn with_body(
        status: StatusCode,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> HttpResponse {
        HttpResponse {
            content_type: Some(content_type.to_owned()),
            body: body.into(),
            ..HttpResponse::empty(status)
        }
    }

    /// The monolith's error JSON (`ThingsboardErrorResponse`); `message` may be null, as for 503.
    pub(super) fn error(
        status: StatusCode,
        message: Option<&str>,
        code: ErrorCode,
        now_ms: u64,
    ) -> HttpResponse {
        let message = serde_json::Value::from(message);
        let body = format!(
            r#"{{"status":{},"message":{message},"errorCode":{},"timestamp":{now_ms}}}"#,
            status.as_u16(),
            code.number(),
        );
        HttpResponse::with_body(status, JSON, body)
    }

    /// The 413 of `PayloadSizeFilter`: a JSON *string*, without a content type.
    pub(super) fn too_large(limit: usize) -> HttpResponse {
        HttpResponse {
            content_type: None,
            ..HttpResponse::with_body(
                StatusCode::PAYLOAD_TOO_LARGE,
                TEXT,
                format!("\"Payload size exceeds the limit {limit}\""),
            )
        }
    }

    /// The monolith's response to the servlet container's asynchronous timeout.
    pub(super) fn asynchronous_timeout(now_ms: u64) -> HttpResponse {
        HttpResponse::error(
            StatusCode::SERVICE_UNAVAILABLE,
            None,
            ErrorCode::General,
            now_ms,
        )
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(Ok(value)) = self.content_type.map(HeaderValue::try_from) {
            headers.insert(CONTENT_TYPE, value);
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(name) = self.file_name {
            let disposition = format!("attachment;filename={name}");
            for (header, value) in [
                (CONTENT_DISPOSITION, disposition.as_str()),
                (FILE_NAME, &name),
            ] {
                if let Ok(value) = HeaderValue::from_str(value) {
                    headers.insert(header, value);
                }
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_monoliths_four_fields() {
        let response = HttpResponse::error(
            StatusCode::BAD_REQUEST,
            Some("say \"x\""),
            ErrorCode::BadRequestParams,
            17,
        );
        assert_eq!(
            response.body,
            r#"{"status":400,"message":"say \"x\"","errorCode":31,"timestamp":17}"#
        );
    }

    #[test]
    fn a_timeout_of_the_container_has_no_message() {
        assert_eq!(
            HttpResponse::asynchronous_timeout(17).body,
            r#"{"status":503,"message":null,"errorCode":2,"timestamp":17}"#
        );
    }
}
