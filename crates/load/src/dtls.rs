//! The DTLS sessions that carry the load, by one of three libraries.
//!
//! [`webrtc-dtls`](Library::Webrtc) is the default, because the gateway uses nothing of it. The [client](Library::Own) of
//! the gateway's own engine costs the driver least, so it is for runs where the driver would be the bottleneck; and it can
//! do what the others can't: each cipher suite, connection IDs, resumption. [`dimpl`](Library::Dimpl) has DTLS 1.3. The
//! report names the one that was used.

mod own;

use super::args::Args;
use super::target::Target;
use clap::ValueEnum;
use coap_client::dtls::Config as DimplConfig;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use webrtc_dtls::Error;
use webrtc_dtls::config::Config;
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The first retransmission of a flight (RFC 6347 §4.2.4.1).
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);
/// RFC 7252 §4.6 has messages of up to 1152 bytes where nothing is known; some servers send larger ones.
const MAX_MESSAGE: usize = 2048;

/// Which library carries the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Library {
    /// webrtc-dtls: DTLS 1.2, nothing in common with the gateway
    Webrtc,
    /// dimpl, which the gateway uses too: DTLS 1.3 where the server has it. It verifies no server, so --insecure must be
    /// given
    Dimpl,
    /// The client of the gateway's own engine: DTLS 1.2, cheapest, with every cipher suite, connection IDs and resumption.
    /// It verifies no server either
    Own,
}

pub(crate) use own::{Resumable, Suite, suite};

impl Library {
    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Library::Webrtc => "webrtc-dtls (DTLS 1.2), not the gateway's",
            Library::Dimpl => "dimpl, which the gateway has for DTLS 1.3",
            Library::Own => "the client of the gateway's own engine (DTLS 1.2)",
        }
    }
}

/// A client's certificate and key. It has no `Debug`, so that the key can't be shown.
pub(crate) enum Identity {
    Webrtc(Box<Certificate>),
    Dimpl(DimplConfig),
    Own(Box<own::Options>),
}

impl Identity {
    pub(crate) fn read(args: &Args, certificate: &Path, key: &Path) -> Result<Identity, String> {
        let text = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let (chain, key_pem) = (text(certificate)?, text(key)?);
        let unusable =
            |error: String| format!("{} and {}: {error}", certificate.display(), key.display());
        match args.dtls {
            Library::Webrtc => {
                // webrtc-dtls has its own spelling of this tag, and wants the key first.
                let key = key_pem.replace("PRIVATE KEY", "PRIVATE_KEY");
                let both = Certificate::from_pem(&format!("{key}\n{chain}"));
                both.map(|both| Identity::Webrtc(Box::new(both)))
                    .map_err(|error| unusable(error.to_string()))
            }
            Library::Dimpl => {
                let config = DimplConfig::from_pem(chain.as_bytes(), key_pem.as_bytes());
                config
                    .map(Identity::Dimpl)
                    .map_err(|error| unusable(error.to_string()))
            }
            Library::Own => {
                let options = own::options(args, chain.as_bytes(), key_pem.as_bytes());
                options
                    .map(|options| Identity::Own(Box::new(options)))
                    .map_err(unusable)
            }
        }
    }
}

/// Why there is no session, or no longer one. The report counts by this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No socket: out of ports or open files, or not an address of this machine.
    Socket(String),
    HandshakeTimeout,
    /// The client or the server has ended the handshake.
    Handshake(String),
    /// The session is closed, by the server or by a fatal error.
    Closed,
}

impl From<coap_client::Error> for Failure {
    fn from(error: coap_client::Error) -> Failure {
        match error {
            coap_client::Error::Socket(reason) => Failure::Socket(reason),
            coap_client::Error::Handshake(reason) => Failure::Handshake(reason),
            coap_client::Error::Closed => Failure::Closed,
        }
    }
}

/// Connects to one server.
pub(crate) struct Connector {
    server: SocketAddr,
    server_name: String,
    roots: rustls::RootCertStore,
    insecure: bool,
}

