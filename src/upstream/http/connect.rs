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

/// Opens connections to one server.
pub(super) struct Connector {
    uri: Uri,
    tcp: HttpConnector,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

/// Why there is no connection. The messages may have addresses and names of certificates, but no path.
pub(super) type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Connector, SettingsError> {
        let unreadable = |error: &dyn ToString| SettingsError::Url(error.to_string());
        let base = &settings.url;
        let uri: Uri = base
            .to_string()
            .parse()
            .map_err(|error| unreadable(&error))?;
        let tls = if base.is_tls() {
            let host = base.host().to_owned();
            let name = ServerName::try_from(host).map_err(|error| unreadable(&error))?;
            let config = trust::client_config(settings.ca.as_deref())?;
            Some((TlsConnector::from(config), name))
        } else {
            // A CA file that can't be read is a mistake even where it is not used.
            if let Some(pem) = &settings.ca {
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
        let timeout = CONNECT_TIMEOUT.min(settings.timeout / 2);
        // hyper-util divides it among the addresses of a name.
        tcp.set_connect_timeout(Some(timeout));
        Ok(Connector {
            uri,
            tcp,
            tls,
            timeout,
        })
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

/// A connection, with TLS or without.
pub(super) enum Stream {
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
