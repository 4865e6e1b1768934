//! `device list | add | remove`: the registry's file, edited in place.
//!
//! What is written has been read by the registry's own reader before, and takes the file's place in one step.

mod args;
mod edit;
mod list;
mod replace;
mod token;

pub(super) use args::DeviceArgs;

use super::{Failed, Outcome, certs, fingerprint, say, told};
use crate::authority;
use crate::config::{ListedDevice, RegistryFile, Warning, is_device_name};
use crate::device::{CertificateId, Fingerprint};
use crate::shown::Shown;
use args::{AddArgs, DeviceCommand, RemoveArgs};
use edit::NewDevice;
use replace::Held;
use std::fs;
use std::io::Write;
use std::path::Path;
use zeroize::Zeroizing;

/// What has to happen for an edit to count.
const THEN: &str = "A gateway that runs takes this over within seconds, and says so in its log.";
const THEN_WITH_VARIABLE: &str = "\
A gateway that runs has the variables it was started with: until it is started anew with this one too, it refuses the
whole registry and serves by the one before.";

/// What stands in a registry that had one device: one without a byte is taken for damaged.
const NOBODY: &str = "# No device is registered.\n";

pub(super) fn device(args: DeviceArgs, out: &mut impl Write) -> Outcome {
    let find =
        |config: Option<&Path>| RegistryFile::named_by(config, std::env::vars_os()).map_err(told);
    match args.command {
        DeviceCommand::List(args) => {
            list::list(&find(args.config.config.as_deref())?, args.json, out)
        }
        DeviceCommand::Add(args) => add(&args, &find(args.config.config.as_deref())?, out),
        DeviceCommand::Remove(args) => remove(&args, &find(args.config.config.as_deref())?, out),
    }
}

/// A registry while this process alone may change it.
struct Open<'f> {
    file: &'f RegistryFile,
    held: Held,
    bytes: Option<Zeroizing<Vec<u8>>>,
    devices: Vec<ListedDevice>,
}

impl<'f> Open<'f> {
    /// Locks and reads it. A registry with mistakes is not edited.
    fn new(file: &'f RegistryFile) -> Result<Self, Failed> {
        let waiting = || say("warning", "waiting for another `device` command to end");
        let held = Held::new(file.path(), replace::PATIENCE, waiting)?;
        let bytes = file.read()?;
        let (devices, _) = match &bytes {
            Some(bytes) => file.devices(bytes).map_err(told)?,
            None => Default::default(),
        };
        Ok(Open {
            file,
            held,
            bytes,
            devices,
        })
    }

