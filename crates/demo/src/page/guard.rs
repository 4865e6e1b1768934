//! Allows requests of the demo's own page in a browser on this machine, and of no other site.
//!
//! Any site can make a browser send requests to loopback. A name that was rebound to 127.0.0.1 is seen in Host. A POST
//! of another site is seen in Origin, or can't be JSON without a CORS preflight, which is refused.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cross_site::loopback_port;

/// Allows the page's own files and events: no other host, no inline script, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Rejects other sites' requests, and adds the security headers to each response.
pub(super) async fn guard(port: u16, request: Request, next: Next) -> Response {
    let mut response = match check(port, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, reason)) => (status, reason).into_response(),
    };
    let headers = response.headers_mut();
    let added: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in added {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(
    port: u16,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_own_host = |host: &str| loopback_port(host) == Some(port);
    if !text(HOST).is_some_and(is_own_host) {
        return Err((
            StatusCode::FORBIDDEN,
            "the Host header must be the address of this page\n",
        ));
    }
    let is_foreign = |origin: &str| !origin.strip_prefix("http://").is_some_and(is_own_host);
    if text(ORIGIN).is_some_and(is_foreign) {
        return Err((
            StatusCode::FORBIDDEN,
            "requests of other sites are refused\n",
        ));
    }
    if method == Method::POST && text(CONTENT_TYPE) != Some("application/json") {
        let reason = "the body must be application/json\n";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, headers: &[(HeaderName, &'static str)]) -> Option<u16> {
        status_at(8081, method, headers)
    }

    fn status_at(port: u16, method: Method, headers: &[(HeaderName, &'static str)]) -> Option<u16> {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let result = check(port, &method, &headers.collect());
        result.err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn at_port_80_the_host_has_no_port() {
        for (host, refused) in [
            ("localhost", None),
            ("localhost:8081", Some(403)),
            ("", Some(403)),
        ] {
            assert_eq!(
                status_at(80, Method::GET, &[(HOST, host)]),
                refused,
                "{host}"
            );
            let alone = status(Method::GET, &[(HOST, "localhost")]);
            assert_eq!(alone, Some(403));
        }
    }

    #[test]
    fn the_page_is_allowed_under_either_of_its_names() {
        for host in ["127.0.0.1:8081", "localhost:8081"] {
            assert_eq!(status(Method::GET, &[(HOST, host)]), None);
        }
        let post = [
            (HOST, "localhost:8081"),
            (ORIGIN, "http://localhost:8081"),
            (CONTENT_TYPE, "application/json"),
        ];
        assert_eq!(status(Method::POST, &post), None);
    }

    #[test]
    fn a_name_that_is_rebound_to_loopback_is_refused() {
        for host in [
            "evil.example:8081",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:8081.evil.example",
        ] {
            assert_eq!(status(Method::GET, &[(HOST, host)]), Some(403), "{host}");
        }
        assert_eq!(status(Method::GET, &[]), Some(403));
    }

    #[test]
    fn posts_of_another_site_are_refused() {
        let json = (CONTENT_TYPE, "application/json");
        let host = (HOST, "127.0.0.1:8081");
        for origin in [
            "http://evil.example",
            "null",
            "https://127.0.0.1:8081",
            "http://127.0.0.1",
        ] {
            let post = [host.clone(), (ORIGIN, origin), json.clone()];
            assert_eq!(status(Method::POST, &post), Some(403), "{origin}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let post = [host.clone(), (CONTENT_TYPE, kind)];
            assert_eq!(status(Method::POST, &post), Some(415), "{kind}");
        }
        assert_eq!(status(Method::POST, &[host]), Some(415));
    }
}
