//! DTLS, by one of two libraries: sessions that carry datagrams.
//!
//! [`webrtc-dtls`](Library::Webrtc) is the default, because it shares nothing with the gateway. Its handshakes cost twice
//! what the gateway's engine takes for them; where the driver itself would be the bottleneck, that
//! [`engine`](Library::Gateway) can be had, and the report says so.

use super::args::Args;
use super::target::Target;
use clap::ValueEnum;
use coaps_gateway::credentials::ServerCredentials;
use coaps_gateway::dtls;
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

mod engine;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// The first retransmission of a flight (RFC 6347 §4.2.4.1).
const FLIGHT: Duration = Duration::from_secs(1);

/// DeviceName DTLS carries the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Library {
    /// webrtc-dtls: DTLS 1.2, nothing in common with the gateway
    Webrtc,
    /// The gateway's own engine: cheaper, for many sessions; it verifies no server, so --insecure must be given
    Gateway,
    /// The same, without DTLS 1.3: for servers that are to be compared by what all of them speak
    #[value(name = "gateway-1.2")]
    Gateway12,
}

impl Library {
    /// What the report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Library::Webrtc => "webrtc-dtls (DTLS 1.2), not the gateway's",
            Library::Gateway => "the gateway's own engine",
            Library::Gateway12 => "the gateway's own engine, DTLS 1.2 alone",
        }
    }
}

/// What a client shows. It has no `Debug`, because its key is in there.
pub(crate) enum Identity {
    Webrtc(Box<Certificate>),
    Gateway(engine::Settings),
}

impl Identity {
    pub(crate) fn read(
        library: Library,
        certificate: &Path,
        key: &Path,
    ) -> Result<Identity, String> {
        let text = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let (chain, key_pem) = (text(certificate)?, text(key)?);
        let unusable =
            |error: String| format!("{} and {}: {error}", certificate.display(), key.display());
        match library {
            Library::Webrtc => {
                // webrtc-dtls writes this tag in a way of its own, and wants the key first.
                let key = key_pem.replace("PRIVATE KEY", "PRIVATE_KEY");
                let both = Certificate::from_pem(&format!("{key}\n{chain}"));
                both.map(|both| Identity::Webrtc(Box::new(both)))
                    .map_err(|error| unusable(error.to_string()))
            }
            Library::Gateway | Library::Gateway12 => {
                let parameters = dtls::Parameters {
                    versions: match library {
                        Library::Gateway12 => dtls::Versions::Only12,
                        Library::Gateway | Library::Webrtc => dtls::Versions::Both,
                    },
                    ..dtls::Parameters::default()
                };
                let own = ServerCredentials::from_pem(chain.as_bytes(), key_pem.as_bytes());
                let own = own.map_err(|error| unusable(error.to_string()))?;
                let settings = engine::Settings::new(&own, &parameters);
                settings
                    .map(Identity::Gateway)
                    .map_err(|error| unusable(error.to_string()))
            }
        }
    }
}

/// Why there is no session, or no longer one: the report counts by this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No socket: out of ports or open files, or not an address of ours.
    Socket(String),
    /// The handshake has found no end.
    Silence,
    /// The handshake has failed, ours or the server's doing.
    Handshake(String),
    /// The session is closed, by the server or by a fatal error.
    Closed,
}

/// Makes sessions with one server.
pub(crate) struct Dialer {
    server: SocketAddr,
    server_name: String,
    roots: rustls::RootCertStore,
    insecure: bool,
}

impl Dialer {
    pub(crate) async fn new(args: &Args, target: &Target) -> Result<Dialer, String> {
        // Two providers may be compiled in, so rustls can't choose. Whoever was first has chosen for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if args.dtls != Library::Webrtc && !args.insecure {
            return Err("the gateway's engine verifies no server: say --insecure, too".to_owned());
        }
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
        Ok(Dialer {
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

    pub(crate) async fn connect(
        &self,
        source: Option<IpAddr>,
        identity: &Identity,
    ) -> Result<Session, Failure> {
        let any = if self.server.is_ipv4() {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0; 16])
        };
        let no_socket = |error: std::io::Error| Failure::Socket(error.to_string());
        let socket = UdpSocket::bind((source.unwrap_or(any), 0))
            .await
            .map_err(no_socket)?;
        // Connected, so that it hears nobody but the server.
        socket.connect(self.server).await.map_err(no_socket)?;
        let session = async {
            match identity {
                Identity::Webrtc(certificate) => {
                    let config = self.config(certificate);
                    let session = DTLSConn::new(Arc::new(socket), config, true, None).await;
                    session
                        .map(|session| Session::Webrtc(Box::new(session)))
                        .map_err(|error| Failure::Handshake(error.to_string()))
                }
                Identity::Gateway(settings) => {
                    let session = engine::Session::connect(socket, settings).await;
                    session.map(|session| Session::Gateway(Box::new(session)))
                }
            }
        };
        tokio::time::timeout(HANDSHAKE, session)
            .await
            .unwrap_or(Err(Failure::Silence))
    }

    fn config(&self, certificate: &Certificate) -> Config {
        Config {
            certificates: vec![certificate.clone()],
            roots_cas: self.roots.clone(),
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure,
            flight_interval: FLIGHT,
            ..Config::default()
        }
    }
}

/// An established session.
pub(crate) enum Session {
    Webrtc(Box<DTLSConn>),
    Gateway(Box<engine::Session>),
}

impl Session {
    pub(crate) async fn send(&mut self, plaintext: &[u8]) -> Result<(), Failure> {
        match self {
            Session::Webrtc(session) => {
                let sent = session.write(plaintext, None).await;
                sent.map(|_| ()).map_err(|_| Failure::Closed)
            }
            Session::Gateway(session) => session.send(plaintext).await,
        }
    }

    /// The next datagram's plaintext. Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self {
            Session::Webrtc(session) => match session.read(buffer, None).await {
                Ok(length) => Ok(length),
                // More than fits is no message that this driver can use.
                Err(Error::ErrBufferTooSmall) => Ok(0),
                Err(_) => Err(Failure::Closed),
            },
            Session::Gateway(session) => session.receive(buffer).await,
        }
    }

    /// Sends close_notify.
    pub(crate) async fn close(self) {
        match self {
            Session::Webrtc(session) => {
                let _ = session.close().await;
            }
            Session::Gateway(session) => session.close().await,
        }
    }
}
