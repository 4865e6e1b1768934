//! Every section of `gateway.toml`, in its order. The keys of a section are in its file.

use super::admin::{self, Admin};
use super::clients::{self, Clients};
use super::devices::{self, Devices};
use super::key::Section;
use super::limits::Bounds;
use super::listen::{self, Listen};
use super::server::{self, ServerFiles};
use super::shutdown::{self, Shutdown};
use super::state::{self, State};
use super::upstream::{self, Upstream};
use super::{dtls, limits, log, ota, relay};
use coap::Parameters as Coap;
use std::sync::LazyLock;

/// The value of every key. The files that some of them name are not read yet.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) listen: Listen,
    pub(super) admin: Admin,
    pub(super) server: ServerFiles,
    pub(super) clients: Clients,
    pub(super) devices: Devices,
    pub(super) upstream: Upstream,
    pub(super) relay: crate::relay::Settings,
    pub(super) ota: crate::ota::Settings,
    pub(super) coap: Coap,
    pub(super) bounds: Bounds,
    pub(super) state: State,
    pub(super) shutdown: Shutdown,
    pub(super) log: crate::logging::Settings,
}

pub(super) static SECTIONS: LazyLock<Vec<Section<Values>>> = LazyLock::new(|| {
    vec![
        listen::section().of(|values: &mut Values| &mut values.listen),
        admin::section().of(|values: &mut Values| &mut values.admin),
        server::section().of(|values: &mut Values| &mut values.server),
        clients::section().of(|values: &mut Values| &mut values.clients),
        devices::section().of(|values: &mut Values| &mut values.devices),
        upstream::section().of(|values: &mut Values| &mut values.upstream),
        relay::section().of(|values: &mut Values| &mut values.relay),
        ota::section().of(|values: &mut Values| &mut values.ota),
        super::coap::section().of(|values: &mut Values| &mut values.coap),
        dtls::section().of(|values: &mut Values| &mut values.bounds.dtls),
        limits::section().of(|values: &mut Values| &mut values.bounds),
        state::section().of(|values: &mut Values| &mut values.state),
        shutdown::section().of(|values: &mut Values| &mut values.shutdown),
        log::section().of(|values: &mut Values| &mut values.log),
    ]
});

/// The name of every key, as `section.key`.
pub(super) static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let keys = SECTIONS.iter().flat_map(|section| &section.keys);
    keys.map(|key| key.name).collect()
});
