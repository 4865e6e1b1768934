//! The admin server of the real binary: liveness, readiness, sessions, and the exit code of the health check.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;
use test_support::admin::Admin;
use test_support::client::Client;
use test_support::closed_port::ClosedPort;
use test_support::coap::{OBSERVE, get};
use test_support::device::code;
use test_support::fleet::Fleet;
use test_support::process::run;
use test_support::world::{Options, World, eventually};

fn world(sections: &str) -> (World, Admin) {
    let world = World::with(&Options {
        admin: true,
        sections,
        ..Options::default()
    });
    let admin = Admin::of(&world.gateway);
    (world, admin)
}

/// Exit code, standard output, standard error.
fn healthcheck(address: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coaps-gateway"));
    command.current_dir(directory.path()).arg("healthcheck");
    command
        .env_clear()
        .env("COAPS_GATEWAY__LISTEN__ADMIN", address);
    let output = run(&mut command, Duration::from_secs(30));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_gateway_that_serves_is_alive_and_ready_and_lists_its_checks() {
    let (_world, admin) = world("");
    assert_eq!(admin.get("/livez"), (200, "ok\n".to_owned()));
    let (status, body) = admin.get("/readyz");
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body,
        "ready\nok: it serves\nok: 2 devices are registered\nok: ThingsBoard can be reached\n"
    );
    let (code, out, errors) = healthcheck(&admin.address.to_string());
    assert_eq!((code, out, errors), (Some(0), body, String::new()));
}

#[test]
fn an_unreachable_upstream_is_a_warning_or_with_require_upstream_not_ready() {
    let closed = ClosedPort::bind();
    for (sections, expected, code) in [
        ("", 200, Some(0)),
        ("[admin]\nrequire_upstream = true", 503, Some(1)),
    ] {
        let world = World::with(&Options {
            admin: true,
            sections,
            url: Some(closed.url()),
            ..Options::default()
        });
        let admin = Admin::of(&world.gateway);
        let (status, body) = admin.get("/readyz");
        assert_eq!(status, expected, "{body}");
        assert!(body.contains("ThingsBoard can't be reached"), "{body}");
        assert!(!body.contains("ok: ThingsBoard"), "{body}");
        assert_eq!(admin.get("/livez").0, 200);
        let (exit, out, _) = healthcheck(&admin.address.to_string());
        assert_eq!(exit, code, "{out}");
        assert!(out.contains("ThingsBoard can't be reached"), "{out}");
    }
}

