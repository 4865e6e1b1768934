//! Opens connections: the addresses of the server's name, tried as in RFC 8305, and TLS for https.

use super::tls::{Tls, TlsToServer};
use crate::upstream::{HttpVersion, Settings, SettingsError};
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// The most that connecting may take, so that an absent server is not taken for a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// TCP keep-alive: the idle time before the first probe and between two, and how many may go unanswered. A long poll is
/// idle, and a NAT on the way may have dropped its binding.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// The name of HTTP/2 in ALPN (RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";

/// Where to connect to.
pub(in crate::upstream) struct Server<'a> {
    /// Scheme, host and port.
    pub(in crate::upstream) uri: &'a str,
    /// The host whose certificate is wanted, without the brackets of an IPv6 address. `None`: no TLS.
    pub(in crate::upstream) tls_host: Option<&'a str>,
    pub(in crate::upstream) tls: &'a Tls,
    /// Offered by ALPN.
    pub(in crate::upstream) protocols: &'a [&'a [u8]],
    /// Of a request as a whole: connecting takes half of it at most.
    pub(in crate::upstream) timeout: Duration,
}

/// Opens connections to one server.
pub(crate) struct Connector {
    uri: Uri,
    tcp: HttpConnector,
    tls: Option<TlsToServer>,
    timeout: Duration,
    version: HttpVersion,
}

/// Why there is no connection. The messages may have addresses and names of certificates, but no path.
pub(crate) type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    /// For the server of the HTTP device API.
    pub(super) fn new(settings: &Settings, tls: &Tls) -> Result<Connector, SettingsError> {
        let base = &settings.url;
        let protocols: &[&[u8]] = match settings.http_version {
            HttpVersion::Auto => &[HTTP2, b"http/1.1"],
            HttpVersion::Http1 => &[b"http/1.1"],
            HttpVersion::Http2 => &[HTTP2],
        };
        let connector = Connector::to(&Server {
            uri: &base.to_string(),
            tls_host: base.is_tls().then(|| base.host()),
            tls,
            protocols,
            timeout: settings.timeout,
        })?;
        let version = settings.http_version;
        Ok(Connector {
            version,
            ..connector
        })
    }

    /// What is spoken on each connection; `Auto`: what the server chooses.
    pub(super) fn version(&self) -> HttpVersion {
        match (self.version, &self.tls) {
            (HttpVersion::Auto, None) => HttpVersion::Http1,
            (version, _) => version,
        }
    }

    /// Whether HTTP/2 is spoken on this connection.
    pub(super) fn is_http2(&self, stream: &Stream) -> bool {
        match stream {
            Stream::Plain(_) => self.version == HttpVersion::Http2,
            Stream::Tls(tls) => tls.inner().get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }

    /// The most that connecting may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(in crate::upstream) fn to(server: &Server<'_>) -> Result<Connector, SettingsError> {
        let unreadable = |error: &dyn ToString| SettingsError::Url(error.to_string());
        let uri: Uri = server.uri.parse().map_err(|error| unreadable(&error))?;
        let tls = server
            .tls_host
            .map(|host| TlsToServer::new(server.tls, host, server.protocols));
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
            tls: tls.transpose()?,
            timeout,
            version: HttpVersion::Http1,
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
            Some(tls) => {
                let (tls, name) = tls.connector().ok_or("TLS is not set up")?;
                let stream = tls.connect(name, tcp.into_inner()).await?;
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
