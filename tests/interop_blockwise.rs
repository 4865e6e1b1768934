//! Bodies in blocks with libcoap's clients, over OpenSSL and over GnuTLS: firmware comes down, telemetry goes up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

mod support;

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;
use support::packages::{assign, package, sha256};
use support::process::run;
use support::world::{Wishes, World};

const CLIENTS: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];

/// Runs a client with meter-17's certificate; gives all it has said.
fn client(world: &World, program: &str, path: &str, arguments: &[&str]) -> String {
    let (certificate, key) = world.meter.write(world.path());
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(certificate)
        .arg("-j")
        .arg(key)
        .arg("-C")
        .arg(world.path().join("ca.pem"))
        .args(arguments)
        .arg(format!("coaps://{}/{path}", world.address));
    let output = run(&mut command, Duration::from_secs(300));
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// Downloads with one of them; gives what has come, and what the client has said.
fn attempt(
    world: &World,
    program: &str,
    path: &str,
    arguments: &[&str],
) -> (Option<Vec<u8>>, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let image = directory.path().join("image.bin");
    let out = ["-m", "get", "-B", "110", "-o", image.to_str().unwrap()];
    let said = client(world, program, path, &[&out, arguments].concat());
    (fs::read(&image).ok(), said)
}

/// Downloads with one of them; gives what has come.
fn download(world: &World, program: &str, path: &str, arguments: &[&str]) -> Vec<u8> {
    let (image, said) = attempt(world, program, path, arguments);
    image.unwrap_or_else(|| panic!("{program} {path} has no image:\n{said}"))
}

#[test]
fn an_image_comes_whole_in_large_and_in_small_blocks() {
    for program in CLIENTS {
        let world = World::start();
        let expected = package(&world.simulator, "firmware", "meter", "1.1", 100_001, 1);
        assign(&world.simulator, "meter-17", "firmware", "meter", "1.1");
        for (path, block) in [
            ("fw", "1024"),
            ("api/v1/firmware?title=meter&version=1.1", "64"),
            ("fw/A1_TEST_TOKEN", "512"),
        ] {
            let image = download(&world, program, path, &["-b", block]);
            assert_eq!(image.len(), 100_001, "{program} {path} -b {block}");
            assert_eq!(sha256(&image), expected, "{program} {path} -b {block}");
        }
        // Software is a package of its own, and a client that says nothing of blocks gets them too.
        let expected = package(&world.simulator, "software", "app", "7", 5000, 1);
        assign(&world.simulator, "meter-17", "software", "app", "7");
        let image = download(&world, program, "sw", &[]);
        assert_eq!(sha256(&image), expected, "{program}");
    }
}

/// libcoap loses a tenth of what it sends, and waits 2 to 3 s each time, or 6 to 9. Version 4.3.1 gives up a transfer 93 s
/// after it has begun, however well it goes, so small blocks would never come to the end; and of three that have large
/// ones, some may be too late, or lose their handshake.
#[test]
fn an_image_above_256_kib_comes_whole_though_a_tenth_of_the_packets_is_lost() {
    let world = World::with(&Wishes {
        limits: "sessions_per_device = 8",
        ..Wishes::default()
    });
    let expected = package(&world.simulator, "firmware", "meter", "1.1", 262_145, 1);
    assign(&world.simulator, "meter-17", "firmware", "meter", "1.1");
    let whole = download(&world, "coap-client-openssl", "fw", &["-b", "64"]);
    assert_eq!(sha256(&whole), expected, "NUM is beyond 4,095 here");
    let images: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let programs = [CLIENTS[0], CLIENTS[1], CLIENTS[0]];
        let world = &world;
        let running = programs.map(|program| {
            scope.spawn(move || attempt(world, program, "fw", &["-b", "1024", "-l", "10%"]).0)
        });
        running
            .map(|client| client.join().unwrap().unwrap_or_default())
            .into()
    });
    for image in &images {
        assert!(whole.starts_with(image), "what has come is right");
    }
    assert!(images.contains(&whole), "one has come to the end");
}

#[test]
fn telemetry_of_40_kib_goes_up_in_blocks_and_reaches_thingsboard_once() {
    for program in CLIENTS {
        let world = World::start();
        let mut body = String::from("{\"samples\":[0");
        let mut number = 1;
        while body.len() < 40 * 1024 {
            write!(body, ",{number}").unwrap();
            number += 1;
        }
        body += "]}";
        let file = world.path().join("body.json");
        fs::write(&file, &body).unwrap();
        let arguments = ["-m", "post", "-b", "512", "-f", file.to_str().unwrap()];
        let said = client(&world, program, "api/v1/telemetry", &arguments);
        world.arrived("/api/v1/{token}/telemetry", "meter-17", &body);
        let arrivals = world.simulator.arrivals();
        assert_eq!(arrivals.len(), 1, "{program}: {said}");
    }
}

#[test]
fn attributes_larger_than_a_message_come_in_blocks() {
    for program in CLIENTS {
        let world = World::start();
        let long = "x".repeat(5000);
        let path = "/simulator/devices/meter-17/attributes/shared";
        world.simulator.post(path, &json!({ "long": long }));
        let path = "api/v1/attributes?sharedKeys=long";
        let answer = download(&world, program, path, &["-b", "128"]);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["shared"]["long"], long, "{program}");
    }
}
