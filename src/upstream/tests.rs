//! The client against a scripted server: what is sent, and the outcome of every way that an exchange can end.

use super::{
    Answer, Error, HttpVersion, Operation, Package, Rejection, Request, Settings, ThingsBoard,
    TlsFiles, Upstream,
};
use crate::device::{AccessToken, Device};
use bytes::Bytes;
use scripted_server::ScriptedServer;
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod connections;
mod http2;
mod invalid_replies;
mod polls;
mod replies;
mod scripted_server;

const TOKEN: &str = "S3cret?Token";

/// Tests in both versions of HTTP: `version` is what the server speaks.
macro_rules! in_both_versions {
    ($($(#[$attribute:meta])* async fn $name:ident($version:ident) $body:block)*) => {
        $(
            $(#[$attribute])*
            mod $name {
                use super::*;

                async fn test($version: HttpVersion) $body

                #[tokio::test]
                async fn http1() {
                    test(HttpVersion::Http1).await;
                }

                #[tokio::test]
                async fn http2() {
                    test(HttpVersion::Http2).await;
                }
            }
        )*
    };
}
use in_both_versions;

fn thingsboard(server: &ScriptedServer) -> ThingsBoard {
    within(server, Duration::from_secs(20))
}

fn within(server: &ScriptedServer, timeout: Duration) -> ThingsBoard {
    with(&server.url(), server.version, timeout, 8)
}

/// Room for one call in each lane.
fn one_place_each(server: &ScriptedServer) -> ThingsBoard {
    with(&server.url(), server.version, Duration::from_secs(20), 1)
}

/// For a URL without a server, or with a path.
fn at(url: &str, version: HttpVersion) -> ThingsBoard {
    with(url, version, Duration::from_secs(20), 8)
}

fn with(url: &str, version: HttpVersion, timeout: Duration, places: usize) -> ThingsBoard {
    ThingsBoard::new(settings(url, version, timeout, places)).unwrap()
}

fn settings(url: &str, http_version: HttpVersion, timeout: Duration, places: usize) -> Settings {
    Settings {
        url: url.parse().unwrap(),
        http_url: None,
        tls: TlsFiles::default(),
        http_version,
        timeout,
        max_in_flight: places,
        max_downlink: places,
        max_packages: places,
        max_connections: 8,
        connects_per_second: 100,
        alive_for: Duration::from_secs(900),
    }
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
async fn answered_with(version: HttpVersion, reply: impl AsRef<[u8]>) -> Result<Answer, Error> {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
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

in_both_versions! {
async fn a_post_arrives_byte_for_byte_as_json_under_the_encoded_token(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = at(&format!("{}/tb/", server.url()), version);
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
}

in_both_versions! {
async fn a_get_carries_its_key_lists_and_brings_the_body_back(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
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
}

in_both_versions! {
async fn a_refusal_keeps_its_status_and_whether_a_text_came_with_it(version) {
    let rejected = |status, has_text| Err(Error::Rejected(Rejection::new(status, has_text)));
    let with_text = "HTTP/1.1 500 \r\nContent-Length: 9\r\n\r\nbad JSON!";
    assert_eq!(answered_with(version, with_text).await, rejected(500, true));
    assert_eq!(
        answered_with(version, "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n").await,
        rejected(500, false)
    );
    assert_eq!(
        answered_with(version, "HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n").await,
        rejected(401, false)
    );
    // The body breaks off, the status has been read.
    assert_eq!(
        answered_with(version, "HTTP/1.1 401 \r\nContent-Length: 5\r\n\r\n").await,
        rejected(401, false)
    );
    assert_eq!(
        answered_with(version, "HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n").await,
        Err(Error::Overloaded)
    );
    assert_eq!(
        answered_with(version, "HTTP/1.1 504 \r\nContent-Length: 0\r\n\r\n").await,
        Err(Error::Timeout)
    );
}
}

#[tokio::test]
async fn no_error_contains_the_token_or_the_url() {
    let server = ScriptedServer::start().await;
    let address = server.url();
    let refused = at(&server.stop(), HttpVersion::Http1)
        .send(telemetry("{}"))
        .await;
    let outcomes = [
        refused,
        answered_with(HttpVersion::Http1, "").await,
        answered_with(HttpVersion::Http1, "SSH-2.0\r\n").await,
        answered_with(
            HttpVersion::Http1,
            "HTTP/1.1 302 \r\nLocation: http://elsewhere\r\n\r\n",
        )
        .await,
        answered_with(
            HttpVersion::Http1,
            "HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n",
        )
        .await,
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
        at("http://tb", HttpVersion::Http1),
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

/// Runs one test of this program in a process of its own, with an environment of its own. `version`: of a test in both.
fn again_alone(name: &str, version: impl Into<Option<HttpVersion>>, environment: &[(&str, &str)]) {
    let version = match version.into() {
        None => "",
        Some(HttpVersion::Http2) => "::http2",
        Some(HttpVersion::Auto | HttpVersion::Http1) => "::http1",
    };
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("upstream::tests::{name}{version}")]);
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
        assert_eq!(answered_with(HttpVersion::Http1, reply).await, empty());
        return;
    }
    let unused = ScriptedServer::start().await.stop();
    let variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let environment = variables.map(|variable| (variable, unused.as_str()));
    again_alone(
        "a_proxy_from_the_environment_is_not_used",
        None,
        &environment,
    );
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

in_both_versions! {
/// Alone, because what other threads log first decides whether a line is logged at all (tracing's cache).
async fn an_outage_is_logged_once_with_its_reason_and_without_the_token(version) {
    if !is_alone() {
        again_alone(
            "an_outage_is_logged_once_with_its_reason_and_without_the_token",
            version,
            &[],
        );
        return;
    }
    let (log, _guard) = Log::begin();
    let url = ScriptedServer::speaking(version).await.stop();
    let thingsboard = at(&url, version);
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
}
