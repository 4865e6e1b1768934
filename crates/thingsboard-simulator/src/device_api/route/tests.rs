use super::*;

fn routed(method: &Method, path: &str, body: &str) -> Route {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    route(&Request {
        method,
        path,
        query,
        body,
        accepts_json: false,
        now_ms: 0,
    })
}

fn status(method: &Method, path: &str, body: &str) -> u16 {
    match routed(method, path, body) {
        Route::Respond(answer) => answer.status.as_u16(),
        other @ (Route::Found { .. } | Route::Provision) => panic!("{path}: {other:?}"),
    }
}

#[test]
fn every_uplink_endpoint_is_found() {
    for (method, path, endpoint) in [
        (
            Method::GET,
            "/api/v1/t/attributes",
            Endpoint::ReadAttributes,
        ),
        (
            Method::HEAD,
            "/api/v1/t/attributes",
            Endpoint::ReadAttributes,
        ),
        (
            Method::POST,
            "/api/v1/t/attributes",
            Endpoint::WriteAttributes,
        ),
        (Method::POST, "/api/v1/t/telemetry", Endpoint::Telemetry),
        (Method::POST, "/api/v1/t/claim", Endpoint::Claim),
        (Method::POST, "/api/v1/t/rpc", Endpoint::ClientRpc),
        (
            Method::POST,
            "/api/v1/t/rpc/17",
            Endpoint::RpcReply { id: 17 },
        ),
    ] {
        let token = "t".to_owned();
        assert_eq!(
            routed(&method, path, "{}"),
            Route::Found { token, endpoint },
            "{method} {path}"
        );
    }
    assert_eq!(
        routed(&Method::POST, "/api/v1/provision", "{}"),
        Route::Provision
    );
}

#[test]
fn an_unknown_path_is_404() {
    for path in [
        "/",
        "/api/v1",
        "/api/v1/t",
        "/api/v1/t/nonsense",
        "/api/v1/t/telemetry/",
        "/api/v1/t/rpc/1/2",
        "/api/v1/t/Telemetry",
        "/fw/t",
    ] {
        assert_eq!(status(&Method::POST, path, "{}"), 404, "{path}");
    }
}

#[test]
fn a_wrong_method_is_405_with_the_allowed_ones() {
    let Route::Respond(answer) = routed(&Method::PUT, "/api/v1/t/attributes", "{}") else {
        panic!("found");
    };
    assert_eq!(answer.status.as_u16(), 405);
    assert_eq!(answer.allow, Some("GET,HEAD,POST,OPTIONS"));
    assert_eq!(status(&Method::GET, "/api/v1/provision", ""), 405);
    assert_eq!(status(&Method::GET, "/api/v1/t/telemetry", ""), 405);
}

#[test]
fn a_package_request_has_title_version_and_part() {
    let routed = |path: &str| routed(&Method::GET, &format!("/api/v1/t/{path}"), "");
    let package = |kind, title: &str, size, chunk| Route::Found {
        token: "t".to_owned(),
        endpoint: Endpoint::Package(PackageRequest {
            kind,
            title: title.to_owned(),
            version: "1.0".to_owned(),
            size,
            chunk,
        }),
    };
    let firmware = |title, size, chunk| package(PackageKind::Firmware, title, size, chunk);
    for (path, expected) in [
        ("firmware?title=a&version=1.0", firmware("a", 0, 0)),
        ("firmware?title=&version=1.0", firmware("", 0, 0)),
        (
            "firmware?chunk=3&size=1024&version=1.0&title=a%20b+%2F",
            firmware("a b /", 1024, 3),
        ),
        (
            "firmware?title=a&title=b&version=1.0&size=&chunk=0x10",
            firmware("a,b", 0, 16),
        ),
        (
            "software?title=a&version=1.0&size=-1",
            package(PackageKind::Software, "a", -1, 0),
        ),
    ] {
        assert_eq!(routed(path), expected, "{path}");
    }
}

