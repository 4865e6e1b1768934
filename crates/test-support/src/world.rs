//! Everything around one gateway: a directory with its certificates and configuration, a simulated ThingsBoard, and
//! devices. When it goes, it has looked for every secret in the log.

use crate::PATIENCE;
use crate::certificates::{Authority, Identity};
use crate::device::Device;
use crate::process::{Process, now};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// What a test wants otherwise than usual.
#[derive(Default)]
pub struct Wishes<'a> {
    /// Instead of a port of the system's choice on 127.0.0.1.
    pub listen: Option<&'a str>,
    /// Answers those who operate it, on a port of the system's choice.
    pub admin: bool,
    /// Lines for `[upstream]`, beside its URL.
    pub upstream: &'a str,
    /// Lines for `[clients]`, beside the trust anchors.
    pub clients: &'a str,
    /// No trust anchors: the registry alone decides.
    pub any_issuer: bool,
    /// Lines for `[dtls]`.
    pub dtls: &'a str,
    /// Lines for `[limits]`.
    pub limits: &'a str,
    /// Lines for `[relay]`.
    pub relay: &'a str,
    /// Lines for `[ota]`.
    pub ota: &'a str,
    /// Sections that have no field here, with their lines.
    pub sections: &'a str,
    /// More of `devices.toml`.
    pub devices: &'a str,
    /// Instead of `debug`.
    pub log_level: Option<&'a str>,
    /// Instead of the simulator's URL.
    pub url: Option<String>,
}

/// A gateway with its surroundings.
pub struct World {
    directory: TempDir,
    pub authority: Authority,
    pub simulator: Simulator,
    pub gateway: Process,
    pub address: SocketAddr,
    pub meter: Identity,
    pub pump: Identity,
    /// What no log may show.
    secrets: BTreeSet<String>,
}

pub const METER_TOKEN: &str = "Meter17T0kenThatNobodyMaySee";
pub const PUMP_TOKEN: &str = "Pump03T0kenThatNobodyMaySee";

impl World {
    pub fn start() -> World {
        World::with(&Wishes::default())
    }

    pub fn with(wishes: &Wishes<'_>) -> World {
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
    pub fn another(&self) -> (Process, SocketAddr) {
        let configuration = self.path().join("gateway.toml");
        let gateway = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
        let address = gateway.await_address("listening for CoAPs");
        (gateway, address)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A session of the device with this identity.
    pub async fn connect(&self, identity: &Identity) -> Device {
        Device::connect(self.address, identity, &self.authority.pem).await
    }

    /// A session of meter-17.
    pub async fn meter(&self) -> Device {
        self.connect(&self.meter).await
    }

    /// Holds the latest arrival against what should have come: a POST, its path, device and body.
    pub fn arrived(&self, path: &str, device: &str, body: &str) {
        let expected = ["POST", path, device, body].map(str::to_owned);
        assert_eq!(<[String; 4]>::from(self.simulator.last()), expected);
    }

    /// The gateway's resident memory now, in KiB.
    pub fn resident(&self) -> u64 {
        self.gateway.resident()
    }

    /// Ends the gateway by SIGTERM, as an operator would, and gives the line with all its counters. It must have run
    /// until now, and its end must be a clean one.
    pub fn terminate(&mut self) -> String {
        self.gateway.terminate();
        self.await_log("\"stopped\"")
    }

    /// Names one more thing that no log may show.
    pub fn keep_secret(&mut self, secret: impl Into<String>) {
        self.secrets.insert(secret.into());
    }

    pub fn log(&self) -> String {
        self.gateway.log()
    }

    /// The log's lines that hold this fingerprint, with or without colons.
    pub fn lines_about(&self, fingerprint: &str) -> Vec<String> {
        let holds = |line: &&str| line.to_lowercase().replace(':', "").contains(fingerprint);
        self.log()
            .lines()
            .filter(holds)
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the log has a line that holds `text`.
    pub fn await_log(&self, text: &str) -> String {
        self.gateway
            .await_line(text, |line| line.contains(text).then(|| line.to_owned()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let logs = [self.gateway.stop(), self.simulator.stop()];
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

/// The simulator, on a thread of its own, with its controls.
pub struct Simulator {
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pub address: SocketAddr,
}

/// What the simulator has logged so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Simulator {
    pub fn start() -> Simulator {
        // The connections of a whole fleet.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, address) = sync_channel(1);
        let log = Log::default();
        let writer = log.clone();
        let thread = std::thread::spawn(move || {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
            // For this thread, and so for all tasks of its runtime.
            let _logging = tracing::subscriber::set_default(subscriber);
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let simulator = thingsboard_simulator::Simulator::bind(([127, 0, 0, 1], 0).into());
                let simulator = simulator.await.unwrap();
                bound.send(simulator.local_addr()).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                simulator.run(stopped).await.unwrap();
            });
        });
        Simulator {
            log,
            stop: Some(stop),
            thread: Some(thread),
            address: address.recv().unwrap(),
        }
    }

    /// Stops it, and gives all that it has logged.
    fn stop(&mut self) -> String {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, path: &str, body: &Value) {
        self.control("PUT", path, &body.to_string());
    }

    pub fn post(&self, path: &str, body: &Value) {
        self.control("POST", path, &body.to_string());
    }

    /// What the next requests meet, instead of an answer.
    pub fn fault(&self, fault: &Value) {
        self.post("/simulator/faults", fault);
    }

    /// What has arrived so far, oldest first.
    pub fn arrivals(&self) -> Vec<Value> {
        let list: Value =
            serde_json::from_str(&self.control("GET", "/simulator/arrivals?limit=1000", ""))
                .unwrap();
        list["arrivals"].as_array().unwrap().clone()
    }

    /// The latest arrival: method, path, device, body.
    pub fn last(&self) -> (String, String, String, String) {
        let arrivals = self.arrivals();
        let last = arrivals.last().expect("something that arrived");
        let text = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
        (text("method"), text("path"), text("device"), text("body"))
    }

    /// One call of the control API: the body of its answer.
    pub fn control(&self, method: &str, path: &str, body: &str) -> String {
        control(self.address, method, path, body)
    }

    /// Someone sends a device a command, and waits for its reply.
    pub fn call(&self, device: &str, command: &Value) -> JoinHandle<String> {
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
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Tries until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !holds() {
        assert!(now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}
