//! `check`: prints every mistake, or a summary.

mod state;

use super::{Outcome, configure, limits, print_warning};
use crate::credentials::ServerIdentity;
use crate::device::{CertificateId, Fingerprint};
use crate::dtls::Versions;
use std::io::Write;
use std::path::Path;

pub(super) fn check(file: Option<&Path>, out: &mut impl Write) -> Outcome {
    let (config, warnings) = configure(file)?;
    for warning in warnings {
        print_warning(&warning.to_string());
    }
    let devices = config.registry.len();
    // Finds mistakes that only the setup of both sides finds. Nothing is bound, and nothing is connected to.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    // Connections over MQTT ask for it, although none is opened.
    let _entered = runtime.enter();
    let (pushed, _) = tokio::sync::mpsc::channel::<()>(1);
    crate::upstream::Server::new(&config.upstream, pushed, |_, _| ())
        .map_err(|error| format!("upstream: {error}"))?;
    crate::dtls::Settings::new(&config.server, &config.dtls)?;
    let hard = rlimit::Resource::NOFILE.get_hard().unwrap_or(u64::MAX);
    let files = limits::warning_of_files(&config.upstream, hard);
    for warning in files
        .into_iter()
        .chain(limits::warning_of_ports(&config.upstream))
    {
        print_warning(&warning);
    }
    let state = state::describe(
        config.state.as_ref(),
        config.group.as_ref(),
        config.dtls.sessions,
    );
    writeln!(out, "The configuration is fine.")?;
    writeln!(out, "  listens on      {} (UDP)", config.listen.coaps)?;
    match config.listen.admin {
        Some(address) => writeln!(out, "  admin           {address} (TCP)")?,
        None => writeln!(out, "  admin           off (listen.admin)")?,
    }
    identity(out, "certificate    ", &config.server.ecdsa)?;
    if let Some(rsa) = &config.server.rsa {
        identity(out, "RSA certificate", rsa)?;
    }
    if config.dtls.versions != Versions::Only13 {
        match config.dtls.connection_id {
            0 => writeln!(
                out,
                "  connection IDs  off (dtls.connection_id): a device whose NAT moves it makes a new handshake"
            )?,
            length => writeln!(out, "  connection IDs  {length} bytes, with DTLS 1.2")?,
        }
    }
    writeln!(out, "  state           {state}")?;
    writeln!(out, "  devices         {devices}")?;
    writeln!(out, "  upstream        {}", config.upstream.url)?;
    if let Some(url) = &config.upstream.http_url {
        writeln!(out, "  large bodies    {url}")?;
    }
    Ok(())
}

/// One certificate of the gateway, and what is sent with it.
fn identity(out: &mut impl Write, what: &str, identity: &ServerIdentity) -> std::io::Result<()> {
    let own = CertificateId::of(identity.certificate());
    let fingerprint = Fingerprint::Sha256(own.sha256);
    write!(out, "  {what} SHA-256 {fingerprint}")?;
    let bytes: usize = identity.chain.iter().map(Vec::len).sum();
    match identity.chain.len() {
        1 => writeln!(out),
        several => writeln!(out, " ({several} certificates, {bytes} bytes)"),
    }
}
