//! The gateway at work, with nothing to set up: certificates, a simulated ThingsBoard, the gateway and one device in
//! one process, over real DTLS and HTTP, or MQTT, on loopback.
//!
//! ```text
//!  device ──┐                                     ┌─▶ the terminal (text)
//!  clients ─┴─▶ link ─▶ gateway ─▶ simulator ─────┤
//!                          └───── tap ────────────┴─▶ the page
//! ```
//!
//! The commands to paste use a certificate of their own, because a device has only one observer of its commands, which
//! is the demo's device.

mod commands;
mod device;
mod link;
mod page;
mod restarts;
mod text;

use coaps_gateway::facade::authority;
use coaps_gateway::facade::credentials::{ClientPolicy, ServerCredentials, Validity};
use coaps_gateway::facade::device::{AccessToken, Fingerprint, Registry};
use coaps_gateway::facade::gateway::{Gateway, Parts, Settings, Tap};
use coaps_gateway::facade::{device as registered, dtls, ota, state, upstream};
use link::{Link, LossModel};
use page::{Context, Page};
use serde_json::json;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use text::print;
use thingsboard_simulator::{
    Arrival, Assignee, Control, ControlError, Package, PackageId, PackageKind, Simulator,
};
use time::OffsetDateTime;
use tokio::sync::{broadcast, oneshot};

/// The demo's device, and the device of the commands to paste.
const DEVICE: &str = "demo-device";
const CLIENT: &str = "my-device";
/// Each with its token in the simulator.
const DEVICES: [(&str, &str); 2] = [(DEVICE, "DEMO_DEVICE_TOKEN"), (CLIENT, "MY_DEVICE_TOKEN")];
/// The time between two telemetry messages.
const INTERVAL: Duration = Duration::from_secs(3);
/// The size of the firmware that is assigned to them, in bytes.
const FIRMWARE_SIZE: usize = 20_000;

/// What the command line chooses.
#[derive(Debug)]
pub struct Options {
    /// Where certificates are made, and kept for the next run.
    pub directory: PathBuf,
    /// The address at which clients reach the gateway.
    pub coaps: SocketAddr,
    /// The simulated ThingsBoard's address.
    pub http: SocketAddr,
    /// The address of its MQTT, by which the gateway reaches it then. `None`: over HTTP.
    pub mqtt: Option<SocketAddr>,
    /// The page's address.
    pub page: SocketAddr,
    /// After how long the gateway is restarted, each time. `None`: never.
    pub restart: Option<Duration>,
    /// The day certificates begin.
    pub today: OffsetDateTime,
}

/// Runs until `shutdown`.
pub async fn run(
    options: &Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let certificates = authority::make(
        &authority::MakeOptions {
            directory: options.directory.clone(),
            host: "localhost".to_owned(),
            devices: DEVICES.map(|(name, _)| name.to_owned()).into(),
            ..authority::MakeOptions::default()
        },
        options.today,
    )?;
    let mut simulator = Simulator::bind(options.http).await.map_err(|error| {
        format!(
            "the simulator's port, TCP {}: {error}; choose another with --http-port",
            options.http
        )
    })?;
    let http = simulator.local_addr();
    let mqtt = match options.mqtt {
        Some(address) => Some(simulator.bind_mqtt(address).await.map_err(|error| {
            format!(
                "the simulator's MQTT port, TCP {address}: {error}; choose another with --mqtt-port"
            )
        })?),
        None => None,
    };
    let url = match mqtt {
        Some(mqtt) => format!("mqtt://{mqtt}"),
        None => format!("http://{http}"),
    };
    let control = simulator.control();
    provision(&control)?;
    let arrivals = control.subscribe();
    let tap = Tap::default();
    let kept_state = match options.restart {
        Some(_) => Some(restarts::state(&options.directory)?),
        None => None,
    };
    // Behind the link, on any port.
    let any = SocketAddr::new(options.coaps.ip(), 0);
    let first = gateway(parts(any, kept_state.clone(), &certificates, &url)?, &tap)?;
    let behind = first.local_addr();
    let losses = Arc::new(LossModel::new(fastrand::u64(..)));
    let link = Link::bind(options.coaps, behind, losses.clone()).await;
    let link = link.map_err(|error| {
        format!(
            "the gateway's port, UDP {}: {error}; choose another with --coaps-port",
            options.coaps
        )
    })?;
    let coaps = link.local_addr()?;
    let commands = commands::commands(&options.directory, coaps, http);
    let page = Page::bind(
        options.page,
        Context {
            control,
            tap: tap.clone(),
            losses,
            commands: commands.clone(),
            upstream: if mqtt.is_some() { "MQTT" } else { "HTTP" },
        },
    );
    let page = page.await.map_err(|error| {
        format!(
            "the page's port, TCP {}: {error}; choose another with --page-port",
            options.page
        )
    })?;
    let own = certificates.devices.first();
    let own = own.ok_or("the device has no certificate")?;
    let mut device = device::Device::new(own, &certificates.server, coaps)?;

    let is_kept = certificates.ca.existed;
    let page_address = page.local_addr();
    print(&text::opening(
        &options.directory,
        is_kept,
        coaps,
        http,
        mqtt,
        page_address,
    ))?;
    print(&text::commands(&commands))?;

    let (stop_simulator, simulator_stops) = oneshot::channel::<()>();
    let (stop_gateway, gateway_stops) = oneshot::channel::<()>();
    let simulator = tokio::spawn(simulator.run(async {
        let _ = simulator_stops.await;
    }));
    let again = move || {
        let parts = parts(behind, kept_state.clone(), &certificates, &url);
        let made = parts.and_then(|parts| gateway(parts, &tap));
        made.map_err(|error| format!("the gateway can't be started again: {error}"))
    };
    let mut running = tokio::spawn(restarts::run(first, options.restart, again, gateway_stops));
    let result = tokio::select! {
        () = shutdown => Ok(()),
        failed = device.run() => failed,
        failed = link.run() => failed,
        failed = page.serve() => failed,
        failed = print_arrivals(arrivals) => failed,
        ended = &mut running => return Ok(ended??),
    };
    // The gateway first: it closes its sessions while ThingsBoard still runs.
    drop((device, stop_gateway));
    running.await??;
    drop(stop_simulator);
    simulator.await??;
    Ok(result?)
}

