//! `device list | add | remove`: the registry's file, edited in place.
//!
//! The new text is checked by the registry's own reader before it is written, and replaces the file in one step.

mod args;
mod edit;
mod list;
mod replace;
mod token;

pub(super) use args::DeviceArgs;

use super::{Failed, Outcome, certs, fingerprint, print_error, print_mistakes, print_warning};
use crate::authority;
use crate::config::{ListedDevice, RegistryFile, Warning, is_device_name};
use crate::credentials::own_certificate;
use crate::device::{CertificateId, Fingerprint};
use crate::shown::Shown;
use args::{AddArgs, DeviceCommand, RemoveArgs};
use edit::NewDevice;
use replace::LockedFile;
use std::fs;
use std::io::Write;
use std::path::Path;
use zeroize::Zeroizing;

/// When an edit takes effect.
const TAKES_EFFECT: &str = "A running gateway reloads the registry within seconds, and logs that.";
const TAKES_EFFECT_WITH_VARIABLE: &str = "\
A running gateway has only the variables it was started with: until it is restarted with this one, it refuses the
whole registry and keeps the previous one.";

/// The registry without devices. An empty file would be taken for damaged.
const NO_DEVICES: &str = "# No device is registered.\n";

pub(super) fn device(args: DeviceArgs, out: &mut impl Write) -> Outcome {
    let find = |config: Option<&Path>| {
        RegistryFile::named_by(config, std::env::vars_os()).map_err(print_mistakes)
    };
    match args.command {
        DeviceCommand::List(args) => {
            list::list(&find(args.config.config.as_deref())?, args.json, out)
        }
        DeviceCommand::Add(args) => add(&args, &find(args.config.config.as_deref())?, out),
        DeviceCommand::Remove(args) => remove(&args, &find(args.config.config.as_deref())?, out),
    }
}

/// A registry that is locked for this process, and its contents.
struct LockedRegistry<'f> {
    file: &'f RegistryFile,
    lock: LockedFile,
    bytes: Option<Zeroizing<Vec<u8>>>,
    devices: Vec<ListedDevice>,
}

impl<'f> LockedRegistry<'f> {
    /// Locks and reads it. A registry with mistakes is not edited.
    fn new(file: &'f RegistryFile) -> Result<Self, Failed> {
        let on_wait = || print_warning("waiting for another `device` command to end");
        let lock = LockedFile::new(file.path(), replace::LOCK_TIMEOUT, on_wait)?;
        let bytes = file.read()?;
        let (devices, _) = match &bytes {
            Some(bytes) => file.devices(bytes).map_err(print_mistakes)?,
            None => Default::default(),
        };
        Ok(LockedRegistry {
            file,
            lock,
            bytes,
            devices,
        })
    }