#[test]
fn a_wrong_parameter_of_a_package_request_is_400_and_named() {
    for (query, name) in [
        ("", "'title'"),
        ("?version=1", "'title'"),
        ("?title=a", "'version'"),
        ("?title=a&version=1&size=x", "'size'"),
        ("?title=a&version=1&size=2147483648", "'size'"),
        ("?title=a&version=1&size=1&chunk=1.5", "'chunk'"),
    ] {
        let path = format!("/api/v1/t/firmware{query}");
        let Route::Respond(answer) = routed(&Method::GET, &path, "") else {
            panic!("{query}: found");
        };
        assert_eq!(answer.status.as_u16(), 400, "{query}");
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(
            text.contains(name) && text.contains(r#""errorCode":31"#),
            "{text}"
        );
    }
}

#[test]
fn a_body_is_required_everywhere_but_for_claim() {
    for path in [
        "t/telemetry",
        "t/attributes",
        "t/rpc",
        "t/rpc/1",
        "provision",
    ] {
        let path = format!("/api/v1/{path}");
        assert_eq!(status(&Method::POST, &path, ""), 400, "{path}");
    }
    assert!(matches!(
        routed(&Method::POST, "/api/v1/t/claim", ""),
        Route::Found { .. }
    ));
}

#[test]
fn an_rpc_id_is_an_integer_in_any_form_spring_takes() {
    for id in ["0", "-1", "+5", "0x1F", "2147483647", "%201"] {
        let path = format!("/api/v1/t/rpc/{id}");
        let found = matches!(routed(&Method::POST, &path, "x"), Route::Found { .. });
        assert!(found, "{id}");
    }
    for id in ["x", "1.0", "2147483648", "0x"] {
        let path = format!("/api/v1/t/rpc/{id}");
        assert_eq!(status(&Method::POST, &path, "x"), 400, "{id}");
    }
}

#[test]
fn a_polls_timeout_is_a_long_in_any_form_spring_takes() {
    for (query, expected) in [
        ("", 0),
        ("?timeout=", 0),
        ("?timeout=25000", 25_000),
        ("?timeout=-1", -1),
        ("?timeout=0x10", 16),
        ("?timeout=1&timeout=2", 1),
        ("?timeout=9223372036854775807", i64::MAX),
    ] {
        for (path, kind) in [
            ("rpc", PollKind::Rpc),
            ("attributes/updates", PollKind::Attributes),
        ] {
            let found = routed(&Method::GET, &format!("/api/v1/t/{path}{query}"), "");
            let endpoint = Endpoint::Poll {
                kind,
                timeout_ms: expected,
            };
            let token = "t".to_owned();
            assert_eq!(found, Route::Found { token, endpoint }, "{query}");
        }
    }
    for value in ["soon", "1.5", "9223372036854775808", "+", "1,2"] {
        let path = format!("/api/v1/t/rpc?timeout={value}");
        assert_eq!(status(&Method::GET, &path, ""), 400, "{value}");
    }
}

#[test]
fn polls_are_recognised_by_method_and_path() {
    for (method, path, expected) in [
        (Method::GET, "/api/v1/t/rpc", true),
        (Method::GET, "/api/v1/t/attributes/updates", true),
        (Method::POST, "/api/v1/t/rpc", false),
        (Method::GET, "/api/v1/t/attributes", false),
        (Method::GET, "/api/v1/t/rpc/1", false),
    ] {
        assert_eq!(is_poll(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn paths_that_the_firewall_blocks_are_400() {
    for path in [
        "/api/v1/a%2Fb/telemetry",
        "/api/v1/a%25b/telemetry",
        "/api/v1/a;b/telemetry",
        "/api/v1//telemetry",
        "/api/v1/../telemetry",
        "/api/v1/%zz/telemetry",
        "/api/v1/t/attributes?clientKeys=[a]",
    ] {
        assert_eq!(status(&Method::POST, path, "{}"), 400, "{path}");
    }
}

#[test]
fn a_token_is_percent_decoded() {
    let Route::Found { token, .. } = routed(&Method::POST, "/api/v1/a%20b%C3%A9+c/claim", "")
    else {
        panic!("not found");
    };
    assert_eq!(token, "a bé+c");
}

#[test]
fn a_redacted_path_has_no_token() {
    for (path, expected) in [
        ("/api/v1/t/rpc/1", "/api/v1/{token}/rpc/1"),
        ("/api/v1/t", "/api/v1/{token}"),
        ("/api/v1/provision", "/api/v1/provision"),
        ("/elsewhere", "/elsewhere"),
    ] {
        assert_eq!(redacted_path(path), expected);
    }
}
