//! What `check` says of the directory in which sessions are stored.

use super::print_warning;
use crate::shown::Shown;
use crate::state::settings::{KeySource, Settings};
use bytesize::ByteSize;
use rustix::fs::{Access, access, statvfs};
use state_store::{KeyFile, Look};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Bytes of a session on disk, and what is beside the database for a while: its log, and a copy of it that is set aside.
const BYTES_PER_SESSION: u64 = 2 * 400;
/// What the database takes whatever is in it.
const BYTES_AT_LEAST: u64 = 16 * 1024 * 1024;

/// The line of the summary. Prints warnings; none is a mistake, since devices are served whatever the disk does. `sessions`: how
/// many there may be.
pub(super) fn describe(
    settings: Option<&Settings>,
    group: Option<&crate::group::settings::Settings>,
    sessions: usize,
) -> String {
    if let Some(group) = group {
        let address = group.address.unwrap_or(group.listen);
        // Without user and password.
        let server = &group.server;
        return format!(
            "shared with other gateways in {server}; they reach this one at {address} (UDP)"
        );
    }
    let Some(settings) = settings else {
        return "off (state.directory): after a restart each device makes a new handshake"
            .to_owned();
    };
    let directory = &settings.directory;
    let shown = Shown::path(directory);
    let Some(there) = existing(directory) else {
        print_warning(&format!(
            "state.directory: {shown} is below a file, so that no session is stored"
        ));
        return format!("{shown}: not usable");
    };
    if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
        print_warning(&format!(
            "state.directory: this user can't create files in {} ({error}), and if the gateway's user can't either, no \
             session is stored",
            Shown::path(there)
        ));
    }
    if is_open_to_all(directory) {
        print_warning(&format!(
            "state.directory: everyone on this machine may write to {shown}: chmod 700 {shown}"
        ));
    }
    let free = free(there);
    let wanted = u64::try_from(sessions)
        .unwrap_or(u64::MAX)
        .saturating_mul(BYTES_PER_SESSION)
        .saturating_add(BYTES_AT_LEAST);
    if let Some(free) = free
        && free < wanted
    {
        print_warning(&format!(
            "state.directory: {} are free where {shown} is, and limits.sessions may need {}",
            ByteSize(free),
            ByteSize(wanted)
        ));
    }
    let mut line = format!("{shown}: {}", contents(settings, directory));
    if let Some(free) = free {
        line.push_str(&format!("; {} free", ByteSize(free)));
    }
    line
}

/// The directory, or the nearest one above it that is there. `None`: it is something else.
fn existing(directory: &Path) -> Option<&Path> {
    let mut above = directory.ancestors().map(|path| match path.as_os_str() {
        empty if empty.is_empty() => Path::new("."),
        _ => path,
    });
    above
        .find(|path| path.symlink_metadata().is_ok() || path.parent().is_none())
        .filter(|path| path.is_dir())
}

fn is_open_to_all(directory: &Path) -> bool {
    let metadata = std::fs::metadata(directory);
    metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

/// Bytes that this user may still write there.
fn free(directory: &Path) -> Option<u64> {
    let system = statvfs(directory).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// What is stored there.
fn contents(settings: &Settings, directory: &Path) -> String {
    let shown = Shown::path(directory);
    let key = match &settings.key {
        // What the file has was checked with the configuration.
        KeySource::File(path) if !path.exists() => {
            if state_store::has_database(directory) {
                print_warning(&format!(
                    "state.directory: there are sessions in {shown}, and their key file is not there: a new key will be \
                     made, they will be set aside, and all devices make a new handshake"
                ));
            }
            return "no key yet, it is made at the start".to_owned();
        }
        KeySource::File(_) | KeySource::Given(_) => settings.load_key(),
    };
    let key = match key {
        Ok(KeyFile { key, .. }) => key,
        Err(error) => {
            print_warning(&format!("state.key_file: {error}"));
            return "not looked at".to_owned();
        }
    };
    match state_store::look(directory, &key) {
        Ok(Look::Nothing) => "no session yet".to_owned(),
        Ok(Look::InUse) => "in use by a process that runs".to_owned(),
        Ok(Look::Usable { sessions, bytes }) => {
            format!("sessions: {sessions}, bytes: {bytes}")
        }
        Ok(Look::Unusable(reason)) => {
            print_warning(&format!(
                "state.directory: what is stored in {shown} will be set aside, and all devices make a new handshake: \
                 {reason}"
            ));
            "not usable".to_owned()
        }
        Ok(Look::TooLarge) => "256 MiB or more, not looked at".to_owned(),
        Err(error) => {
            print_warning(&format!("state.directory can't be looked at: {error}"));
            "not looked at".to_owned()
        }
    }
}
