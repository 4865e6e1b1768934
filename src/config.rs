//! The configuration: `gateway.toml` and the environment, checked as a whole, with every mistake reported at once.
//!
//! `gateway.toml` is read first, then the environment, which takes precedence (`COAPS_GATEWAY__SECTION__KEY`), then the
//! files they name: the gateway's certificate and key, the trust anchors, the revocation lists, the device
//! registry. Paths are relative to the working directory. Each [`Mistake`](mistake::Mistake) says where it is, what was
//! found and what was expected; a [`Warning`] is for what works, but probably not as intended.
//!
//! Each section has a file of its own, with one [`key`] entry for each of its keys. A new key is such an entry and the
//! field that it sets; `config/gateway.toml`, `--help` and the documentation's table are made from the entries
//! ([`mod@reference`]).

mod admin;
mod certificates;
mod clients;
mod coap;
mod devices;
mod dtls;
mod file;
mod group;
mod key;
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
mod sections;
mod server;
mod shutdown;
mod sources;
mod state;
mod toml_text;
mod unknown;
mod upstream;
mod value;

pub(crate) use admin::Admin;
pub(crate) use devices::{ListedDevice, RegistryFile, TokenSource, is_device_name};
pub(crate) use file::{Stamp, WatchedFile};
pub(crate) use listen::Listen;
pub(crate) use load::admin_address;
pub use load::log_settings;
pub(crate) use mistake::{Mistakes, Warning};
pub(crate) use reader::Reading;
pub(crate) use reference::gateway_toml;
pub(crate) use shutdown::Shutdown;
pub(crate) use sources::{Sources, WatchedFiles};

use crate::device::Registry;
use std::sync::Arc;

/// The file that is read when none is named.
pub(crate) const DEFAULT_FILE: &str = "config/gateway.toml";

/// All settings, valid, and the contents of the files they name.
#[derive(Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[admin]`
    pub admin: Admin,
    /// `[server]`: the certificate and key shown to devices.
    pub server: crate::credentials::ServerCredentials,
    /// `[clients]`: which certificates are accepted.
    pub clients: crate::credentials::ClientPolicy,
    /// `clients.provision`: whether an unregistered certificate may POST `api/v1/provision`.
    pub provision: bool,
    /// `[devices]`: which certificate is which device. Empty if there is no file.
    pub registry: Arc<Registry>,
    /// `[upstream]`
    pub upstream: crate::upstream::Settings,
    /// `[upstream]`: bounds of calls for devices.
    pub calls: crate::upstream::CallLimits,
    /// `[relay]`: Observe.
    pub relay: crate::relay::Settings,
    /// `[ota]`: packages.
    pub ota: crate::ota::Settings,
    /// `[coap]`
    pub coap: ::coap::Parameters,
    /// `[dtls]`, and `[limits]` of handshakes and sessions.
    pub dtls: crate::dtls::Parameters,
    /// `[limits]` of devices.
    pub limits: crate::device::Limits,
    /// `[state]`: where sessions are stored. `None`: they end with the process.
    pub state: Option<crate::state::settings::Settings>,
    /// Where sessions are shared with other gateways. `None`: with none.
    pub group: Option<crate::group::settings::Settings>,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[log]`
    pub log: crate::logging::Settings,
    /// Reads registry and certificates again.
    pub sources: Sources,
    /// The files of each source.
    pub watched: WatchedFiles,
}

#[cfg(test)]
mod tests;
