//! Firmware and software in chunks.

use super::publish::Verdict;
use super::{Context, MAX_ENTRIES, Phase, Session, code};
use crate::mqtt::packet::MAX_REMAINING;
use crate::packages::{OpenError, OpenPackage, PackageKind};
use std::collections::HashMap;

/// The downloads of one connection, by the id that the device has chosen.
#[derive(Default)]
pub(super) struct Downloads {
    /// The package that a download began with: another assignment does not change it.
    packages: HashMap<String, OpenPackage>,
    /// The last size of a chunk.
    sizes: HashMap<String, i32>,
}

impl Session {
    /// Fetches a chunk. The payload is its size; an empty one, zero or a negative number stands for the last size of
    /// this download, and without one for the whole package.
    pub(super) fn fetch(
        &mut self,
        cx: &mut Context<'_>,
        kind: PackageKind,
        id: &str,
        chunk: &str,
        payload: &str,
    ) -> Verdict {
        let Phase::Device(device) = &mut self.phase else {
            return Verdict::Silent;
        };
        let size = if payload.is_empty() {
            Ok(0)
        } else {
            payload.parse::<i32>()
        };
        let (Ok(size), Ok(chunk)) = (size, chunk.parse::<i32>()) else {
            return Verdict::Close(code::SHUTTING_DOWN);
        };
        let downloads = &mut device.downloads;
        if downloads.packages.len() >= MAX_ENTRIES || downloads.sizes.len() >= MAX_ENTRIES {
            return Verdict::Close(code::IMPLEMENTATION);
        }
        let size = if size > 0 {
            downloads.sizes.insert(id.to_owned(), size);
            size
        } else {
            downloads.sizes.get(id).copied().unwrap_or(0)
        };
        if usize::try_from(size).is_ok_and(|size| size > MAX_REMAINING) {
            return Verdict::PackageError("PAYLOAD_TOO_LARGE");
        }
        let package = match downloads.packages.get(id) {
            Some(package) => package.clone(),
            None => {
                if !cx.state.mqtt.take_message(&device.name, cx.now_ms) {
                    return Verdict::Close(code::IMPLEMENTATION);
                }
                match cx.state.packages.open(&device.name, kind) {
                    Ok(package) => {
                        downloads.packages.insert(id.to_owned(), package.clone());
                        package
                    }
                    Err(OpenError::NotFound) => return Verdict::PackageError("NOT_FOUND"),
                    Err(OpenError::External) => return Verdict::PackageError("FAILURE"),
                }
            }
        };
        let prefix = match kind {
            PackageKind::Firmware => "v2/fw/response",
            PackageKind::Software => "v2/sw/response",
        };
        // Without an answer where the offset is negative: the exception is logged behind the PUBACK.
        let part = cx.state.packages.fetch_part(&package, size, chunk);
        Verdict::Accepted(part.map(|part| (format!("{prefix}/{id}/chunk/{chunk}"), part)))
    }
}
