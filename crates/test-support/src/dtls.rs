//! A DTLS client of any version, sans-IO: of DTLS 1.2 alone [`dtls_test_client`]'s, of DTLS 1.3 [`coap_client`]'s.

mod dtls12;

pub use coap_client::dtls::Output;

use crate::certificates::Identity;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Instant;

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Only12,
    Only13,
    Both,
}

/// A certificate, its key, and how they are shown. Clones share them.
#[derive(Clone)]
pub struct Config(Library);

#[derive(Clone)]
enum Library {
    Dtls12(Arc<dtls12::Config>),
    Dtls13(coap_client::dtls::Config),
}

impl Config {
    /// A certificate and a private key as DER, and datagrams of up to `mtu` bytes.
    pub fn new(
        certificate: Vec<u8>,
        private_key: Vec<u8>,
        versions: Versions,
        mtu: usize,
    ) -> Config {
        if versions == Versions::Only12 {
            let config = dtls12::Config::new(certificate, &private_key, mtu);
            return Config(Library::Dtls12(Arc::new(config)));
        }
        let config = coap_client::dtls::Config::new(certificate, private_key).unwrap();
        let config = config.with_mtu(mtu).unwrap();
        Config(Library::Dtls13(match versions {
            Versions::Only13 => config.without_dtls12(),
            Versions::Only12 | Versions::Both => config,
        }))
    }

    pub fn of(identity: &Identity, versions: Versions, mtu: usize) -> Config {
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
        let key = key.unwrap().secret_der().to_vec();
        Config::new(certificate.unwrap().to_vec(), key, versions, mtu)
    }
}

/// A DTLS association. Every error is fatal to it.
pub enum Client {
    Dtls12(Box<dtls12::Client>),
    Dtls13(Box<coap_client::dtls::Client>),
}

impl Client {
    /// A new association, and its ClientHello.
    pub fn connect(config: &Config, now: Instant) -> (Client, Vec<Output>) {
        match &config.0 {
            Library::Dtls12(config) => {
                let (client, outputs) = dtls12::Client::connect(config, now);
                (Client::Dtls12(Box::new(client)), outputs)
            }
            Library::Dtls13(config) => {
                let (client, outputs) = coap_client::dtls::Client::connect(config, now).unwrap();
                (Client::Dtls13(Box::new(client)), outputs)
            }
        }
    }

    /// Handles a datagram from the server.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Vec<Output>, String> {
        match self {
            Client::Dtls12(client) => client.receive(now, datagram),
            Client::Dtls13(client) => {
                let outputs = client.receive(now, datagram);
                outputs.map_err(|(error, _final_outputs)| error.to_string())
            }
        }
    }

    /// Runs the timers; to be called at [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Vec<Output>, String> {
        match self {
            Client::Dtls12(client) => client.handle_timeout(now),
            Client::Dtls13(client) => {
                let outputs = client.handle_timeout(now);
                outputs.map_err(|error| error.to_string())
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        match self {
            Client::Dtls12(client) => client.next_timeout(),
            Client::Dtls13(client) => client.next_timeout(),
        }
    }

    /// Encrypts application data, which waits for the end of the handshake.
    pub fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<Vec<Output>, String> {
        match self {
            Client::Dtls12(client) => Ok(client.send(plaintext)),
            Client::Dtls13(client) => {
                let outputs = client.send(now, plaintext);
                outputs.map_err(|error| error.to_string())
            }
        }
    }

    /// Sends close_notify.
    pub fn close(&mut self) -> Result<Vec<Output>, String> {
        match self {
            Client::Dtls12(client) => Ok(client.close()),
            Client::Dtls13(client) => client.close().map_err(|error| error.to_string()),
        }
    }
}

/// The datagrams among these outputs.
pub fn datagrams(outputs: Vec<Output>) -> Vec<Vec<u8>> {
    let datagrams = outputs.into_iter().filter_map(|output| match output {
        Output::Transmit(datagram) => Some(datagram),
        Output::ServerCertificate(_)
        | Output::Connected
        | Output::Plaintext(_)
        | Output::CloseNotify => None,
    });
    datagrams.collect()
}
