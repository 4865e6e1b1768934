//! The simulator as a program: its command line, what it prints, and how it ends.
#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

fn simulator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thingsboard-simulator"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    simulator().args(arguments).output().unwrap()
}

#[test]
fn a_wrong_argument_and_a_port_that_is_taken_have_different_exit_codes() {
    assert_eq!(run(&["--listen", "nowhere"]).status.code(), Some(2));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("choose another with --listen"),
        "{message}"
    );
}

#[test]
fn with_mqtt_it_prints_where_it_serves_that_and_a_port_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", "127.0.0.1:0", "--mqtt", &address]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("choose another with --mqtt"), "{message}");

    let mut child = simulator()
        .args(["--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let line = lines.next().unwrap().unwrap();
    let (_, address) = line.rsplit_once("mqtt://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    // MQTT 3.1.1, an unknown user name: return code 5.
    stream
        .write_all(b"\x10\x0f\0\x04MQTT\x04\x82\0\0\0\0\0\x01x")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 5]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn its_help_shows_how_to_define_a_device() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("/simulator/devices/meter-17"), "{help}");
}

#[test]
fn it_prints_where_it_serves_answers_there_and_ends_at_an_interrupt() {
    let mut child = simulator()
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("not ThingsBoard"), "{line}");
    let (_, address) = line.trim_end().rsplit_once("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        "GET /simulator/arrivals HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The shell's own `kill`: the program is in a package that not every machine has.
    let kill = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}
