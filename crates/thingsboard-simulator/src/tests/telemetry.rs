use super::{TOKEN, start};
use serde_json::json;

#[tokio::test]
async fn telemetry_is_200_and_empty_and_arrives_as_sent() {
    let server = start().await;
    let reply = server.post("telemetry", "{ temperature : 25 }").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));

    let arrivals = server.control.arrivals();
    assert_eq!(arrivals.len(), 1);
    let arrival = &arrivals[0];
    assert_eq!(arrival.body, "{ temperature : 25 }");
    assert_eq!(arrival.device.as_deref(), Some("meter"));
    assert_eq!(arrival.path, "/api/v1/{token}/telemetry");
    assert_eq!(arrival.content_type.as_deref(), Some("application/json"));
    assert_eq!(arrival.status, Some(200));
    assert!(arrival.received_ms > 1_600_000_000_000);
    let (ts, value) = server
        .control
        .latest_telemetry("meter", "temperature")
        .unwrap();
    assert_eq!(value, json!(25));
    assert_eq!(u64::try_from(ts).unwrap(), arrival.received_ms);
}

#[tokio::test]
async fn all_three_shapes_of_telemetry_are_kept() {
    let server = start().await;
    for body in [
        r#"{"a":"1.5"}"#,
        r#"{"ts":1700000000000,"values":{"b":true}}"#,
        r#"[{"c":1},{"ts":"1700000000001","values":{"d":[1]}}]"#,
        "{}",
    ] {
        assert_eq!(server.post("telemetry", body).await.status, 200, "{body}");
    }
    let latest = |key| server.control.latest_telemetry("meter", key).unwrap();
    assert_eq!(latest("a").1, json!(1.5));
    assert_eq!(latest("b"), (1_700_000_000_000, json!(true)));
    assert_eq!(latest("c").1, json!(1));
    assert_eq!(latest("d"), (1_700_000_000_001, json!([1])));
}

