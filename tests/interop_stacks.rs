//! Clients that are written with a DTLS library alone: Mbed TLS and wolfSSL (C), and what each alone has. CoAP is the tests'.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use rcgen::KeyPair;
use serde_json::{Value, json};
use std::process::Command;
use test_support::admin::Admin;
use test_support::certificates::Authority;
use test_support::coap::{BLOCK1, BLOCK2, Message, OBSERVE, get, post};
use test_support::lossy::{Direction, Fate, Lossy};
use test_support::pipe::{Pipe, STACKS, Stack};
use test_support::scrape::Scrape;
use test_support::tls_clients::output_of;
use test_support::world::{METER_TOKEN, Options, World};

const SHARED: &str = "/simulator/devices/meter-17/attributes/shared";
/// What a device with short records offers and gets.
const SHORT: usize = 512;

fn telemetry(body: &str) -> Message {
    post(&["api", "v1", "telemetry"], body)
}

fn attributes() -> Message {
    get(&["api", "v1", "attributes"])
}

/// Posts telemetry, and asserts that it arrives.
fn assert_post(world: &World, device: &mut Pipe, what: &str) {
    let body = json!({ "of": what }).to_string();
    let response = device.request(&telemetry(&body));
    assert_eq!(response.code(), "2.01", "{what}");
    world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
}

/// With an admin server, to count handshakes.
fn world_with(dtls: &str) -> (World, Admin) {
    let world = World::with(&Options {
        admin: true,
        rsa: true,
        dtls,
        ..Options::default()
    });
    let admin = Admin::of(&world.gateway);
    (world, admin)
}

fn handshakes(admin: &Admin) -> f64 {
    let scrape = Scrape::read(&admin.get("/metrics").1);
    let completed = [("outcome", "completed")];
    scrape.value("coaps_gateway_handshakes_total", &completed)
}

/// The number of a block, whether more follow, and the exponent of its size (RFC 7959 §2.2), as an option's value.
fn block(number: usize, more: bool, exponent: usize) -> Vec<u8> {
    let value = u32::try_from(number << 4 | usize::from(more) << 3 | exponent).unwrap();
    let bytes = value.to_be_bytes();
    let leading = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes[leading..].to_vec()
}