impl Connector {
    pub(crate) async fn new(args: &Args, target: &Target) -> Result<Connector, String> {
        // Two crypto providers may be compiled in, so rustls can't choose. The first to install one chooses for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unknown = |error: String| format!("{}: {error}", target.host);
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let mut found = found.map_err(|error| unknown(error.to_string()))?;
        // A source address decides the family.
        let v4 = args
            .from
            .as_ref()
            .and_then(|from| from.first())
            .map(IpAddr::is_ipv4);
        let server = found.find(|address| v4.is_none_or(|v4| address.is_ipv4() == v4));
        let mut roots = rustls::RootCertStore::empty();
        if let Some(path) = &args.ca {
            let unusable = |error: String| format!("{}: {error}", path.display());
            let all =
                CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            for certificate in all {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("no certificate in it".to_owned()));
            }
        }
        Ok(Connector {
            server: server
                .ok_or_else(|| unknown("no address of the source's family".to_owned()))?,
            server_name: args
                .server_name
                .clone()
                .unwrap_or_else(|| target.host.clone()),
            roots,
            insecure: args.insecure,
        })
    }

    /// A socket with a port of its own.
    pub(crate) async fn socket(&self, source: Option<IpAddr>) -> Result<UdpSocket, Failure> {
        let any = if self.server.is_ipv4() {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0; 16])
        };
        let no_socket = |error: std::io::Error| Failure::Socket(error.to_string());
        let socket = UdpSocket::bind((source.unwrap_or(any), 0))
            .await
            .map_err(no_socket)?;
        // Connected, so that the kernel drops datagrams from other addresses.
        socket.connect(self.server).await.map_err(no_socket)?;
        // From here on sending does not wait, so that a future that is dropped loses nothing.
        socket.writable().await.map_err(no_socket)?;
        Ok(socket)
    }

    /// Performs a handshake, which may resume a session.
    pub(crate) async fn connect(
        &self,
        source: Option<IpAddr>,
        identity: &Identity,
        resumable: Option<Resumable>,
    ) -> Result<Session, Failure> {
        let socket = self.socket(source).await?;
        let session = async {
            match identity {
                Identity::Webrtc(certificate) => {
                    let config = self.config(certificate);
                    let session = DTLSConn::new(Arc::new(socket), config, true, None).await;
                    session
                        .map(|session| Session::Webrtc(Box::new(session)))
                        .map_err(|error| Failure::Handshake(error.to_string()))
                }
                Identity::Dimpl(config) => {
                    let session = coap_client::Session::connect(socket, config).await?;
                    Ok(Session::Dimpl(Box::new(session)))
                }
                Identity::Own(options) => {
                    let session = own::Session::connect(socket, options, resumable).await?;
                    Ok(Session::Own(Box::new(session)))
                }
            }
        };
        tokio::time::timeout(HANDSHAKE_TIMEOUT, session)
            .await
            .unwrap_or(Err(Failure::HandshakeTimeout))
    }

    fn config(&self, certificate: &Certificate) -> Config {
        Config {
            certificates: vec![certificate.clone()],
            roots_cas: self.roots.clone(),
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure,
            flight_interval: FLIGHT_TIMEOUT,
            ..Config::default()
        }
    }
}

/// An established session.
pub(crate) enum Session {
    Webrtc(Box<DTLSConn>),
    Dimpl(Box<coap_client::Session>),
    Own(Box<own::Session>),
}

impl Session {
    pub(crate) async fn send(&mut self, plaintext: &[u8]) -> Result<(), Failure> {
        match self {
            Session::Webrtc(session) => {
                let sent = session.write(plaintext, None).await;
                sent.map(|_| ()).map_err(|_| Failure::Closed)
            }
            Session::Dimpl(session) => session.send(plaintext).map_err(Failure::from),
            Session::Own(session) => session.send(plaintext),
        }
    }

    /// The next datagram's plaintext. Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        match self {
            Session::Webrtc(session) => {
                let mut buffer = [0; MAX_MESSAGE];
                match session.read(&mut buffer, None).await {
                    Ok(length) => Ok(buffer.get(..length).unwrap_or_default().to_vec()),
                    // No message that this driver can use is so large: an empty datagram counts as malformed.
                    Err(Error::ErrBufferTooSmall) => Ok(Vec::new()),
                    Err(_) => Err(Failure::Closed),
                }
            }
            Session::Dimpl(session) => session.receive().await.map_err(Failure::from),
            Session::Own(session) => session.receive().await,
        }
    }

    /// Sends and receives through another socket from now on. Only the own client can: the others return an error.
    pub(crate) fn replace_socket(&mut self, socket: UdpSocket) -> Result<(), Failure> {
        match self {
            Session::Webrtc(_) | Session::Dimpl(_) => Err(Failure::Closed),
            Session::Own(session) => {
                session.replace_socket(socket);
                Ok(())
            }
        }
    }

    /// Takes what the next handshake can resume.
    pub(crate) fn take_resumable(&mut self) -> Option<Resumable> {
        match self {
            Session::Webrtc(_) | Session::Dimpl(_) => None,
            Session::Own(session) => session.resumable.take(),
        }
    }

    /// Whether its handshake has resumed another session.
    pub(crate) fn is_resumed(&self) -> bool {
        match self {
            Session::Webrtc(_) | Session::Dimpl(_) => false,
            Session::Own(session) => session.is_resumed,
        }
    }

    /// Sends close_notify.
    pub(crate) async fn close(self) {
        match self {
            Session::Webrtc(session) => {
                let _ = session.close().await;
            }
            Session::Dimpl(session) => session.close(),
            Session::Own(session) => session.close(),
        }
    }
}
