//! Replies that break off, are no HTTP, or are none of the device API.

use super::*;

#[tokio::test]
async fn a_success_that_is_not_200_is_unintelligible() {
    assert!(is_unintelligible(
        &answered_with(HttpVersion::Http1, "HTTP/1.1 204 No Content\r\n\r\n").await
    ));
    assert!(is_unintelligible(
        &answered_with(
            HttpVersion::Http1,
            "HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n"
        )
        .await
    ));
    assert!(is_unintelligible(
        &answered_with(
            HttpVersion::Http1,
            "HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        )
        .await
    ));
}

in_both_versions! {
async fn a_redirect_is_not_followed(version) {
    let (server, elsewhere) = tokio::join!(ScriptedServer::speaking(version), ScriptedServer::speaking(version));
    let thingsboard = thingsboard(&server);
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        let location = elsewhere.url();
        connection
            .send(format!(
                "HTTP/1.1 307 \r\nLocation: {location}/\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
    };
    let outcome = tokio::select! {
        (outcome, ()) = both(thingsboard.send(telemetry("{}")), script) => outcome,
        _ = elsewhere.accept() => panic!("the token went to another server"),
    };
    assert!(is_unintelligible(&outcome), "{outcome:?}");
}
}

in_both_versions! {
async fn a_refused_connection_is_unreachable(version) {
    let url = ScriptedServer::speaking(version).await.stop();
    assert_eq!(
        at(&url, version).send(telemetry("{}")).await,
        Err(Error::Unreachable)
    );
}
}

in_both_versions! {
async fn an_answer_that_breaks_off_is_unreachable(version) {
    assert_eq!(answered_with(version, "").await, Err(Error::Unreachable));
    assert_eq!(
        answered_with(version, "HTTP/1.1 200 OK\r\nConte").await,
        Err(Error::Unreachable)
    );
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"cli";
    assert_eq!(answered_with(version, half).await, Err(Error::Unreachable));
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"c";
    assert_eq!(answered_with(version, half).await, Err(Error::Unreachable));
}
}

#[tokio::test]
async fn what_is_not_http_is_unintelligible() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let outcome = answered_with(HttpVersion::Http1, garbage).await;
        assert!(is_unintelligible(&outcome), "{garbage:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn headers_without_end_are_unintelligible() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(200_000));
    assert!(is_unintelligible(
        &answered_with(HttpVersion::Http1, endless).await
    ));
}

in_both_versions! {
async fn a_body_over_the_bound_is_unintelligible_announced_or_not(version) {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    assert!(is_unintelligible(&answered_with(version, announced).await));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let endless = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(5)
    );
    assert!(is_unintelligible(&answered_with(version, endless).await));
    // Exactly at the bound it is an answer.
    let largest = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 262144\r\n\r\n{}",
        "x".repeat(262_144)
    );
    assert_eq!(answered_with(version, largest).await.unwrap().body.len(), 262_144);
}
}

in_both_versions! {
async fn a_chunk_of_a_package_is_at_most_as_long_as_requested(version) {
    let outcome = async |announced: &str, length: usize| {
        let server = ScriptedServer::speaking(version).await;
        let thingsboard = thingsboard(&server);
        let chunk = Operation::GetPackage {
            package: Package::Firmware,
            title: "meter".into(),
            version: "1".into(),
            size: 524_288,
            chunk: 3,
        };
        let script = async {
            let mut connection = server.accept().await;
            connection.request().await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\n{announced}\r\n");
            connection
                .send([head.into_bytes(), vec![0xa5; length]].concat())
                .await;
        };
        both(thingsboard.send(request(chunk)), script).await.0
    };
    let whole = outcome("Content-Length: 524288\r\n", 524_288)
        .await
        .unwrap();
    assert!(whole.body.len() == 524_288 && whole.body.iter().all(|byte| *byte == 0xa5));
    assert!(is_unintelligible(
        &outcome("Content-Length: 524289\r\n", 0).await
    ));
    // Without a length the body ends with the connection.
    assert!(is_unintelligible(&outcome("", 524_289).await));
}
}

in_both_versions! {
async fn silence_and_a_body_that_trickles_are_timeouts(version) {
    for start in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
    ] {
        let server = ScriptedServer::speaking(version).await;
        let thingsboard = within(&server, Duration::from_millis(200));
        let script = async {
            let mut connection = server.accept().await;
            connection.request().await.unwrap();
            connection.send(start).await;
            // The client hangs up when it has waited long enough.
            connection.request().await
        };
        let (outcome, after) = both(thingsboard.send(telemetry("{}")), script).await;
        assert_eq!((outcome, after), (Err(Error::Timeout), None), "{start:?}");
    }
}
}
