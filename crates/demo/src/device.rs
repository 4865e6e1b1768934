//! The demo's device: it posts its temperature, observes its shared attributes and its commands, and replies to the
//! latter.
//!
//! It is a `coap_client`, which shares the message format and the DTLS library with the gateway.

mod requests;

use super::text::{self, print, printable};
use super::{INTERVAL, credentials};
use coap_client::dtls::Config;
use coap_client::{Endpoint, Event, Parameters, Session};
use coaps_gateway::facade::authority;
use requests::{Observed, Purpose};
use serde_json::{Value, json};
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// The pause before the device connects, or registers an observation, again.
const PAUSE: Duration = Duration::from_secs(3);
/// The values that the attribute `interval` may have, in seconds.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;
/// The limit of a handshake. On loopback it takes milliseconds; on a link that loses datagrams, some retransmissions.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Device {
    config: Config,
    /// The gateway's certificate (DER). The device accepts no other.
    gateway: Vec<u8>,
    address: SocketAddr,
    /// Between two telemetry messages: the shared attribute `interval`.
    interval: Duration,
    /// Observations to register, and when.
    to_observe: Vec<(Instant, Observed)>,
    started: Instant,
}

impl Device {
    pub(super) fn new(
        own: &authority::CertificateFiles,
        server: &authority::CertificateFiles,
        address: SocketAddr,
    ) -> Result<Device, Box<dyn Error>> {
        let own = credentials(&own.certificate, &own.private_key)?;
        Ok(Device {
            config: Config::new(own.certificate().to_vec(), own.ecdsa.private_key.to_vec())?,
            gateway: credentials(&server.certificate, &server.private_key)?
                .certificate()
                .to_vec(),
            address,
            interval: INTERVAL,
            to_observe: Vec::new(),
            started: now(),
        })
    }

    /// Runs until the terminal can't be written to. Failures are printed, and the device connects again.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        loop {
            let failure = match self.connect().await {
                Ok(session) => {
                    print(&text::connected(session.version()))?;
                    self.run_session(session).await?
                }
                Err(failure) => failure,
            };
            print(&text::disconnected(&failure))?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> io::Result<Session> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.address).await?;
        let session = Session::connect(socket, &self.config);
        let session = tokio::time::timeout(HANDSHAKE_TIMEOUT, session).await;
        let session = session
            .map_err(|_| io::Error::other("the handshake timed out"))?
            .map_err(io::Error::other)?;
        if session.server_certificate() != self.gateway {
            return Err(io::Error::other("the server is not the gateway"));
        }
        Ok(session)
    }

    /// Runs one session, and returns the failure that ends it.
    async fn run_session(&mut self, mut session: Session) -> io::Result<io::Error> {
        let mut endpoint = Endpoint::new(Parameters::default(), fastrand::Rng::new());
        let mut next_post = now();
        self.to_observe = vec![(now(), Observed::Attributes), (now(), Observed::Commands)];
        loop {
            while let Some(datagram) = endpoint.poll_transmit() {
                if let Err(failure) = session.send(&datagram) {
                    return Ok(io::Error::other(failure));
                }
            }
            let deadline = endpoint
                .next_timeout()
                .map_or(next_post, |at| at.min(next_post));
            match tokio::time::timeout_at(deadline.into(), session.receive()).await {
                Ok(Ok(datagram)) => {
                    // What is not a CoAP message is ignored.
                    let _ = endpoint.receive(now(), &datagram);
                }
                Ok(Err(failure)) => return Ok(io::Error::other(failure)),
                Err(_) => {}
            }
            endpoint.handle_timeout(now());
            while let Some(event) = endpoint.poll_event() {
                if let Event::TimedOut(_) | Event::Reset(_) = event {
                    return Ok(io::Error::other("the gateway did not answer"));
                }
                self.handle_event(event, &mut endpoint)?;
            }
            let due = |(at, _): &mut (Instant, Observed)| *at <= now();
            for (_, observed) in self.to_observe.extract_if(.., due) {
                requests::observe(&mut endpoint, now(), observed);
            }
            if now() >= next_post {
                next_post = now() + self.interval;
                requests::post_telemetry(&mut endpoint, now(), self.temperature());
            } else {
                // A shorter interval applies at once.
                next_post = next_post.min(now() + self.interval);
            }
        }
    }

    /// A day's temperatures in two minutes.
    fn temperature(&self) -> String {
        let phase = self.started.elapsed().as_secs_f64() / 120.0 * std::f64::consts::TAU;
        format!(r#"{{"temperature":{:.1}}}"#, 20.0 + 5.0 * phase.sin())
    }

    fn handle_event(
        &mut self,
        event: Event<Purpose>,
        endpoint: &mut Endpoint<Purpose>,
    ) -> io::Result<()> {
        match event {
            Event::Response {
                request,
                code,
                payload,
                after,
                transmissions,
                is_observed,
            } => {
                print(&text::response(
                    &request.describe(),
                    code,
                    after,
                    transmissions,
                ))?;
                match request {
                    Purpose::Observe(observed) if !is_observed => self.observe_later(observed),
                    Purpose::Observe(Observed::Attributes) => self.set_interval(&payload),
                    Purpose::Observe(Observed::Commands)
                    | Purpose::Telemetry(_)
                    | Purpose::Reply(_) => {}
                }
                Ok(())
            }
            Event::Notification {
                request: Purpose::Observe(observed),
                payload,
                is_observed: true,
                ..
            } => match observed {
                Observed::Attributes => {
                    print(&text::notification("attributes", &printable(&payload)))?;
                    self.set_interval(&payload);
                    Ok(())
                }
                Observed::Commands => {
                    print(&text::notification("command", &printable(&payload)))?;
                    if let Some((id, reply)) = execute(&payload) {
                        requests::reply(endpoint, now(), id, reply);
                    }
                    Ok(())
                }
            },
            Event::Notification { request, .. } => {
                if let Purpose::Observe(observed) = request {
                    self.observe_later(observed);
                }
                print(&text::observation_ended())
            }
            Event::Retransmitted | Event::Reset(_) | Event::TimedOut(_) => Ok(()),
        }
    }

    fn observe_later(&mut self, observed: Observed) {
        self.to_observe.push((now() + PAUSE, observed));
    }

    /// Takes the interval from the shared attributes.
    fn set_interval(&mut self, attributes: &[u8]) {
        let attributes: Option<Value> = serde_json::from_slice(attributes).ok();
        let interval = attributes.as_ref().and_then(|all| all.get("interval"));
        if let Some(seconds) = interval.and_then(Value::as_u64) {
            let seconds = seconds.clamp(*INTERVALS.start(), *INTERVALS.end());
            self.interval = Duration::from_secs(seconds);
        }
    }
}

/// Executes a command. Returns its id and the device's reply.
fn execute(command: &[u8]) -> Option<(i64, String)> {
    let command: Value = serde_json::from_slice(command).ok()?;
    let id = command.get("id")?.as_i64()?;
    let method = command.get("method").and_then(Value::as_str);
    let reply = match method {
        Some("blink") => json!({"blinked": true}),
        Some("echo") => command.get("params").cloned().unwrap_or_default(),
        _ => json!({"error": "the device knows blink and echo"}),
    };
    Some((id, reply.to_string()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo's device owns its clock"
)]
fn now() -> Instant {
    Instant::now()
}
