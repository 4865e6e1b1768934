//! The page over real HTTP, without a browser and without a gateway.

use super::*;
use crate::{CLIENT, DEVICES};
use serde_json::json;
use std::time::Duration;
use thingsboard_simulator::{Scope, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

struct Test {
    control: Control,
    tap: Tap,
    losses: Arc<LossModel>,
    page: SocketAddr,
}

async fn start() -> Test {
    let simulator = Simulator::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let control = simulator.control();
    for (name, token) in DEVICES {
        control.add_device(name, token).unwrap();
    }
    let (tap, losses) = (Tap::default(), Arc::new(LossModel::new(1)));
    let context = Context {
        control: control.clone(),
        tap: tap.clone(),
        losses: losses.clone(),
        commands: Vec::new(),
        upstream: "HTTP",
    };
    let page = Page::bind(([127, 0, 0, 1], 0).into(), context)
        .await
        .unwrap();
    let address = page.local_addr();
    tokio::spawn(page.serve());
    Test {
        control,
        tap,
        losses,
        page: address,
    }
}

async fn send(page: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads until the text contains `until`, or to the end if that is empty.
async fn read(stream: &mut TcpStream, until: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while until.is_empty() || !text.contains(until) {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                length => text += &String::from_utf8_lossy(&buffer[..length]),
            }
        }
    };
    timeout(Duration::from_secs(10), reading).await.unwrap();
    text
}

async fn get(page: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
    read(&mut send(page, &request).await, "").await
}

async fn post(page: SocketAddr, path: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    read(&mut send(page, &request).await, "").await
}

#[tokio::test]
async fn every_file_has_a_policy_that_allows_no_other_host() {
    let test = start().await;
    for (path, kind) in [
        ("/", "text/html"),
        ("/app.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/nowhere", ""),
    ] {
        let answer = get(test.page, path).await.to_lowercase();
        assert!(answer.contains(&format!("content-type: {kind}")) || kind.is_empty());
        for mark in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(mark), "{path}: {answer}");
        }
    }
}

#[test]
fn the_page_names_no_other_host_and_has_no_inline_script_or_style() {
    let html = include_str!("index.html");
    let script = include_str!("app.js");
    for text in [html, include_str!("app.css"), script] {
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !foreign.contains("http:") && !foreign.contains("https:") && !foreign.contains("//c")
        );
    }
    assert!(!html.contains("style=") && !html.contains("<style") && !html.contains("onclick"));
    assert_eq!(html.matches("<script").count(), 1);
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!script.contains(sink), "{sink}");
    }
}

#[tokio::test]
async fn a_request_under_another_host_name_or_origin_is_refused() {
    let test = start().await;
    let body = r#"{"loss":true}"#;
    for headers in [
        "Host: evil.example\r\nContent-Type: application/json".to_owned(),
        format!(
            "Host: {}\r\nOrigin: http://evil.example\r\nContent-Type: application/json",
            test.page
        ),
        format!("Host: {}\r\nContent-Type: text/plain", test.page),
    ] {
        let request = format!(
            "POST /link HTTP/1.1\r\n{headers}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = read(&mut send(test.page, &request).await, "").await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut lost = test.losses.subscribe();
    assert!(lost.try_recv().is_err());
    assert!(
        post(test.page, "/link", body)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn attributes_are_set_and_deleted_and_an_open_page_shows_it() {
    let test = start().await;
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", test.page);
    let mut events = send(test.page, &request).await;
    let begun = read(&mut events, "event: attributes").await;
    assert!(
        begun.contains("text/event-stream") && begun.contains("event: hello"),
        "{begun}"
    );

    let set = json!({"device": CLIENT, "key": "led", "value": {"on": true}});
    let answer = post(test.page, "/attributes", &set.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    read(&mut events, r#""led":{"on":true}"#).await;
    let delete = json!({"device": CLIENT, "key": "led", "value": null});
    post(test.page, "/attributes", &delete.to_string()).await;
    assert_eq!(
        test.control.attributes(CLIENT, Scope::Shared),
        Some(json!({}))
    );
    read(&mut events, r#""my-device":{}"#).await;
}

#[tokio::test]
async fn an_invalid_action_is_refused_with_its_reason_and_a_large_one_is_not_read() {
    let test = start().await;
    for (path, body, reason) in [
        (
            "/attributes",
            r#"{"device":"unknown","key":"a","value":1}"#,
            "no device",
        ),
        (
            "/attributes",
            r#"{"device":"my-device","key":"","value":1}"#,
            "must have a name",
        ),
        ("/attributes", "{}", "missing field"),
        (
            "/command",
            r#"{"device":"unknown","method":"x","params":{}}"#,
            "no device",
        ),
        ("/link", r#"{"loss":1}"#, "invalid type"),
        ("/link", r#"{"loss":true,"x":1}"#, "unknown field"),
        ("/upstream", "[", "EOF"),
    ] {
        let answer = post(test.page, path, body).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains(reason),
            "{answer}"
        );
    }
    let large = "x".repeat(MAX_BODY + 1);
    let answer = post(test.page, "/link", &large).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn pages_are_bounded_and_another_can_be_opened_when_one_is_closed() {
    let test = start().await;
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", test.page);
    let mut pages = Vec::new();
    for _ in 0..MAX_PAGES {
        let mut page = send(test.page, &request).await;
        read(&mut page, "event: hello").await;
        pages.push(page);
    }
    let refused = get(test.page, "/events").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    pages.clear();
    let opened = async {
        loop {
            let mut page = send(test.page, &request).await;
            let answer = read(&mut page, "\r\n\r\n").await;
            if answer.starts_with("HTTP/1.1 200") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), opened).await.unwrap();
}

#[tokio::test]
async fn while_no_page_is_open_the_tap_has_no_listeners() {
    let test = start().await;
    assert_eq!(test.tap.receiver_count(), 0);
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", test.page);
    let mut page = send(test.page, &request).await;
    read(&mut page, "event: hello").await;
    assert_eq!(test.tap.receiver_count(), 1);
    drop(page);
    let gone = async {
        while test.tap.receiver_count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn switches_are_the_same_on_every_page() {
    let test = start().await;
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", test.page);
    let mut page = send(test.page, &request).await;
    read(&mut page, "event: switches").await;
    for body in [r#"{"slow":true}"#, r#"{"down":true}"#] {
        let answer = post(test.page, "/upstream", body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let switches = read(&mut page, r#""down":true,"loss":false,"slow":true"#).await;
    assert!(
        switches.contains(r#""down":true,"loss":false,"slow":true"#),
        "{switches}"
    );
    // ThingsBoard's MQTT is as slow as its HTTP.
    let puback_delay = || test.control.mqtt_settings().puback_delay;
    assert_eq!(puback_delay(), Duration::from_secs(2));
    post(test.page, "/upstream", r#"{"slow":false}"#).await;
    assert_eq!(puback_delay(), Duration::ZERO);
}
