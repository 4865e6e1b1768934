//! [`dtls_test_client`]'s client with the timer, the packing and the alerts that it leaves to its user.

use super::Output;
use dtls_server::alert::{Alert, AlertDescription, AlertLevel};
use dtls_server::crypto::random::SystemRandom;
use dtls_server::crypto::signing_key::SigningKey;
use dtls_server::record::ContentType;
use dtls_test_client::{Client as Handshake, Credentials, Options};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first retransmission of a flight (RFC 6347 §4.2.4.1).
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);
/// As `coap_client` has it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(70);
/// Bytes of the headers of a record and of a handshake message.
const HEADERS: usize = 13 + 12;

pub(super) struct Config {
    options: Options,
    mtu: usize,
}

impl Config {
    pub(super) fn new(certificate: Vec<u8>, private_key: &[u8], mtu: usize) -> Config {
        let signer = Arc::new(SigningKey::from_der(private_key).unwrap());
        let chain = vec![certificate];
        Config {
            options: Options {
                connection_id: None,
                return_routability_check: false,
                fragment_length: mtu - HEADERS,
                ..Options::new(Credentials { chain, signer })
            },
            mtu,
        }
    }
}

pub struct Client {
    inner: Handshake,
    mtu: usize,
    is_connected: bool,
    /// When the flight is sent again, and after which time once more.
    repeats_at: Instant,
    timeout: Duration,
    /// When the handshake is given up.
    deadline: Instant,
    /// Alerts that were handled.
    alerts: usize,
    /// Application data for the end of the handshake.
    waiting: Vec<Vec<u8>>,
}

impl Client {
    pub(super) fn connect(config: &Config, now: Instant) -> (Client, Vec<Output>) {
        let mut client = Client {
            inner: Handshake::with_random(config.options.clone(), SystemRandom),
            mtu: config.mtu,
            is_connected: false,
            repeats_at: now + FLIGHT_TIMEOUT,
            timeout: FLIGHT_TIMEOUT,
            deadline: now + HANDSHAKE_TIMEOUT,
            alerts: 0,
            waiting: Vec::new(),
        };
        let flight = client.inner.start();
        let outputs = client.transmit(flight);
        (client, outputs)
    }

    pub(super) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Vec<Output>, String> {
        // A plaintext alert may be forged.
        if self.is_connected && datagram.first() == Some(&21) && datagram.get(3..5) == Some(&[0; 2])
        {
            return Ok(Vec::new());
        }
        let flight = self.inner.receive(datagram);
        if !flight.is_empty() {
            self.timeout = FLIGHT_TIMEOUT;
            self.repeats_at = now + FLIGHT_TIMEOUT;
        }
        let mut outputs = self.transmit(flight);
        if self.inner.is_connected() && !self.is_connected {
            self.is_connected = true;
            outputs.push(Output::Connected);
            for plaintext in std::mem::take(&mut self.waiting) {
                outputs.extend(self.send(&plaintext));
            }
        }
        let data = self.inner.take_application_data();
        outputs.extend(data.into_iter().map(Output::Plaintext));
        for alert in self.inner.alerts().iter().skip(self.alerts) {
            if alert.level == AlertLevel::Fatal {
                return Err(alert.description.to_string());
            }
            if alert.description == AlertDescription::CLOSE_NOTIFY {
                outputs.push(Output::CloseNotify);
            }
        }
        self.alerts = self.inner.alerts().len();
        Ok(outputs)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<Vec<Output>, String> {
        if self.is_connected || now < self.repeats_at.min(self.deadline) {
            return Ok(Vec::new());
        }
        if self.deadline <= now {
            return Err("the handshake takes too long".to_owned());
        }
        self.timeout *= 2;
        self.repeats_at = now + self.timeout;
        let flight = self.inner.retransmit();
        Ok(self.transmit(flight))
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        (!self.is_connected).then_some(self.repeats_at.min(self.deadline))
    }

    pub(super) fn send(&mut self, plaintext: &[u8]) -> Vec<Output> {
        if !self.is_connected {
            self.waiting.push(plaintext.to_vec());
            return Vec::new();
        }
        vec![Output::Transmit(self.inner.send(plaintext))]
    }

    pub(super) fn close(&mut self) -> Vec<Output> {
        if !self.is_connected {
            return Vec::new();
        }
        let close_notify = Alert::warning(AlertDescription::CLOSE_NOTIFY);
        let datagram = self
            .inner
            .protect(ContentType::ALERT, &close_notify.encode());
        vec![Output::Transmit(datagram)]
    }

    /// Puts the records of a flight into as few datagrams as they fit in.
    fn transmit(&self, flight: Vec<Vec<u8>>) -> Vec<Output> {
        let mut datagrams: Vec<Vec<u8>> = Vec::new();
        for record in flight {
            match datagrams.last_mut() {
                Some(last) if last.len() + record.len() <= self.mtu => last.extend(record),
                _ => datagrams.push(record),
            }
        }
        datagrams.into_iter().map(Output::Transmit).collect()
    }
}
