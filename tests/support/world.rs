//! Everything around one gateway: a directory with its certificates and configuration, a simulated ThingsBoard, and
//! devices. When it goes, it has looked for every secret in the log.

use super::PATIENCE;
use super::certificates::{Authority, Identity};
use super::device::Device;
use super::process::{Process, now};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// What a test wants otherwise than usual.
#[derive(Default)]
pub(crate) struct Wishes<'a> {
    /// Instead of a port of the system's choice on 127.0.0.1.
    pub(crate) listen: Option<&'a str>,
    /// Answers those who operate it, on a port of the system's choice.
    pub(crate) admin: bool,
    /// Lines for `[upstream]`, beside its URL.
    pub(crate) upstream: &'a str,
    /// Lines for `[clients]`, beside the trust anchors.
    pub(crate) clients: &'a str,
    /// No trust anchors: the registry alone decides.
    pub(crate) any_issuer: bool,
    /// Lines for `[dtls]`.
    pub(crate) dtls: &'a str,
    /// Lines for `[limits]`.
    pub(crate) limits: &'a str,
    /// Lines for `[relay]`.
    pub(crate) relay: &'a str,
    /// Lines for `[ota]`.
    pub(crate) ota: &'a str,
    /// Sections that have no field here, with their lines.
    pub(crate) sections: &'a str,
    /// More of `devices.toml`.
    pub(crate) devices: &'a str,
    /// Instead of `debug`.
    pub(crate) log_level: Option<&'a str>,
    /// Instead of the simulator's URL.
    pub(crate) url: Option<String>,
}

/// A gateway with its surroundings.
pub(crate) struct World {
    directory: TempDir,
    pub(crate) authority: Authority,
    pub(crate) simulator: Simulator,
    pub(crate) gateway: Process,
    pub(crate) address: SocketAddr,
    pub(crate) meter: Identity,
    pub(crate) pump: Identity,
    /// What no log may show.
    secrets: BTreeSet<String>,
}

pub(crate) const METER_TOKEN: &str = "Meter17T0kenThatNobodyMaySee";
pub(crate) const PUMP_TOKEN: &str = "Pump03T0kenThatNobodyMaySee";

impl World {
    pub(crate) fn start() -> World {
        World::with(&Wishes::default())
    }

    pub(crate) fn with(wishes: &Wishes<'_>) -> World {
        let directory = TempDir::new().unwrap();
        let authority = Authority::new("Test CA");
        let (server, meter, pump) = (
            authority.server(),
            authority.device("meter-17"),
            authority.device("pump-03"),
        );
        let simulator = Simulator::start();
        simulator.put(
            "/simulator/devices/meter-17",
            &json!({ "token": METER_TOKEN }),
        );
        simulator.put(
            "/simulator/devices/pump-03",
            &json!({ "token": PUMP_TOKEN }),
        );
        fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
        server.write(directory.path());
        let devices = [(&meter, METER_TOKEN), (&pump, PUMP_TOKEN)].map(|(identity, token)| {
            identity.write(directory.path());
            let Identity {
                name, fingerprint, ..
            } = identity;
            format!(
                "[[device]]\nname = {name:?}\nfingerprint = {fingerprint:?}\ntoken = {token:?}\n"
            )
        });
        let registry = format!("{}\n{}", devices.join("\n"), wishes.devices);
        fs::write(directory.path().join("devices.toml"), registry).unwrap();
        let url = wishes.url.clone().unwrap_or_else(|| simulator.url());
        let configuration = directory.path().join("gateway.toml");
        fs::write(&configuration, gateway_toml(directory.path(), &url, wishes)).unwrap();
        let gateway = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
        let address = gateway.await_address("listening for CoAPs");
        let keys = [&server, &meter, &pump].map(Identity::secret);
        let tokens = [METER_TOKEN, PUMP_TOKEN].map(str::to_owned);
        let secrets = keys.into_iter().chain(tokens).collect();
        World {
            directory,
            authority,
            simulator,
            gateway,
            address,
            meter,
            pump,
            secrets,
        }
    }

    /// Another gateway with the same configuration, and where it listens.
    pub(crate) fn another(&self) -> (Process, SocketAddr) {
        let configuration = self.path().join("gateway.toml");
        let gateway = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
        let address = gateway.await_address("listening for CoAPs");
        (gateway, address)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A session of the device with this identity.
    pub(crate) async fn connect(&self, identity: &Identity) -> Device {
        Device::connect(self.address, identity, &self.authority.pem).await
    }

    /// A session of meter-17.
    pub(crate) async fn meter(&self) -> Device {
        self.connect(&self.meter).await
    }

    /// Holds the latest arrival against what should have come: a POST, its path, device and body.
    pub(crate) fn arrived(&self, path: &str, device: &str, body: &str) {
        let expected = ["POST", path, device, body].map(str::to_owned);
        assert_eq!(<[String; 4]>::from(self.simulator.last()), expected);
    }

    /// The gateway's resident memory now, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.gateway.resident()
    }

