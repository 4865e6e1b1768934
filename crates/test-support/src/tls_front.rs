//! A proxy with TLS before a server that has none.

use crate::certificates::Identity;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Ends TLS and forwards what is in it, until it is dropped.
pub struct TlsFront {
    pub port: u16,
    forward_to: watch::Sender<Option<SocketAddr>>,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// With this certificate. `client_ca`: a client must show a certificate by this authority (PEM).
    pub async fn start(server: &Identity, client_ca: Option<&str>) -> TlsFront {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client_ca {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
                roots.add(der).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let certificate = CertificateDer::from_pem_slice(server.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap();
        let config = builder.with_single_cert(vec![certificate.unwrap()], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (forward_to, target) = watch::channel(None);
        let task = tokio::spawn(async move {
            loop {
                let (outer, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(acceptor.clone(), outer, target.clone()));
            }
        });
        TlsFront {
            port,
            forward_to,
            task,
        }
    }

    /// Where to. Until then connections wait.
    pub fn forward_to(&self, address: SocketAddr) {
        self.forward_to.send_replace(Some(address));
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    acceptor: TlsAcceptor,
    outer: TcpStream,
    mut target: watch::Receiver<Option<SocketAddr>>,
) {
    let Ok(mut outer) = acceptor.accept(outer).await else {
        return;
    };
    let Ok(address) = target
        .wait_for(Option::is_some)
        .await
        .map(|address| *address)
    else {
        return;
    };
    let mut inner = TcpStream::connect(address.unwrap()).await.unwrap();
    let _ = copy_bidirectional(&mut outer, &mut inner).await;
}
