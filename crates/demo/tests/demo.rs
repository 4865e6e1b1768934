//! The demo, started in an empty directory, started again, and with ports in use.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use test_support::demo::{Demo, command};

#[test]
fn telemetry_of_its_device_arrives_and_ctrl_c_ends_it_with_success() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&directory);
    demo.await_line(&["certs/demo/", "made now"]);
    demo.await_line(&["device ─DTLS", "session established"]);
    demo.await_line(&[
        "─HTTP─▶ ThingsBoard",
        "temperature",
        "from demo-device: 200",
    ]);
    demo.await_line(&["─CoAPs─▶ gateway", "temperature", "2.01"]);
    assert!(demo.interrupt());

    let mut again = Demo::start(&directory);
    again.await_line(&["certs/demo/", "kept from an earlier run"]);
    again.await_line(&["─CoAPs─▶ gateway", "temperature", "2.01"]);
}

#[test]
fn with_mqtt_telemetry_arrives_as_a_publish() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start_with(&directory, &["--mqtt", "--mqtt-port", "0"]);
    demo.await_line(&["mqtt://127.0.0.1:", "the gateway uses this"]);
    demo.await_line(&[
        "─MQTT─▶ ThingsBoard",
        "PUBLISH v2/t/j",
        "temperature",
        "from demo-device: PUBACK 0x00",
    ]);
    demo.await_line(&["─CoAPs─▶ gateway", "temperature", "2.01"]);
    assert!(demo.interrupt());
}

/// Sets the interval between two messages of the demo's device, in ThingsBoard.
fn set_interval(http: &str, seconds: u32) {
    let body = format!("{{\"interval\":{seconds}}}");
    let mut stream = TcpStream::connect(http).unwrap();
    write!(
        stream,
        "POST /simulator/devices/demo-device/attributes/shared HTTP/1.1\r\nHost: {http}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

#[test]
fn the_device_does_not_notice_that_the_gateway_is_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start_with(&directory, &["--restart", "3"]);
    let opening = demo.await_line(&["ThingsBoard    http://"]);
    let http = opening.split("http://").nth(1).unwrap();
    let http = http.split_whitespace().next().unwrap().to_owned();
    demo.await_line(&["device ─DTLS 1.2─▶", "session established"]);
    for (interval, handshakes) in [(2, 1), (1, 0)] {
        demo.await_line(&["gateway starts: 1 stored session goes on"]);
        assert_eq!(demo.count(&["session established"]), handshakes);
        demo.forget();
        demo.await_line(&["─CoAPs─▶ gateway", "temperature", "2.01"]);
        // The observation goes on as well.
        set_interval(&http, interval);
        let notified = format!("attributes {{\"interval\":{interval}}}");
        demo.await_line(&["device ◀─CoAPs─ gateway", &notified]);
        for noticed in ["session established", "it connects again", "has ended"] {
            assert_eq!(demo.count(&[noticed]), 0, "{noticed}");
        }
    }
    assert!(demo.interrupt());
}

#[test]
fn it_prints_commands_to_paste() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&directory);
    for parts in [
        ["coap-client-openssl", "/api/v1/telemetry"],
        ["coap-client-openssl", "/api/v1/ANY_TOKEN/telemetry"],
        ["coap-client-openssl", "/api/v1/attributes"],
        ["coap-client-openssl", "/api/v1/rpc"],
        ["curl", "/simulator/arrivals"],
    ] {
        demo.await_line(&parts);
    }
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_chooses_another() {
    let directory = tempfile::tempdir().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = udp.local_addr().unwrap().port().to_string();
    let tcp = tcp.local_addr().unwrap().port().to_string();
    for (coaps, http, page, mqtt, flag, port) in [
        (udp.as_str(), "0", "0", "0", "--coaps-port", &udp),
        ("0", tcp.as_str(), "0", "0", "--http-port", &tcp),
        ("0", "0", tcp.as_str(), "0", "--page-port", &tcp),
        ("0", "0", "0", tcp.as_str(), "--mqtt-port", &tcp),
    ] {
        let output = command(&directory)
            .args([
                "--coaps-port",
                coaps,
                "--http-port",
                http,
                "--page-port",
                page,
                "--mqtt",
                "--mqtt-port",
                mqtt,
            ])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(flag) && stderr.contains(port), "{stderr}");
    }
}
