//! Observe as ThingsBoard's CoAP API page tells it for X.509 devices: a libcoap client observes in one terminal, another
//! answers from a second one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use std::time::Duration;
use test_support::libcoap::{CLIENTS, client};
use test_support::process::run;
use test_support::terminal::Terminal;
use test_support::world::{World, eventually};

/// `coap-client … -m get coaps://…/{path} -s 100 -B 100`, as the page has it.
fn observe(world: &World, program: &str, path: &str) -> Terminal {
    let arguments = ["-m", "get", "-s", "100", "-B", "100"];
    Terminal::run(&client(world, program, &arguments, path))
}

fn await_poll(world: &World, kind: &str) {
    eventually("an open poll", || {
        let path = "/simulator/devices/meter-17/subscriptions";
        let counts: serde_json::Value =
            serde_json::from_str(&world.simulator.control("GET", path, "")).unwrap();
        counts[kind]["live"].as_u64().unwrap() > 0
    });
}

#[test]
fn a_command_shows_in_one_terminal_is_answered_from_another_and_the_caller_has_the_answer() {
    for program in CLIENTS {
        let world = World::start();
        let mut terminal = observe(&world, program, "api/v1/rpc");
        await_poll(&world, "rpc");
        let oneway = json!({"method": "wake", "params": {}, "oneway": true});
        world
            .simulator
            .post("/simulator/devices/meter-17/rpc", &oneway);
        terminal.await_output(r#"{"id":0,"method":"wake","params":{}}"#);
        let call = world.simulator.send_command(
            "meter-17",
            &json!({"method": "setGpio", "params": {"pin": 23}}),
        );
        terminal.await_output(r#"{"id":1,"method":"setGpio","params":{"pin":23}}"#);
        let arguments = ["-m", "post", "-t", "50", "-e", r#"{"result":"ok"}"#];
        let mut answer = client(&world, program, &arguments, "api/v1/rpc/1");
        let output = run(&mut answer, Duration::from_secs(60));
        assert!(output.status.success(), "{program}");
        assert_eq!(call.join().unwrap(), r#"{"result":"ok"}"#, "{program}");
    }
}

#[test]
fn changes_of_shared_attributes_show_in_the_terminal_that_observes() {
    for program in CLIENTS {
        let world = World::start();
        let path = "/simulator/devices/meter-17/attributes/shared";
        world.simulator.post(path, &json!({"interval": 60}));
        let mut terminal = observe(&world, program, "api/v1/attributes");
        terminal.await_output(r#"{"interval":60}"#);
        await_poll(&world, "attributes");
        world.simulator.post(path, &json!({"interval": 30}));
        terminal.await_output(r#"{"interval":30}"#);
        let deletion = format!("{path}?keys=interval");
        world.simulator.control("DELETE", &deletion, "");
        terminal.await_output(r#"{"deleted":["interval"]}"#);
    }
}
