//! Who may ask: this page, in a browser on this machine, and nobody who only makes that browser ask.
//!
//! Any site a browser shows can make it send requests to loopback. A name that was rebound to 127.0.0.1 shows in
//! Host; a foreign page that posts shows in Origin, or can't send JSON without asking first, which is not granted.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cross_site::loopback_port;

/// The page's own files and its own events; no other host, no inline script, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Lets through what this page asks, and marks each answer.
pub(super) async fn guard(port: u16, request: Request, next: Next) -> Response {
    let mut response = match judge(port, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => (status, why).into_response(),
    };
    let headers = response.headers_mut();
    let marks: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in marks {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn judge(
    port: u16,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = |host: &str| loopback_port(host) == Some(port);
    if !text(HOST).is_some_and(is_ours) {
        return Err((
            StatusCode::FORBIDDEN,
            "this page goes by its address alone\n",
        ));
    }
    let is_foreign = |origin: &str| !origin.strip_prefix("http://").is_some_and(is_ours);
    if text(ORIGIN).is_some_and(is_foreign) {
        return Err((StatusCode::FORBIDDEN, "another page may not ask this\n"));
    }
    if method == Method::POST && text(CONTENT_TYPE) != Some("application/json") {
        let why = "orders are application/json\n";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: Method, headers: &[(HeaderName, &'static str)]) -> Option<u16> {
        judged_at(8081, method, headers)
    }

    fn judged_at(port: u16, method: Method, headers: &[(HeaderName, &'static str)]) -> Option<u16> {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let judgement = judge(port, &method, &headers.collect());
        judgement.err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn at_the_port_of_http_the_names_stand_alone() {
        for (host, refused) in [
            ("localhost", None),
            ("localhost:8081", Some(403)),
            ("", Some(403)),
        ] {
            assert_eq!(
                judged_at(80, Method::GET, &[(HOST, host)]),
                refused,
                "{host}"
            );
            let alone = judged(Method::GET, &[(HOST, "localhost")]);
            assert_eq!(alone, Some(403));
        }
    }

    #[test]
    fn the_page_gets_in_by_either_of_its_names() {
        for host in ["127.0.0.1:8081", "localhost:8081"] {
            assert_eq!(judged(Method::GET, &[(HOST, host)]), None);
        }
        let order = [
            (HOST, "localhost:8081"),
            (ORIGIN, "http://localhost:8081"),
            (CONTENT_TYPE, "application/json"),
        ];
        assert_eq!(judged(Method::POST, &order), None);
    }

    #[test]
    fn a_name_rebound_to_loopback_does_not_get_in() {
        for host in [
            "evil.example:8081",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:8081.evil.example",
        ] {
            assert_eq!(judged(Method::GET, &[(HOST, host)]), Some(403), "{host}");
        }
        assert_eq!(judged(Method::GET, &[]), Some(403));
    }

    #[test]
    fn another_site_can_not_give_orders() {
        let json = (CONTENT_TYPE, "application/json");
        let host = (HOST, "127.0.0.1:8081");
        for origin in [
            "http://evil.example",
            "null",
            "https://127.0.0.1:8081",
            "http://127.0.0.1",
        ] {
            let order = [host.clone(), (ORIGIN, origin), json.clone()];
            assert_eq!(judged(Method::POST, &order), Some(403), "{origin}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let order = [host.clone(), (CONTENT_TYPE, kind)];
            assert_eq!(judged(Method::POST, &order), Some(415), "{kind}");
        }
        assert_eq!(judged(Method::POST, &[host]), Some(415));
    }
}
