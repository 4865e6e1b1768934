//! The load driver of `crates/load`, run against the real gateway.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use clap::Parser;
use serde_json::{Value, json};
use std::time::Duration;
use test_support::fleet::Fleet;
use test_support::world::{Options, World, eventually};

/// A gateway with this many devices; their certificates and keys are in `fleet/`.
fn world(devices: usize) -> World {
    let fleet = Fleet::new(devices);
    let world = World::with(&Options {
        // These certificates are issued by another authority than the world's.
        any_issuer: true,
        devices: &fleet.registry,
        log_level: Some("info"),
        ..Options::default()
    });
    fleet.create(&world.simulator);
    let directory = world.path().join("fleet");
    std::fs::create_dir(&directory).unwrap();
    for identity in &fleet.identities {
        identity.write(&directory);
    }
    world
}

/// Runs the driver, and returns its report. `fleet` and `ca.pem` are the world's.
fn run(world: &World, path: &str, arguments: &str) -> Value {
    let uri = format!("coaps://{}/{path}", world.address);
    let file = |argument: &str| match argument {
        "fleet" | "ca.pem" | "unregistered.pem" | "unregistered.key" => {
            world.path().join(argument).to_str().unwrap().to_owned()
        }
        other => other.to_owned(),
    };
    let arguments = arguments.split_whitespace().map(file);
    let all = ["load".to_owned(), uri].into_iter().chain(arguments);
    let args = load::Args::try_parse_from(all).unwrap_or_else(|error| panic!("{error}"));
    let report = load::run(args).unwrap();
    serde_json::from_str(&report.json()).unwrap()
}

/// Runs the driver until it has counted more than `least` of these, for longer and longer: on a busy machine little happens in
/// a second.
fn run_for(world: &World, path: &str, arguments: &str, of: &str, least: u64) -> Value {
    for seconds in [1, 4, 16] {
        let report = run(world, path, &format!("{arguments} --duration {seconds}s"));
        if report[of]["count"].as_u64().unwrap() > least {
            return report;
        }
    }
    run(world, path, &format!("{arguments} --duration 60s"))
}

/// How many telemetry messages have arrived at ThingsBoard.
fn telemetry(world: &World) -> usize {
    let arrivals = world.simulator.arrivals();
    let telemetry = |arrival: &&Value| arrival.to_string().contains("telemetry");
    arrivals.iter().filter(telemetry).count()
}

#[test]
fn ten_sessions_get_no_error_and_every_response_is_for_a_post_upstream() {
    let world = world(10);
    let report = run(
        &world,
        "api/v1/telemetry",
        "--identities fleet --ca ca.pem --server-name localhost --from 127.0.0.1-127.0.0.4 \
         --sessions 10 --duration 4s --rate 20 --method post --payload {\"t\":1} --content-format 50",
    );
    let count = report["requests"]["count"].as_u64().unwrap();
    let unfinished = report["requests"]["unfinished"].as_u64().unwrap();
    // 20 a second for four seconds; on a busy machine some may be late.
    assert!((40..=84).contains(&count), "{report}");
    assert_eq!(report["errors"], json!({}));
    assert_eq!(report["responses"], json!({ "2.01": count }));
    assert_eq!(report["sessions"], json!({"wanted": 10, "established": 10}));
    assert_eq!(report["handshakes"]["count"], 10);
    let upstream = u64::try_from(telemetry(&world)).unwrap();
    assert!(
        (count..=count + unfinished).contains(&upstream),
        "{upstream} arrived: {report}"
    );
    let latency = |name: &str| report["requests"]["latency_ms"][name].as_f64().unwrap();
    let ordered = [0.0, latency("p50"), latency("p99"), latency("p99_9")];
    assert!(ordered.is_sorted() && ordered[1] > 0.0, "{report}");
    assert!(report["dtls"].as_str().unwrap().contains("webrtc-dtls"));
}

