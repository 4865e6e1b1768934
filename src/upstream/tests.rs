//! The client against a scripted server: what is sent, and the outcome of every way that an exchange can end.

use super::{
    Answer, Error, Operation, Package, Rejection, Request, Settings, ThingsBoard, TlsFiles,
    Upstream,
};
use crate::device::{AccessToken, Device};
use bytes::Bytes;
use scripted_server::ScriptedServer;
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod connections;
mod invalid_replies;
mod polls;
mod replies;
mod scripted_server;

const TOKEN: &str = "S3cret?Token";

fn thingsboard(url: &str) -> ThingsBoard {
    within(url, Duration::from_secs(20))
}

fn within(url: &str, timeout: Duration) -> ThingsBoard {
    with_places(url, timeout, 8)
}

/// Room for one call in each lane.
fn one_place_each(url: &str) -> ThingsBoard {
    with_places(url, Duration::from_secs(20), 1)
}

fn with_places(url: &str, timeout: Duration, places: usize) -> ThingsBoard {
    ThingsBoard::new(Settings {
        url: url.parse().unwrap(),
        http_url: None,
        tls: TlsFiles::default(),
        timeout,
        max_in_flight: places,
        max_downlink: places,
        max_packages: places,
        max_connections: 8,
        connects_per_second: 100,
        alive_for: Duration::from_secs(900),
    })
    .unwrap()
}

fn request(operation: Operation) -> Request {
    let device = Device {
        name: "meter-17".into(),
        token: AccessToken::new(TOKEN).unwrap(),
    };
    Request::Device {
        device: Arc::new(device),
        operation,
    }
}

fn telemetry(body: &'static str) -> Request {
    request(Operation::PostTelemetry(Bytes::from_static(
        body.as_bytes(),
    )))
}

/// Runs the two sides of an exchange. Fails the test if one waits for the other for ever.
async fn both<A, B>(client: impl Future<Output = A>, server: impl Future<Output = B>) -> (A, B) {
    let sides = async { tokio::join!(client, server) };
    tokio::time::timeout(Duration::from_secs(15), sides)
        .await
        .expect("one side waits for the other in vain")
}

/// Sends one POST to a server that reads it, sends `reply` and closes.
async fn answered_with(reply: impl AsRef<[u8]>) -> Result<Answer, Error> {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection.send(reply).await;
    };
    both(thingsboard.send(telemetry("{}")), script).await.0
}

fn empty() -> Result<Answer, Error> {
    Ok(Answer { body: Bytes::new() })
}

fn is_unintelligible(outcome: &Result<Answer, Error>) -> bool {
    matches!(outcome, Err(Error::Unintelligible(_)))
}

#[tokio::test]
async fn a_post_arrives_byte_for_byte_as_json_under_the_encoded_token() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&format!("{}/tb/", server.url()));
    let script = async {
        let mut connection = server.accept().await;
        let request = connection.request().await.unwrap();
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        request
    };
    let (outcome, request) =
        both(thingsboard.send(telemetry(" {temperature: 25,}\n")), script).await;
    assert_eq!(outcome, empty());
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /tb/api/v1/S3cret%3FToken/telemetry HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(body, " {temperature: 25,}\n");
    let head = head.to_lowercase();
    assert!(
        head.contains("\r\ncontent-type: application/json"),
        "{head}"
    );
    for absent in ["cookie:", "accept-encoding:", "referer:"] {
        assert!(!head.contains(absent), "{head}");
    }
}

