//! Firmware with libcoap's clients, over OpenSSL and over GnuTLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::fs;
use std::time::Duration;
use test_support::libcoap::{CLIENTS, client};
use test_support::packages::{assign, create, sha256};
use test_support::process::run;
use test_support::world::{Options, World};

/// Downloads with one of libcoap's clients. Returns the image, if any, and the client's output.
fn try_download(
    world: &World,
    program: &str,
    path: &str,
    arguments: &[&str],
) -> (Option<Vec<u8>>, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let image = directory.path().join("image.bin");
    let out = ["-m", "get", "-B", "110", "-o", image.to_str().unwrap()];
    let mut command = client(world, program, &[&out, arguments].concat(), path);
    let output = run(&mut command, Duration::from_secs(300));
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    (fs::read(&image).ok(), text)
}

/// Downloads with one of libcoap's clients.
fn download(world: &World, program: &str, path: &str, arguments: &[&str]) -> Vec<u8> {
    let (image, text) = try_download(world, program, path, arguments);
    image.unwrap_or_else(|| panic!("{program} {path} has no image:\n{text}"))
}

#[test]
fn an_image_is_complete_in_large_and_in_small_blocks() {
    for program in CLIENTS {
        let world = World::start();
        let expected = create(&world.simulator, "firmware", "meter", "1.1", 100_001, 1);
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
        // Software is a separate package. A client without a Block2 option gets blocks, too.
        let expected = create(&world.simulator, "software", "app", "7", 5000, 1);
        assign(&world.simulator, "meter-17", "software", "app", "7");
        let image = download(&world, program, "sw", &[]);
        assert_eq!(sha256(&image), expected, "{program}");
    }
}

/// libcoap drops a tenth of what it sends, and then waits 2 to 3 s, or 6 to 9. Version 4.3.1 gives up a transfer after
/// 93 s, so one in small blocks would not end in time; and of six in large blocks some may take too long, or fail in
/// the handshake.
#[test]
fn an_image_above_256_kib_is_complete_with_a_tenth_of_the_datagrams_lost() {
    let world = World::with(&Options {
        limits: "sessions_per_device = 8",
        ..Options::default()
    });
    let expected = create(&world.simulator, "firmware", "meter", "1.1", 262_145, 1);
    assign(&world.simulator, "meter-17", "firmware", "meter", "1.1");
    let whole = download(&world, "coap-client-openssl", "fw", &["-b", "64"]);
    assert_eq!(sha256(&whole), expected, "NUM is beyond 4,095 here");
    let images: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let world = &world;
        let running: Vec<_> = [CLIENTS, CLIENTS, CLIENTS]
            .concat()
            .into_iter()
            .map(|program| {
                scope.spawn(move || {
                    try_download(world, program, "fw", &["-b", "1024", "-l", "10%"]).0
                })
            })
            .collect();
        running
            .into_iter()
            .map(|client| client.join().unwrap().unwrap_or_default())
            .collect()
    });
    for image in &images {
        assert!(whole.starts_with(image), "a prefix of the image");
    }
    assert!(images.contains(&whole), "one is complete");
}