    /// Its text; mistakes would have been told if it were none.
    fn text(&self) -> Option<&str> {
        self.bytes
            .as_ref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Replaces it, if its own reader finds no mistake in the new text, and `count` devices.
    fn replace(&self, after: &str, count: usize) -> Result<Vec<Warning>, Failed> {
        let path = Shown::path(self.file.path());
        let (devices, warnings) = self.file.devices(after.as_bytes()).map_err(|mistakes| {
            let failed = told(mistakes);
            say("error", &format!("{path} is left as it was"));
            failed
        })?;
        if devices.len() != count {
            return Err(format!(
                "{path} is written in a way that can't be edited: edit it by hand"
            )
            .into());
        }
        let before = self.bytes.as_ref().map(|bytes| bytes.as_slice());
        if let Some(warning) = self.held.replace(before, after.as_bytes())? {
            say("warning", &warning);
        }
        Ok(warnings)
    }

    fn edit_failed(&self, reason: String) -> Failed {
        format!("{}: {reason}", Shown::path(self.file.path())).into()
    }
}

fn add(args: &AddArgs, file: &RegistryFile, out: &mut impl Write) -> Outcome {
    if !is_device_name(&args.name) {
        let right = "1 to 128 characters, all of them visible, no space at either end";
        let wrong = Shown::misplaced(&args.name);
        return Err(format!("{wrong} can't be a device's name: {right}").into());
    }
    let (token_key, token) = token::read(&args.token)?;
    let mut claimed = match (&args.identity.certificate, args.identity.fingerprint) {
        (Some(path), _) => both(of_certificate(path)?),
        (None, Some(fingerprint)) => vec![fingerprint],
        (None, None) => Vec::new(),
    };
    let directory = replace::parent(file.path());
    fs::create_dir_all(directory)
        .map_err(|error| format!("{} can't be made: {error}", Shown::path(directory)))?;
    let open = Open::new(file)?;
    refuse_twice(&open, &args.name, &claimed)?;

    let made = if args.identity.new_certificate {
        let made = authority::add_device(&args.certs, &args.name, certs::today()?)?;
        claimed = both(made.id);
        Some(made)
    } else {
        None
    };
    let write = || {
        let fingerprint = claimed.first().map(ToString::to_string).unwrap_or_default();
        let device = NewDevice {
            name: &args.name,
            fingerprint: &fingerprint,
            token_key,
            token: &token,
        };
        let after = edit::added(open.text(), &device).map_err(|reason| open.edit_failed(reason))?;
        open.replace(&after, open.devices.len() + 1)
    };
    let warnings = write().inspect_err(|_| {
        // A certificate of this moment that nothing names would be in the way of the next try.
        for path in made
            .iter()
            .flat_map(|made| [&made.certificate, &made.private_key])
        {
            let _ = fs::remove_file(path);
        }
    })?;
    for warning in warnings {
        say("warning", &warning.to_string());
    }
    if let Some(made) = made {
        let (certificate, key) = (
            Shown::path(&made.certificate),
            Shown::path(&made.private_key),
        );
        writeln!(out, "made   {certificate}  {key}")?;
    }
    writeln!(
        out,
        "added  {:?} to {}",
        args.name,
        Shown::path(file.path())
    )?;
    let then = match token_key {
        "token_env" => THEN_WITH_VARIABLE,
        _ => THEN,
    };
    writeln!(out, "{then}")?;
    Ok(())
}

/// A name or certificate that is there already.
fn refuse_twice(open: &Open<'_>, name: &str, claimed: &[Fingerprint]) -> Result<(), Failed> {
    let path = Shown::path(open.file.path());
    if let Some(there) = open.devices.iter().find(|device| device.name == name) {
        return Err(format!(
            "there is a device named {name:?} already ({path}:{}); choose another name, or remove that one first: \
             coaps-gateway device remove {name:?}",
            there.line
        )
        .into());
    }
    for fingerprint in claimed {
        let has = |device: &&ListedDevice| device.fingerprints.contains(fingerprint);
        if let Some(owner) = open.devices.iter().find(has) {
            return Err(format!(
                "{fingerprint} belongs to {:?} already ({path}:{}): one certificate for one device",
                owner.name, owner.line
            )
            .into());
        }
    }
    Ok(())
}

fn both(id: CertificateId) -> Vec<Fingerprint> {
    vec![Fingerprint::Sha256(id.sha256), Fingerprint::Sha3(id.sha3)]
}

/// What the only certificate in a file is called.
fn of_certificate(path: &Path) -> Result<CertificateId, Failed> {
    let shown = Shown::path(path);
    let all = fingerprint::read(path).map_err(|reason| format!("{shown}: {reason}"))?;
    match all.as_slice() {
        [only] if x509_parser::parse_x509_certificate(only).is_ok() => Ok(CertificateId::of(only)),
        [_] => Err(format!("{shown}: the certificate is malformed").into()),
        several => Err(format!(
            "{shown} holds {} certificates; leave only the device's own, or give its --fingerprint \
             (coaps-gateway fingerprint {shown})",
            several.len()
        )
        .into()),
    }
}

fn remove(args: &RemoveArgs, file: &RegistryFile, out: &mut impl Write) -> Outcome {
    let path = Shown::path(file.path());
    if !file.path().exists() {
        return Err(format!("{path} is not there: no device is registered").into());
    }
    let open = Open::new(file)?;
    let is_there = open.devices.iter().any(|device| device.name == args.name);
    let Some(text) = open.text().filter(|_| is_there) else {
        let count = open.devices.len();
        return Err(format!(
            "there is no device named {} among the {count} in {path}; see coaps-gateway device list",
            Shown::value(&args.name)
        )
        .into());
    };
    let removed = edit::removed(text, &args.name).map_err(|reason| open.edit_failed(reason))?;
    let text = match removed.text.as_str() {
        "" => NOBODY,
        text => text,
    };
    for warning in open.replace(text, open.devices.len() - 1)? {
        say("warning", &warning.to_string());
    }
    writeln!(out, "removed  {:?} from {path}", args.name)?;
    if removed.comments {
        writeln!(
            out,
            "Comments beside it were kept: see whether they still fit."
        )?;
    }
    writeln!(out, "{THEN}")?;
    Ok(())
}
