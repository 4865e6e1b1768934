//! Observe as ThingsBoard's CoAP API page describes it for X.509 devices: a libcoap client observes in one terminal,
//! and another one replies from a second.
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
use test_support::world::World;

/// `coap-client … -m get coaps://…/{path} -s 100 -B 100`, as on that page.
fn observe(world: &World, program: &str, path: &str) -> Terminal {
    let arguments = ["-m", "get", "-s", "100", "-B", "100"];
    Terminal::run(&client(world, program, &arguments, path))
}

#[test]
fn a_command_is_received_in_one_terminal_and_answered_from_another() {
    for program in CLIENTS {
        let world = World::start();
        let mut terminal = observe(&world, program, "api/v1/rpc");
        world.simulator.await_poll("meter-17", "rpc");
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
fn changes_of_shared_attributes_are_received_in_the_terminal() {
    for program in CLIENTS {
        let world = World::start();
        let path = "/simulator/devices/meter-17/attributes/shared";
        world.simulator.post(path, &json!({"interval": 60}));
        let mut terminal = observe(&world, program, "api/v1/attributes");
        terminal.await_output(r#"{"interval":60}"#);
        world.simulator.await_poll("meter-17", "attributes");
        world.simulator.post(path, &json!({"interval": 30}));
        terminal.await_output(r#"{"interval":30}"#);
        let deletion = format!("{path}?keys=interval");
        world.simulator.control("DELETE", &deletion, "");
        terminal.await_output(r#"{"deleted":["interval"]}"#);
    }
}
