//! Over TLS, where the server chooses the version (ALPN).

use super::*;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::server::TlsStream;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
const HTTP1: &[&[u8]] = &[b"http/1.1"];

struct Server {
    listener: Listener,
    certificate: String,
    key: String,
}

impl Server {
    async fn start() -> Server {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        Server {
            listener: Listener::start().await,
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn client(&self, http_version: HttpVersion) -> ThingsBoard {
        let url = self.listener.url();
        let (_, port) = url.rsplit_once(':').unwrap();
        let settings = Settings {
            url: format!("https://localhost:{port}").parse().unwrap(),
            tls: TlsFiles {
                ca: Some(self.certificate.clone().into_bytes()),
                client: None,
            },
            ..settings(&url, http_version, Duration::from_secs(20), 100)
        };
        ThingsBoard::new(settings).unwrap()
    }

    /// Accepts a connection, and chooses one of these. Returns the choice, too.
    async fn accept(&self, protocols: &[&[u8]]) -> (TlsStream<TcpStream>, Option<String>) {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let tcp = self.listener.accept_tcp().await;
        let stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await;
        let stream = stream.unwrap();
        let chosen = stream.get_ref().1.alpn_protocol();
        let chosen = chosen.map(|name| String::from_utf8(name.to_vec()).unwrap());
        (stream, chosen)
    }
}

/// Serves one request of HTTP/1.1, whose body is `{}`.
async fn serve_http1(stream: &mut TlsStream<TcpStream>) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        text.push(stream.read_u8().await.unwrap());
    }
    assert!(text.starts_with(b"POST /api/v1/S3cret%3FToken/telemetry HTTP/1.1\r\n"));
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(reply).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn http2_is_used_where_the_server_chooses_it() {
    for version in [HttpVersion::Auto, HttpVersion::Http2] {
        let server = Server::start().await;
        let thingsboard = server.client(version);
        let script = async {
            let (stream, chosen) = server.accept(BOTH).await;
            assert_eq!(chosen.as_deref(), Some("h2"));
            let mut server = Frames::begin(Box::new(stream), &[]).await;
            for _ in 0..2 {
                let (stream, _) = server.request().await;
                server.reply(stream, "").await;
            }
        };
        let calls = async {
            for _ in 0..2 {
                assert_eq!(thingsboard.send(telemetry("{}")).await, empty());
            }
        };
        both(calls, script).await;
    }
}

#[tokio::test]
async fn with_1_1_it_is_not_offered() {
    let server = Server::start().await;
    let thingsboard = server.client(HttpVersion::Http1);
    let script = async {
        let (mut stream, chosen) = server.accept(BOTH).await;
        assert_eq!(chosen.as_deref(), Some("http/1.1"));
        serve_http1(&mut stream).await;
    };
    let (outcome, ()) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, empty());
}

/// Also a server that does not know ALPN.
#[tokio::test]
async fn where_the_server_chooses_http1_each_call_has_a_connection() {
    for protocols in [HTTP1, &[]] {
        let server = Server::start().await;
        let thingsboard = server.client(HttpVersion::Auto);
        let script = async {
            let mut streams = Vec::new();
            for _ in 0..3 {
                streams.push(server.accept(protocols).await.0);
            }
            for stream in &mut streams {
                serve_http1(stream).await;
            }
        };
        let call = || thingsboard.send(telemetry("{}"));
        let calls = async {
            let outcomes = tokio::join!(call(), call(), call());
            assert_eq!(outcomes, (empty(), empty(), empty()));
        };
        both(calls, script).await;
    }
}

#[tokio::test]
async fn with_2_a_server_without_it_gets_no_request() {
    let server = Server::start().await;
    let thingsboard = server.client(HttpVersion::Http2);
    let script = async {
        let (mut stream, _) = server.accept(&[]).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    };
    let (outcome, sent) = both(thingsboard.send(telemetry("{}")), script).await;
    assert!(is_unintelligible(&outcome), "{outcome:?}");
    assert_eq!(sent, b"");
}

#[tokio::test]
async fn a_server_may_change_its_mind_both_ways() {
    let server = Server::start().await;
    let thingsboard = server.client(HttpVersion::Auto);
    let script = async {
        let (mut stream, _) = server.accept(HTTP1).await;
        serve_http1(&mut stream).await;
        drop(stream);
        // Without ALPN's choice of HTTP/1.1, what was opened for it is closed, and another one opened.
        let (first, chosen) = server.accept(BOTH).await;
        assert_eq!(chosen.as_deref(), Some("h2"));
        drop(first);
        let (stream, _) = server.accept(BOTH).await;
        let mut http2 = Frames::begin(Box::new(stream), &[]).await;
        let (stream, _) = http2.request().await;
        http2.reply(stream, "").await;
        http2.goaway(stream, 0).await;
        assert!(http2.is_closed().await);
        let (mut stream, _) = server.accept(HTTP1).await;
        serve_http1(&mut stream).await;
    };
    let calls = async {
        for _ in 0..3 {
            assert_eq!(thingsboard.send(telemetry("{}")).await, empty());
            // Until the end of the last connection has arrived.
            server.listener.round_trip().await;
        }
    };
    both(calls, script).await;
}
