//! `check`: prints every mistake, or a summary.

use super::{Outcome, configure, limits, print_warning};
use crate::device::{CertificateId, Fingerprint};
use std::io::Write;
use std::path::Path;

pub(super) fn check(file: Option<&Path>, out: &mut impl Write) -> Outcome {
    let (config, warnings) = configure(file)?;
    for warning in warnings {
        print_warning(&warning.to_string());
    }
    let own = CertificateId::of(config.server.certificate());
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
    crate::dtls::engine::Settings::new(&config.server, &config.dtls)?;
    let hard = rlimit::Resource::NOFILE.get_hard().unwrap_or(u64::MAX);
    let files = limits::warning_of_files(&config.upstream, hard);
    for warning in files
        .into_iter()
        .chain(limits::warning_of_ports(&config.upstream))
    {
        print_warning(&warning);
    }
    writeln!(out, "The configuration is fine.")?;
    writeln!(out, "  listens on      {} (UDP)", config.listen.coaps)?;
    match config.listen.admin {
        Some(address) => writeln!(out, "  admin           {address} (TCP)")?,
        None => writeln!(out, "  admin           off (listen.admin)")?,
    }
    writeln!(
        out,
        "  certificate     SHA-256 {}",
        Fingerprint::Sha256(own.sha256)
    )?;
    writeln!(out, "  devices         {devices}")?;
    writeln!(out, "  upstream        {}", config.upstream.url)?;
    if let Some(url) = &config.upstream.http_url {
        writeln!(out, "  large bodies    {url}")?;
    }
    Ok(())
}
