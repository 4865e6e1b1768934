//! A peer that builds DTLS datagrams itself (RFC 6347 §4.1, §4.2) and sends them from any loopback address. It has no
//! registered certificate.

use crate::dtls::{Client, Config, Output, datagrams};
use crate::process::now;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;

pub const CERTIFICATE: u8 = 11;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;

/// Offsets of the handshake message in a datagram that begins with it, and of its body.
const MESSAGE: usize = 13;
const BODY: usize = MESSAGE + 12;

/// Encodes a record.
pub fn record(content_type: u8, epoch: u16, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![content_type, 254, 253];
    bytes.extend(epoch.to_be_bytes());
    bytes.extend(&sequence.to_be_bytes()[2..]);
    bytes.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
    bytes.extend(fragment);
    bytes
}

/// A fragment of a handshake message.
pub struct Fragment<'a> {
    pub kind: u8,
    pub message: u16,
    pub total: usize,
    pub offset: usize,
    pub bytes: &'a [u8],
}

impl Fragment<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let u24 = |number: usize| u32::try_from(number).unwrap().to_be_bytes()[1..].to_vec();
        let mut bytes = vec![self.kind];
        bytes.extend(u24(self.total));
        bytes.extend(self.message.to_be_bytes());
        bytes.extend(u24(self.offset));
        bytes.extend(u24(self.bytes.len()));
        bytes.extend(self.bytes);
        bytes
    }
}

/// The body of a ClientHello without a cookie (RFC 5246 §7.4.1.2).
#[derive(Clone)]
pub struct ClientHello(Vec<u8>);

impl ClientHello {
    /// Parses the first datagram of a client.
    pub fn parse(datagram: &[u8]) -> ClientHello {
        assert_eq!(
            (datagram[0], datagram[MESSAGE]),
            (HANDSHAKE, CLIENT_HELLO),
            "a ClientHello"
        );
        ClientHello(datagram[BODY..].to_vec())
    }

    /// The same hello of another client.
    pub fn with_random(&self, random: [u8; 32]) -> ClientHello {
        let mut body = self.0.clone();
        body[2..34].copy_from_slice(&random);
        ClientHello(body)
    }

    /// The first datagram, without a cookie.
    pub fn first(&self) -> Vec<u8> {
        self.fragment(0, 0, 0..self.0.len())
    }

    /// The second datagram, after a HelloVerifyRequest.
    pub fn with_cookie(&self, cookie: &[u8]) -> Vec<u8> {
        // Version, random and session_id precede the cookie's length.
        let place = 34 + 1 + usize::from(self.0[34]);
        assert_eq!(self.0[place], 0, "a first hello has no cookie");
        let mut body = self.0.clone();
        body[place] = u8::try_from(cookie.len()).unwrap();
        body.splice(place + 1..place + 1, cookie.iter().copied());
        let length = body.len();
        ClientHello(body).fragment(1, 1, 0..length)
    }

    /// A datagram with a fragment of it.
    pub fn fragment(&self, sequence: u64, message: u16, range: std::ops::Range<usize>) -> Vec<u8> {
        let fragment = Fragment {
            kind: CLIENT_HELLO,
            message,
            total: self.0.len(),
            offset: range.start,
            bytes: &self.0[range],
        };
        record(HANDSHAKE, 0, sequence, &fragment.encode())
    }

    pub fn length(&self) -> usize {
        self.0.len()
    }
}

/// A peer with a socket of its own.
pub struct Attacker(UdpSocket);

/// The loopback address with this number; all of 127.0.0.0/8 is this machine.
pub fn loopback(number: usize) -> Ipv4Addr {
    let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

impl Attacker {
    /// Binds any port of this address.
    pub fn bind(address: Ipv4Addr, gateway: SocketAddr) -> Attacker {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(gateway).unwrap();
        Attacker(socket)
    }

    pub fn send(&self, datagram: &[u8]) {
        match self.0.send(datagram) {
            // An earlier datagram was answered by an ICMP error.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            sent => assert_eq!(sent.unwrap(), datagram.len()),
        }
    }

    /// The next datagram of the gateway within this time.
    pub fn receive(&self, timeout: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(timeout)).unwrap();
        let mut buffer = vec![0; 2048];
        let length = self.0.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Begins a DTLS 1.2 handshake and returns the cookie, which proves the address. False if the gateway does not
    /// answer with a ServerHello.
    pub fn begin_handshake_12(&self, hello: &ClientHello, timeout: Duration) -> bool {
        let message = |wanted: u8, datagram: &[u8]| {
            datagram.first() == Some(&HANDSHAKE) && datagram.get(MESSAGE) == Some(&wanted)
        };
        self.discard_received();
        self.send(&hello.first());
        let Some(verify) = self.receive_matching(timeout, |it| message(HELLO_VERIFY_REQUEST, it))
        else {
            return false;
        };
        // A version, then the cookie.
        let cookie = &verify[BODY + 3..][..usize::from(verify[BODY + 2])];
        self.send(&hello.with_cookie(cookie));
        self.receive_matching(timeout, |it| message(SERVER_HELLO, it))
            .is_some()
    }

    /// The same in DTLS 1.3 (RFC 9147 §5).
    pub fn begin_handshake_13(&self, config: &Config, timeout: Duration) -> bool {
        self.discard_received();
        let (mut client, mut outputs) = Client::connect(config, now());
        // HelloRetryRequest, then ServerHello. The server's flight is not answered.
        for _ in 0..2 {
            for datagram in datagrams(outputs) {
                self.send(&datagram);
            }
            let server_hello = |it: &[u8]| it.get(MESSAGE) == Some(&SERVER_HELLO);
            let Some(answer) = self.receive_matching(timeout, server_hello) else {
                return false;
            };
            outputs = client.receive(now(), &answer).unwrap_or_default();
        }
        true
    }

    /// Performs a handshake, completely or without the last datagram of the client's flight. Returns whether it came so
    /// far.
    pub fn handshake(&self, config: &Config, complete: bool, timeout: Duration) -> bool {
        self.discard_received();
        let (mut client, mut outputs) = Client::connect(config, now());
        loop {
            let is_connected = outputs.contains(&Output::Connected);
            let mut flight = datagrams(outputs);
            // A ClientHello is one datagram; a flight with a long certificate is several.
            let is_flight = flight.len() > 1;
            if is_flight && !complete {
                flight.pop();
            }
            for datagram in &flight {
                self.send(datagram);
            }
            if is_connected || (is_flight && !complete) {
                return true;
            }
            let Some(answer) = self.receive(timeout) else {
                return is_flight;
            };
            match client.receive(now(), &answer) {
                Ok(next) => outputs = next,
                Err(_) => return false,
            }
        }
    }

    /// Discards what was received before.
    fn discard_received(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 2048]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }

    fn receive_matching(
        &self,
        timeout: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        while let Some(datagram) = self.receive(timeout) {
            if wanted(&datagram) {
                return Some(datagram);
            }
        }
        None
    }
}
