//! A TCP server that sends exactly the bytes of a test, HTTP or not.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a port of the system's choosing.
pub(super) struct ScriptedServer {
    listener: TcpListener,
    address: SocketAddr,
}

pub(super) struct Connection {
    stream: TcpStream,
}

impl ScriptedServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        ScriptedServer { listener, address }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) async fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().await.unwrap();
        Connection { stream }
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
    /// Reads one request; its body by Content-Length. `None` when the client has closed.
    pub(super) async fn request(&mut self) -> Option<String> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            if self.stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return None;
            }
            text.push(byte[0]);
        }
        let head = String::from_utf8(text.clone()).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).await.unwrap();
        text.extend(body);
        Some(String::from_utf8(text).unwrap())
    }

    /// Sends this. Returns whether the client has not closed.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may close before the end.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }
}
