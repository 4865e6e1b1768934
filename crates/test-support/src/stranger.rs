//! Someone without a certificate who sends DTLS datagrams of his own making (RFC 6347 §4.1, §4.2), from any loopback
//! address he likes.

use crate::certificates::Identity;
use crate::process::now;
use coaps_gateway::credentials::ServerCredentials;
use coaps_gateway::dtls::engine::{Engine, EngineOutput, Settings};
use coaps_gateway::dtls::{Parameters, Versions};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
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

/// Where a handshake message begins in a datagram that begins with it, and where its body does.
const MESSAGE: usize = 13;
const BODY: usize = MESSAGE + 12;

/// One record.
pub fn record(content_type: u8, epoch: u16, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![content_type, 254, 253];
    bytes.extend(epoch.to_be_bytes());
    bytes.extend(&sequence.to_be_bytes()[2..]);
    bytes.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
    bytes.extend(fragment);
    bytes
}

/// A piece of a handshake message.
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
    /// What a client has sent first.
    pub fn of(datagram: &[u8]) -> ClientHello {
        assert_eq!(
            (datagram[0], datagram[MESSAGE]),
            (HANDSHAKE, CLIENT_HELLO),
            "a ClientHello"
        );
        ClientHello(datagram[BODY..].to_vec())
    }

    /// The same from another client.
    pub fn with_random(&self, random: [u8; 32]) -> ClientHello {
        let mut body = self.0.clone();
        body[2..34].copy_from_slice(&random);
        ClientHello(body)
    }

    /// The first datagram of a client.
    pub fn first(&self) -> Vec<u8> {
        self.fragment(0, 0, 0..self.0.len())
    }

    /// The second, after a HelloVerifyRequest.
    pub fn with_cookie(&self, cookie: &[u8]) -> Vec<u8> {
        // Version, random, session id; then the cookie's length.
        let place = 34 + 1 + usize::from(self.0[34]);
        assert_eq!(self.0[place], 0, "a first hello has no cookie");
        let mut body = self.0.clone();
        body[place] = u8::try_from(cookie.len()).unwrap();
        body.splice(place + 1..place + 1, cookie.iter().copied());
        let length = body.len();
        ClientHello(body).fragment(1, 1, 0..length)
    }

    /// A datagram with a piece of it.
    pub fn fragment(&self, sequence: u64, message: u16, piece: std::ops::Range<usize>) -> Vec<u8> {
        let fragment = Fragment {
            kind: CLIENT_HELLO,
            message,
            total: self.0.len(),
            offset: piece.start,
            bytes: &self.0[piece],
        };
        record(HANDSHAKE, 0, sequence, &fragment.encode())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// What [`Stranger::prove_13`] needs of a client; its certificate is never shown.
pub fn client_13(identity: &Identity) -> Settings {
    client_in(identity, Versions::Only13, 1200)
}

/// A client with the gateway's own engine.
pub fn client_in(identity: &Identity, versions: Versions, mtu: usize) -> Settings {
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let credentials = ServerCredentials {
        certificate: certificate.to_vec(),
        private_key: key.secret_der().to_vec().into(),
    };
    let parameters = Parameters {
        versions,
        mtu,
        ..Parameters::default()
    };
    Settings::new(&credentials, &parameters).unwrap()
}

/// A socket of his.
pub struct Stranger(UdpSocket);

/// The loopback address with this number; all of 127.0.0.0/8 is this machine.
pub fn loopback(number: usize) -> Ipv4Addr {
    let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

impl Stranger {
    /// From a port of this address.
    pub fn at(address: Ipv4Addr, gateway: SocketAddr) -> Stranger {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(gateway).unwrap();
        Stranger(socket)
    }

    pub fn send(&self, datagram: &[u8]) {
        match self.0.send(datagram) {
            // The kernel's way to say that something before was not taken.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            sent => assert_eq!(sent.unwrap(), datagram.len()),
        }
    }

    /// What the gateway says within this time.
    pub fn hear(&self, patience: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = vec![0; 2048];
        let length = self.0.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Says hello and returns the cookie: a handshake that has come further than any forger's, though no further
    /// than anyone's. False if the gateway has no room for it.
    pub fn prove(&self, hello: &ClientHello, patience: Duration) -> bool {
        let message = |wanted: u8, datagram: &[u8]| {
            datagram.first() == Some(&HANDSHAKE) && datagram.get(MESSAGE) == Some(&wanted)
        };
        self.forget();
        self.send(&hello.first());
        let Some(verify) = self.hear_one(patience, |it| message(HELLO_VERIFY_REQUEST, it)) else {
            return false;
        };
        // A version, then the cookie.
        let cookie = &verify[BODY + 3..][..usize::from(verify[BODY + 2])];
        self.send(&hello.with_cookie(cookie));
        self.hear_one(patience, |it| message(SERVER_HELLO, it))
            .is_some()
    }

    /// The same in DTLS 1.3 (RFC 9147 §5), with the gateway's own engine: no other client here speaks it.
    pub fn prove_13(&self, client: &Settings, patience: Duration) -> bool {
        self.forget();
        let Ok((mut engine, mut effects)) = Engine::client(client, now()) else {
            panic!("a client that can begin")
        };
        // HelloRetryRequest, then ServerHello; to what comes with that he says nothing any more.
        for _ in 0..2 {
            for effect in effects {
                if let EngineOutput::Transmit(datagram) = effect {
                    self.send(&datagram);
                }
            }
            let server_hello = |it: &[u8]| it.get(MESSAGE) == Some(&SERVER_HELLO);
            let Some(answer) = self.hear_one(patience, server_hello) else {
                return false;
            };
            effects = engine.receive(now(), &answer).unwrap_or_default();
        }
        true
    }

    /// Shakes hands up to the last datagram but one of his flight, or to the end. Says whether the gateway has heard that
    /// much.
    pub fn shake_hands(&self, client: &Settings, to_the_end: bool, patience: Duration) -> bool {
        self.forget();
        let Ok((mut engine, mut effects)) = Engine::client(client, now()) else {
            panic!("a client that can begin")
        };
        loop {
            let is_connected = effects.contains(&EngineOutput::Connected);
            let mut said: Vec<_> = effects
                .into_iter()
                .filter_map(|effect| match effect {
                    EngineOutput::Transmit(datagram) => Some(datagram),
                    EngineOutput::PeerCertificate(_)
                    | EngineOutput::Connected
                    | EngineOutput::Plaintext(_)
                    | EngineOutput::CloseNotify => None,
                })
                .collect();
            // Hellos are one datagram; a flight with a long certificate is several.
            let is_flight = said.len() > 1;
            if is_flight && !to_the_end {
                said.pop();
            }
            for datagram in &said {
                self.send(datagram);
            }
            if is_connected || (is_flight && !to_the_end) {
                return true;
            }
            let Some(answer) = self.hear(patience) else {
                return is_flight;
            };
            match engine.receive(now(), &answer) {
                Ok(next) => effects = next,
                Err(_) => return false,
            }
        }
    }

    /// What was said before is of no interest.
    fn forget(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 2048]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }

    fn hear_one(&self, patience: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        while let Some(datagram) = self.hear(patience) {
            if wanted(&datagram) {
                return Some(datagram);
            }
        }
        None
    }
}