/// Creates the devices, their attributes and their firmware in ThingsBoard.
fn provision(control: &Control) -> Result<(), ControlError> {
    let firmware = PackageId::new(PackageKind::Firmware, "demo", "1.0");
    control.add_package(&firmware, Package::generated(FIRMWARE_SIZE))?;
    for (name, token) in DEVICES {
        control.add_device(name, token)?;
        control.set_shared_attribute(name, "interval", &json!(INTERVAL.as_secs()))?;
        control.assign_package(Assignee::Device(name), &firmware)?;
    }
    Ok(())
}

/// Prints each request that arrives at the simulated ThingsBoard.
async fn print_arrivals(mut arrivals: broadcast::Receiver<Arrival>) -> std::io::Result<()> {
    loop {
        match arrivals.recv().await {
            Ok(arrival) => print(&text::arrival(&arrival))?,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                print(&format!("… and {missed} more arrivals, too many to show"))?;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

/// A gateway of these parts, which shows everything to the tap.
fn gateway(parts: Parts, tap: &Tap) -> Result<Gateway, Box<dyn Error>> {
    let mut gateway = Gateway::new(parts)?;
    gateway.attach_tap(tap.clone());
    Ok(gateway)
}

/// What the gateway is made of, without configuration files. With `state` sessions outlive it.
fn parts(
    listen: SocketAddr,
    state: Option<state::Settings>,
    certificates: &authority::AuthorityFiles,
    url: &str,
) -> Result<Parts, Box<dyn Error>> {
    let mut registry = Registry::default();
    for (made, (_, token)) in certificates.devices.iter().zip(DEVICES) {
        let device = registered::Device {
            name: made.name.as_str().into(),
            token: AccessToken::new(token)?,
        };
        registry.add(device, &[Fingerprint::Sha256(made.id.sha256)])?;
    }
    let server = &certificates.server;
    let mut settings = Settings::default();
    let mut drain = Duration::ZERO;
    if state.is_some() {
        // Sessions of DTLS 1.3 end with the gateway.
        settings.dtls.versions = dtls::Versions::Only12;
        settings.relay.poll_timeout = restarts::POLL_TIMEOUT;
        drain = restarts::DRAIN;
    }
    Ok(Parts {
        listen,
        server: credentials(&server.certificate, &server.private_key)?,
        clients: ClientPolicy::new(
            Some(&std::fs::read(&certificates.ca.certificate)?),
            Validity::Check,
        )?,
        registry: Arc::new(registry),
        upstream: upstream::Settings {
            url: url.parse()?,
            http_url: None,
            tls: upstream::TlsFiles::default(),
            http_version: upstream::HttpVersion::Auto,
            timeout: Duration::from_secs(10),
            max_in_flight: settings.max_in_flight,
            max_downlink: settings.relay.connections(),
            max_packages: ota::Settings::CONNECTIONS,
            max_connections: 1000,
            connects_per_second: 500,
            alive_for: settings.relay.alive_for,
        },
        state,
        group: None,
        settings,
        drain,
        workers: tokio::runtime::Handle::current(),
    })
}

/// Reads a certificate and its key from their files.
fn credentials(certificate: &Path, key: &Path) -> Result<ServerCredentials, Box<dyn Error>> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
    };
    let key = zeroize::Zeroizing::new(read(key)?);
    Ok(ServerCredentials::from_pem(&read(certificate)?, &key)?)
}
