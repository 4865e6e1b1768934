//! The registry's file for commands that list or edit it: every device, and no token.

use super::super::file;
use super::super::layers::{Environment, Settings};
use super::super::mistake::{Mistakes, Warning};
use super::super::reader::Reader;
use super::LARGEST;
use super::listed_device::ListedDevice;
use super::registry_reader::{Mode, read_registry};
use crate::shown::Shown;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file that the configuration names as its registry.
pub(crate) struct RegistryFile {
    path: PathBuf,
    /// Whether the configuration names it. The default path may be missing.
    is_set: bool,
    environment: Environment,
}

impl RegistryFile {
    /// The registry at this path. `is_set`: whether the configuration names it.
    pub(in crate::config) fn new(path: PathBuf, is_set: bool, environment: Environment) -> Self {
        RegistryFile {
            path,
            is_set,
            environment,
        }
    }

    /// Its path, as the configuration has it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it may be missing, because the configuration does not name it.
    pub(crate) fn may_be_missing(&self) -> bool {
        !self.is_set
    }

    /// Its contents; `None` if it does not exist.
    pub(crate) fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        match file::read(&self.path, LARGEST, &mut Vec::new()) {
            Ok(contents) => Ok(Some(contents.bytes)),
            Err(file::Unreadable::Missing) => Ok(None),
            Err(reason) => Err(format!(
                "{} can't be read: {reason}",
                Shown::path(&self.path)
            )),
        }
    }

    /// Every device in `bytes`, read as the gateway reads this file. A token in a variable or file that this process
    /// can't read is no mistake but a warning: the shell has not the gateway's environment and rights.
    pub(crate) fn devices(
        &self,
        bytes: &[u8],
    ) -> Result<(Vec<ListedDevice>, Vec<Warning>), Mistakes> {
        let name = Shown::path(&self.path).to_string();
        let mut reader = Reader::new(name.clone(), Settings::new(), Vec::new(), Vec::new());
        let contents = file::Contents {
            bytes: Zeroizing::new(bytes.to_vec()),
            open_to_all: file::is_open_to_all(&self.path),
        };
        let environment = &self.environment;
        let (_, listed) = read_registry(&mut reader, &name, &contents, environment, Mode::List);
        match reader.finish() {
            (mistakes, warnings) if mistakes.is_empty() => Ok((listed, warnings)),
            (mistakes, _) => Err(Mistakes(mistakes)),
        }
    }
}
