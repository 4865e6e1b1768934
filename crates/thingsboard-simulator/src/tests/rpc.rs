use super::client::{parsed, rest};
use super::{TOKEN, start};
use crate::{Reply, Timeouts};
use std::time::Duration;

#[tokio::test]
async fn the_rule_chain_answers_scripted_methods() {
    let server = start().await;
    let reply = server
        .post("rpc", r#"{"method":"echo","params":{"b":1.50,"a":null}}"#)
        .await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, r#"{"b":1.50,"a":null}"#)
    );
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain;charset=UTF-8")
    );
    let reply = server.post("rpc", "{method:getTime,params:null}").await;
    assert_eq!(reply.status, 200);
    assert!(reply.json()["time"].is_string());
}

#[tokio::test]
async fn a_client_that_accepts_json_gets_it_named_so() {
    let server = start().await;
    let path = format!("/api/v1/{TOKEN}/rpc");
    let accept = "Accept: application/json\r\n";
    let reply = server
        .with_headers("POST", &path, accept, "{method:echo,params:1}")
        .await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn scripted_replies_and_errors_are_200() {
    let server = start().await;
    server
        .control
        .set_reply("m", Reply::Json("{limit:7}".into()))
        .unwrap();
    let reply = server.post("rpc", "{method:m,params:{}}").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"limit":7}"#));
    server
        .control
        .set_reply("m", Reply::Error("timeout".into()))
        .unwrap();
    let reply = server.post("rpc", "{method:m,params:{}}").await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, r#"{"error":"timeout"}"#)
    );
}

#[tokio::test]
async fn method_and_params_are_required() {
    let server = start().await;
    for body in [
        "{method:m}",
        "{params:1}",
        "{}",
        "[]",
        "7",
        " ",
        "{method:null,params:1}",
        "{method:{},params:1}",
    ] {
        let reply = server.post("rpc", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (500, ""), "{body}");
    }
    let reply = server.post("rpc", "{method").await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("End of input"), "{}", reply.body);
}

#[tokio::test]
async fn a_silent_rule_chain_is_503_or_408_by_the_shorter_timeout() {
    let server = start().await;
    let (short, long) = (Duration::from_millis(20), Duration::from_secs(60));
    server.control.set_timeouts(Timeouts {
        asynchronous: short,
        request: long,
    });
    let reply = server.post("rpc", "{method:unknown,params:1}").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["errorCode"], 2);
    assert!(reply.json()["message"].is_null());
    server.control.set_timeouts(Timeouts {
        asynchronous: long,
        request: short,
    });
    let reply = server.post("rpc", "{method:unknown,params:1}").await;
    assert_eq!((reply.status, reply.body.as_str()), (408, ""));
}

#[tokio::test]
async fn a_waiting_call_has_arrived_and_ends_with_the_simulator() {
    let server = start().await;
    let mut feed = server.control.subscribe();
    let body = "{method:unknown,params:1}";
    let mut waiting = server
        .send(&format!(
            "POST /api/v1/{TOKEN}/rpc HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let arrival = feed.recv().await.unwrap();
    assert_eq!(
        (arrival.body.as_ref(), arrival.status),
        (body.as_bytes(), None)
    );
    server.stop().await;
    assert_eq!(rest(&mut waiting).await, b"");
}

#[tokio::test]
async fn an_rpc_reply_is_200_for_any_number_and_any_text() {
    let server = start().await;
    for (id, body) in [
        ("0", "{}"),
        ("17", "not json at all {"),
        ("-3", "x"),
        ("0x10", "["),
    ] {
        let reply = server.post(&format!("rpc/{id}"), body).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{id}");
    }
    let arrivals = server.control.arrivals();
    assert_eq!(arrivals[1].path, "/api/v1/{token}/rpc/17");
    assert_eq!(arrivals[1].body, "not json at all {");
}

#[tokio::test]
async fn an_rpc_id_that_is_not_a_number_is_400() {
    let server = start().await;
    let reply = server.post("rpc/seven", "{}").await;
    assert_eq!(reply.status, 400);
    let error = reply.json();
    assert_eq!(error["errorCode"], 31);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("For input string: \"seven\"")
    );
}

#[tokio::test]
async fn the_hundredth_answer_closes_the_connection() {
    let server = start().await;
    let request = format!("GET /api/v1/{TOKEN}/attributes HTTP/1.1\r\nHost: x\r\n\r\n");
    let raw = server.raw(&request.repeat(101)).await;
    let text = String::from_utf8(raw).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 100);
    let last = text.rsplit_once("HTTP/1.1 200").unwrap().1;
    let reply = parsed(format!("HTTP/1.1 200{last}").as_bytes());
    assert_eq!(reply.header("connection"), Some("close"));
}
