//! `device list`: every device, for people or for programs.

use super::super::{Outcome, print_mistakes, print_warning};
use crate::config::{ListedDevice, RegistryFile, TokenSource};
use crate::shown::Shown;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// One device in JSON.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    line: usize,
    fingerprints: Vec<String>,
    certificates: &'a [String],
    token: Token<'a>,
}

/// Where its token is, in JSON.
#[derive(Serialize)]
struct Token<'a> {
    #[serde(rename = "in")]
    kind: &'static str,
    named: Option<&'a str>,
}

pub(super) fn list(file: &RegistryFile, json: bool, out: &mut impl Write) -> Outcome {
    let bytes = match file.read()? {
        Some(bytes) => bytes,
        None if file.may_be_missing() => {
            let path = Shown::path(file.path());
            print_warning(&format!("{path} does not exist: no device is registered"));
            Default::default()
        }
        None => return Err(format!("{} does not exist", Shown::path(file.path())).into()),
    };
    let (devices, warnings) = file.devices(&bytes).map_err(print_mistakes)?;
    for warning in warnings {
        print_warning(&warning.to_string());
    }
    if json {
        let rows: Vec<Row<'_>> = devices.iter().map(row).collect();
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(());
    }
    table(&devices, out)?;
    Ok(())
}

fn row(device: &ListedDevice) -> Row<'_> {
    let (kind, named) = match &device.token {
        TokenSource::Registry => ("registry", None),
        TokenSource::File(path) => ("file", path.as_deref()),
        TokenSource::Variable(name) => ("variable", name.as_deref()),
    };
    Row {
        name: &device.name,
        line: device.line,
        fingerprints: device
            .fingerprints
            .iter()
            .map(ToString::to_string)
            .collect(),
        certificates: &device.certificates,
        token: Token { kind, named },
    }
}

/// Name, token, fingerprints: one line for each fingerprint, the longest column last.
fn table(devices: &[ListedDevice], out: &mut impl Write) -> std::io::Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let rows: Vec<(&str, String, &ListedDevice)> = devices
        .iter()
        .map(|device| (device.name.as_str(), source(&device.token), device))
        .collect();
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default().max(5);
    let names = width(&mut rows.iter().map(|(name, _, _)| name.chars().count()));
    let tokens = width(&mut rows.iter().map(|(_, token, _)| token.chars().count()));
    writeln!(out, "{:names$}  {:tokens$}  FINGERPRINT", "NAME", "TOKEN")?;
    for (name, token, device) in rows {
        let (mut name, mut token) = (name, token.as_str());
        for fingerprint in &device.fingerprints {
            writeln!(out, "{name:names$}  {token:tokens$}  {fingerprint}")?;
            (name, token) = ("", "");
        }
    }
    Ok(())
}

fn source(token: &TokenSource) -> String {
    match token {
        TokenSource::Registry => "in the registry".to_owned(),
        TokenSource::File(Some(path)) => format!("file {}", Shown::path(Path::new(path))),
        TokenSource::File(None) => "a file, not readable here".to_owned(),
        TokenSource::Variable(Some(name)) => format!("variable {}", Shown::public(name)),
        TokenSource::Variable(None) => "a variable, not set here".to_owned(),
    }
}