/// Names of a suite: Mbed TLS's, wolfSSL's.
const SUITES: [(&str, &str); 10] = [
    (
        "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8",
        "ECDHE-ECDSA-AES128-CCM-8",
    ),
    (
        "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    ("TLS-ECDHE-ECDSA-WITH-AES-128-CCM", "ECDHE-ECDSA-AES128-CCM"),
    (
        "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
    (
        "TLS-ECDHE-ECDSA-WITH-AES-256-CCM-8",
        "ECDHE-ECDSA-AES256-CCM-8",
    ),
    // wolfSSL has no AES-256-CCM with a long tag.
    ("TLS-ECDHE-ECDSA-WITH-AES-256-CCM", ""),
    (
        "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
    (
        "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
    ),
    (
        "TLS-ECDHE-RSA-WITH-CHACHA20-POLY1305-SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ),
];

#[test]
fn telemetry_arrives_with_each_cipher_suite() {
    let (world, _) = world_with("");
    for (of_mbedtls, of_wolfssl) in SUITES {
        for (stack, suite) in [(Stack::MbedTls, of_mbedtls), (Stack::WolfSsl, of_wolfssl)] {
            if suite.is_empty() {
                continue;
            }
            let option = format!("suite={suite}");
            let (mut device, agreed) = stack.connect(&world, &[&option]);
            assert!(agreed.starts_with(suite), "{agreed}");
            assert_post(&world, &mut device, suite);
        }
    }
}

#[test]
fn commands_and_attributes_are_pushed() {
    for stack in STACKS {
        let world = World::start();
        let (mut device, _) = stack.connect(&world, &[]);
        let registration = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
        assert_eq!(device.request(&registration).code(), "2.03", "{stack:?}");
        world.simulator.await_poll("meter-17", "rpc");
        let command = json!({ "method": "setGpio", "params": { "pin": 23 } });
        let call = world.simulator.send_command("meter-17", &command);
        let received = device.receive();
        let received: Value = serde_json::from_str(&received.text()).unwrap();
        assert_eq!(received["method"], "setGpio", "{stack:?}");
        let reply = post(&["api", "v1", "rpc", &received["id"].to_string()], "{}");
        assert_eq!(device.request(&reply).code(), "2.01", "{stack:?}");
        assert_eq!(call.join().unwrap(), "{}", "{stack:?}");
        world.simulator.post(SHARED, &json!({ "interval": 60 }));
        let observed = device.request(&attributes().option(OBSERVE, []));
        assert_eq!(observed.text(), r#"{"interval":60}"#, "{stack:?}");
        world.simulator.await_poll("meter-17", "attributes");
        world.simulator.post(SHARED, &json!({ "interval": 30 }));
        assert_eq!(device.receive().text(), r#"{"interval":30}"#, "{stack:?}");
    }
}

#[test]
fn a_device_with_a_connection_id_goes_on_from_another_port() {
    // Its own has no bytes, or some.
    for own in ["cid=", "cid=01020304"] {
        let (world, admin) = world_with("");
        let (mut device, agreed) = Stack::MbedTls.connect(&world, &[own]);
        assert!(agreed.contains("connection ID on of 8 bytes"), "{agreed}");
        let registration = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
        assert_eq!(device.request(&registration).code(), "2.03");
        world.simulator.post(SHARED, &json!({ "interval": 60 }));
        let observed = device.request(&attributes().option(OBSERVE, []));
        assert_eq!(observed.text(), r#"{"interval":60}"#);
        for interval in [30, 31, 32] {
            device.move_port();
            assert_post(&world, &mut device, own);
            world.simulator.await_poll("meter-17", "attributes");
            world
                .simulator
                .post(SHARED, &json!({ "interval": interval }));
            let expected = json!({ "interval": interval }).to_string();
            assert_eq!(device.receive().text(), expected);
            world.simulator.await_poll("meter-17", "rpc");
            let command = json!({ "method": "wake", "params": {}, "oneway": true });
            let path = "/simulator/devices/meter-17/rpc";
            world.simulator.post(path, &command);
            assert!(device.receive().text().contains("wake"));
        }
        assert_eq!(handshakes(&admin), 1.0);
    }
}

#[test]
fn without_connection_ids_a_device_that_asks_for_them_resumes_instead() {
    let (world, admin) = world_with("connection_id = 0");
    let (mut device, agreed) = Stack::MbedTls.connect(&world, &["cid="]);
    assert!(!agreed.contains("of 8 bytes"), "{agreed}");
    assert_post(&world, &mut device, "the first port");
    assert!(device.resume().contains("resumed"));
    // By now the gateway has the client's last flight.
    assert_post(&world, &mut device, "the second port");
    assert_eq!(handshakes(&admin), 2.0);
}

#[test]
fn records_and_blocks_are_as_short_as_a_device_asks() {
    for stack in STACKS {
        let world = World::start();
        let (mut device, agreed) = stack.connect(&world, &["mfl=512"]);
        assert!(agreed.contains("up to 512 bytes"), "{agreed}");
        let long = json!({ "text": "abcdefghij".repeat(300) });
        world.simulator.post(SHARED, &long);
        let mut body = String::new();
        let mut request = attributes();
        loop {
            let (response, length) = device.request_sized(&request);
            assert_eq!(response.code(), "2.05", "{stack:?}");
            assert!(length <= SHORT, "{stack:?}: {length} bytes");
            body += &response.text();
            let value = usize::try_from(response.uint(BLOCK2).expect("Block2")).unwrap();
            if value & 8 == 0 {
                break;
            }
            let next = block((value >> 4) + 1, false, value & 7);
            request = attributes().option(BLOCK2, next);
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({ "shared": long }), "{stack:?}");

        // Blocks of 256 bytes.
        let text = json!({ "text": "abcdefgh".repeat(200) }).to_string();
        let blocks: Vec<&str> = (0..text.len().div_ceil(256))
            .map(|at| &text[at * 256..text.len().min(at * 256 + 256)])
            .collect();
        for (number, part) in blocks.iter().enumerate() {
            let more = number + 1 < blocks.len();
            let request = telemetry(part).option(BLOCK1, block(number, more, 4));
            let expected = if more { "2.31" } else { "2.01" };
            assert_eq!(device.request(&request).code(), expected, "{stack:?}");
        }
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &text);
    }
}

#[test]
fn an_extended_master_secret_is_required_only_if_so_configured() {
    for stack in STACKS {
        let world = World::start();
        let (mut device, _) = stack.connect(&world, &["ems=off"]);
        assert_post(&world, &mut device, "without it");
        // What is not bound to the handshake is not resumed (RFC 7627 §5.4).
        assert!(!device.resume().contains("resumed"), "{stack:?}");
        assert_post(&world, &mut device, "without it, again");
        let (strict, _) = world_with("extended_master_secret = \"require\"");
        stack.fail(&strict, &["ems=off"]);
        let (mut device, _) = stack.connect(&strict, &[]);
        assert_post(&strict, &mut device, "with it");
    }
}

#[test]
fn a_session_is_resumed() {
    for stack in STACKS {
        // By its id, and by a ticket.
        for arguments in [&[][..], &["tickets=on"]] {
            let world = World::start();
            let (mut device, agreed) = stack.connect(&world, arguments);
            assert!(agreed.contains("new"), "{agreed}");
            assert_post(&world, &mut device, "the first");
            for _ in 0..2 {
                let agreed = device.resume();
                assert!(agreed.contains("resumed"), "{stack:?}: {agreed}");
                assert_post(&world, &mut device, "resumed");
            }
        }
    }
}

#[test]
fn a_session_is_resumed_with_a_connection_id_and_moves() {
    let (world, admin) = world_with("");
    let (mut device, _) = Stack::MbedTls.connect(&world, &["cid=0a0b"]);
    assert_post(&world, &mut device, "the first");
    let agreed = device.resume();
    assert!(
        agreed.contains("resumed") && agreed.contains("connection ID on of 8 bytes"),
        "{agreed}"
    );
    device.move_port();
    assert_post(&world, &mut device, "resumed and moved");
    assert_eq!(handshakes(&admin), 2.0);
}

#[test]
fn a_handshake_succeeds_whichever_datagram_is_lost_doubled_or_late() {
    let world = World::with(&Options {
        limits: "sessions_per_device = 100",
        ..Options::default()
    });
    let mut started = Vec::new();
    for stack in STACKS {
        for fate in [Fate::Lost, Fate::Doubled, Fate::Late] {
            for direction in [Direction::ToGateway, Direction::ToDevice] {
                // The third one of the gateway has the end of the handshake.
                for number in 1..=3 {
                    let link = Lossy::to(world.address, fate, direction, number);
                    let device = stack.start(&world, link.address, &world.meter, &[]);
                    let what = format!("{stack:?}: number {number} {direction:?} is {fate:?}");
                    started.push((device, link, what));
                }
            }
        }
    }
    for (mut device, link, what) in started {
        device.await_connected();
        assert_post(&world, &mut device, &what);
        drop(link);
    }
}

#[test]
fn devices_may_have_keys_of_each_kind() {
    // Of an authority that the gateway does not know: the registry alone decides.
    let authority = Authority::new("Any CA");
    let generate = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    // Other libraries do not read rcgen's Ed25519 keys, which have their public keys beside them (RFC 5958).
    let ed25519 = output_of(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]));
    let identities = [
        ("p256", generate(&rcgen::PKCS_ECDSA_P256_SHA256)),
        ("p384", generate(&rcgen::PKCS_ECDSA_P384_SHA384)),
        ("p521", generate(&rcgen::PKCS_ECDSA_P521_SHA512)),
        ("rsa", generate(&rcgen::PKCS_RSA_SHA256)),
        ("ed25519", KeyPair::from_pem(&ed25519).unwrap()),
    ]
    .map(|(name, key)| authority.device_with(name, &key));
    let entries = identities.each_ref().map(|identity| {
        format!(
            "[[device]]\nname = {:?}\nfingerprint = {:?}\ntoken = {METER_TOKEN:?}\n",
            identity.name, identity.fingerprint
        )
    });
    let world = World::with(&Options {
        any_issuer: true,
        devices: &entries.join("\n"),
        ..Options::default()
    });
    for identity in &identities {
        for stack in STACKS {
            // Mbed TLS has no Ed25519.
            if stack == Stack::MbedTls && identity.name == "ed25519" {
                continue;
            }
            let (mut device, _) = stack.connect_with(&world, world.address, identity, &[]);
            assert_post(&world, &mut device, &identity.name);
            world.await_log(&format!("\"device\":\"{}\"", identity.name));
        }
    }
}
