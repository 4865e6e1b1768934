//! A file and the environment in, only valid values out, every mistake reported at once.
//!
//! `gateway.toml` is read first, then the environment over it (`COAPS_GATEWAY__SECTION__KEY`), then the
//! files they name: the gateway's certificate and key, the trust anchors, the revocation lists, the device
//! registry. Paths are relative to the working directory. Each [`Mistake`] says where it is, what is wrong and what
//! would be right; a [`Warning`] is for what works, but hardly as it was meant.

mod admin;
mod clients;
mod coap;
mod devices;
mod dtls;
mod file;
mod key;
mod keys;
mod kind;
mod layers;
mod limits;
mod listen;
mod load;
mod log;
mod mistake;
mod ota;
mod reader;
mod reference;
mod relay;
mod server;
mod shutdown;
mod sources;
mod toml_text;
mod unknown;
mod upstream;
mod value;

pub use admin::Admin;
pub use devices::{ListedDevice, RegistryFile, TokenSource, is_device_name};
pub use file::{Stamp, WatchedFile};
pub use listen::Listen;
pub use load::admin_address;
pub use log::{Log, LogFormat};
pub use mistake::{Mistake, Mistakes, Problem, Warning};
pub use ota::Ota;
pub use reader::Reading;
pub use reference::gateway_toml;
pub use relay::{Relay, RelayMode};
pub use shutdown::Shutdown;
pub use sources::{Sources, WatchedFiles};

use crate::device::Registry;
use std::sync::Arc;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "config/gateway.toml";

/// All the gateway needs to know, valid as it is.
#[derive(Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[admin]`
    pub admin: Admin,
    /// `[server]`: the certificate and key shown to devices.
    pub server: crate::dtls::ServerCredentials,
    /// `[clients]`: which certificates are let in.
    pub clients: crate::dtls::ClientPolicy,
    /// `clients.provision`: may an unregistered certificate POST `api/v1/provision`?
    pub provision: bool,
    /// `[devices]`: which certificate is which device. Empty if there is no file.
    pub registry: Arc<Registry>,
    /// `[upstream]`
    pub upstream: crate::upstream::Settings,
    /// Those of `[upstream]` that concern devices.
    pub calls: crate::upstream::CallLimits,
    /// `[relay]`: Observe.
    pub relay: Relay,
    /// `[ota]`: packages.
    pub ota: Ota,
    /// `[coap]`
    pub coap: ::coap::Parameters,
    /// `[dtls]`, and those of `[limits]` that concern handshakes and sessions as such.
    pub dtls: crate::dtls::Parameters,
    /// The rest of `[limits]`.
    pub limits: crate::device::Limits,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[log]`
    pub log: Log,
    /// Reads the files again.
    pub sources: Sources,
    /// The files that were read.
    pub watched: WatchedFiles,
}

#[cfg(test)]
mod tests;
