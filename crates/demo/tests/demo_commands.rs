//! Runs the commands that the demo prints, in a shell, with both of libcoap's clients.
//!
//! Behind the feature `interop`, like `tests/interop.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::process::Command;
use std::time::Duration;
use test_support::demo::Demo;
use test_support::process::run;
use test_support::terminal::Terminal;

/// SHA-256 of the simulator's generated package of 20,000 bytes.
const FIRMWARE: &str = "d6a4561287c0134827cd64e69add9a0af679f67de172f56cd7ac635f6c2d75ed";

#[test]
fn every_printed_command_works() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&directory);
    let expected = [
        (["coap-client-openssl", "/api/v1/telemetry"], ""),
        (["coap-client-openssl", "/api/v1/ANY_TOKEN/telemetry"], ""),
        (
            ["coap-client-openssl", "sharedKeys=interval"],
            r#"{"shared":{"interval":3}}"#,
        ),
        (["coap-client-openssl", "getTime"], r#"{"time":"#),
        (["coap-client-openssl", "/fw && sha256sum"], FIRMWARE),
    ];
    for (parts, answer) in expected {
        let line = demo.await_line(&parts);
        for client in ["coap-client-openssl", "coap-client-gnutls"] {
            let line = line.replace("coap-client-openssl", client);
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).current_dir(directory.path());
            let output = run(&mut shell, Duration::from_secs(60));
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{line}\n{stderr}");
            // libcoap shows errors as "4.04 …" and 2.01 as nothing.
            assert!(
                shown.starts_with(answer) && (!answer.is_empty() || shown.trim().is_empty()),
                "{line}\n{shown}{stderr}"
            );
        }
    }
    for (path, cause, shown) in [
        (
            "/api/v1/attributes",
            "/attributes/shared -d",
            r#"{"interval":7}"#,
        ),
        ("/api/v1/rpc", "/rpc -d", r#""method":"blink""#),
    ] {
        let line = demo.await_line(&["coap-client-openssl", "-s 60", path]);
        let mut words = line.split_whitespace();
        let mut observing = Command::new(words.next().unwrap());
        observing.args(words).current_dir(directory.path());
        let mut terminal = Terminal::run(&observing);
        if path == "/api/v1/attributes" {
            terminal.await_output(r#""interval":3"#);
        }
        let line = demo.await_line(&["curl", cause]);
        let output = run(
            Command::new("sh").args(["-c", &line]),
            Duration::from_secs(60),
        );
        assert!(output.status.success(), "{line}");
        terminal.await_output(shown);
    }
    demo.await_line(&[
        "ThingsBoard",
        r#"{"temperature":25}"#,
        "from my-device: 200",
    ]);
    demo.await_line(&["ThingsBoard", r#"{"humidity":40}"#, "from my-device: 200"]);
}
