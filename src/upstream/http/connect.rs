//! Opens connections: the addresses of the server's name, tried as in RFC 8305, and TLS for https.

use super::trust;
use crate::upstream::{Settings, SettingsError};
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// The most that connecting may take, so that an absent server is not taken for a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// TCP keep-alive: the idle time before the first probe and between two, and how many may go unanswered. A long poll is
/// idle, and a NAT on the way may have dropped its binding.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// Where to connect to.
pub(in crate::upstream) struct Server<'a> {
    /// Scheme, host and port.
    pub(in crate::upstream) uri: &'a str,
    /// The host whose certificate is wanted, without the brackets of an IPv6 address. `None`: no TLS.
    pub(in crate::upstream) tls_host: Option<&'a str>,
    /// PEM of the trust anchors. `None`: those of the operating system.
    pub(in crate::upstream) ca: Option<&'a [u8]>,
    /// Offered by ALPN.
    pub(in crate::upstream) protocols: &'a [&'a [u8]],
    /// Of a request as a whole: connecting takes half of it at most.
    pub(in crate::upstream) timeout: Duration,
}

/// Opens connections to one server.
pub(crate) struct Connector {
    uri: Uri,
    tcp: HttpConnector,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

/// Why there is no connection. The messages may have addresses and names of certificates, but no path.
pub(crate) type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    /// For the server of the HTTP device API.
    pub(super) fn new(settings: &Settings) -> Result<Connector, SettingsError> {
        let base = &settings.url;
        Connector::to(&Server {
            uri: &base.to_string(),
            tls_host: base.is_tls().then(|| base.host()),
            ca: settings.ca.as_deref(),
            protocols: &[b"http/1.1"],
            timeout: settings.timeout,
        })
    }

    pub(in crate::upstream) fn to(server: &Server<'_>) -> Result<Connector, SettingsError> {
        let unreadable = |error: &dyn ToString| SettingsError::Url(error.to_string());
        let uri: Uri = server.uri.parse().map_err(|error| unreadable(&error))?;
        let tls = if let Some(host) = server.tls_host {
            let name = ServerName::try_from(host.to_owned()).map_err(|error| unreadable(&error))?;
            let config = trust::client_config(server.ca, server.protocols)?;
            Some((TlsConnector::from(config), name))
        } else {
            // A CA file that can't be read is a mistake even where it is not used.
            if let Some(pem) = server.ca {
                trust::read_anchors(pem)?;
            }
            None
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        let timeout = CONNECT_TIMEOUT.min(server.timeout / 2);
        // hyper-util divides it among the addresses of a name.
        tcp.set_connect_timeout(Some(timeout));
        Ok(Connector {
            uri,
            tcp,
            tls,
            timeout,
        })
    }

    /// Opens a connection, within its time, for tokio's reads and writes.
    pub(in crate::upstream) async fn connect_tokio(&self) -> Result<TokioStream, ConnectError> {
        self.connect().await.map(TokioIo::new)
    }

    /// Opens a connection, within its time.
    pub(super) async fn connect(&self) -> Result<Stream, ConnectError> {
        match tokio::time::timeout(self.timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err("it takes too long".into()),
        }
    }

    async fn open(&self) -> Result<Stream, ConnectError> {
        let tcp = self.tcp.clone().call(self.uri.clone()).await?;
        match &self.tls {
            None => Ok(Stream::Plain(tcp)),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), tcp.into_inner()).await?;
                Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
            }
        }
    }
}

/// A connection with tokio's traits.
pub(crate) type TokioStream = TokioIo<Stream>;

/// A connection, with TLS or without.
pub(crate) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

#[cfg(test)]
impl Stream {
    /// From a test's connection.
    pub(super) fn plain(tcp: TcpStream) -> Stream {
        Stream::Plain(TokioIo::new(tcp))
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }
}
