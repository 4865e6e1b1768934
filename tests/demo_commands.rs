//! What the demo prints for pasting is pasted, into a shell, with both of libcoap's clients.
//!
//! Behind the feature `interop`, like `tests/interop.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

mod support;

use std::process::Command;
use std::time::Duration;
use support::demo::Demo;
use support::process::run;

#[test]
fn every_command_the_demo_prints_works_as_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&directory);
    let expected = [
        (["coap-client-openssl", "/api/v1/telemetry"], ""),
        (["coap-client-openssl", "/api/v1/ANY_TOKEN/telemetry"], ""),
        (
            ["coap-client-openssl", "/api/v1/attributes"],
            r#"{"shared":{"interval":3}}"#,
        ),
        (["coap-client-openssl", "/api/v1/rpc"], r#"{"time":"#),
    ];
    for (parts, answer) in expected {
        let line = demo.await_line(&parts);
        for client in ["coap-client-openssl", "coap-client-gnutls"] {
            let line = line.replace("coap-client-openssl", client);
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).current_dir(directory.path());
            let output = run(&mut shell, Duration::from_secs(60));
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            let complained = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{line}\n{complained}");
            // libcoap shows errors as "4.04 …" and 2.01 as nothing.
            assert!(
                shown.starts_with(answer) && (!answer.is_empty() || shown.trim().is_empty()),
                "{line}\n{shown}{complained}"
            );
        }
    }
    demo.await_line(&[
        "ThingsBoard",
        r#"{"temperature":25}"#,
        "from demo-device: 200",
    ]);
    demo.await_line(&["ThingsBoard", r#"{"humidity":40}"#, "from demo-device: 200"]);
}
