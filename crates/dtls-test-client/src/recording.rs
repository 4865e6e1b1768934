//! Handshakes that were recorded with other implementations' clients, and the same handshakes again.
//!
//! A recording has the client's datagrams, and all that the server's depend on besides: its certificates, its random bytes and
//! its signatures, which are random as well. It is text, a line each:
//!
//! ```text
//! # Any remark
//! connection-id 8 | none
//! mtu 1200
//! certificate HEX
//! signature SCHEME-HEX MESSAGE-HEX SIGNATURE-HEX
//! random HEX
//! > HEX       a datagram of the client
//! < HEX       the server's answer
//! ```

mod sources;
mod text;

use crate::server::Server;
use dtls_server::config::{Config, ConfigBuilder, Identity};
use dtls_server::crypto::signature::{SignatureScheme, Signer};
use sources::{RecordedRandom, RecordedSigner, ReplayedRandom, ReplayedSigner};
use std::sync::{Arc, Mutex};

/// A handshake, and some application data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// Lines for people.
    pub remarks: Vec<String>,
    /// See [`Config::connection_id_length`].
    pub connection_id_length: Option<u8>,
    /// See [`Config::mtu`].
    pub mtu: usize,
    /// The server's chain, in DER.
    pub chain: Vec<Vec<u8>>,
    /// All that was signed.
    pub signatures: Vec<Signature>,
    /// All random bytes, one after the other.
    pub random: Vec<u8>,
    /// The datagrams in their order.
    pub datagrams: Vec<Datagram>,
}

/// A signature and what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    scheme: SignatureScheme,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// Of the client.
    Received(Vec<u8>),
    /// Of the server.
    Sent(Vec<u8>),
}

/// Takes in a datagram, as in the recording: application data is sent back.
pub fn answer(server: &mut Server, datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = server.receive(datagram);
    for data in std::mem::take(&mut server.data) {
        answers.push(server.send(&data));
    }
    answers
}

/// Records what a server does.
pub struct Recorder {
    recording: Recording,
    signatures: Arc<Mutex<Vec<Signature>>>,
    random: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// A server with this chain and key, and what records it.
    pub fn start(
        chain: Vec<Vec<u8>>,
        signer: Arc<dyn Signer>,
        connection_id_length: Option<u8>,
        mtu: usize,
    ) -> (Recorder, Server) {
        let recorder = Recorder {
            recording: Recording {
                connection_id_length,
                mtu,
                chain,
                ..Recording::default()
            },
            signatures: Arc::default(),
            random: Arc::default(),
        };
        let signer = RecordedSigner {
            signer,
            signatures: recorder.signatures.clone(),
        };
        let random = RecordedRandom(recorder.random.clone());
        let builder = recorder.recording.builder(Arc::new(signer));
        let server = Server::with_random(builder, Box::new(random));
        (recorder, server)
    }

    /// Takes in a datagram, and returns the answers.
    pub fn receive(&mut self, server: &mut Server, datagram: &[u8]) -> Vec<Vec<u8>> {
        let answers = answer(server, datagram);
        let received = Datagram::Received(datagram.to_vec());
        self.recording.datagrams.push(received);
        let sent = answers.iter().cloned().map(Datagram::Sent);
        self.recording.datagrams.extend(sent);
        answers
    }

    /// What was recorded so far.
    #[must_use]
    pub fn recording(&self, remarks: &[String]) -> Recording {
        Recording {
            remarks: remarks.to_vec(),
            signatures: self.signatures.lock().unwrap().clone(),
            random: self.random.lock().unwrap().clone(),
            ..self.recording.clone()
        }
    }
}

impl Recording {
    fn builder(&self, signer: Arc<dyn Signer>) -> ConfigBuilder {
        let identity = Identity::new(&self.chain, signer).unwrap();
        Config::builder()
            .identity(identity)
            .connection_id_length(self.connection_id_length)
            .mtu(self.mtu)
    }

    /// A server that makes the same of the same datagrams.
    #[must_use]
    pub fn server(&self) -> Server {
        let signer = ReplayedSigner::new(self.signatures.clone());
        let random = ReplayedRandom(self.random.clone());
        Server::with_random(self.builder(Arc::new(signer)), Box::new(random))
    }
}