    /// Its text; `None`: the file is missing. Other than UTF-8 would have been a mistake.
    fn text(&self) -> Option<&str> {
        self.bytes
            .as_ref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Replaces it, if the registry's reader finds no mistake in the new text, and `count` devices.
    fn replace(&self, after: &str, count: usize) -> Result<Vec<Warning>, Failed> {
        let path = Shown::path(self.file.path());
        let (devices, warnings) = self.file.devices(after.as_bytes()).map_err(|mistakes| {
            let failed = print_mistakes(mistakes);
            print_error(&format!("{path} is not changed"));
            failed
        })?;
        if devices.len() != count {
            return Err(format!(
                "{path} is written in a way that can't be edited: edit it by hand"
            )
            .into());
        }
        let before = self.bytes.as_ref().map(|bytes| bytes.as_slice());
        if let Some(warning) = self.lock.replace(before, after.as_bytes())? {
            print_warning(&warning);
        }
        Ok(warnings)
    }

    fn edit_failed(&self, reason: String) -> Failed {
        format!("{}: {reason}", Shown::path(self.file.path())).into()
    }
}

fn add(args: &AddArgs, file: &RegistryFile, out: &mut impl Write) -> Outcome {
    if !is_device_name(&args.name) {
        return Err(format!(
            "{} can't be a device's name: 1 to 128 characters, all of them visible, no space at either end",
            Shown::misplaced(&args.name)
        )
        .into());
    }
    let (token_key, token) = token::read(&args.token)?;
    let mut fingerprints = match (&args.identity.certificate, args.identity.fingerprint) {
        (Some(path), _) => both(of_certificate(path)?),
        (None, Some(fingerprint)) => vec![fingerprint],
        (None, None) => Vec::new(),
    };
    let directory = replace::parent(file.path());
    fs::create_dir_all(directory)
        .map_err(|error| format!("{} can't be made: {error}", Shown::path(directory)))?;
    let registry = LockedRegistry::new(file)?;
    refuse_duplicate(&registry, &args.name, &fingerprints)?;

    let made = if args.identity.new_certificate {
        let made = authority::add_device(&args.certs, &args.name, args.key_type, certs::today()?)?;
        fingerprints = both(made.id);
        Some(made)
    } else {
        None
    };
    let write = || {
        let fingerprint = fingerprints
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        let device = NewDevice {
            name: &args.name,
            fingerprint: &fingerprint,
            token_key,
            token: &token,
        };
        let after =
            edit::added(registry.text(), &device).map_err(|reason| registry.edit_failed(reason))?;
        registry.replace(&after, registry.devices.len() + 1)
    };
    let warnings = write().inspect_err(|_| {
        // A new certificate that no registry names would make the next try fail.
        for path in made
            .iter()
            .flat_map(|made| [&made.certificate, &made.private_key])
        {
            let _ = fs::remove_file(path);
        }
    })?;
    for warning in warnings {
        print_warning(&warning.to_string());
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
    let takes_effect = match token_key {
        "token_env" => TAKES_EFFECT_WITH_VARIABLE,
        _ => TAKES_EFFECT,
    };
    writeln!(out, "{takes_effect}")?;
    Ok(())
}

/// Refuses a name or certificate that another device has.
fn refuse_duplicate(
    registry: &LockedRegistry<'_>,
    name: &str,
    fingerprints: &[Fingerprint],
) -> Result<(), Failed> {
    let path = Shown::path(registry.file.path());
    if let Some(existing) = registry.devices.iter().find(|device| device.name == name) {
        return Err(format!(
            "there is a device named {name:?} already ({path}:{}); choose another name, or remove that one first: \
             coaps-gateway device remove {name:?}",
            existing.line
        )
        .into());
    }
    for fingerprint in fingerprints {
        let has = |device: &&ListedDevice| device.fingerprints.contains(fingerprint);
        if let Some(owner) = registry.devices.iter().find(has) {
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

/// The fingerprints of the device's certificate in a file.
fn of_certificate(path: &Path) -> Result<CertificateId, Failed> {
    let shown = Shown::path(path);
    let all = fingerprint::read(path).map_err(|reason| format!("{shown}: {reason}"))?;
    match own_certificate(&all) {
        Ok(own) => Ok(CertificateId::of(own)),
        Err(reason) => Err(format!(
            "{shown}: {reason}; --fingerprint takes what `coaps-gateway fingerprint {shown}` prints"
        )
        .into()),
    }
}

fn remove(args: &RemoveArgs, file: &RegistryFile, out: &mut impl Write) -> Outcome {
    let path = Shown::path(file.path());
    if !file.path().exists() {
        return Err(format!("{path} does not exist: no device is registered").into());
    }
    let registry = LockedRegistry::new(file)?;
    let is_there = registry
        .devices
        .iter()
        .any(|device| device.name == args.name);
    let Some(text) = registry.text().filter(|_| is_there) else {
        let count = registry.devices.len();
        return Err(format!(
            "there is no device named {} among the {count} in {path}; see coaps-gateway device list",
            Shown::value(&args.name)
        )
        .into());
    };
    let removed = edit::removed(text, &args.name).map_err(|reason| registry.edit_failed(reason))?;
    let text = match removed.text.as_str() {
        "" => NO_DEVICES,
        text => text,
    };
    for warning in registry.replace(text, registry.devices.len() - 1)? {
        print_warning(&warning.to_string());
    }
    writeln!(out, "removed  {:?} from {path}", args.name)?;
    if removed.comments {
        writeln!(
            out,
            "Comments above or below it were kept: see whether they still apply."
        )?;
    }
    writeln!(out, "{TAKES_EFFECT}")?;
    Ok(())
}
