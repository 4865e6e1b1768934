use super::{TOKEN, start};

#[tokio::test]
async fn a_body_over_the_rpc_limit_is_413_with_a_json_string() {
    let server = start().await;
    for feature in ["rpc", "rpc/1"] {
        let reply = server.post(feature, &"x".repeat(65_537)).await;
        assert_eq!(reply.status, 413, "{feature}");
        assert_eq!(reply.json(), "Payload size exceeds the limit 65536");
    }
    let arrival = &server.control.arrivals()[0];
    assert_eq!(
        (arrival.body.len(), arrival.body_length, arrival.status),
        (0, 65_537, Some(413))
    );
}

#[tokio::test]
async fn a_body_at_the_limit_passes_and_telemetry_has_the_larger_one() {
    let server = start().await;
    assert_eq!(server.post("rpc/1", &"x".repeat(65_536)).await.status, 200);
    let telemetry = format!("{{a:'{}'}}", "x".repeat(100_000));
    assert_eq!(server.post("telemetry", &telemetry).await.status, 200);
}

#[tokio::test]
async fn the_limit_is_checked_before_the_token() {
    let server = start().await;
    let reply = server
        .call("POST", "/api/v1/UNKNOWN/rpc", &"x".repeat(65_537))
        .await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn the_larger_limit_is_checked_on_the_announced_length() {
    let server = start().await;
    let head = |length: u64| {
        format!(
            "POST /api/v1/{TOKEN}/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut feed = server.control.subscribe();
    let mut stream = server.send(&head(52_428_801)).await;
    // The body is never sent: Content-Length alone decides.
    tokio::io::AsyncWriteExt::shutdown(&mut stream)
        .await
        .unwrap();
    let arrived = feed.recv().await.unwrap();
    assert_eq!(
        (arrived.status, arrived.body_length),
        (Some(413), 52_428_801)
    );
}

#[tokio::test]
async fn a_chunked_body_is_not_held_to_the_rpc_limit_as_in_thingsboard() {
    let server = start().await;
    let data = "x".repeat(70_000);
    let chunked = format!(
        "POST /api/v1/{TOKEN}/rpc/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{data}\r\n0\r\n\r\n",
        data.len()
    );
    let raw = server.raw(&chunked).await;
    assert!(raw.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.control.arrivals()[0].body_length, 70_000);
}

#[tokio::test]
async fn bytes_that_are_not_http_get_400() {
    let server = start().await;
    let raw = server.raw("\u{1}\u{2}\u{3}\r\n\r\n").await;
    assert!(raw.starts_with(b"HTTP/1.1 400"), "{raw:?}");
    assert_eq!(server.post("telemetry", "{}").await.status, 200);
}

/// HTTP/2 by prior knowledge (RFC 9113 §3.3): SETTINGS_MAX_CONCURRENT_STREAMS (3) is Tomcat's 100.
#[tokio::test]
async fn http2_has_a_hundred_streams_on_a_connection() {
    let server = start().await;
    let empty_settings = "\0\0\0\x04\0\0\0\0\0";
    let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{empty_settings}");
    let mut stream = server.send(&preface).await;
    let mut head = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut head)
        .await
        .unwrap();
    assert_eq!((head[0], head[1], head[3]), (0, 0, 4), "SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut settings)
        .await
        .unwrap();
    assert!(
        settings
            .chunks(6)
            .any(|setting| setting == [0, 3, 0, 0, 0, 100]),
        "{settings:?}"
    );
}