#[test]
fn a_silent_upstream_does_not_delay_the_response() {
    let (world, admin) = world("");
    let fault = json!({"path": "/api/v1/", "hang": true, "times": 1});
    world.simulator.fault(&fault);
    let (status, body) = admin.get("/readyz");
    assert_eq!(status, 200);
    assert!(
        body.contains("warning: ThingsBoard does not answer"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_gateway_is_not_ready_and_stays_alive_until_its_end() {
    let (mut world, admin) = world("[shutdown]\ndrain = \"20s\"");
    let device = world.meter().await;
    world
        .simulator
        .fault(&json!({"path": "/api/v1/*/attributes", "delayMs": 3000, "times": 1}));
    let request =
        tokio::spawn(async move { device.request(get(&["api", "v1", "attributes"])).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.gateway.signal("TERM");
    world.await_log("stopping: no new handshakes");
    let (status, body) = admin.get("/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("not ready: it is stopping\n"), "{body}");
    assert_eq!(admin.get("/livez").0, 200);
    let (exit, out, _) = healthcheck(&admin.address.to_string());
    assert_eq!(exit, Some(1), "{out}");
    let _ = request.await.unwrap();
    world.gateway.await_end();
}

#[test]
fn the_health_check_reports_why_it_failed() {
    let (code, _, errors) = healthcheck("");
    assert_eq!(code, Some(1));
    assert!(
        errors.starts_with("error: listen.admin is not set"),
        "{errors}"
    );
    let closed = ClosedPort::bind();
    let (code, _, errors) = healthcheck(&closed.address().to_string());
    assert_eq!(code, Some(1));
    assert!(errors.contains("no program listens there"), "{errors}");
    let (code, _, errors) = healthcheck("zebra");
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("listen.admin: text of 5 characters is no address"),
        "{errors}"
    );
}

#[test]
fn an_address_in_use_is_an_error_at_the_start_with_a_remedy() {
    let (world, admin) = world("");
    let configuration = world.path().join("gateway.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coaps-gateway"));
    command
        .env_clear()
        .env("COAPS_GATEWAY__LISTEN__ADMIN", admin.address.to_string());
    command.arg("run").arg("--config").arg(configuration);
    let output = run(&mut command, Duration::from_secs(30));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("error: listen.admin: TCP {} can't be bound", admin.address);
    assert!(
        errors.contains(&expected) && errors.contains("ss -ltnp"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_only_if_enabled() {
    let (world, admin) = world("");
    let _device = world.meter().await;
    let (status, body) = admin.get("/sessions");
    assert_eq!(status, 404);
    assert!(body.contains("admin.sessions = true"), "{body}");
    assert!(!body.contains("meter-17"), "{body}");
    drop(world);

    let (world, admin) = self::world("[admin]\nsessions = true");
    let listed = || -> Vec<Value> {
        let (status, text) = admin.send("GET /sessions HTTP/1.0\r\n\r\n");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(listed(), Vec::<Value>::new());
    let (meter, pump) = (world.meter().await, world.connect(&world.pump).await);
    let registration = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
    assert_eq!(code(&meter.request(registration).await), "2.03");
    let unregistered = world.authority.device("unregistered");
    let _unregistered = world.connect(&unregistered).await;
    let all = listed();
    assert_eq!(all.len(), 3);
    let of = |name: Value| all.iter().find(|one| one["device"] == name).unwrap();
    let (own, others) = (of(json!("meter-17")), of(json!("pump-03")));
    assert_eq!(own["observations"], json!(["rpc"]));
    assert_eq!(others["observations"], json!([]));
    assert_eq!(of(Value::Null)["observations"], json!([]));
    assert_eq!(own["dtls"], "1.2");
    assert_eq!(own["cipher_suite"], "ECDHE_ECDSA_AES_128_GCM_SHA256");
    let address: SocketAddr = own["address"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback());
    for time in ["since", "last_received"] {
        let text = own[time].as_str().unwrap();
        let then = humantime::parse_rfc3339(text).unwrap();
        let age = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap()
            - then
                .duration_since(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        assert!(age < Duration::from_secs(60), "{text}");
    }
    pump.close().await;
    eventually("the end of a session", || listed().len() == 2);
}

#[test]
fn invalid_requests_are_answered_and_do_not_delay_others() {
    let (_world, admin) = world("");
    let long = "x".repeat(100_000);
    let idle: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(admin.address).unwrap())
        .collect();
    for (request, expected) in [
        (
            format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nx: {long}\r\n\r\n"),
            431,
        ),
        (
            format!(
                "POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{long}"
            ),
            405,
        ),
        (
            "GET /metrics/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            404,
        ),
        (
            "DELETE /sessions HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            405,
        ),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let (status, body) = admin.send(&request);
        assert_eq!(status, expected, "{body}");
        assert_eq!(admin.get("/livez").0, 200);
    }
    drop(idle);
}

/// DNS rebinding: a site whose name resolves to 127.0.0.1 can make its visitor's browser send requests here.
#[test]
fn on_a_loopback_address_requests_under_another_host_name_are_refused() {
    let (_world, admin) = self::world("[admin]\nsessions = true");
    let get_as = |host: &str, path: &str| {
        admin.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    for path in ["/livez", "/readyz", "/metrics", "/sessions"] {
        for host in [
            "evil.example",
            "evil.example:9684",
            "127.0.0.1.evil.example",
            "192.0.2.1",
        ] {
            let (status, body) = get_as(host, path);
            assert_eq!(status, 403, "{host} {path}");
            assert!(body.contains("only loopback names"), "{body}");
        }
        for host in ["localhost", "127.0.0.1:9684", "[::1]:9684"] {
            assert_eq!(get_as(host, path).0, 200, "{host} {path}");
        }
        // No browser sends HTTP/1.0 without a Host.
        assert_eq!(admin.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mqtt_the_connections_of_devices_are_shown() {
    let world = World::with(&Options {
        admin: true,
        mqtt: true,
        sections: "[admin]\nsessions = true\nrequire_upstream = true",
        ..Options::default()
    });
    let admin = Admin::of(&world.gateway);
    let meter = world.meter().await;
    assert_eq!(meter.post_telemetry("{a:1}").await, "2.01");
    let wanted = "MQTT connections: 1 open, 0 waiting to be opened, 0 waiting after a failure\n";
    eventually("ready", || {
        // The check has a connection of its own, for a moment.
        let (status, body) = admin.get("/readyz");
        status == 200 && body.contains(&format!("ok: {wanted}"))
    });
    let of_meter = |wanted: Value| {
        let (_, text) = admin.send("GET /sessions HTTP/1.0\r\n\r\n");
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        all[0]["mqtt_connection"] == wanted
    };
    assert!(of_meter(json!("open")));
    let limit = json!({"telemetryLimit": "1:60"});
    world.simulator.put("/simulator/mqtt", &limit);
    for expected in ["2.01", "4.29"] {
        assert_eq!(meter.post_telemetry("{a:1}").await, expected);
    }
    let line = "ThingsBoard has closed or refused this device's MQTT connection over a rate limit";
    assert!(world.await_log(line).contains("meter-17"));
    assert!(of_meter(json!("backing_off")) || of_meter(Value::Null));
    world
        .simulator
        .post("/simulator/restart", &json!({"downMs": 60_000}));
    eventually("not ready", || {
        let (status, body) = admin.get("/readyz");
        status == 503 && body.contains("not ready: ThingsBoard")
    });
}

/// Many connections that are lost together are one line, and so is their return.
#[test]
fn over_mqtt_a_restart_of_thingsboard_is_a_few_log_lines() {
    const DEVICES: usize = 30;
    let devices = Fleet::new(DEVICES);
    let world = World::with(&Options {
        mqtt: true,
        any_issuer: true,
        devices: &devices.registry,
        ..Options::default()
    });
    devices.create(&world.simulator);
    let mut observers: Vec<Client> = Vec::new();
    for identity in &devices.identities {
        let mut device = Client::connect(world.address, identity);
        let mut request = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
        (request.id, request.token) = (1, vec![1]);
        device.send(&request);
        assert_eq!(device.receive().uint(OBSERVE), Some(0));
        observers.push(device);
    }
    let subscribed = |times: usize| {
        let counts = world.simulator.control("GET", "/simulator/mqtt/counts", "");
        let counts: Value = serde_json::from_str(&counts).unwrap();
        counts["subscribes"] == DEVICES * times
    };
    eventually("subscriptions", || subscribed(1));
    world
        .simulator
        .post("/simulator/restart", &json!({"downMs": 2500}));
    let lost = world.await_log("devices' MQTT connections to ThingsBoard were lost");
    assert!(lost.contains(&format!("\"lost\":{DEVICES}")), "{lost}");
    let back = world.await_log("the lost MQTT connections to ThingsBoard are open again");
    assert!(back.contains(&format!("\"opened\":{DEVICES}")), "{back}");
    eventually("subscriptions again", || subscribed(2));
    let log = world.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("ThingsBoard can't be reached"), 1);
    assert_eq!(lines("were lost"), 1);
    assert_eq!(lines("are open again"), 1);
    let (_, since) = log.split_once("\"listening for CoAPs\"").unwrap();
    let warnings = since.lines().filter(|line| line.contains("\"WARN\""));
    assert_eq!(warnings.count(), 2, "{since}");
}
