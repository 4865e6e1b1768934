//! The gateway with other implementations: libcoap's clients (OpenSSL and GnuTLS), and TLS servers before ThingsBoard.
//!
//! Behind the feature `interop`, because these programs are not part of the Rust toolchain. `tests/interop/run` turns
//! it on. A test fails if its program is missing, and names it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use coaps_gateway::facade::device::{AccessToken, Device};
use coaps_gateway::facade::upstream::{
    Error, HttpVersion, Operation, Request, Settings, ThingsBoard, TlsFiles, Upstream,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use test_support::certificates::{Authority, Identity, Valid};
use test_support::closed_port::ClosedPort;
use test_support::libcoap::{CLIENTS, client_with};
use test_support::tls_clients::output_of;
use test_support::world::{Options, PUMP_TOKEN, World};

/// The result of a libcoap client.
#[derive(Debug)]
struct Shown {
    /// The last response's code, if any.
    code: Option<String>,
    payload: String,
    log: String,
}

/// Makes a request with one of libcoap's clients.
fn request(
    world: &World,
    client: &str,
    identity: &Identity,
    method: &str,
    path: &str,
    arguments: &[&str],
) -> Shown {
    let answer = world.path().join("answer");
    let _ = std::fs::remove_file(&answer);
    let options = ["-v", "7", "-B", "15", "-m", method];
    let output = ["-o", answer.to_str().unwrap()];
    let all = [&options[..], &output, arguments].concat();
    let log = output_of(&mut client_with(world, client, identity, &all, path));
    // Messages are logged as `v:1 t:ACK c:2.05 i:…`; requests name their method instead of a number.
    let mut codes = log
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("c:"));
    let code = codes
        .rfind(|code| code.starts_with(['2', '4', '5']))
        .map(str::to_owned);
    Shown {
        code,
        payload: std::fs::read_to_string(&answer).unwrap_or_default(),
        log,
    }
}

fn post(world: &World, client: &str, path: &str, body: &str) -> Shown {
    request(world, client, &world.meter, "post", path, &["-e", body])
}

fn get(world: &World, client: &str, path: &str) -> Shown {
    request(world, client, &world.meter, "get", path, &[])
}

fn expect(shown: &Shown, code: &str) {
    assert_eq!(shown.code.as_deref(), Some(code), "{}", shown.log);
}

#[test]
fn each_resource_accepts_posts_of_both_libcoap_clients() {
    for client in CLIENTS {
        let world = World::start();
        for (path, upstream, body) in [
            (
                "api/v1/telemetry".to_owned(),
                "/api/v1/{token}/telemetry",
                "{temperature:25}",
            ),
            (
                format!("api/v1/{PUMP_TOKEN}/telemetry"),
                "/api/v1/{token}/telemetry",
                "{temperature:26}",
            ),
            (
                "api/v1/attributes".to_owned(),
                "/api/v1/{token}/attributes",
                r#"{"model":"m"}"#,
            ),
            ("api/v1/claim".to_owned(), "/api/v1/{token}/claim", "{}"),
            (
                "api/v1/rpc/17".to_owned(),
                "/api/v1/{token}/rpc/17",
                r#"{"ok":true}"#,
            ),
        ] {
            let shown = post(&world, client, &path, body);
            expect(&shown, "2.01");
            assert_eq!(shown.payload, "", "{client} {path}");
            world.assert_last_post(upstream, "meter-17", body);
        }
    }
}

#[test]
fn attributes_and_discovery_work_with_both_libcoap_clients() {
    for client in CLIENTS {
        let world = World::start();
        expect(&get(&world, client, "api/v1/attributes"), "4.04");
        world.simulator.post(
            "/simulator/devices/meter-17/attributes/shared",
            &json!({ "interval": 60, "unit": "C" }),
        );
        let shown = get(&world, client, "api/v1/attributes?sharedKeys=interval");
        expect(&shown, "2.05");
        let body: Value = serde_json::from_str(&shown.payload).expect(client);
        assert_eq!(body, json!({ "shared": { "interval": 60 } }));
        let shown = get(&world, client, ".well-known/core");
        expect(&shown, "2.05");
        assert!(
            shown.payload.contains("</api/v1/telemetry>"),
            "{client}: {}",
            shown.payload
        );
    }
}

#[test]
fn client_side_rpc_works_with_both_libcoap_clients() {
    for client in CLIENTS {
        let world = World::start();
        world
            .simulator
            .put("/simulator/rpc/getLimit", &json!({ "limit": 7 }));
        world
            .simulator
            .put("/simulator/timeouts", &json!({ "asyncMs": 700 }));
        let shown = post(
            &world,
            client,
            "api/v1/rpc",
            r#"{"method":"getLimit","params":{}}"#,
        );
        expect(&shown, "2.05");
        assert_eq!(
            serde_json::from_str::<Value>(&shown.payload).expect(client),
            json!({ "limit": 7 })
        );
        // Longer than the piggyback timeout, so libcoap gets a separate response.
        expect(
            &post(
                &world,
                client,
                "api/v1/rpc",
                r#"{"method":"unknown","params":{}}"#,
            ),
            "5.04",
        );
    }
}