#[tokio::test]
async fn an_object_is_timestamped_only_with_both_ts_and_values() {
    let server = start().await;
    assert_eq!(server.post("telemetry", r#"{"ts":5}"#).await.status, 200);
    assert_eq!(
        server
            .post("telemetry", r#"{"values":{"x":1}}"#)
            .await
            .status,
        200
    );
    let latest = |key| server.control.latest_telemetry("meter", key).unwrap().1;
    assert_eq!(latest("ts"), json!(5));
    assert_eq!(latest("values"), json!({"x": 1}));
}

#[tokio::test]
async fn json_that_cannot_be_parsed_is_500_with_gsons_text() {
    let server = start().await;
    let reply = server.post("telemetry", r#"{"a":1"#).await;
    assert_eq!(reply.status, 500);
    assert_eq!(
        reply.body,
        "java.io.EOFException: End of input at line 1 column 7 path $.a"
    );
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain;charset=UTF-8")
    );
    let reply = server.post("telemetry", r#"{"a" 1}"#).await;
    assert_eq!(reply.status, 500);
    let expected =
        "com.google.gson.stream.MalformedJsonException: Expected ':' at line 1 column 7 path $.a\n";
    assert!(reply.body.starts_with(expected), "{}", reply.body);
}

#[tokio::test]
async fn json_of_the_wrong_shape_is_500_with_text_or_without() {
    let server = start().await;
    for (body, text) in [
        ("25", "Can't parse value: 25"),
        ("hello", "Can't parse value: \"hello\""),
        (" ", "Can't parse value: null"),
        ("[1]", "Can't parse value: 1"),
        ("[{a:1},null]", "Can't parse value: null"),
        ("{ts:1,values:[]}", ""),
        ("{ts:soon,values:{}}", ""),
        ("{ts:null,values:{}}", ""),
    ] {
        let reply = server.post("telemetry", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (500, text), "{body}");
    }
    assert_eq!(server.control.latest_telemetry("meter", "a"), None);
}

#[tokio::test]
async fn an_unknown_token_is_401_and_empty_whatever_the_body() {
    let server = start().await;
    for (method, path) in [
        ("POST", "telemetry"),
        ("POST", "attributes"),
        ("GET", "attributes"),
        ("POST", "claim"),
        ("POST", "rpc"),
        ("POST", "rpc/1"),
    ] {
        let reply = server
            .call(method, &format!("/api/v1/UNKNOWN/{path}"), "{")
            .await;
        assert_eq!((reply.status, reply.body.as_str()), (401, ""), "{path}");
    }
    let arrivals = server.control.arrivals();
    assert!(arrivals.iter().all(|arrival| arrival.device.is_none()));
    assert!(!format!("{arrivals:?}").contains("UNKNOWN"));
}

#[tokio::test]
async fn a_deleted_device_is_unknown() {
    let server = start().await;
    assert!(server.control.remove_device("meter"));
    assert_eq!(server.post("telemetry", "{}").await.status, 401);
}

#[tokio::test]
async fn a_missing_body_is_400_before_the_token_is_looked_at() {
    let server = start().await;
    for path in [
        "UNKNOWN/telemetry",
        "UNKNOWN/attributes",
        "UNKNOWN/rpc",
        "UNKNOWN/rpc/1",
        "provision",
    ] {
        let reply = server.call("POST", &format!("/api/v1/{path}"), "").await;
        assert_eq!(reply.status, 400, "{path}");
        let error = reply.json();
        assert_eq!(error["status"], 400);
        assert_eq!(error["errorCode"], 31);
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("Required request body is missing")
        );
        assert!(error["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_have_the_monoliths_json() {
    let server = start().await;
    let reply = server
        .call("PUT", &format!("/api/v1/{TOKEN}/telemetry"), "{}")
        .await;
    assert_eq!(
        (reply.status, reply.header("allow")),
        (405, Some("POST,OPTIONS"))
    );
    assert_eq!(reply.json()["errorCode"], 31);
    assert_eq!(
        reply.json()["message"],
        "Request method 'PUT' is not supported"
    );
    let reply = server.call("GET", "/api/v1/x/nonsense", "").await;
    assert_eq!(
        (reply.status, reply.json()["errorCode"].as_u64()),
        (404, Some(32))
    );
    assert_eq!(reply.json()["status"], 404);
}

#[tokio::test]
async fn a_claim_needs_no_body() {
    let server = start().await;
    for (body, status, text) in [
        ("", 200, ""),
        (r#"{"secretKey":"s","durationMs":60000}"#, 200, ""),
        ("{}", 200, ""),
        ("[]", 500, "Can't parse value: []"),
        ("{durationMs:long}", 500, ""),
        ("{secretKey:{}}", 500, ""),
    ] {
        let reply = server.post("claim", body).await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (status, text),
            "{body}"
        );
    }
    assert_eq!(server.post("claim", "{").await.status, 500);
}

#[tokio::test]
async fn a_form_content_type_spoils_json() {
    let server = start().await;
    let path = format!("/api/v1/{TOKEN}/telemetry");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let reply = server.with_headers("POST", &path, form, r#"{"a":1}"#).await;
    assert_eq!(reply.status, 500);
    assert!(
        reply.body.contains("MalformedJsonException"),
        "{}",
        reply.body
    );
    assert_eq!(server.control.arrivals()[0].body, r#"{"a":1}"#);
    let none = server.with_headers("POST", &path, "", r#"{"a":1}"#).await;
    assert_eq!(none.status, 200);
}

#[tokio::test]
async fn an_empty_array_is_answered_only_by_the_servlet_containers_timeout() {
    let server = start().await;
    let timeouts = r#"{"asyncMs":5}"#;
    server.call("PUT", "/simulator/timeouts", timeouts).await;
    assert_eq!(server.post("telemetry", "[]").await.status, 503);
    assert_eq!(server.post("telemetry", "[{}]").await.status, 200);
}
