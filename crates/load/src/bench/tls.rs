//! Terminates TLS in front of a TCP server: the simulator's MQTT has none of its own.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The pause before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server that gets the plaintext
    server: SocketAddr,

    /// The address to listen on; port 0 means any free port. The address is the first line on standard output
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Its certificate, PEM, with its chain
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let acceptor = acceptor(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let ended = runtime.block_on(serve(args, &acceptor));
    ended.map_err(|error| format!("{}: {error}", args.listen))
}

fn acceptor(args: &Args) -> Result<TlsAcceptor, String> {
    let unusable = |error: String| {
        let (certificate, key) = (args.certificate.display(), args.key.display());
        format!("{certificate} and {key}: {error}")
    };
    let chain = CertificateDer::pem_file_iter(&args.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&args.key);
    let key = key.map_err(|error| unusable(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|versions| {
            let server = versions.with_no_client_auth();
            server.with_single_cert(chain, key)
        });
    let config = config.map_err(|error| unusable(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(args: &Args, acceptor: &TlsAcceptor) -> std::io::Result<()> {
    let listener = TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, acceptor.clone(), args.server));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Copies both ways until either end closes, or fails: then the other is closed.
async fn connection(
    client: TcpStream,
    acceptor: TlsAcceptor,
    server: SocketAddr,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