#[test]
fn provisioning_works_with_both_libcoap_clients() {
    for client in CLIENTS {
        let mut world = World::with(&Options {
            clients: "provision = true",
            ..Options::default()
        });
        world.keep_secret("Pr0visionSecret");
        world.simulator.put(
            "/simulator/profiles/PROFILE-KEY",
            &json!({ "secret": "Pr0visionSecret" }),
        );
        let new_device = world.authority.device("new-device");
        let provision = |secret: &str| {
            let body = json!({ "deviceName": "new-device", "provisionDeviceKey": "PROFILE-KEY", "provisionDeviceSecret": secret });
            request(
                &world,
                client,
                &new_device,
                "post",
                "api/v1/provision",
                &["-e", &body.to_string()],
            )
        };
        expect(&provision("wrong"), "4.00");
        let shown = provision("Pr0visionSecret");
        expect(&shown, "2.01");
        let body: Value = serde_json::from_str(&shown.payload).expect(client);
        assert_eq!(body["status"], "SUCCESS");
        world.keep_secret(body["credentialsValue"].as_str().unwrap());
    }
}

#[test]
fn a_non_confirmable_post_is_answered_for_both_libcoap_clients() {
    for client in CLIENTS {
        let world = World::start();
        expect(
            &request(
                &world,
                client,
                &world.meter,
                "post",
                "api/v1/telemetry",
                &["-N", "-e", "{a:1}"],
            ),
            "2.01",
        );
        assert_eq!(world.simulator.arrivals().len(), 1);
    }
}

#[test]
fn an_upload_above_the_limit_is_too_large() {
    for client in CLIENTS {
        let world = World::start();
        let file = world.path().join("body");
        std::fs::write(&file, "x".repeat(65_537)).unwrap();
        let arguments = ["-b", "1024", "-f", file.to_str().unwrap()];
        let path = "api/v1/telemetry";
        let shown = request(&world, client, &world.meter, "post", path, &arguments);
        expect(&shown, "4.13");
        assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
    }
}

#[test]
fn failures_reach_both_libcoap_clients_as_response_codes() {
    for client in CLIENTS {
        let world = World::start();
        expect(&post(&world, client, "api/v1/telemetry", "{a:"), "4.00");
        for (status, expected) in [(401, "4.01"), (500, "5.00"), (503, "5.03")] {
            world
                .simulator
                .fault(&json!({ "status": status, "times": 1 }));
            expect(&post(&world, client, "api/v1/telemetry", "{a:1}"), expected);
        }
        let closed = ClosedPort::bind();
        let world = World::with(&Options {
            url: Some(closed.url()),
            ..Options::default()
        });
        expect(&post(&world, client, "api/v1/telemetry", "{a:1}"), "5.03");
    }
}

#[test]
fn a_certificate_that_is_not_registered_is_unauthorized_for_both_libcoap_clients() {
    for client in CLIENTS {
        let world = World::start();
        let unregistered = world.authority.device("unregistered");
        expect(
            &request(
                &world,
                client,
                &unregistered,
                "post",
                "api/v1/telemetry",
                &["-e", "{a:1}"],
            ),
            "4.01",
        );
        assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
    }
}

#[test]
fn refused_certificates_end_the_handshake_of_both_libcoap_clients() {
    for client in CLIENTS {
        let world = World::start();
        for identity in [
            world.authority.device_valid("old", Valid::NoLonger),
            Authority::new("Foreign CA").device("foreign"),
        ] {
            let shown = request(
                &world,
                client,
                &identity,
                "post",
                "api/v1/telemetry",
                &["-e", "{a:1}"],
            );
            assert_eq!(
                shown.code, None,
                "{client} with {}: {}",
                identity.name, shown.log
            );
        }
        assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
        expect(&post(&world, client, "api/v1/telemetry", "{a:1}"), "2.01");
    }
}

/// `openssl s_server -www` answers any GET with a page, which is enough to test TLS to an upstream.
struct WebServer {
    child: Child,
    url: String,
}

impl WebServer {
    fn start(directory: &Path, identity: &Identity) -> WebServer {
        let (certificate, key) = identity.write(directory);
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl; `tests/interop/run --install` installs it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map_while(Result::ok)
            .find(|line| line.starts_with("ACCEPT"));
        let line = ready.expect("the port of s_server");
        let (_, port) = line.rsplit_once(':').unwrap();
        WebServer {
            child,
            url: format!("https://localhost:{port}"),
        }
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_upstream_over_tls_needs_a_certificate_of_the_private_ca_for_its_name() {
    let directory = TempDir::new().unwrap();
    let (authority, other) = (Authority::new("Upstream CA"), Authority::new("Other CA"));
    let server = WebServer::start(directory.path(), &authority.server());
    let misnamed = WebServer::start(
        directory.path(),
        &authority.server_for(&["elsewhere.example"]),
    );
    let reached = async |url: &str, ca: &Authority| {
        let settings = Settings {
            url: url.parse().unwrap(),
            http_url: None,
            tls: TlsFiles {
                ca: Some(ca.pem.clone().into_bytes()),
                client: None,
            },
            http_version: HttpVersion::Auto,
            timeout: Duration::from_secs(10),
            max_in_flight: 1,
            max_downlink: 1,
            max_packages: 1,
            max_connections: 8,
            connects_per_second: 100,
            alive_for: Duration::from_secs(900),
        };
        let device = Device {
            name: "meter-17".into(),
            token: AccessToken::new("T1").unwrap(),
        };
        let operation = Operation::GetAttributes {
            client_keys: None,
            shared_keys: None,
        };
        let request = Request::Device {
            device: Arc::new(device),
            operation,
        };
        ThingsBoard::new(settings).unwrap().send(request).await
    };
    assert!(
        reached(&server.url, &authority)
            .await
            .unwrap()
            .body
            .starts_with(b"<HTML>")
    );
    assert_eq!(reached(&server.url, &other).await, Err(Error::Unreachable));
    assert_eq!(
        reached(&misnamed.url, &authority).await,
        Err(Error::Unreachable)
    );
}
