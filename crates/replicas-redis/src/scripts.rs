//! The scripts, and the arguments of each call.

use replicas::store::{CLOCK_ERROR, Call};
use replicas::{AddressKey, MAX_NODES, Name, Owner};
use std::fmt::Write;
use std::time::Duration;

/// How many addresses are read with one renewal of a lease.
const MAX_ADDRESSES: u32 = 10_000;

/// How many superseded sessions are.
const MAX_SUPERSEDED: u32 = 10_000;

const PRELUDE: &str = include_str!("scripts/prelude.lua");

/// A script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    Lease,
    Release,
    Orphans,
    Create,
    Claim,
    Save,
    Remove,
}

impl Script {
    pub(crate) const ALL: [Script; 7] = [
        Script::Lease,
        Script::Release,
        Script::Orphans,
        Script::Create,
        Script::Claim,
        Script::Save,
        Script::Remove,
    ];

    /// Its text.
    pub(crate) fn text(self) -> String {
        let own = match self {
            Script::Lease => include_str!("scripts/lease.lua"),
            Script::Release => include_str!("scripts/release.lua"),
            Script::Orphans => include_str!("scripts/orphans.lua"),
            Script::Create => include_str!("scripts/create.lua"),
            Script::Claim => include_str!("scripts/claim.lua"),
            Script::Save => include_str!("scripts/save.lua"),
            Script::Remove => include_str!("scripts/remove.lua"),
        };
        format!("{PRELUDE}\n{own}")
            .replace("MAX_NODES", &MAX_NODES.to_string())
            .replace("MAX_ADDRESSES", &MAX_ADDRESSES.to_string())
            .replace("MAX_SUPERSEDED", &MAX_SUPERSEDED.to_string())
            .replace("CLOCK_ERROR", &CLOCK_ERROR.to_string())
    }
}

/// What a connection adds to each call.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The run of the server.
    pub(crate) run: u64,
    /// How long a session is kept after it was written last.
    pub(crate) ttl: Duration,
}

/// The script of a call, and its arguments.
pub(crate) fn arguments(call: &Call, context: &Context) -> (Script, Vec<Vec<u8>>) {
    let run = || text(context.run);
    let ttl = || text(context.ttl.as_millis());
    match call {
        Call::Lease {
            had,
            instance,
            address,
            length,
            seen,
            superseded_seen,
        } => {
            let (node, fence) =
                had.map_or_else(Default::default, |had| (text(had.node.0), text(had.fence)));
            // The id of a store that has none: eight bytes of an instance are as random as any.
            let [a, b, c, d, e, f, g, ..] = instance.0;
            let id = u64::from_be_bytes([0, a, b, c, d, e, f, g]).max(1);
            let arguments = vec![
                node,
                fence,
                hex(&instance.0),
                text(address),
                text(length.as_millis()),
                text(seen),
                text(superseded_seen),
                text(id),
                run(),
            ];
            (Script::Lease, arguments)
        }
        Call::Release { owner } => (Script::Release, vec![owner_text(*owner)]),
        Call::Orphans { owner, most } => (Script::Orphans, vec![owner_text(*owner), text(most)]),
        Call::Create {
            key,
            owner,
            address,
            device,
            observes,
            start,
            born,
            is_again,
            block,
            pace,
            row,
        } => {
            let arguments = vec![
                hex(&key.0),
                owner_text(*owner),
                address_text(*address),
                text(start),
                text(born),
                run(),
                text(block),
                text(pace),
                ttl(),
                row.clone(),
                text(u8::from(*is_again)),
                device.map_or_else(Vec::new, |device| hex(&device.0)),
                text(u8::from(*observes)),
            ];
            (Script::Create, arguments)
        }
        Call::Claim {
            name,
            owner,
            held,
            take,
            block,
            pace,
        } => {
            let (by, name) = match name {
                Name::Session(key) => ("s", hex(&key.0)),
                Name::Address(address) => ("a", hex(&address.0)),
            };
            let arguments = vec![
                text(by),
                name,
                owner_text(*owner),
                held.map_or_else(Vec::new, text),
                text(u8::from(*take)),
                run(),
                text(block),
                text(pace),
                ttl(),
            ];
            (Script::Claim, arguments)
        }
        Call::Save {
            key,
            version,
            owner,
            address,
            moves,
            observes,
            block,
            pace,
            row,
        } => {
            let arguments = vec![
                hex(&key.0),
                text(version),
                owner_text(*owner),
                address_text(*address),
                run(),
                block.map_or_else(Vec::new, text),
                text(pace),
                ttl(),
                row.clone(),
                text(u8::from(*moves)),
                text(u8::from(*observes)),
            ];
            (Script::Save, arguments)
        }
        Call::Remove {
            key,
            version,
            owner,
        } => {
            let arguments = vec![hex(&key.0), text(version), owner_text(*owner)];
            (Script::Remove, arguments)
        }
    }
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn owner_text(owner: Owner) -> Vec<u8> {
    text(owner)
}

fn address_text(address: Option<AddressKey>) -> Vec<u8> {
    address.map_or_else(Vec::new, |address| hex(&address.0))
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for byte in bytes {
        // Writing to a string does not fail.
        _ = write!(out, "{byte:02x}");
    }
    out.into_bytes()
}