#[test]
fn dimpl_serves_the_closed_loop_and_the_handshake_loop() {
    let world = world(4);
    let dimpl = "--identities fleet --insecure --dtls dimpl --sessions 4";
    let attributes = "api/v1/attributes?sharedKeys=none";
    let report = run_for(&world, attributes, dimpl, "requests", 40);
    assert!(
        report["requests"]["count"].as_u64().unwrap() > 40,
        "{report}"
    );
    assert_eq!(report["dtls"], "dimpl, which the gateway has for DTLS 1.3");
    let loops = format!("{dimpl} --work handshakes");
    let loops = run_for(&world, "", &loops, "handshakes", 4);
    assert!(
        loops["handshakes"]["count"].as_u64().unwrap() > 4,
        "{loops}"
    );
    assert_eq!(loops["requests"]["count"], 0);
}

#[test]
fn the_own_client_serves_the_closed_loop_and_the_handshake_loop() {
    let world = world(4);
    let own = "--identities fleet --insecure --dtls own --sessions 4 \
               --suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let post = "--method post --payload {\"t\":1}";
    let requests = format!("{own} {post}");
    let report = run_for(&world, "api/v1/telemetry", &requests, "requests", 40);
    let count = report["requests"]["count"].as_u64().unwrap();
    assert!(count > 40, "{report}");
    assert_eq!(report["responses"], json!({ "2.01": count }));
    let loops = format!("{own} --work handshakes");
    let loops = run_for(&world, "", &loops, "handshakes", 4);
    assert!(
        loops["handshakes"]["count"].as_u64().unwrap() > 4,
        "{loops}"
    );
    assert_eq!(
        (&loops["errors"], &loops["resumed"]),
        (&json!({}), &json!(0))
    );
}

#[test]
fn the_own_client_serves_with_each_cipher_suite_of_an_ec_certificate() {
    let world = world(1);
    for suite in [
        "AES_128_CCM_8",
        "AES_128_GCM_SHA256",
        "AES_128_CCM",
        "AES_256_GCM_SHA384",
        "CHACHA20_POLY1305_SHA256",
        "AES_256_CCM_8",
        "AES_256_CCM",
    ] {
        let one =
            "--identities fleet --insecure --dtls own --sessions 1 --method post --payload {}";
        let suite = format!("{one} --suite TLS_ECDHE_ECDSA_WITH_{suite}");
        let report = run_for(&world, "api/v1/telemetry", &suite, "requests", 0);
        let count = report["requests"]["count"].as_u64().unwrap();
        assert!(count > 0, "{suite}: {report}");
        assert_eq!(report["responses"], json!({ "2.01": count }), "{suite}");
    }
}

#[test]
fn each_handshake_of_a_loop_resumes_the_session_of_the_last_one() {
    let world = world(4);
    let loops = "--identities fleet --insecure --dtls own --sessions 4 --work handshakes --resume";
    let report = run_for(&world, "", loops, "handshakes", 4);
    let count = report["handshakes"]["count"].as_u64().unwrap();
    assert!(count > 4, "{report}");
    assert_eq!(report["resumed"], count, "{report}");
    assert_eq!(report["errors"], json!({}));
}

#[test]
fn sessions_that_get_another_port_are_served_without_a_handshake() {
    let world = world(20);
    let moves = "--identities fleet --insecure --dtls own --sessions 20 --duration 4s --work move \
                 --from 127.0.0.1-127.0.0.4 --method post --payload {\"t\":1}";
    let report = run(&world, "api/v1/telemetry", moves);
    let all = json!({"count": 20, "served": 20, "served_after_handshake": 0, "lost": 0});
    assert_eq!(report["moves"], all, "{report}");
    assert_eq!(report["handshakes"]["count"], 20);
    // What is sent right after the move is sent.
    assert!(report["retransmissions"].as_u64().unwrap() < 20, "{report}");
    assert_eq!(report["errors"], json!({}));
    assert_eq!(telemetry(&world), 40);
}

#[test]
fn idle_sessions_have_made_a_request_if_they_are_to() {
    let world = world(3);
    let idle = "--identities fleet --insecure --dtls own --sessions 3 --duration 1s --work idle --first-request \
                --method post --payload {\"t\":1} --suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let report = run(&world, "api/v1/telemetry", idle);
    let all = json!({"wanted": 3, "established": 3, "alive": 3});
    assert_eq!(report["sessions"], all, "{report}");
    assert_eq!(report["responses"], json!({"2.01": 3}));
    assert_eq!(telemetry(&world), 3);
}

#[test]
fn an_unregistered_device_is_refused_and_the_report_counts_it_by_code() {
    let world = world(0);
    let unregistered = world.authority.device("unregistered");
    unregistered.write(world.path());
    let report = run(
        &world,
        "api/v1/telemetry",
        "--certificate unregistered.pem --key unregistered.key --insecure --sessions 1 --duration 1s --method post",
    );
    let refused = report["requests"]["count"].as_u64().unwrap();
    assert!(refused > 0, "{report}");
    assert_eq!(report["errors"], json!({ "4.01": refused }));
}

#[test]
fn a_request_to_a_silent_server_is_retransmitted() {
    let mut world = world(1);
    let uri = world.address;
    let fleet = world.path().join("fleet");
    let driver = std::thread::spawn(move || {
        let arguments =
            "--insecure --sessions 1 --duration 7s --rate 10 --method post --payload {}";
        let uri = format!("coaps://{uri}/api/v1/telemetry");
        let fixed = ["load", &uri, "--identities", fleet.to_str().unwrap()];
        let all = fixed.into_iter().chain(arguments.split_whitespace());
        load::run(load::Args::try_parse_from(all).unwrap()).unwrap()
    });
    eventually("telemetry", || telemetry(&world) > 0);
    world.gateway.signal("STOP");
    // The first retransmission comes after two to three seconds, the second four to six later (RFC 7252 §4.2).
    std::thread::sleep(Duration::from_millis(4500));
    world.gateway.signal("CONT");
    let report: Value = serde_json::from_str(&driver.join().unwrap().json()).unwrap();
    assert_eq!(report["retransmissions"], 1, "{report}");
    assert_eq!(report["errors"], json!({}));
    // Latency counts from the time at which a request was due, so it contains the silence.
    let p50 = report["requests"]["latency_ms"]["p50"].as_f64().unwrap();
    assert!(p50 > 500.0, "{report}");
}

#[test]
fn an_idle_session_answers_a_ping_at_the_end() {
    let world = world(3);
    let idle = "--identities fleet --insecure --sessions 3 --duration 1s --work idle";
    let report = run(&world, "", idle);
    let all = json!({"wanted": 3, "established": 3, "alive": 3});
    assert_eq!(report["sessions"], all, "{report}");
    assert_eq!(report["errors"], json!({}));
}

#[test]
fn observers_count_their_notifications() {
    let world = world(2);
    let report = std::thread::scope(|scope| {
        let observers = scope.spawn(|| {
            let observe = "--identities fleet --insecure --sessions 2 --duration 4s --work observe";
            run(&world, "api/v1/attributes", observe)
        });
        let devices = ["device-0", "device-1"];
        // Both observe before either is notified: notifications before the measurement do not count.
        for device in devices {
            let subscriptions = format!("/simulator/devices/{device}/subscriptions");
            eventually("its poll", || {
                let found = world.simulator.control("GET", &subscriptions, "");
                found.contains("\"open\":1")
            });
        }
        for device in devices {
            let attributes = format!("/simulator/devices/{device}/attributes/shared");
            world.simulator.post(&attributes, &json!({"interval": 7}));
        }
        observers.join().unwrap()
    });
    assert_eq!(report["notifications"]["count"], 2, "{report}");
    assert_eq!(report["responses"], json!({"2.05": 4}));
    assert_eq!(report["errors"], json!({}));
}
