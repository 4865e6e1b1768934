//! Everything around one gateway: a directory with its certificates and configuration, a simulated ThingsBoard, and
//! devices. When it is dropped, it asserts that no secret is in a log.

use crate::TIMEOUT;
use crate::certificates::{Authority, Identity};
use crate::device::Device;
use crate::process::{Process, now};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How a gateway differs from the default of tests.
#[derive(Default)]
pub struct Options<'a> {
    /// `listen.coaps`, instead of any port of 127.0.0.1.
    pub listen: Option<&'a str>,
    /// Whether the server has a certificate with an RSA key, too.
    pub rsa: bool,
    /// Whether it has an admin server, on any port.
    pub admin: bool,
    /// Lines for `[upstream]`, besides its URL.
    pub upstream: &'a str,
    /// Lines for `[clients]`, besides the trust anchors.
    pub clients: &'a str,
    /// Whether it has no trust anchors, so that the registry alone decides.
    pub any_issuer: bool,
    /// Lines for `[dtls]`.
    pub dtls: &'a str,
    /// Lines for `[limits]`.
    pub limits: &'a str,
    /// Lines for `[relay]`.
    pub relay: &'a str,
    /// Lines for `[ota]`.
    pub ota: &'a str,
    /// Further sections, with their headings.
    pub sections: &'a str,
    /// Further entries of `devices.toml`.
    pub devices: &'a str,
    /// `log.level`, instead of `debug`.
    pub log_level: Option<&'a str>,
    /// `upstream.url`, instead of the simulator's.
    pub url: Option<String>,
    /// Whether `upstream.url` is the simulator's MQTT, instead of its HTTP.
    pub mqtt: bool,
    /// Whether `upstream.http_url` is the simulator's HTTP.
    pub http_url: bool,
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
    /// Strings that no log may contain.
    secrets: BTreeSet<String>,
}

pub const METER_TOKEN: &str = "Meter17T0kenThatIsSecret";
pub const PUMP_TOKEN: &str = "Pump03T0kenThatIsSecret";

impl World {
    pub fn start() -> World {
        World::with(&Options::default())
    }

