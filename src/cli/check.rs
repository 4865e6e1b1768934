//! `check`: prints every mistake, or a summary.

use super::{Outcome, configure, print_warning};
use crate::device::{CertificateId, Fingerprint};
use std::io::Write;
use std::path::Path;

pub(super) fn check(file: Option<&Path>, out: &mut impl Write) -> Outcome {
    let (config, warnings) = configure(file)?;
    for warning in warnings {
        print_warning(&warning.to_string());
    }
    let own = CertificateId::of(&config.server.certificate);
    let devices = config.registry.len();
    // Finds mistakes that only the setup of both sides finds. Nothing is bound, and nothing is connected to.
    crate::upstream::ThingsBoard::new(config.upstream.clone())
        .map_err(|error| format!("upstream: {error}"))?;
    crate::dtls::engine::Settings::new(&config.server, &config.dtls)?;
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
    Ok(())
}
