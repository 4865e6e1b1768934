//! Frames (RFC 9113 §4), written and read by hand: a server may send what no library would.

use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;

/// A setting.
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Error codes.
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;

/// Flags. ACK is END_STREAM's bit.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Of HPACK's static table: `:status: 200`.
const STATUS_200: &[u8] = &[0x88];
/// `:status: 100`, not indexed: the name of index 8, and three characters.
const STATUS_100: &[u8] = &[0x08, 3, b'1', b'0', b'0'];

pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The server's end of a connection.
pub(super) struct Frames {
    stream: Box<dyn Stream>,
    bodies: HashMap<u32, Vec<u8>>,
    /// Frames that [`Frames::request`] was not for.
    others: Vec<Frame>,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Listener {
    pub(super) async fn start() -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Listener { listener, address }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) async fn accept_tcp(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// Accepts a connection, and sends these settings.
    pub(super) async fn accept(&self, settings: &[(u16, u32)]) -> Frames {
        let stream = self.accept_tcp().await;
        stream.set_nodelay(true).unwrap();
        Frames::begin(Box::new(stream), settings).await
    }

    /// Whether a connection waits to be accepted.
    pub(super) async fn has_another(&self) -> bool {
        self.round_trip().await;
        let accepted = self.listener.accept();
        let none = std::time::Duration::from_millis(1);
        tokio::time::timeout(none, accepted).await.is_ok()
    }

    /// Lets the runtime process earlier events of its sockets.
    pub(super) async fn round_trip(&self) {
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = other.local_addr().unwrap();
        for _ in 0..3 {
            let (near, far) = tokio::join!(TcpStream::connect(address), other.accept());
            let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
            far.write_all(b"x").await.unwrap();
            near.read_exact(&mut [0]).await.unwrap();
        }
    }
}

impl Frames {
    /// Reads the preface, and sends these settings.
    pub(super) async fn begin(mut stream: Box<dyn Stream>, settings: &[(u16, u32)]) -> Frames {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut frames = Frames {
            stream,
            bodies: HashMap::new(),
            others: Vec::new(),
        };
        frames.settings(settings).await;
        frames
    }

    /// The next frame; `None` when the client has closed.
    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let length = usize::try_from(number(&head[..3])).unwrap();
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: number(&head[5..]),
            payload,
        })
    }

    /// Reads a frame, and answers what wants an answer.
    async fn serve(&mut self) -> Option<Frame> {
        let frame = self.read().await?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
            PING if frame.flags & ACK == 0 => {
                let payload = frame.payload.clone();
                self.write(PING, ACK, 0, &payload).await;
            }
            _ => {}
        }
        Some(frame)
    }

    /// Reads until a request is whole: its stream and its body.
    pub(super) async fn request(&mut self) -> (u32, String) {
        loop {
            let frame = self.serve().await.expect("a request");
            let is_request = matches!(frame.kind, HEADERS | DATA);
            if frame.kind == DATA {
                let body = self.bodies.entry(frame.stream).or_default();
                body.extend_from_slice(&frame.payload);
            }
            if is_request && frame.flags & END_STREAM != 0 {
                let body = self.bodies.remove(&frame.stream).unwrap_or_default();
                return (frame.stream, String::from_utf8(body).unwrap());
            }
            if !is_request {
                self.others.push(frame);
            }
        }
    }

    /// The next frame of this kind; `None` when the client has closed.
    pub(super) async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        if let Some(at) = self.others.iter().position(|frame| frame.kind == kind) {
            return Some(self.others.remove(at));
        }
        loop {
            let frame = self.serve().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Whether the client closes.
    pub(super) async fn is_closed(&mut self) -> bool {
        while self.serve().await.is_some() {}
        true
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // The client may close before the end.
        let _ = self
            .stream
            .write_all(&frame(kind, flags, stream, payload))
            .await;
    }

    pub(super) async fn settings(&mut self, settings: &[(u16, u32)]) {
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.write(SETTINGS, 0, 0, &payload).await;
    }

    /// 200 with this body.
    pub(super) async fn reply(&mut self, stream: u32, body: &str) {
        self.head(stream).await;
        self.write(DATA, END_STREAM, stream, body.as_bytes()).await;
    }

    /// 200, and a body to come.
    pub(super) async fn head(&mut self, stream: u32) {
        self.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
    }

    pub(super) async fn data(&mut self, stream: u32, piece: &[u8]) {
        self.write(DATA, 0, stream, piece).await;
    }

    /// 200 with one header of this length.
    pub(super) async fn long_head(&mut self, stream: u32, length: u32) {
        // Not indexed, a new name of one character, and a value whose length has a prefix of seven bits (RFC 7541 §5.1).
        let mut head = [STATUS_200, &[0, 1, b'x', 0x7f]].concat();
        let mut left = length - 127;
        while left >= 128 {
            head.push(u8::try_from(left % 128).unwrap() | 0x80);
            left /= 128;
        }
        head.push(u8::try_from(left).unwrap());
        head.extend(vec![b'y'; usize::try_from(length).unwrap()]);
        // A frame has 16 KiB at most.
        let (first, rest) = head.split_at(16_000);
        self.write(HEADERS, END_STREAM, stream, first).await;
        const CONTINUATION: u8 = 9;
        self.write(CONTINUATION, END_HEADERS, stream, rest).await;
    }

    /// Sends interim replies until the client closes. Returns how many bytes that were.
    pub(super) async fn interim_until_closed(&mut self, stream: u32) -> usize {
        let some = frame(HEADERS, END_HEADERS, stream, STATUS_100).repeat(4096);
        let mut sent = 0;
        while sent < 1_000_000_000 && self.stream.write_all(&some).await.is_ok() {
            sent += some.len();
        }
        sent
    }

    pub(super) async fn reset(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub(super) async fn goaway(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
