//! The demo's device: it posts its temperature, observes its shared attributes and its commands, and replies.
//!
//! It uses the gateway's own engine and message format. The tests don't: they face other people's.

mod endpoint;
mod session;

use super::{EVERY, credentials, say};
use coaps_gateway::authority;
use coaps_gateway::dtls;
use coaps_gateway::dtls::engine::Settings;
use endpoint::{Endpoint, Event, Purpose};
use serde_json::{Value, json};
use session::Session;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two attempts to connect, or to observe.
const PAUSE: Duration = Duration::from_secs(3);
/// The attribute `interval` counts between these, in seconds.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;

/// The device, and what it knows.
pub(super) struct Device {
    settings: Settings,
    /// The gateway's certificate: the device knows it beforehand, and talks to no other.
    gateway: Vec<u8>,
    address: SocketAddr,
    /// Between two telemetry messages: the shared attribute `interval`.
    every: Duration,
    /// Observations that don't stand, and when each is tried again.
    to_observe: Vec<(Instant, Purpose)>,
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
            settings: Settings::new(&own, &dtls::Parameters::default())?,
            gateway: credentials(&server.certificate, &server.private_key)?.certificate,
            address,
            every: EVERY,
            to_observe: Vec::new(),
            started: now(),
        })
    }

    /// Lives until it can't say so any more. Failures are told, and it goes on.
    pub(super) async fn live(&mut self) -> io::Result<()> {
        loop {
            let failure = match Session::connect(self.address, &self.settings, &self.gateway).await
            {
                Ok(session) => {
                    let version = session.version();
                    say(&format!(
                        "  device ─DTLS {version}─▶ gateway     session established with its certificate"
                    ))?;
                    self.live_in(session).await?
                }
                Err(failure) => failure,
            };
            say(&format!("  device: {failure}; it connects anew\n"))?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One session, from its first message to the failure that ends it.
    async fn live_in(&mut self, mut session: Session) -> io::Result<io::Error> {
        let mut endpoint = Endpoint::new(fastrand::u16(..));
        let mut next_post = now();
        self.to_observe = vec![
            (now(), Purpose::ObserveAttributes),
            (now(), Purpose::ObserveCommands),
        ];
        loop {
            while let Some(message) = endpoint.poll_send() {
                if let Err(failure) = session.send(&message).await {
                    return Ok(failure);
                }
            }
            let deadline = endpoint
                .next_timeout()
                .map_or(next_post, |at| at.min(next_post));
            match session.next(deadline).await {
                Ok(messages) => {
                    for message in messages {
                        endpoint.receive(now(), &message);
                    }
                }
                Err(failure) => return Ok(failure),
            }
            endpoint.handle_timeout(now());
            while let Some(event) = endpoint.poll_event() {
                if event == Event::GaveUp {
                    return Ok(io::Error::other("the gateway did not answer"));
                }
                self.hear(event, &mut endpoint)?;
            }
            let due = |(at, _): &mut (Instant, Purpose)| *at <= now();
            for (_, purpose) in self.to_observe.extract_if(.., due) {
                endpoint.observe(now(), purpose);
            }
            if now() >= next_post {
                next_post = now() + self.every;
                endpoint.post_telemetry(now(), self.temperature());
            } else {
                // A shorter interval counts at once.
                next_post = next_post.min(now() + self.every);
            }
        }
    }

    /// A day's temperature in two minutes.
    fn temperature(&self) -> String {
        let phase = self.started.elapsed().as_secs_f64() / 120.0 * std::f64::consts::TAU;
        format!(r#"{{"temperature":{:.1}}}"#, 20.0 + 5.0 * phase.sin())
    }

    fn hear(&mut self, event: Event, endpoint: &mut Endpoint) -> io::Result<()> {
        match event {
            Event::Answered {
                purpose,
                code,
                payload,
                after,
                sent,
                observes,
            } => {
                let what = match &purpose {
                    Purpose::Telemetry(body) => format!("POST api/v1/telemetry {body}"),
                    Purpose::Reply(body) => format!("POST api/v1/rpc/… {body}"),
                    Purpose::ObserveAttributes => "GET api/v1/attributes, Observe".to_owned(),
                    Purpose::ObserveCommands => "GET api/v1/rpc, Observe".to_owned(),
                };
                let again = match sent {
                    1 => String::new(),
                    sent => format!(", sent {sent} times"),
                };
                say(&format!(
                    "  device ─CoAPs─▶ gateway       {what}   {code} in {} ms{again}\n",
                    after.as_millis()
                ))?;
                match purpose {
                    Purpose::Telemetry(_) | Purpose::Reply(_) => {}
                    observed if !observes => self.observe_later(observed),
                    Purpose::ObserveAttributes => self.follow(&payload),
                    Purpose::ObserveCommands => {}
                }
                Ok(())
            }
            Event::Notified {
                purpose,
                goes_on: false,
                ..
            } => {
                self.observe_later(purpose);
                say("  device ◀─CoAPs─ gateway       the observation is over\n")
            }
            Event::Notified {
                purpose: Purpose::ObserveAttributes,
                payload,
                ..
            } => {
                let shown = super::text::printable(&payload);
                say(&format!(
                    "  device ◀─CoAPs─ gateway       attributes {shown}\n"
                ))?;
                self.follow(&payload);
                Ok(())
            }
            Event::Notified { payload, .. } => {
                let shown = super::text::printable(&payload);
                say(&format!(
                    "  device ◀─CoAPs─ gateway       command {shown}\n"
                ))?;
                if let Some((id, reply)) = obey(&payload) {
                    endpoint.reply(now(), id, reply);
                }
                Ok(())
            }
            Event::GaveUp => Ok(()),
        }
    }

    fn observe_later(&mut self, purpose: Purpose) {
        self.to_observe.push((now() + PAUSE, purpose));
    }

    /// Posts as often as the shared attribute `interval` says.
    fn follow(&mut self, attributes: &[u8]) {
        let attributes: Option<Value> = serde_json::from_slice(attributes).ok();
        let interval = attributes.as_ref().and_then(|all| all.get("interval"));
        if let Some(seconds) = interval.and_then(Value::as_u64) {
            self.every = Duration::from_secs(seconds.clamp(*INTERVALS.start(), *INTERVALS.end()));
        }
    }
}

/// A command's id, and what the device replies.
fn obey(command: &[u8]) -> Option<(i64, String)> {
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
