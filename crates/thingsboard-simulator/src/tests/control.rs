use super::client::Reply;
use super::polls::response;
use super::{Server, TOKEN, start};
use crate::HELP;
use serde_json::{Value, json};

impl Server {
    async fn control(&self, method: &str, path: &str, body: &str) -> Reply {
        self.with_headers(method, &format!("/simulator{path}"), "", body)
            .await
    }
}

#[tokio::test]
async fn it_says_that_it_is_a_simulator() {
    let server = start().await;
    let root = server.call("GET", "/", "").await;
    assert_eq!(root.status, 200);
    assert!(root.body.contains("simulator") && root.body.contains("not ThingsBoard"));
    let summary = server.control("GET", "", "").await.json();
    assert!(summary["simulator"].is_string());
    assert_eq!(summary["devices"], 1);
}

#[tokio::test]
async fn devices_are_defined_shown_and_deleted() {
    let server = start().await;
    let put = server
        .control("PUT", "/devices/a%20b", r#"{"token":"T2","profile":"KEY"}"#)
        .await;
    assert_eq!(put.status, 204, "{put:?}");
    assert_eq!(
        server
            .call("POST", "/api/v1/T2/telemetry", "{t:'7'}")
            .await
            .status,
        200
    );
    let shown = server.control("GET", "/devices/a%20b", "").await.json();
    assert_eq!(shown["token"], "T2");
    assert_eq!(shown["telemetry"]["t"]["value"], 7);
    let list = server.control("GET", "/devices", "").await.json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(
        server.control("DELETE", "/devices/a%20b", "").await.status,
        204
    );
    assert_eq!(
        server.control("DELETE", "/devices/a%20b", "").await.status,
        404
    );
    assert_eq!(
        server.control("GET", "/devices/a%20b", "").await.status,
        404
    );
}

#[tokio::test]
async fn a_refusal_says_why_and_shows_no_token() {
    let server = start().await;
    let reply = server
        .control("PUT", "/devices/b", &format!(r#"{{"token":"{TOKEN}"}}"#))
        .await;
    assert_eq!(reply.status, 400);
    let reason = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("meter") && !reason.contains(TOKEN),
        "{reason}"
    );
    for (method, path, body, status) in [
        ("PUT", "/devices/b", "", 400),
        ("PUT", "/devices/b", r#"{"tokn":"x"}"#, 400),
        ("PUT", "/devices/b", r#"{"token":""}"#, 400),
        ("PUT", "/profiles/k", r#"{"secret":""}"#, 400),
        ("PUT", "/rpc/m", "{", 400),
        ("POST", "/faults", r#"{"status":99}"#, 400),
        ("POST", "/devices/meter/attributes/shared", "[]", 400),
        ("POST", "/devices/unknown/attributes/shared", "{}", 400),
        ("DELETE", "/devices/meter/attributes/shared", "", 400),
        ("GET", "/arrivals?limit=x", "", 400),
        ("GET", "/arrivals?limit=1001", "", 400),
        ("POST", "/devices/meter/rpc", r#"{"method":"m"}"#, 400),
        ("PUT", "/subscription-delay", "{}", 400),
        ("PUT", "/attribute-store", r#"{"failing":-1}"#, 400),
        ("GET", "/nonsense", "", 404),
        ("GET", "/devices/meter/nonsense", "", 404),
        ("GET", "/", "", 404),
        ("PUT", "/devices/", r#"{"token":"x"}"#, 400),
        ("GET", "/devices/meter/attributes/server", "", 400),
        ("PATCH", "/devices/meter", "", 404),
    ] {
        let reply = server.control(method, path, body).await;
        assert_eq!(reply.status, status, "{method} {path} {body}: {reply:?}");
        assert!(reply.json()["error"].is_string());
    }
    let long = "x".repeat(1024 * 1024 + 1);
    assert_eq!(server.control("PUT", "/rpc/m", &long).await.status, 413);
}

#[tokio::test]
async fn attributes_are_set_by_the_same_rules_as_in_thingsboard() {
    let server = start().await;
    let path = "/devices/meter/attributes/shared";
    assert_eq!(
        server
            .control("POST", path, "{a:'5',b:null,c:{d:1}}")
            .await
            .status,
        204
    );
    assert_eq!(
        server.control("GET", path, "").await.json(),
        json!({"a": 5, "c": {"d": 1}})
    );
    assert_eq!(
        server
            .control("DELETE", &format!("{path}?keys=a,x"), "")
            .await
            .status,
        204
    );
    assert_eq!(
        server.get("attributes").await.json(),
        json!({"shared": {"c": {"d": 1}}})
    );
}

#[tokio::test]
async fn arrivals_are_listed_in_pages_and_cleared() {
    let server = start().await;
    for body in ["{n:1}", "{n:2}", "{n:3}"] {
        server.post("telemetry", body).await;
    }
    server
        .call("POST", "/api/v1/UNKNOWN/telemetry", "{n:4}")
        .await;
    let bodies = |list: &Value| -> Vec<String> {
        let arrivals = list["arrivals"].as_array().unwrap();
        arrivals
            .iter()
            .map(|arrival| arrival["body"].as_str().unwrap().to_owned())
            .collect()
    };
    let latest = server.control("GET", "/arrivals?limit=2", "").await.json();
    assert_eq!(bodies(&latest), ["{n:3}", "{n:4}"]);
    assert_eq!(
        (&latest["arrived"], &latest["dropped"]),
        (&json!(4), &json!(0))
    );
    let page = server
        .control("GET", "/arrivals?after=1&limit=2", "")
        .await
        .json();
    assert_eq!(bodies(&page), ["{n:2}", "{n:3}"]);
    let own = server.control("GET", "/arrivals?device=meter", "").await;
    assert_eq!(bodies(&own.json()).len(), 3);
    assert!(!own.body.contains(TOKEN), "{own:?}");
    assert_eq!(server.control("DELETE", "/arrivals", "").await.status, 204);
    let none = server.control("GET", "/arrivals", "").await.json();
    assert_eq!((bodies(&none).len(), &none["arrived"]), (0, &json!(4)));
}

#[tokio::test]
async fn faults_replies_and_timeouts_are_set_and_shown() {
    let server = start().await;
    let fault = r#"{"path":"/api/v1/*/claim","times":1,"status":500,"body":"x"}"#;
    assert_eq!(server.control("POST", "/faults", fault).await.status, 204);
    let shown = server.control("GET", "/faults", "").await.json();
    assert_eq!(
        (&shown[0]["status"], &shown[0]["times"]),
        (&json!(500), &json!(1))
    );
    assert_eq!(server.post("claim", "").await.body, "x");
    assert_eq!(server.control("GET", "/faults", "").await.json(), json!([]));

    assert_eq!(
        server
            .control("PUT", "/rpc/m?error=no+rights", "")
            .await
            .status,
        204
    );
    assert_eq!(
        server.post("rpc", "{method:m,params:1}").await.body,
        r#"{"error":"no rights"}"#
    );
    assert_eq!(server.control("PUT", "/rpc/m?silent", "").await.status, 204);
    let timeouts = r#"{"asyncMs":5}"#;
    assert_eq!(
        server.control("PUT", "/timeouts", timeouts).await.status,
        204
    );
    assert_eq!(server.post("rpc", "{method:m,params:1}").await.status, 503);
    let shown = server.control("GET", "/timeouts", "").await.json();
    assert_eq!(shown, json!({"asyncMs": 5, "requestMs": 60000}));
    assert_eq!(server.control("DELETE", "/rpc/m", "").await.status, 204);
}

#[tokio::test]
async fn controls_are_neither_arrivals_nor_subject_to_faults() {
    let server = start().await;
    server.control("POST", "/faults", r#"{"drop":true}"#).await;
    assert_eq!(
        server.control("GET", "/arrivals", "").await.json()["arrived"],
        0
    );
    assert_eq!(server.control("DELETE", "/faults", "").await.status, 204);
    assert_eq!(server.get("attributes").await.status, 200);
}

#[tokio::test]
async fn polls_are_listed_only_with_the_parameter() {
    let server = start().await;
    server.get("rpc?timeout=-1").await;
    server.post("telemetry", "{}").await;
    let sequences = |list: &Value| -> Vec<u64> {
        let arrivals = list["arrivals"].as_array().unwrap();
        let numbers = arrivals.iter().map(|arrival| arrival["sequence"].as_u64());
        numbers.map(Option::unwrap).collect()
    };
    let without = server.control("GET", "/arrivals", "").await.json();
    assert_eq!(
        (sequences(&without), &without["arrived"]),
        (vec![2], &json!(1))
    );
    let with = server.control("GET", "/arrivals?polls", "").await.json();
    assert_eq!((sequences(&with), &with["polled"]), (vec![1, 2], &json!(1)));
    assert_eq!(with["arrivals"][0]["status"], 408);
    let path = "/arrivals?polls&after=1&device=meter";
    let page = server.control("GET", path, "").await.json();
    assert_eq!(sequences(&page), [2]);
    server.control("DELETE", "/arrivals", "").await;
    let none = server.control("GET", "/arrivals?polls", "").await.json();
    assert!(sequences(&none).is_empty());
}

/// Sends the request of each curl line of the help, and none is refused. Long polls and two-way commands stay open, and
/// get their responses in the end.
#[tokio::test]
async fn every_line_of_the_help_works() {
    let server = start().await;
    // The help defines a device with the same token.
    server.control.remove_device("meter");
    let (mut lines, mut waiting) = (0, Vec::new());
    for line in HELP
        .lines()
        .filter_map(|line| line.trim().strip_prefix("curl "))
    {
        lines += 1;
        let (call, data) = match line.split_once(" -d '") {
            Some((call, data)) => (call, data.trim_end_matches('\'')),
            None => (line, ""),
        };
        let method = match call.split_once("-X ") {
            Some((_, rest)) => rest.split(' ').next().unwrap(),
            None if data.is_empty() => "GET",
            None => "POST",
        };
        let url = call.split("http://127.0.0.1:8080").nth(1).unwrap();
        let url = url.split([' ', '\'']).next().unwrap();
        let json = call.contains("Content-Type: application/json");
        let headers = if json {
            "Content-Type: application/json\r\n"
        } else {
            ""
        };
        let waits = line.contains("?timeout=") || data.contains("timeoutMs");
        if waits {
            let length = data.len();
            let request = format!(
                "{method} {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{data}"
            );
            waiting.push((line, server.send(&request).await));
            // The order of the lines matters: the next one must arrive later.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            continue;
        }
        let reply = server.with_headers(method, url, headers, data).await;
        assert!(matches!(reply.status, 200 | 204), "{line}: {reply:?}");
    }
    assert!(lines >= 44, "{lines}");
    let mut bodies = Vec::new();
    for (line, stream) in waiting {
        let reply = response(stream).await;
        assert_eq!(reply.status, 200, "{line}: {reply:?}");
        bodies.push(reply.body);
    }
    assert_eq!(
        bodies,
        [
            r#"{"interval":30}"#,
            r#"{"id":0,"method":"open","params":{"valve":2}}"#,
            r#"{"open":true}"#,
            r#"{"id":1,"method":"state","params":{}}"#,
        ]
    );
}

/// Forms and scripts of any site can send requests to loopback, and names can be rebound to it.
#[tokio::test]
async fn a_page_of_another_site_can_not_use_the_controls() {
    let server = start().await;
    let port = server.address.port();
    let rule = r#"{"path":"/**","outcome":{"drop":true}}"#;
    let own = format!("127.0.0.1:{port}");
    let post = async |host: &str, more: &str| {
        let length = rule.len();
        let raw = server
            .raw(&format!(
                "POST /simulator/rpc/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\
                 Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{rule}"
            ))
            .await;
        super::client::parsed(&raw).status
    };
    for origin in [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1:1",
    ] {
        let status = post(&own, &format!("Origin: {origin}\r\n")).await;
        assert_eq!(status, 403, "{origin}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example"] {
        assert_eq!(post(host, "").await, 403, "{host}");
        let same = format!("Origin: http://{host}\r\n");
        assert_eq!(post(host, &same).await, 403, "{host}");
    }
    assert_ne!(post(&own, "").await, 403, "curl");
    assert_ne!(post(&own, &format!("Origin: http://{own}\r\n")).await, 403);
    // The device API has tokens, and any host name.
    let raw = server
        .raw(&format!(
            "GET /api/v1/{TOKEN}/attributes HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        ))
        .await;
    assert_ne!(super::client::parsed(&raw).status, 403);
}
