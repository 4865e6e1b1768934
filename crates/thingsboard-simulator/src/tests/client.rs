//! A simulator on a free port, and an HTTP/1.1 client small enough to send what no library would.

use crate::{Control, Simulator};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The token of the device `meter` that every test server knows.
pub(super) const TOKEN: &str = "A1_TEST_TOKEN";
/// Long enough for a loaded machine; only a failing test waits for it.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) mqtt: SocketAddr,
    pub(super) control: Control,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

pub(super) async fn start() -> Server {
    let mut simulator = Simulator::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = simulator.local_addr();
    let mqtt = simulator
        .bind_mqtt("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let control = simulator.control();
    control.add_device("meter", TOKEN).unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(simulator.run(async move {
        let _ = stopped.await;
    }));
    Server {
        address,
        mqtt,
        control,
        stop,
        task,
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    /// As text; invalid UTF-8 is replaced.
    pub(super) body: String,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Server {
    /// A POST with a JSON content type to a path under the device's token.
    pub(super) async fn post(&self, feature: &str, body: &str) -> Reply {
        self.call("POST", &format!("/api/v1/{TOKEN}/{feature}"), body)
            .await
    }

    pub(super) async fn get(&self, feature: &str) -> Reply {
        self.call("GET", &format!("/api/v1/{TOKEN}/{feature}"), "")
            .await
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: &str) -> Reply {
        self.with_headers(method, path, "Content-Type: application/json\r\n", body)
            .await
    }

    pub(super) async fn with_headers(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Reply {
        let length = body.len();
        let raw = self
            .raw(&format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        parsed(&raw)
    }

    /// Sends bytes, and reads until the other side closes.
    pub(super) async fn raw(&self, request: &str) -> Vec<u8> {
        let mut stream = self.send(request).await;
        rest(&mut stream).await
    }

    pub(super) async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Stops the simulator and waits for its end.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = tokio::time::timeout(TIMEOUT, self.task).await;
        ended.expect("it stops").unwrap().unwrap();
    }
}

/// All bytes until the other side closes; a reset is a close, too.
pub(super) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut bytes)).await;
    let _ = end.expect("the connection closes");
    bytes
}

pub(super) fn parsed(raw: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(raw);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let separator = b"\r\n\r\n";
    let end = raw
        .windows(4)
        .position(|window| window == separator)
        .unwrap();
    Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
        bytes: raw[end + 4..].to_vec(),
    }
}
