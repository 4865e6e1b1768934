//! The gateway at work, with nothing to set up: certificates, a simulated ThingsBoard, the gateway
//! and one device in one process, over real DTLS and HTTP on loopback.
//!
//! ```text
//!  device ──┐                                     ┌─▶ the terminal (text)
//!  clients ─┴─▶ link ─▶ gateway ─▶ simulator ─────┤
//!                          └───── tap ────────────┴─▶ the page
//! ```
//!
//! Clients that are pasted have a certificate of their own: the device observes its commands, and a device has one
//! observer.

mod commands;
mod device;
mod link;
mod page;
mod text;

use coaps_gateway::authority;
use coaps_gateway::credentials::{ClientPolicy, ServerCredentials, Validity};
use coaps_gateway::device::{AccessToken, Fingerprint, Registry};
use coaps_gateway::gateway::{Gateway, Parts, Settings, Tap};
use coaps_gateway::{device as registered, ota, upstream};
use link::{Link, Weather};
use page::{Page, Scene};
use serde_json::json;
use std::error::Error;
use std::future::{Future, pending};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thingsboard_simulator::{
    Arrival, Assignee, Control, ControlError, Package, PackageId, PackageKind, Simulator,
};
use time::OffsetDateTime;
use tokio::sync::{broadcast, oneshot};

/// The device of the demo, and the one that pasted commands speak for.
const DEVICE: &str = "demo-device";
const CLIENT: &str = "my-device";
/// Each with the token it has in the simulator.
const DEVICES: [(&str, &str); 2] = [(DEVICE, "DEMO_DEVICE_TOKEN"), (CLIENT, "MY_DEVICE_TOKEN")];
/// Between two telemetry messages.
const EVERY: Duration = Duration::from_secs(3);
/// Bytes of the firmware they are assigned.
const FIRMWARE: usize = 20_000;

/// What the demo is to use.
#[derive(Debug)]
pub struct Order {
    /// Where certificates are made, and kept between runs.
    pub directory: PathBuf,
    /// The address at which clients reach the gateway.
    pub coaps: SocketAddr,
    /// The simulated ThingsBoard's address.
    pub http: SocketAddr,
    /// The page's address.
    pub page: SocketAddr,
    /// The day certificates begin.
    pub today: OffsetDateTime,
}

/// Runs until `shutdown`.
pub async fn run(
    order: &Order,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let certificates = authority::make(
        &authority::MakeOptions {
            directory: order.directory.clone(),
            host: "localhost".to_owned(),
            devices: DEVICES.map(|(name, _)| name.to_owned()).into(),
        },
        order.today,
    )?;
    let simulator = Simulator::bind(order.http).await.map_err(|error| {
        format!(
            "the simulator's port, TCP {}: {error}; choose another with --http-port",
            order.http
        )
    })?;
    let http = simulator.local_addr();
    let control = simulator.control();
    stock(&control)?;
    let arrivals = control.subscribe();
    let mut gateway = Gateway::new(parts(order, &certificates, http)?)?;
    let tap = Tap::default();
    gateway.attach_tap(tap.clone());
    let weather = Arc::new(Weather::new(fastrand::u64(..)));
    let link = Link::bind(order.coaps, gateway.local_addr(), weather.clone()).await;
    let link = link.map_err(|error| {
        format!(
            "the gateway's port, UDP {}: {error}; choose another with --coaps-port",
            order.coaps
        )
    })?;
    let coaps = link.local_addr()?;
    let commands = commands::commands(&order.directory, coaps, http);
    let page = Page::bind(
        order.page,
        Scene {
            control,
            tap,
            weather,
            commands: commands.clone(),
        },
    );
    let page = page.await.map_err(|error| {
        format!(
            "the page's port, TCP {}: {error}; choose another with --page-port",
            order.page
        )
    })?;
    let own = certificates.devices.first();
    let own = own.ok_or("the device has no certificate")?;
    let mut device = device::Device::new(own, &certificates.server, coaps)?;

    let kept = certificates.ca.existed;
    let looked_at = page.local_addr();
    say(&text::opening(
        &order.directory,
        kept,
        coaps,
        http,
        looked_at,
    ))?;
    say(&text::invitation(&commands))?;

    let (stop_simulator, simulator_stops) = oneshot::channel::<()>();
    let (stop_gateway, gateway_stops) = oneshot::channel::<()>();
    let simulator = tokio::spawn(simulator.run(async {
        let _ = simulator_stops.await;
    }));
    let gateway = tokio::spawn(gateway.run(
        async {
            let _ = gateway_stops.await;
        },
        // It has no time to drain, and nothing to insist on.
        pending(),
    ));
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        failed = device.live() => failed,
        failed = link.run() => failed,
        failed = page.serve() => failed,
        failed = show(arrivals) => failed,
    };
    // The gateway first: it says goodbye to its sessions while upstream is still there.
    drop((device, stop_gateway));
    gateway.await?;
    drop(stop_simulator);
    simulator.await??;
    Ok(ended?)
}

/// What there is in ThingsBoard when the demo begins.
fn stock(control: &Control) -> Result<(), ControlError> {
    let firmware = PackageId::new(PackageKind::Firmware, "demo", "1.0");
    control.add_package(&firmware, Package::generated(FIRMWARE))?;
    for (name, token) in DEVICES {
        control.add_device(name, token)?;
        control.set_shared_attribute(name, "interval", &json!(EVERY.as_secs()))?;
        control.assign_package(Assignee::Device(name), &firmware)?;
    }
    Ok(())
}

/// Shows what arrives at the simulated ThingsBoard, whoever sent it.
async fn show(mut arrivals: broadcast::Receiver<Arrival>) -> std::io::Result<()> {
    loop {
        match arrivals.recv().await {
            Ok(arrival) => say(&text::arrival(&arrival))?,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                say(&format!("… and {missed} more arrivals, too many to show"))?;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

/// One paragraph on standard output, at once. A closed pipe ends the demo.
fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// What the gateway is made of, without configuration files.
fn parts(
    order: &Order,
    certificates: &authority::AuthorityFiles,
    http: SocketAddr,
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
    let settings = Settings::default();
    Ok(Parts {
        // Behind the link.
        listen: SocketAddr::new(order.coaps.ip(), 0),
        server: credentials(&server.certificate, &server.private_key)?,
        clients: ClientPolicy::new(
            Some(&std::fs::read(&certificates.ca.certificate)?),
            Validity::Check,
        )?,
        registry: Arc::new(registry),
        upstream: upstream::Settings {
            url: format!("http://{http}").parse()?,
            ca: None,
            timeout: Duration::from_secs(10),
            max_in_flight: settings.max_in_flight,
            max_downlink: settings.relay.connections(),
            max_packages: ota::Settings::CONNECTIONS,
        },
        settings,
        drain: Duration::ZERO,
    })
}

/// A certificate and its key, from their files.
fn credentials(certificate: &Path, key: &Path) -> Result<ServerCredentials, Box<dyn Error>> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
    };
    let key = zeroize::Zeroizing::new(read(key)?);
    Ok(ServerCredentials::from_pem(&read(certificate)?, &key)?)
}
