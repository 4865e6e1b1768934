//! What one endpoint holds of bodies that don't fit one message (RFC 7959), and until when.
//!
//! [`gathering`](super::gathering) puts together what comes, [`cutting`](super::cutting) cuts what goes.

use super::{Context, RemoteEndpoint};
use crate::block1::Uploads;
use crate::block2::Snapshots;
use crate::body::{Account, Charge};
use crate::code::Code;
use crate::request::Response;
use std::sync::Arc;
use std::time::Instant;

/// Seconds after which a client may try again when no more bytes of bodies can be held.
const NO_ROOM_MAX_AGE: u32 = 30;

/// What one endpoint holds of bodies. Only those that transfer some have it.
#[derive(Debug)]
pub(super) struct Blockwise {
    pub(super) account: Arc<Account>,
    pub(super) uploads: Uploads,
    pub(super) snapshots: Snapshots,
}

impl Blockwise {
    /// Whether nothing is held any more, here or by the gateway.
    fn is_idle(&self) -> bool {
        self.uploads.is_empty()
            && self.snapshots.is_empty()
            && Arc::strong_count(&self.account) == 1
    }
}

impl RemoteEndpoint {
    pub(super) fn blockwise(&mut self, context: &Context<'_>) -> &mut Blockwise {
        self.blockwise.get_or_insert_with(|| {
            Box::new(Blockwise {
                account: context.bodies.account(context.parameters, context.holder),
                uploads: Uploads::default(),
                snapshots: Snapshots::default(),
            })
        })
    }

    /// Forgets what nobody went on with.
    pub(super) fn expire_bodies(&mut self, now: Instant, context: &mut Context<'_>) {
        if let Some(blockwise) = &mut self.blockwise {
            context.counters.uploads_expired += blockwise.uploads.expire(now);
            blockwise.snapshots.expire(now);
            self.free_idle_blockwise();
        }
    }

    /// Holds no heap for bodies when there are none.
    pub(super) fn free_idle_blockwise(&mut self) {
        self.blockwise.take_if(|blockwise| blockwise.is_idle());
    }

    /// When [`expire_bodies`](Self::expire_bodies) has something next.
    pub(super) fn next_body_timeout(&self) -> Option<Instant> {
        let blockwise = self.blockwise.as_ref()?;
        let deadlines = [
            blockwise.uploads.next_timeout(),
            blockwise.snapshots.next_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Bytes of bodies that this endpoint accounts for: those on their way in, those the gateway has
    /// not let go of, those kept to be sent.
    pub fn body_bytes(&self) -> usize {
        let blockwise = self.blockwise.as_ref();
        blockwise.map_or(0, |blockwise| blockwise.account.held())
    }
}

/// Gives up something, so that the charge may become so many bytes: of whoever keeps most, or else of the endpoint's
/// own. Returns whether there was anything.
pub(super) fn make_room(
    snapshots: &mut Snapshots,
    charge: &Charge,
    bytes: usize,
    evicted: &mut u64,
) -> bool {
    let of_others = charge.evict_for(bytes);
    *evicted += u64::from(of_others);
    of_others || snapshots.evict_one()
}

/// What a client is told when so many bytes can't be held.
pub(super) fn no_room() -> Response {
    let why = "too many bytes of bodies are under way";
    Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(NO_ROOM_MAX_AGE)
}
