//! The command line.

use dtls_server::config::{Config, ExtendedMasterSecret, Identity};
use dtls_server::crypto::signing_key::SigningKey;
use dtls_server::suite::CipherSuite;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const USAGE: &str = "usage: echo_server ADDRESS:PORT CERTIFICATE KEY [OPTIONS]
  CERTIFICATE and KEY are PEM files: the server's certificate and then its issuers', and its private key.
  --second CERTIFICATE KEY  another identity: one has an EC key, one an RSA key
  --connection-id BYTES     length of connection IDs, 0 to 8 (8), or none
  --mtu BYTES               largest datagram of a handshake (1200)
  --suites NAME,NAME        cipher suites, best first (all)
  --tickets                 sends tickets to clients that ask for them
  --require-ems             refuses clients without an extended master secret";

/// What the command line says.
pub(crate) struct Arguments {
    pub(crate) address: SocketAddr,
    /// Certificates and keys.
    identities: Vec<(PathBuf, PathBuf)>,
    connection_id_length: Option<u8>,
    mtu: usize,
    suites: Option<Vec<CipherSuite>>,
    extended_master_secret: ExtendedMasterSecret,
    tickets: bool,
}

impl Arguments {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Arguments, Box<dyn Error>> {
        let mut next = || arguments.next().ok_or(USAGE);
        let mut parsed = Arguments {
            address: next()?.parse().map_err(|_| USAGE)?,
            identities: vec![(next()?.into(), next()?.into())],
            connection_id_length: Some(8),
            mtu: 1200,
            suites: None,
            extended_master_secret: ExtendedMasterSecret::Prefer,
            tickets: false,
        };
        while let Ok(option) = next() {
            match option.as_str() {
                "--second" => parsed.identities.push((next()?.into(), next()?.into())),
                "--connection-id" => {
                    parsed.connection_id_length = match next()?.as_str() {
                        "none" => None,
                        bytes => Some(bytes.parse()?),
                    };
                }
                "--mtu" => parsed.mtu = next()?.parse()?,
                "--suites" => {
                    let names = next()?;
                    parsed.suites = Some(names.split(',').map(suite).collect::<Result<_, _>>()?);
                }
                "--tickets" => parsed.tickets = true,
                "--require-ems" => parsed.extended_master_secret = ExtendedMasterSecret::Require,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(parsed)
    }

    /// The configuration of the engine.
    pub(crate) fn config(&self) -> Result<Config, Box<dyn Error>> {
        let mut builder = Config::builder()
            .connection_id_length(self.connection_id_length)
            .mtu(self.mtu)
            .session_tickets(self.tickets)
            .extended_master_secret(self.extended_master_secret);
        for (certificate, key) in &self.identities {
            builder = builder.identity(identity(certificate, key)?);
        }
        if let Some(suites) = &self.suites {
            builder = builder.cipher_suites(suites);
        }
        Ok(builder.build()?)
    }
}

fn suite(name: &str) -> Result<CipherSuite, String> {
    let mut all = CipherSuite::ALL.into_iter();
    all.find(|suite| suite.name() == name)
        .ok_or_else(|| format!("no cipher suite {name}"))
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, Box<dyn Error>> {
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let key = SigningKey::from_der(key.secret_der())?;
    Ok(Identity::new(&chain, Arc::new(key))?)
}
