//! The server over real sockets, with a source of fixed texts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use super::connections::MAX_CONNECTIONS;
use super::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers at once, except metrics that hang.
#[derive(Default)]
struct FixedTexts {
    metrics_hang: bool,
}

impl Source for FixedTexts {
    async fn live(&self) -> Result<(), String> {
        Ok(())
    }

    async fn ready(&self) -> Vec<Finding> {
        vec![Finding::NotReady("it is stopping".into())]
    }

    async fn metrics(&self, own: Counters) -> Result<String, String> {
        if self.metrics_hang {
            std::future::pending::<()>().await;
        }
        Ok(format!("{own:?}\n"))
    }

    async fn sessions(&self, pieces: mpsc::Sender<Bytes>) {
        for piece in ["[", "1", "]"] {
            let _ = pieces.send(Bytes::from_static(piece.as_bytes())).await;
        }
    }
}

async fn start(source: FixedTexts, sessions: bool) -> SocketAddr {
    let server = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(Arc::new(source), sessions));
    address
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Everything that the server sends until it closes.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let stream = connect(address).await;
    let (mut reads, mut writes) = stream.into_split();
    let request = request.to_owned();
    tokio::spawn(async move {
        let _ = writes.write_all(request.as_bytes()).await;
        // Not dropped: the peer must not close first.
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let end = reads.read_to_end(&mut answer);
    let end = tokio::time::timeout(Duration::from_secs(30), end).await;
    end.expect("the server closes").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
    .await
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[tokio::test]
async fn each_path_has_its_answer_and_the_connection_ends_with_it() {
    let address = start(FixedTexts::default(), true).await;
    let live = get(address, "/livez").await;
    assert!(
        live.starts_with("HTTP/1.1 200 OK\r\n") && live.ends_with("\r\n\r\nok\n"),
        "{live}"
    );
    assert!(live.contains("connection: close\r\n"), "{live}");
    let ready = get(address, "/readyz").await;
    assert_eq!(status(&ready), "503");
    assert!(
        ready.ends_with("\r\n\r\nnot ready\nnot ready: it is stopping\n"),
        "{ready}"
    );
    let metrics = get(address, "/metrics").await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(
        status(&metrics) == "200" && metrics.contains(kind),
        "{metrics}"
    );
    let sessions = get(address, "/sessions?all=1").await;
    assert!(sessions.contains("content-type: application/json\r\n"));
    assert!(
        sessions.ends_with("1\r\n[\r\n1\r\n1\r\n1\r\n]\r\n0\r\n\r\n"),
        "{sessions}"
    );
    let elsewhere = get(address, "/").await;
    assert_eq!(status(&elsewhere), "404");
    assert!(elsewhere.contains("/readyz"), "{elsewhere}");
    let head = exchange(address, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(
        status(&head) == "200" && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let old = exchange(address, "GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(status(&old) == "200" && old.ends_with("ok\n"), "{old}");
}

#[tokio::test]
async fn sessions_are_listed_only_if_configured_and_the_response_says_how() {
    let address = start(FixedTexts::default(), false).await;
    let answer = get(address, "/sessions").await;
    assert_eq!(status(&answer), "404");
    assert!(answer.contains("admin.sessions = true"), "{answer}");
}

#[tokio::test]
async fn other_methods_are_refused_and_a_body_neither_delays_nor_loses_the_response() {
    let address = start(FixedTexts::default(), true).await;
    let promised = "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    let answer = exchange(address, promised).await;
    assert_eq!(status(&answer), "405");
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let body = "x".repeat(200_000);
    let sent = format!(
        "PUT /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(status(&exchange(address, &sent).await), "405");
    let with_body = "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(status(&exchange(address, with_body).await), "200");
}

#[tokio::test]
async fn a_malformed_or_too_large_request_is_refused() {
    let address = start(FixedTexts::default(), true).await;
    let long = "x".repeat(20_000);
    let many = "a: b\r\n".repeat(100);
    for (request, expected) in [
        (
            format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nx: {long}\r\n\r\n"),
            "431",
        ),
        (format!("GET /livez HTTP/1.1\r\n{many}\r\n"), "431"),
        ("\u{16}\u{3}\u{1} no HTTP \r\n\r\n".to_owned(), "400"),
    ] {
        let answer = exchange(address, &request).await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
    let path = format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = exchange(address, &path).await;
    assert!(["414", "431"].contains(&status(&answer)), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_closed_after_its_time() {
    let address = start(FixedTexts::default(), true).await;
    let mut silent = connect(address).await;
    silent
        .write_all(b"GET /livez HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut answer));
    end.await.expect("closed within the bound").unwrap();
}

#[tokio::test]
async fn idle_connections_without_a_request_are_evicted_for_newer_ones() {
    let address = start(FixedTexts::default(), true).await;
    let mut idle = Vec::new();
    for _ in 0..3 * MAX_CONNECTIONS {
        idle.push(connect(address).await);
    }
    assert_eq!(status(&get(address, "/livez").await), "200");
    let counted = get(address, "/metrics").await;
    // The oldest are evicted; how many depends on how many of the connections above have ended.
    assert!(counted.contains("refused: 0"), "{counted}");
    let evicted: usize = counted
        .split_once("evicted: ")
        .and_then(|(_, rest)| rest.split(',').next()?.parse().ok())
        .unwrap();
    assert!(evicted >= 2 * MAX_CONNECTIONS, "{counted}");
    let mut end = Vec::new();
    let closed = idle.swap_remove(0).read_to_end(&mut end).await;
    assert_eq!(closed.unwrap_or_default(), 0);
}

#[tokio::test]
async fn connections_that_stay_open_after_the_response_are_evicted_for_newer_ones() {
    let address = start(FixedTexts::default(), true).await;
    let mut answered = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        let mut stream = connect(address).await;
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        answered.push(stream);
    }
    let counted = get(address, "/metrics").await;
    assert!(counted.contains("refused: 0"), "{counted}");
}

#[tokio::test]
async fn if_all_connections_are_busy_a_new_one_is_closed_at_once() {
    let address = start(FixedTexts { metrics_hang: true }, true).await;
    let mut busy = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = connect(address).await;
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        busy.push(stream);
    }
    // Until all of them are busy, a new connection evicts one.
    let mut refused = String::from("200");
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut stream = connect(address).await;
        let mut end = Vec::new();
        let ended = tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut end));
        if ended.await.is_ok() {
            refused = String::from_utf8(end).unwrap();
            break;
        }
    }
    assert_eq!(refused, "", "closed without a response");
}