#[tokio::test]
async fn a_get_carries_its_key_lists_and_brings_the_body_back() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        let request = connection.request().await.unwrap();
        // In pieces, chunked: the answer is whole all the same.
        connection
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"cl\r\n")
            .await;
        server.settle().await;
        connection
            .send("7\r\nient\":1\r\n1\r\n}\r\n0\r\n\r\n")
            .await;
        request
    };
    let keys = Operation::GetAttributes {
        client_keys: Some("a,b".to_owned()),
        shared_keys: Some("c&d".to_owned()),
    };
    let (outcome, request) = both(thingsboard.send(request(keys)), script).await;
    assert_eq!(outcome.unwrap().body, "{\"client\":1}");
    let line =
        "GET /api/v1/S3cret%3FToken/attributes?clientKeys=a%2Cb&sharedKeys=c%26d HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_whether_a_text_came_with_it() {
    let rejected = |status, has_text| Err(Error::Rejected(Rejection::new(status, has_text)));
    let with_text = "HTTP/1.1 500 \r\nContent-Length: 9\r\n\r\nbad JSON!";
    assert_eq!(answered_with(with_text).await, rejected(500, true));
    assert_eq!(
        answered_with("HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n").await,
        rejected(500, false)
    );
    assert_eq!(
        answered_with("HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n").await,
        rejected(401, false)
    );
    // The body breaks off, the status has been read.
    assert_eq!(
        answered_with("HTTP/1.1 401 \r\nContent-Length: 5\r\n\r\n").await,
        rejected(401, false)
    );
    assert_eq!(
        answered_with("HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n").await,
        Err(Error::Overloaded)
    );
    assert_eq!(
        answered_with("HTTP/1.1 504 \r\nContent-Length: 0\r\n\r\n").await,
        Err(Error::Timeout)
    );
}

#[tokio::test]
async fn no_error_contains_the_token_or_the_url() {
    let server = ScriptedServer::start().await;
    let address = server.url();
    let refused = thingsboard(&server.stop()).send(telemetry("{}")).await;
    let outcomes = [
        refused,
        answered_with("").await,
        answered_with("SSH-2.0\r\n").await,
        answered_with("HTTP/1.1 302 \r\nLocation: http://elsewhere\r\n\r\n").await,
        answered_with("HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n").await,
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        let text = format!("{error} {error:?}");
        for secret in [TOKEN, "S3cret", "api/v1", address.as_str()] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let shown = format!(
        "{:?} {:?}",
        thingsboard("http://tb"),
        telemetry("{\"secretKey\":\"hunter2\"}")
    );
    assert!(
        !shown.contains("S3cret") && !shown.contains("hunter2"),
        "{shown}"
    );
}

/// Whether this is the process that [`again_alone`] started.
fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

const ALONE: &str = "COAPS_GATEWAY_TEST_ALONE";

/// Runs one test of this program in a process of its own, with an environment of its own.
fn again_alone(name: &str, environment: &[(&str, &str)]) {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("upstream::tests::{name}")]);
    for variable in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        again.env_remove(variable);
    }
    again.env(ALONE, "1").envs(environment.iter().copied());
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_proxy_from_the_environment_is_not_used() {
    if is_alone() {
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(answered_with(reply).await, empty());
        return;
    }
    let unused = ScriptedServer::start().await.stop();
    let variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let environment = variables.map(|variable| (variable, unused.as_str()));
    again_alone("a_proxy_from_the_environment_is_not_used", &environment);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what this thread logs, until the guard is dropped.
    fn begin() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Alone, because what other threads log first decides whether a line is logged at all (tracing's cache).
#[tokio::test]
async fn an_outage_is_logged_once_with_its_reason_and_without_the_token() {
    if !is_alone() {
        again_alone(
            "an_outage_is_logged_once_with_its_reason_and_without_the_token",
            &[],
        );
        return;
    }
    let (log, _guard) = Log::begin();
    let url = ScriptedServer::start().await.stop();
    let thingsboard = thingsboard(&url);
    let poll = Operation::PollRpc {
        timeout: Duration::from_secs(25),
    };
    for request in [telemetry("{}"), request(poll), telemetry("{}")] {
        assert_eq!(thingsboard.send(request).await, Err(Error::Unreachable));
    }
    let text = log.text();
    assert_eq!(text.matches("can't be reached").count(), 1, "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(!text.contains("S3cret"), "{text}");
}
