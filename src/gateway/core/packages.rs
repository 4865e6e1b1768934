//! Between devices that download packages, the cache that serves them all, and upstream.

use super::Core;
use crate::device::Device;
use crate::dtls::SessionId;
use crate::gateway::call::{Call, Ticket};
use crate::gateway::reading::Reading;
use crate::mapping::package::Download;
use crate::ota::{CallId, Effect, WaiterId, Wanted};
use crate::relay::Last;
use crate::upstream::{self, Error};
use coap::ExchangeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Whose blocks are awaited. Each is answered within the time that a few calls to ThingsBoard take; those of a
/// session that is gone by then come to nothing.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    last: u64,
    waiting: HashMap<WaiterId, (SessionId, ExchangeId, Download)>,
    /// Whose token each call under way has.
    asked_for: HashMap<CallId, Arc<Device>>,
}

impl Downloads {
    /// Blocks awaited.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Core {
    /// A device asks for a block of its package.
    pub(super) fn download(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        download: Download,
        wanted: Wanted,
    ) {
        let Some(device) = self.device_of(session) else {
            return;
        };
        self.downloads.last += 1;
        let id = WaiterId(self.downloads.last);
        self.downloads
            .waiting
            .insert(id, (session, exchange, download));
        let group = self.registry.package_group(&device.name);
        self.packages.read(now, &device, group, wanted, id);
    }

    /// Does what the packages want done.
    pub(super) fn do_package_effect(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Ask {
                call,
                device,
                operation,
            } => {
                self.downloads.asked_for.insert(call, device.clone());
                let call = Call {
                    ticket: Ticket::Package(call),
                    request: upstream::Request::Device { device, operation },
                };
                self.begin_call(now, call);
            }
            Effect::Answer(id, piece) => {
                if let Some((session, exchange, download)) = self.downloads.waiting.remove(&id) {
                    self.respond(now, session, exchange, download.response(piece));
                }
            }
        }
    }

    /// A call for packages has come to its end.
    pub(super) fn package_came(
        &mut self,
        now: Instant,
        call: CallId,
        outcome: Result<Reading, Error>,
    ) {
        let device = self.downloads.asked_for.remove(&call);
        let outcome = outcome.and_then(Reading::answer);
        if let Err(error) = &outcome {
            self.journal.package_failed(now, error);
            if let (Some(last), Some(device)) = (Last::of(error), device) {
                self.refuse_observations(now, &device, last);
            }
        }
        self.packages.completed(now, call, outcome);
    }
}