    pub fn with(options: &Options<'_>) -> World {
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
        if options.rsa {
            authority.server_with_rsa().write(directory.path());
        }
        let devices = [(&meter, METER_TOKEN), (&pump, PUMP_TOKEN)].map(|(identity, token)| {
            identity.write(directory.path());
            let Identity {
                name, fingerprint, ..
            } = identity;
            format!(
                "[[device]]\nname = {name:?}\nfingerprint = {fingerprint:?}\ntoken = {token:?}\n"
            )
        });
        let registry = format!("{}\n{}", devices.join("\n"), options.devices);
        fs::write(directory.path().join("devices.toml"), registry).unwrap();
        let own = if options.mqtt {
            simulator.mqtt_url()
        } else {
            simulator.url()
        };
        let url = options.url.clone().unwrap_or(own);
        let http_url = match options.http_url {
            true => simulator.url(),
            false => String::new(),
        };
        let urls = format!("url = {url:?}\nhttp_url = {http_url:?}");
        let configuration = directory.path().join("gateway.toml");
        fs::write(
            &configuration,
            gateway_toml(directory.path(), &urls, options),
        )
        .unwrap();
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

    /// Starts a second gateway with the same configuration. Returns its address, too.
    pub fn start_second_gateway(&self) -> (Process, SocketAddr) {
        let configuration = self.path().join("gateway.toml");
        let gateway = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
        let address = gateway.await_address("listening for CoAPs");
        (gateway, address)
    }

    /// Ends the gateway by this signal, does what is to be done meanwhile, and starts another one at the same address. Returns
    /// the log of the former one.
    pub fn restart(&mut self, signal: &str, meanwhile: impl FnOnce(&World)) -> String {
        match signal {
            "KILL" => {}
            _ => {
                self.gateway.signal(signal);
                self.gateway.await_end();
            }
        }
        let log = self.gateway.stop();
        for secret in &self.secrets {
            assert!(!log.contains(secret), "the log contains {secret}");
        }
        meanwhile(self);
        let configuration = self.path().join("gateway.toml");
        let text = fs::read_to_string(&configuration).unwrap();
        let any = "[listen]\ncoaps = \"127.0.0.1:0\"";
        let here = format!("[listen]\ncoaps = \"{}\"", self.address);
        fs::write(&configuration, text.replace(any, &here)).unwrap();
        self.gateway = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
        let address = self.gateway.await_address("listening for CoAPs");
        assert_eq!(address, self.address);
        log
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Connects as the device with this identity.
    pub async fn connect(&self, identity: &Identity) -> Device {
        Device::connect(self.address, identity, &self.authority.pem).await
    }

    /// Connects as meter-17.
    pub async fn meter(&self) -> Device {
        self.connect(&self.meter).await
    }

    /// Asserts that the latest POST has this path, device and body.
    pub fn assert_last_post(&self, path: &str, device: &str, body: &str) {
        let expected = ["POST", path, device, body].map(str::to_owned);
        assert_eq!(<[String; 4]>::from(self.simulator.last_post()), expected);
    }

    /// The gateway's resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        self.gateway.resident()
    }

    /// Stops the gateway by SIGTERM, and returns the log line with all its counters.
    pub fn terminate(&mut self) -> String {
        self.gateway.terminate();
        self.await_log("\"stopped\"")
    }

    /// Adds a string that no log may contain.
    pub fn keep_secret(&mut self, secret: impl Into<String>) {
        self.secrets.insert(secret.into());
    }

    pub fn log(&self) -> String {
        self.gateway.log()
    }

    /// The log lines with this fingerprint, with or without colons.
    pub fn log_lines_with(&self, fingerprint: &str) -> Vec<String> {
        let holds = |line: &&str| line.to_lowercase().replace(':', "").contains(fingerprint);
        self.log()
            .lines()
            .filter(holds)
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the log has a line that contains `text`.
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
        for (log, name) in logs.iter().zip(["gateway", "simulator"]) {
            assert!(!log.is_empty(), "the {name} has logged nothing");
            for secret in &self.secrets {
                assert!(
                    !log.contains(secret),
                    "the {name}'s log contains the secret {secret}"
                );
            }
        }
    }
}

/// The line for the version of HTTP, where the environment has one: so all tests can run with HTTP/2.
fn http_version(urls: &str, options: &Options<'_>) -> String {
    match std::env::var("COAPS_GATEWAY_HTTP_VERSION") {
        Ok(version)
            if urls.starts_with("url = \"http") && !options.upstream.contains("http_version") =>
        {
            format!("http_version = {version:?}")
        }
        _ => String::new(),
    }
}

fn gateway_toml(directory: &Path, urls: &str, options: &Options<'_>) -> String {
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut text = String::new();
    let mut section = |name: &str, lines: &str| write!(text, "[{name}]\n{lines}\n").unwrap();
    let listen = options.listen.unwrap_or("127.0.0.1:0");
    let admin = if options.admin { "127.0.0.1:0" } else { "" };
    section("listen", &format!("coaps = {listen:?}\nadmin = {admin:?}"));
    let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
    let mut server = format!("certificate = {certificate:?}\nprivate_key = {key:?}");
    if options.rsa {
        let (certificate, key) = (file("localhost-rsa.pem"), file("localhost-rsa.key"));
        write!(
            server,
            "\nrsa_certificate = {certificate:?}\nrsa_private_key = {key:?}"
        )
        .unwrap();
    }
    section("server", &server);
    let anchors = if options.any_issuer {
        String::new()
    } else {
        file("ca.pem")
    };
    section(
        "clients",
        &format!("trust_anchors = {anchors:?}\n{}", options.clients),
    );
    section("devices", &format!("file = {:?}", file("devices.toml")));
    let version = http_version(urls, options);
    section(
        "upstream",
        &format!("{urls}\n{version}\n{}", options.upstream),
    );
    section("dtls", options.dtls);
    section("limits", options.limits);
    section("relay", options.relay);
    section("ota", options.ota);
    text.push_str(options.sections);
    text.push('\n');
    let mut section = |name: &str, lines: &str| write!(text, "[{name}]\n{lines}\n").unwrap();
    let level = options.log_level.unwrap_or("debug");
    section("log", &format!("level = {level:?}\nformat = \"json\""));
    text
}

/// The simulated ThingsBoard, on a thread of its own.
pub struct Simulator {
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pub address: SocketAddr,
    /// Of its MQTT.
    pub mqtt: SocketAddr,
}

/// The simulator's log so far.
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
        // A fleet has many connections.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, addresses) = sync_channel(1);
        let log = Log::default();
        let writer = log.clone();
        let thread = std::thread::spawn(move || {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
            // For this thread, which runs all tasks of its runtime.
            let _logging = tracing::subscriber::set_default(subscriber);
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let simulator = thingsboard_simulator::Simulator::bind(([127, 0, 0, 1], 0).into());
                let mut simulator = simulator.await.unwrap();
                let mqtt = simulator.bind_mqtt(([127, 0, 0, 1], 0).into()).await;
                let addresses = (simulator.local_addr(), mqtt.unwrap());
                bound.send(addresses).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                simulator.run(stopped).await.unwrap();
            });
        });
        let (address, mqtt) = addresses.recv().unwrap();
        Simulator {
            log,
            stop: Some(stop),
            thread: Some(thread),
            address,
            mqtt,
        }
    }

    /// Stops it, and returns its log.
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

    pub fn mqtt_url(&self) -> String {
        format!("mqtt://{}", self.mqtt)
    }

    /// What a device's MQTT connections have sent and received so far.
    pub fn mqtt_counts(&self, device: &str) -> Value {
        let path = format!("/simulator/devices/{device}/mqtt");
        serde_json::from_str(&self.control("GET", &path, "")).unwrap()
    }

    pub fn put(&self, path: &str, body: &Value) {
        self.control("PUT", path, &body.to_string());
    }

    pub fn post(&self, path: &str, body: &Value) {
        self.control("POST", path, &body.to_string());
    }

    /// Adds a fault for the next requests.
    pub fn fault(&self, fault: &Value) {
        self.post("/simulator/faults", fault);
    }

    /// All arrivals so far, oldest first.
    pub fn arrivals(&self) -> Vec<Value> {
        let list: Value =
            serde_json::from_str(&self.control("GET", "/simulator/arrivals?limit=1000", ""))
                .unwrap();
        list["arrivals"].as_array().unwrap().clone()
    }

    /// The latest arrival: method, path, device, body.
    pub fn last(&self) -> (String, String, String, String) {
        self.last_where(|_| true)
    }

    /// The latest POST. Polls begin when they will, so that the latest arrival may be one of them.
    fn last_post(&self) -> (String, String, String, String) {
        self.last_where(|arrival| arrival["method"] == "POST")
    }

    fn last_where(&self, is: impl Fn(&Value) -> bool) -> (String, String, String, String) {
        let arrivals = self.arrivals();
        let last = arrivals.iter().rfind(|arrival| is(arrival));
        let last = last.expect("an arrival");
        let text = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
        (text("method"), text("path"), text("device"), text("body"))
    }

    /// Waits until the device has a poll of this kind, "attributes" or "rpc", that ThingsBoard's device actor has seen.
    pub fn await_poll(&self, device: &str, kind: &str) {
        let path = format!("/simulator/devices/{device}/subscriptions");
        eventually("an open poll", || {
            let counts = self.control("GET", &path, "");
            let counts: Value = serde_json::from_str(&counts).unwrap();
            counts[kind]["live"].as_u64().unwrap() > 0
        });
    }

    /// Calls the control API, and returns the body of the response.
    pub fn control(&self, method: &str, path: &str, body: &str) -> String {
        control(self.address, method, path, body)
    }

    /// Sends a device a command on another thread, which waits for the reply.
    pub fn send_command(&self, device: &str, command: &Value) -> JoinHandle<String> {
        let (address, body) = (self.address, command.to_string());
        let path = format!("/simulator/devices/{device}/rpc");
        std::thread::spawn(move || control(address, "POST", &path, &body))
    }
}

fn control(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
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

/// Polls until the condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + TIMEOUT;
    while !holds() {
        assert!(now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}
