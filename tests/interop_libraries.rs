//! Clients that are written with a CoAP library: Californium with Scandium (Java), go-coap with pion (Go).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use rcgen::{
    KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};
use test_support::library::{Client, LIBRARIES, Library};
use test_support::nat::Nat;
use test_support::process::Process;
use test_support::world::{Options, World};

const TELEMETRY: &str = r#"post api/v1/telemetry {"a":1}"#;
const SHARED: &str = "/simulator/devices/meter-17/attributes/shared";

/// A client that has posted telemetry, and what its handshake agreed on.
fn connected(library: Library, world: &World, arguments: &[&str]) -> (Client, String) {
    let mut device = library.start(world, world.address, arguments);
    let response = device.request(TELEMETRY);
    assert_eq!(response, "2.01", "{library:?} {arguments:?}");
    world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", r#"{"a":1}"#);
    let handshake = device.await_line("handshake ");
    assert!(handshake.starts_with("resumed=false "), "{handshake}");
    (device, handshake)
}

/// Lets it resume its session. Returns what the handshake agreed on.
fn reconnect(device: &mut Client) -> String {
    device.send("resume");
    let response = device.request(r#"post api/v1/telemetry {"b":2}"#);
    assert_eq!(response, "2.01");
    device.await_line("handshake ")
}

/// Changes a shared attribute, and waits for its notification.
fn change_attribute(world: &World, device: &mut Client, interval: u32) {
    world
        .simulator
        .post(SHARED, &json!({ "interval": interval }));
    let notification = device.await_line("notification ");
    assert_eq!(notification, format!(r#"2.05 {{"interval":{interval}}}"#));
}

/// Sends a command, and lets the device answer it.
fn command(world: &World, device: &mut Client) {
    let call = json!({ "method": "setGpio", "params": { "pin": 23 } });
    let reply = world.simulator.send_command("meter-17", &call);
    let notification = device.await_line("notification 2.05 ");
    let received: Value = serde_json::from_str(&notification).unwrap();
    assert_eq!(received["method"], "setGpio");
    let answer = format!(r#"post api/v1/rpc/{} {{"result":"ok"}}"#, received["id"]);
    assert_eq!(device.request(&answer), "2.01");
    assert_eq!(reply.join().unwrap(), r#"{"result":"ok"}"#);
}

/// Observes attributes and commands.
fn observe(world: &World, device: &mut Client) {
    world.simulator.post(SHARED, &json!({ "interval": 60 }));
    let first = device.observe("api/v1/attributes");
    assert_eq!(first, r#"2.05 {"interval":60}"#);
    world.simulator.await_poll("meter-17", "attributes");
    assert_eq!(device.observe("api/v1/rpc"), "2.03");
    world.simulator.await_poll("meter-17", "rpc");
}

#[test]
fn telemetry_attributes_and_commands_work() {
    for library in LIBRARIES {
        let world = World::start();
        let (mut device, _) = connected(library, &world, &[]);
        world.simulator.post(SHARED, &json!({ "interval": 60 }));
        let response = device.request("get api/v1/attributes?sharedKeys=interval");
        assert_eq!(
            response, r#"2.05 {"shared":{"interval":60}}"#,
            "{library:?}"
        );
        observe(&world, &mut device);
        change_attribute(&world, &mut device, 30);
        command(&world, &mut device);
    }
}

/// Block-wise, in both directions.
fn transfer(library: Library, world: &World, device: &mut Client) {
    let body = json!({ "text": "abcdefghij".repeat(1500) }).to_string();
    let file = world.path().join("body");
    std::fs::write(&file, &body).unwrap();
    let before = world.simulator.arrivals().len();
    let response = device.request(&format!("post-file api/v1/telemetry {}", file.display()));
    assert_eq!(response, "2.01", "{library:?}");
    world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
    assert_eq!(world.simulator.arrivals().len(), before + 1);
    let shared = json!({ "long": "klmnopqrst".repeat(1000) });
    world.simulator.post(SHARED, &shared);
    let response = device.request("get api/v1/attributes?sharedKeys=long");
    let payload: Value = serde_json::from_str(&response["2.05 ".len()..]).unwrap();
    assert_eq!(payload, json!({ "shared": shared }), "{library:?}");
}

#[test]
fn large_posts_and_responses_go_in_blocks() {
    for library in LIBRARIES {
        for block in ["64", "1024"] {
            let world = World::start();
            let (mut device, _) = connected(library, &world, &["--block-size", block]);
            transfer(library, &world, &mut device);
        }
    }
}

/// With every suite that both the library and the gateway have. Those with RSA are for the server's other certificate.
#[test]
fn each_cipher_suite_is_spoken() {
    let both = [
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ];
    let of_californium = [
        "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
    ];
    let of_pion = [
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ];
    let world = World::with(&Options {
        rsa: true,
        ..Options::default()
    });
    for library in LIBRARIES {
        let own = match library {
            Library::Californium => &of_californium[..],
            Library::Pion => &of_pion,
        };
        for suite in both.iter().chain(own) {
            let (_, handshake) = connected(library, &world, &["--suites", suite]);
            let agreed = handshake.split_whitespace().nth(1);
            assert_eq!(agreed, Some(&*format!("suite={suite}")), "{library:?}");
        }
    }
}

/// DTLS 1.3 where both sides have it, and 1.2 with all that it has otherwise.
#[test]
fn a_device_that_offers_both_versions_gets_the_newer_one_if_the_gateway_has_it() {
    let own = "suite=TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 ";
    for (versions, agreed) in [
        (r#"["1.2"]"#, &[own, "connection_ids=8/0"][..]),
        (r#"["1.2", "1.3"]"#, &["suite=TLS_AES_128_GCM_SHA256 "]),
        (r#"["1.3"]"#, &["suite=TLS_AES_128_GCM_SHA256 "]),
    ] {
        let world = World::with(&Options {
            dtls: &format!("versions = {versions}"),
            ..Options::default()
        });
        let suites = "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8,TLS_AES_128_GCM_SHA256";
        let arguments = ["--dtls-1.3", "--connection-id", "0", "--suites", suites];
        let (mut device, handshake) = connected(Library::Pion, &world, &arguments);
        for part in agreed {
            assert!(handshake.contains(part), "{versions}: {handshake}");
        }
        observe(&world, &mut device);
        change_attribute(&world, &mut device, 30);
        command(&world, &mut device);
    }
}

/// They are not registered, which is said by CoAP: the handshake is complete.
#[test]
fn devices_may_have_keys_of_every_kind() {
    let world = World::start();
    for (name, algorithm) in [
        ("p384", &PKCS_ECDSA_P384_SHA384),
        ("p521", &PKCS_ECDSA_P521_SHA512),
        ("rsa", &PKCS_RSA_SHA256),
        ("ed25519", &PKCS_ED25519),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let identity = world.authority.device_with(name, &key);
        for library in LIBRARIES {
            let mut device = library.start_with(&world, world.address, &identity, &[]);
            let response = device.request(TELEMETRY);
            assert!(
                response.starts_with("4.01"),
                "{library:?} {name}: {response}"
            );
        }
        assert!(!world.log_lines_with(&identity.fingerprint).is_empty());
    }
}

#[test]
fn a_session_is_resumed_by_its_id() {
    for library in LIBRARIES {
        let world = World::start();
        let (mut device, first) = connected(library, &world, &["--connection-id", "0"]);
        let again = reconnect(&mut device);
        let (_, rest) = first.split_once(' ').unwrap();
        assert_eq!(again, format!("resumed=true {rest}"), "{library:?}");
        observe(&world, &mut device);
        change_attribute(&world, &mut device, 30);
    }
}

#[test]
fn a_revoked_device_does_not_resume_its_session() {
    for library in LIBRARIES {
        let mut world = World::start();
        let list = world.path().join("fleet.crl");
        std::fs::write(&list, world.authority.revoke(&[])).unwrap();
        let own = std::fs::read_to_string(world.path().join("gateway.toml")).unwrap();
        let revoking = format!("[clients]\nrevocation_lists = {list:?}\n");
        let file = world.path().join("revoking.toml");
        std::fs::write(&file, own.replace("[clients]\n", &revoking)).unwrap();
        let mut gateway = Process::start(&["run", "--config", file.to_str().unwrap()]);
        world.address = gateway.await_address("listening for CoAPs");
        let (mut device, _) = connected(library, &world, &[]);
        let again = reconnect(&mut device);
        assert!(again.starts_with("resumed=true "), "{library:?}: {again}");

        std::fs::write(&list, world.authority.revoke(&[&world.meter])).unwrap();
        gateway.signal("HUP");
        let line = |line: &str| line.contains("revocation lists reloaded").then_some(());
        gateway.await_line("the reload", line);
        device.send("resume");
        let response = device.request(r#"post api/v1/telemetry {"b":2}"#);
        assert!(response.starts_with("failed"), "{library:?}: {response}");
        device.await_line("handshake failed");
        let line = |line: &str| line.contains("the certificate is revoked").then_some(());
        gateway.await_line("the reason", line);
    }
}

/// RFC 7627 §5.4: it is never resumed.
#[test]
fn a_session_without_an_extended_master_secret_is_served() {
    for library in LIBRARIES {
        let world = World::start();
        let (mut device, first) = connected(library, &world, &["--no-extended-master-secret"]);
        assert!(first.contains("extended_master_secret=false"), "{first}");
        assert_eq!(reconnect(&mut device), first, "{library:?}");
    }
}

/// Scandium has no more room for a datagram than for one record.
#[test]
fn short_fragments_are_kept_to_in_handshakes_and_transfers() {
    let library = Library::Californium;
    for (arguments, agreed) in [
        (
            &["--max-fragment-length", "512", "--connection-id", "0"][..],
            "fragment_limit=512",
        ),
        (
            &["--max-fragment-length", "512", "--block-size", "256"],
            "fragment_limit=512",
        ),
        (&["--record-size-limit", "600"], "fragment_limit=16384"),
        (&["--one-message-a-datagram"], "fragment_limit=16384"),
    ] {
        let world = World::start();
        let (mut device, handshake) = connected(library, &world, arguments);
        assert!(handshake.contains(agreed), "{arguments:?}: {handshake}");
        transfer(library, &world, &mut device);
        let again = reconnect(&mut device);
        assert!(again.starts_with("resumed=true "), "{arguments:?}: {again}");
    }
}

/// What was agreed on with a device behind a NAT, which then observes attributes and commands.
fn behind(nat: &Nat, world: &World, library: Library, arguments: &[&str]) -> (Client, String) {
    let mut device = library.start(world, nat.address, arguments);
    assert_eq!(device.request(TELEMETRY), "2.01", "{library:?}");
    let handshake = device.await_line("handshake ");
    observe(world, &mut device);
    (device, handshake)
}

/// Asserts that since its ports were forgotten the NAT has seen records with connection IDs alone: no handshake.
fn assert_no_handshake(nat: &Nat) {
    let content_types = nat.content_types();
    assert!(!content_types.is_empty());
    assert!(
        content_types.iter().all(|&kind| kind == 25),
        "{content_types:?}"
    );
}

/// Its session, its relations and its commands go on, and it makes no handshake.
#[test]
fn a_device_whose_nat_forgets_its_port_goes_on() {
    for (library, own, arguments) in [
        (Library::Californium, 0, &[][..]),
        (Library::Californium, 6, &[]),
        (Library::Pion, 0, &[]),
        (Library::Pion, 6, &[]),
        (Library::Pion, 0, &["--return-routability"]),
        (Library::Pion, 6, &["--return-routability"]),
    ] {
        let world = World::start();
        let nat = Nat::to(world.address);
        let own = own.to_string();
        let arguments = [&["--connection-id", &own], arguments].concat();
        let (mut device, handshake) = behind(&nat, &world, library, &arguments);
        let agreed = format!("connection_ids=8/{own}");
        assert!(handshake.contains(&agreed), "{handshake}");
        if library == Library::Pion {
            let is_offered = arguments.len() > 2;
            let agreed = format!("return_routability={is_offered}");
            assert!(handshake.contains(&agreed), "{handshake}");
        }
        for interval in [30, 20] {
            let before = nat.ports();
            nat.forget_ports();
            assert_eq!(device.request(TELEMETRY), "2.01", "{library:?}");
            assert_ne!(nat.ports(), before);
            change_attribute(&world, &mut device, interval);
            command(&world, &mut device);
            assert_no_handshake(&nat);
        }
        assert_eq!(device.unread(), [""; 0], "{library:?}");
    }
}

/// A notification that went to a port that the NAT had forgotten is sent again, to where the device is by then.
#[test]
fn a_notification_that_was_lost_reaches_the_device_at_its_next_port() {
    for library in LIBRARIES {
        let world = World::start();
        let nat = Nat::to(world.address);
        let (mut device, _) = behind(&nat, &world, library, &["--connection-id", "0"]);
        nat.forget_ports();
        world.simulator.post(SHARED, &json!({ "interval": 10 }));
        world.await_log("\"notification\"");
        assert_eq!(device.request(TELEMETRY), "2.01", "{library:?}");
        let notification = device.await_line("notification ");
        assert_eq!(notification, r#"2.05 {"interval":10}"#, "{library:?}");
        assert_no_handshake(&nat);
    }
}

/// It is more than three times what came from the new port: it waits until the device has answered a ping, or a return
/// routability check.
#[test]
fn a_long_notification_reaches_a_device_whose_nat_has_forgotten_its_port() {
    for (library, arguments) in [
        (Library::Californium, &[][..]),
        (Library::Pion, &[]),
        (Library::Pion, &["--return-routability"]),
    ] {
        let world = World::start();
        let nat = Nat::to(world.address);
        let arguments = [&["--connection-id", "0"], arguments].concat();
        let (mut device, _) = behind(&nat, &world, library, &arguments);
        for letter in ["a", "b"] {
            nat.forget_ports();
            assert_eq!(device.request(TELEMETRY), "2.01", "{library:?}");
            let text = letter.repeat(700);
            world.simulator.post(SHARED, &json!({ "text": text }));
            let notification = device.await_line("notification ");
            assert!(notification.contains(&text), "{library:?}: {notification}");
            assert_no_handshake(&nat);
        }
        assert_eq!(device.unread(), [""; 0], "{library:?}");
    }
}

/// Devices behind one NAT have its address, and at times each other's port.
#[test]
fn devices_behind_one_nat_keep_their_sessions_apart() {
    let world = World::start();
    let nat = Nat::to(world.address);
    let arguments = ["--connection-id", "0"];
    let mut meter = Library::Californium.start(&world, nat.address, &arguments);
    let mut pump = Library::Pion.start_with(&world, nat.address, &world.pump, &arguments);
    for device in [&mut meter, &mut pump] {
        assert_eq!(device.request(TELEMETRY), "2.01");
    }
    for _ in 0..4 {
        nat.swap_ports();
        for (device, name) in [(&mut meter, "meter-17"), (&mut pump, "pump-03")] {
            assert_eq!(device.request(TELEMETRY), "2.01");
            world.assert_last_post("/api/v1/{token}/telemetry", name, r#"{"a":1}"#);
        }
        assert_no_handshake(&nat);
    }
}
