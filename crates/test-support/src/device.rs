//! A device that shares no code with the gateway: DTLS 1.2 by `webrtc-dtls`, CoAP by [`coap`](crate::coap).

use crate::TIMEOUT;
use crate::certificates::Identity;
use crate::coap::{ACK, CON, Message, RST, post};
use crate::world::{METER_TOKEN, PUMP_TOKEN};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use webrtc_dtls::cipher_suite::CipherSuiteId;
use webrtc_dtls::config::{Config, ExtendedMasterSecretType};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;

/// A device with an established DTLS session.
pub struct Device {
    session: DTLSConn,
    next: AtomicU16,
}

/// A response, and how it was sent.
#[derive(Debug)]
pub struct Response {
    pub message: Message,
    /// Whether it was piggybacked; a separate one is acknowledged by the device.
    pub piggybacked: bool,
}

/// The response's code, as in `2.05`. Asserts that a diagnostic payload is short and holds no token.
pub fn code(response: &Response) -> String {
    let message = &response.message;
    if message.code >= 0x80 {
        let diagnostic = String::from_utf8_lossy(&message.payload);
        assert!(diagnostic.len() < 200, "{diagnostic}");
        assert!(
            ![METER_TOKEN, PUMP_TOKEN]
                .iter()
                .any(|token| diagnostic.contains(token)),
            "{diagnostic}"
        );
    }
    message.code()
}

impl Device {
    /// Performs a handshake with this certificate, or none, and with a server whose certificate `ca_pem` has issued.
    pub async fn try_connect(
        gateway: SocketAddr,
        identity: Option<&Identity>,
        ca_pem: &str,
    ) -> Result<Device, webrtc_dtls::Error> {
        // Two crypto providers are compiled in, so rustls can't choose. The first to install one chooses for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Connected, so that the kernel drops datagrams from other addresses.
        let own = if gateway.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let socket = UdpSocket::bind(own).await.unwrap();
        socket.connect(gateway).await.unwrap();
        let mut roots_cas = rustls::RootCertStore::empty();
        roots_cas
            .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
            .unwrap();
        let config = Config {
            certificates: identity.map(certificate).into_iter().collect(),
            cipher_suites: vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256],
            extended_master_secret: ExtendedMasterSecretType::Require,
            roots_cas,
            server_name: "localhost".to_owned(),
            flight_interval: Duration::from_millis(500),
            ..Config::default()
        };
        let session =
            tokio::time::timeout(TIMEOUT, DTLSConn::new(Arc::new(socket), config, true, None))
                .await
                .expect("a handshake that ends one way or the other")?;
        Ok(Device {
            session,
            next: AtomicU16::new(0x4000),
        })
    }

    pub async fn connect(gateway: SocketAddr, identity: &Identity, ca_pem: &str) -> Device {
        Device::try_connect(gateway, Some(identity), ca_pem)
            .await
            .expect("a handshake that succeeds")
    }

    /// Sends these bytes as one record.
    pub async fn send(&self, bytes: &[u8]) {
        self.session.write(bytes, Some(TIMEOUT)).await.unwrap();
    }

    /// The next datagram's plaintext.
    pub async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 2048];
        let length = self
            .session
            .read(&mut buffer, Some(TIMEOUT))
            .await
            .expect("a datagram from the gateway");
        buffer.truncate(length);
        buffer
    }

    /// The next datagram's plaintext, if one comes within this time.
    pub async fn receive_within(&self, time: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        let length = self.session.read(&mut buffer, Some(time)).await.ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Pings (RFC 7252 §4.3) until a Reset is received. Returns how many pings were lost. Other messages are dropped.
    pub async fn ping(&self) -> usize {
        for lost in 0..30 {
            let ping = Message {
                kind: CON,
                id: self.next.fetch_add(1, Ordering::Relaxed),
                ..Message::default()
            };
            self.send(&ping.encode()).await;
            let pong = Message { kind: RST, ..ping };
            let mut buffer = [0; 64];
            let second = Some(Duration::from_secs(1));
            while let Ok(length) = self.session.read(&mut buffer, second).await {
                if Message::decode(&buffer[..length]) == pong {
                    return lost;
                }
            }
        }
        panic!("no answer to thirty pings")
    }

    /// Sends the request with a new Message ID and token, and returns the response, which may be separate
    /// (RFC 7252 §5.2.2).
    pub async fn request(&self, mut request: Message) -> Response {
        request.id = self.next.fetch_add(1, Ordering::Relaxed);
        request.token = request.id.to_be_bytes().to_vec();
        self.send(&request.encode()).await;
        loop {
            let answer = Message::decode(&self.receive().await);
            if answer.code == 0 && answer.kind == ACK {
                assert_eq!(
                    (answer.id, request.kind),
                    (request.id, CON),
                    "an acknowledgement of ours"
                );
                continue;
            }
            assert_eq!(
                answer.token, request.token,
                "the response carries the request's token: {answer:?}"
            );
            if answer.kind == ACK {
                assert_eq!(
                    answer.id, request.id,
                    "a piggybacked response has the request's Message ID"
                );
            } else if answer.kind == CON {
                self.send(
                    &Message {
                        kind: ACK,
                        id: answer.id,
                        ..Message::default()
                    }
                    .encode(),
                )
                .await;
            }
            return Response {
                piggybacked: answer.kind == ACK,
                message: answer,
            };
        }
    }

    /// Posts telemetry, and returns the response's code.
    pub async fn post_telemetry(&self, body: &str) -> String {
        let telemetry = post(&["api", "v1", "telemetry"], body);
        code(&self.request(telemetry).await)
    }

    /// Closes the session with close_notify.
    pub async fn close(self) {
        let _ = self.session.close().await;
    }
}

fn certificate(identity: &Identity) -> Certificate {
    // webrtc-dtls has its own spelling of this tag.
    let key = identity.key_pem.replace("PRIVATE KEY", "PRIVATE_KEY");
    Certificate::from_pem(&format!("{key}{}", identity.certificate_pem)).unwrap()
}
