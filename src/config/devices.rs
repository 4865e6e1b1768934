//! `[devices]`: the device registry's file.

mod entry;
mod fields;
mod listed_device;
mod pieces;
mod registry_file;
mod registry_reader;

pub(crate) use entry::is_device_name;
pub(crate) use listed_device::{ListedDevice, TokenSource};
pub(crate) use registry_file::RegistryFile;

use super::file;
use super::key::{Section, key};
use super::kind::{FilePath, OrEmpty};
use super::layers::Environment;
use super::reader::Reader;
use crate::device::Registry;
use crate::shown::Shown;
use registry_reader::{Mode, read_registry};
use std::path::PathBuf;

/// Well over a million devices.
const LARGEST: u64 = 256 * 1024 * 1024;

pub(super) const KEY: &str = "devices.file";

/// What follows from a registry without devices.
const EMPTY: &str = "every device gets 4.01 until it is registered";

/// The fields of a device.
pub(super) const FIELDS: [&str; 7] = [
    "name",
    "fingerprint",
    "certificate",
    "token",
    "token_file",
    "token_env",
    "package_group",
];

/// `[devices]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Devices {
    pub(super) file: Option<PathBuf>,
}

impl Default for Devices {
    fn default() -> Devices {
        Devices {
            file: Some(PathBuf::from("config/devices.toml")),
        }
    }
}

pub(super) fn section() -> Section<Devices> {
    Section {
        name: "devices",
        doc: "",
        keys: vec![key(
            KEY,
            OrEmpty(FilePath("config/devices.toml")),
            |devices: &mut Devices| &mut devices.file,
            "the device registry. Without one every device gets 4.01, and the log shows what to register",
        )],
    }
}

/// Reads the registry. It may be missing or empty: the first device is then logged with the lines to paste. But if
/// `former` has devices, the file must still be there.
pub(super) fn load(
    reader: &mut Reader,
    devices: &Devices,
    environment: &Environment,
    former: &Registry,
) -> Registry {
    if reader.is_wrong(KEY) {
        return Registry::default();
    }
    let Some(path) = &devices.file else {
        reader.warn(KEY, format!("no registry: {EMPTY}"));
        return Registry::default();
    };
    let name = Shown::path(path).to_string();
    let contents = match reader.file(path, LARGEST) {
        Ok(contents) => contents,
        Err(file::Unreadable::Missing) if !reader.is_set(KEY) && former.is_empty() => {
            reader.warn(KEY, format!("{name} does not exist: {EMPTY}"));
            return Registry::default();
        }
        Err(reason) => {
            reader.mistake(
                KEY,
                format!("{name} can't be read: {reason}"),
                "a file of [[device]] entries; an empty one will do",
            );
            return Registry::default();
        }
    };
    if contents.bytes.is_empty() && !former.is_empty() {
        // The disk is full, or an editor was interrupted: that is no reason to remove all devices.
        let expected = "a file of [[device]] entries; one that is to have none holds a comment";
        reader.mistake_at(name, "", "the file is empty", expected);
        return Registry::default();
    }
    let mode = Mode::Serve(former);
    read_registry(reader, &name, &contents, environment, mode).0
}