    /// Ends the gateway by SIGTERM, as an operator would, and gives the line with all its counters. It must have run
    /// until now, and its end must be a clean one.
    pub(crate) fn terminate(&mut self) -> String {
        self.gateway.terminate();
        self.await_log("\"stopped\"")
    }

    /// Names one more thing that no log may show.
    pub(crate) fn keep_secret(&mut self, secret: impl Into<String>) {
        self.secrets.insert(secret.into());
    }

    pub(crate) fn log(&self) -> String {
        self.gateway.log()
    }

    /// The log's lines that hold this fingerprint, with or without colons.
    pub(crate) fn lines_about(&self, fingerprint: &str) -> Vec<String> {
        let holds = |line: &&str| line.to_lowercase().replace(':', "").contains(fingerprint);
        self.log()
            .lines()
            .filter(holds)
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the log has a line that holds `text`.
    pub(crate) fn await_log(&self, text: &str) -> String {
        self.gateway
            .await_line(text, |line| line.contains(text).then(|| line.to_owned()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let logs = [self.gateway.stop(), self.simulator.process.stop()];
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", logs[0]);
            return;
        }
        for (log, whose) in logs.iter().zip(["gateway", "simulator"]) {
            assert!(
                !log.is_empty(),
                "the {whose} has logged nothing: is this the right stream?"
            );
            for secret in &self.secrets {
                assert!(
                    !log.contains(secret),
                    "the {whose}'s log shows the secret {secret}"
                );
            }
        }
    }
}

fn gateway_toml(directory: &Path, url: &str, wishes: &Wishes<'_>) -> String {
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut text = String::new();
    let mut section = |name: &str, lines: &str| write!(text, "[{name}]\n{lines}\n").unwrap();
    let listen = wishes.listen.unwrap_or("127.0.0.1:0");
    let admin = if wishes.admin { "127.0.0.1:0" } else { "" };
    section("listen", &format!("coaps = {listen:?}\nadmin = {admin:?}"));
    let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
    section(
        "server",
        &format!("certificate = {certificate:?}\nprivate_key = {key:?}"),
    );
    let anchors = if wishes.any_issuer {
        String::new()
    } else {
        file("ca.pem")
    };
    section(
        "clients",
        &format!("trust_anchors = {anchors:?}\n{}", wishes.clients),
    );
    section("devices", &format!("file = {:?}", file("devices.toml")));
    section("upstream", &format!("url = {url:?}\n{}", wishes.upstream));
    section("dtls", wishes.dtls);
    section("limits", wishes.limits);
    section("relay", wishes.relay);
    section("ota", wishes.ota);
    text.push_str(wishes.sections);
    text.push('\n');
    let mut section = |name: &str, lines: &str| write!(text, "[{name}]\n{lines}\n").unwrap();
    let level = wishes.log_level.unwrap_or("debug");
    section("log", &format!("level = {level:?}\nformat = \"json\""));
    text
}

/// The simulator, as a process of its own, with its controls.
pub(crate) struct Simulator {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Simulator {
    pub(crate) fn start() -> Simulator {
        let process = Process::start(&["simulator", "--listen", "127.0.0.1:0"]);
        let address = process.await_address("this is a simulator");
        Simulator { process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) {
        self.control("PUT", path, &body.to_string());
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        self.control("POST", path, &body.to_string());
    }

    /// What the next requests meet, instead of an answer.
    pub(crate) fn fault(&self, fault: &Value) {
        self.post("/simulator/faults", fault);
    }

    /// What has arrived so far, oldest first.
    pub(crate) fn arrivals(&self) -> Vec<Value> {
        let list: Value =
            serde_json::from_str(&self.control("GET", "/simulator/arrivals?limit=1000", ""))
                .unwrap();
        list["arrivals"].as_array().unwrap().clone()
    }

    /// The latest arrival: method, path, device, body.
    pub(crate) fn last(&self) -> (String, String, String, String) {
        let arrivals = self.arrivals();
        let last = arrivals.last().expect("something that arrived");
        let text = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
        (text("method"), text("path"), text("device"), text("body"))
    }

    /// One call of the control API: the body of its answer.
    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> String {
        control(self.address, method, path, body)
    }

    /// Someone sends a device a command, and waits for its reply.
    pub(crate) fn call(&self, device: &str, command: &Value) -> JoinHandle<String> {
        let (address, body) = (self.address, command.to_string());
        let path = format!("/simulator/devices/{device}/rpc");
        std::thread::spawn(move || control(address, "POST", &path, &body))
    }
}

fn control(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    write!(
        stream,
        "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    body.to_owned()
}

/// A URL where connections are refused: a port that was free a moment ago.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Tries until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !holds() {
        assert!(now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}
