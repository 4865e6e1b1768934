//! A TCP server that sends exactly the bytes of a test, HTTP or not; or the same replies over HTTP/2.

mod over_http2;

use super::HttpVersion;
use over_http2::Http2;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a port of the system's choosing.
pub(super) struct ScriptedServer {
    listener: TcpListener,
    address: SocketAddr,
    pub(super) version: HttpVersion,
}

pub(super) enum Connection {
    Http1(TcpStream),
    Http2(Http2),
}

impl ScriptedServer {
    /// Speaks HTTP/1.1.
    pub(super) async fn start() -> Self {
        ScriptedServer::speaking(HttpVersion::Http1).await
    }

    pub(super) async fn speaking(version: HttpVersion) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        ScriptedServer {
            listener,
            address,
            version,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) async fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().await.unwrap();
        match self.version {
            HttpVersion::Auto | HttpVersion::Http1 => Connection::Http1(stream),
            HttpVersion::Http2 => Connection::Http2(Http2::new(stream).await),
        }
    }

    /// A round trip on a connection of its own: when it is over, the runtime has processed earlier events of its other
    /// sockets.
    pub(super) async fn settle(&self) {
        let (near, far) = tokio::join!(TcpStream::connect(self.address), self.listener.accept());
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        far.write_all(b"x").await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
    }

    /// Frees the port, so that connecting to it is refused.
    pub(super) fn stop(self) -> String {
        self.url()
    }
}

impl Connection {
    /// Reads one request; its body by Content-Length. `None` when the client has closed, or over HTTP/2 has reset the
    /// stream of the last request.
    pub(super) async fn request(&mut self) -> Option<String> {
        let stream = match self {
            Connection::Http1(stream) => stream,
            Connection::Http2(http2) => return http2.request().await,
        };
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return None;
            }
            text.push(byte[0]);
        }
        let head = String::from_utf8(text.clone()).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        text.extend(body);
        Some(String::from_utf8(text).unwrap())
    }

    /// Ends it after the last reply. Over HTTP/2 that is a GOAWAY, and the client closes.
    pub(super) async fn close(self) {
        match self {
            Connection::Http1(stream) => drop(stream),
            Connection::Http2(http2) => http2.close().await,
        }
    }

    /// Sends this. Returns whether the client has not closed.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match self {
            Connection::Http1(stream) => stream.write_all(bytes.as_ref()).await.is_ok(),
            Connection::Http2(http2) => http2.send(bytes.as_ref()).await,
        }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may close before the end.
        let _ = self.try_send(bytes).await;
    }
}
