//! Between devices that download packages, the cache that all devices share, and ThingsBoard.

use super::Core;
use super::respond::Why;
use crate::calls::parsing::Parsed;
use crate::calls::{Call, Ticket};
use crate::device::Device;
use crate::dtls::SessionId;
use crate::mapping::package::Download;
use crate::ota::{CallId, PackageEffect, ReadRequest, RequestId};
use crate::relay::ObservationEnd;
use crate::upstream::{self, Error};
use coap::ExchangeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// GETs for blocks that wait for the cache. Each is answered within the time of a few calls to ThingsBoard; those of a
/// session that has ended by then are dropped.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    last: u64,
    waiting: HashMap<RequestId, (SessionId, ExchangeId, Download)>,
    /// The device under whose access token each call is made.
    callers: HashMap<CallId, Arc<Device>>,
}

impl Downloads {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Core {
    /// A device requests a block of its package.
    pub(super) fn download(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        download: Download,
        wanted: ReadRequest,
    ) {
        let Some(device) = self.device_of(session) else {
            return;
        };
        self.downloads.last += 1;
        let id = RequestId(self.downloads.last);
        self.downloads
            .waiting
            .insert(id, (session, exchange, download));
        let group = self.registry.package_group(&device.name);
        self.packages.read(now, &device, group, wanted, id);
    }

    /// Carries out an effect of the packages.
    pub(super) fn run_package_effect(&mut self, now: Instant, effect: PackageEffect) {
        match effect {
            PackageEffect::Call {
                call,
                device,
                operation,
            } => {
                self.downloads.callers.insert(call, device.clone());
                let call = Call {
                    ticket: Ticket::Package(call),
                    request: upstream::Request::Device { device, operation },
                };
                self.queue_call(now, call);
            }
            PackageEffect::Answer(id, block) => {
                if let Some((session, exchange, download)) = self.downloads.waiting.remove(&id) {
                    let response = download.response(block);
                    self.respond(now, session, exchange, response, Why::Handled);
                }
            }
        }
    }

    /// A call for a package has ended.
    pub(super) fn package_call_ended(
        &mut self,
        now: Instant,
        call: CallId,
        outcome: Result<Parsed, Error>,
    ) {
        let device = self.downloads.callers.remove(&call);
        let outcome = outcome.and_then(Parsed::answer);
        if let Err(error) = &outcome {
            self.journal.package_failed(now, error);
            if let (Some(end), Some(device)) = (ObservationEnd::of(error), device) {
                self.refuse_observations(now, &device, end);
            }
        }
        self.packages.completed(now, call, outcome);
    }
}
