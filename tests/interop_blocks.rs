//! Block-wise transfers (RFC 7959) with libcoap's clients, in both directions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::time::Duration;
use test_support::libcoap::{CLIENTS, client};
use test_support::process::run;
use test_support::terminal::Terminal;
use test_support::world::World;

const DEADLINE: Duration = Duration::from_secs(60);

/// Makes a request in blocks of this size. Returns the payload of the response.
fn request(world: &World, program: &str, block: &str, arguments: &[&str], path: &str) -> String {
    let answer = world.path().join("answer");
    let _ = std::fs::remove_file(&answer);
    let options = ["-B", "30", "-b", block, "-o", answer.to_str().unwrap()];
    let mut command = client(world, program, &[&options, arguments].concat(), path);
    let output = run(&mut command, DEADLINE);
    assert!(output.status.success(), "{program}");
    std::fs::read_to_string(&answer).unwrap_or_default()
}

#[test]
fn a_large_post_arrives_once_and_a_large_response_is_complete() {
    for program in CLIENTS {
        let world = World::start();
        for block in ["16", "64", "1024"] {
            let body = json!({ "text": block.repeat(2000) }).to_string();
            let file = world.path().join("body");
            std::fs::write(&file, &body).unwrap();
            let before = world.simulator.arrivals().len();
            let arguments = ["-m", "post", "-t", "50", "-f", file.to_str().unwrap()];
            request(&world, program, block, &arguments, "api/v1/telemetry");
            world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
            assert_eq!(
                world.simulator.arrivals().len(),
                before + 1,
                "{program} {block}"
            );

            let shared = json!({ "long": format!("{block}-").repeat(1500) });
            let path = "/simulator/devices/meter-17/attributes/shared";
            world.simulator.post(path, &shared);
            let got = request(
                &world,
                program,
                block,
                &["-m", "get"],
                "api/v1/attributes?sharedKeys=long",
            );
            let got: Value = serde_json::from_str(&got).expect(program);
            assert_eq!(got, json!({ "shared": shared }), "{program} {block}");
        }
    }
}

#[test]
fn telemetry_of_40_kib_in_blocks_of_512_reaches_thingsboard_once() {
    for program in CLIENTS {
        let world = World::start();
        let body = json!({ "samples": (0..8000).collect::<Vec<u32>>() }).to_string();
        assert!(body.len() > 38_000);
        let body = format!("{body:>40960}");
        let file = world.path().join("body");
        std::fs::write(&file, &body).unwrap();
        let arguments = ["-m", "post", "-f", file.to_str().unwrap()];
        request(&world, program, "512", &arguments, "api/v1/telemetry");
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
        assert_eq!(world.simulator.arrivals().len(), 1, "{program}");
    }
}

#[test]
fn a_large_rpc_request_has_a_large_response_and_is_made_once() {
    for program in CLIENTS {
        let world = World::start();
        let limit = json!({ "table": "0123456789".repeat(700) });
        world.simulator.put("/simulator/rpc/getTable", &limit);
        let call = json!({ "method": "getTable", "params": { "of": "abcdefghij".repeat(300) } });
        let file = world.path().join("body");
        std::fs::write(&file, call.to_string()).unwrap();
        let before = world.simulator.arrivals().len();
        let arguments = ["-m", "post", "-t", "50", "-f", file.to_str().unwrap()];
        let answer = request(&world, program, "256", &arguments, "api/v1/rpc");
        let answer: Value = serde_json::from_str(&answer).expect(program);
        assert_eq!(answer, limit, "{program}");
        assert_eq!(world.simulator.arrivals().len(), before + 1, "{program}");
    }
}

#[test]
fn large_notifications_are_complete() {
    for program in CLIENTS {
        let world = World::start();
        let path = "/simulator/devices/meter-17/attributes/shared";
        let shared = |text: &str| json!({ "long": text.repeat(500) });
        world.simulator.post(path, &shared("abcdefghij"));
        let arguments = ["-m", "get", "-s", "30", "-b", "256"];
        let mut terminal = Terminal::run(&client(&world, program, &arguments, "api/v1/attributes"));
        terminal.await_output(&shared("abcdefghij").to_string());
        world.simulator.await_poll("meter-17", "attributes");
        for text in ["klmnopqrst", "uvwxyzabcd"] {
            world.simulator.post(path, &shared(text));
            terminal.await_output(&shared(text).to_string());
        }
    }
}
