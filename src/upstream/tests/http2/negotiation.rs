//! Servers that speak something else.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Reads the preface, sends this, and closes.
async fn answered_to_preface(reply: &[u8]) -> Result<Answer, Error> {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut stream = listener.accept_tcp().await;
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        stream.write_all(reply).await.unwrap();
        // So that what was sent arrives before the end.
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("S3cret"));
    };
    both(thingsboard.send(telemetry("{}")), script).await.0
}

#[tokio::test]
async fn no_request_goes_to_a_server_that_does_not_speak_http2() {
    let refusal: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    for reply in [refusal, b"SSH-2.0-OpenSSH_9.6\r\n", &[0; 100]] {
        let outcome = answered_to_preface(reply).await;
        assert!(is_unintelligible(&outcome), "{outcome:?}");
    }
    assert_eq!(answered_to_preface(b"").await, Err(Error::Unreachable));
}

/// Alone, because what other threads log first decides whether a line is logged at all (tracing's cache).
#[tokio::test]
async fn the_log_names_the_key() {
    const NAME: &str = "http2::negotiation::the_log_names_the_key";
    if !is_alone() {
        again_alone(NAME, None, &[]);
        return;
    }
    for reply in [&b"HTTP/1.1 400 \r\n\r\n"[..], b""] {
        let (log, _guard) = Log::begin();
        answered_to_preface(reply).await.unwrap_err();
        let text = log.text();
        let line = text
            .lines()
            .find(|line| line.contains("can't be reached"))
            .unwrap();
        assert!(line.contains("upstream.http_version"), "{text}");
        assert!(!text.contains("S3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_as_one_that_can_not_be_connected_to() {
    let listener = Listener::start().await;
    let thingsboard = with(
        &listener.url(),
        HttpVersion::Http2,
        Duration::from_secs(2),
        1,
    );
    let script = async {
        let mut stream = listener.accept_tcp().await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    };
    let (outcome, ()) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, Err(Error::Unreachable));
}
