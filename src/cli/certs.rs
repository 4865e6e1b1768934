//! `certs`: makes certificates, and prints the registry's entries for them.

use super::{CertsArgs, Failed, Outcome, now};
use crate::authority::{CertificateFiles, MakeOptions, make};
use crate::device::Fingerprint;
use crate::shown::Shown;
use std::io::Write;
use time::OffsetDateTime;

/// The time, for the dates of certificates.
pub(super) fn today() -> Result<OffsetDateTime, Failed> {
    let now = i64::try_from(now().as_secs()).unwrap_or(i64::MAX);
    Ok(OffsetDateTime::from_unix_timestamp(now)?)
}

pub(super) fn certs(args: CertsArgs, out: &mut impl Write) -> Outcome {
    let made = make(
        &MakeOptions {
            directory: args.out,
            host: args.host,
            devices: args.devices,
            device_key: args.key_type,
            server_key: args.server_key_type,
            with_rsa_server: args.rsa_server,
            with_intermediate: args.intermediate,
        },
        today()?,
    )?;
    let all = [
        Some(&made.ca),
        made.intermediate.as_ref(),
        Some(&made.server),
        made.rsa_server.as_ref(),
    ];
    for one in all.into_iter().flatten().chain(&made.devices) {
        print_made(one, out)?;
    }
    if made.server.existed {
        writeln!(
            out,
            "The gateway's certificate was kept as it is: --host was ignored."
        )?;
    }
    if !made.devices.is_empty() {
        writeln!(
            out,
            "\nFor config/devices.toml, with each device's own access token from ThingsBoard:"
        )?;
    }
    for device in &made.devices {
        writeln!(out, "\n[[device]]\nname = {:?}", device.name)?;
        writeln!(
            out,
            "fingerprint = \"{}\"",
            Fingerprint::Sha256(device.id.sha256)
        )?;
        writeln!(out, "token = \"\" # its access token")?;
    }
    Ok(())
}

fn print_made(one: &CertificateFiles, out: &mut impl Write) -> std::io::Result<()> {
    let what = if one.existed { "kept" } else { "made" };
    writeln!(
        out,
        "{what}  {}  {}",
        Shown::path(&one.certificate),
        Shown::path(&one.private_key)
    )
}
