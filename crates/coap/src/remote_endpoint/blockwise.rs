//! The uploads and snapshots of one endpoint (RFC 7959), and when they expire.
//!
//! They are used by [`receiving_blocks`](super::receiving_blocks) and
//! [`sending_blocks`](super::sending_blocks).

use super::{Context, RemoteEndpoint};
use crate::block1::Uploads;
use crate::block2::Snapshots;
use crate::body::{Account, Charge};
use crate::code::Code;
use crate::request::Response;
use std::sync::Arc;
use std::time::Instant;

/// Max-Age, in seconds, of a 5.03 because no memory is left for bodies.
const NO_ROOM_MAX_AGE: u32 = 30;

/// The uploads and snapshots of one endpoint. Endpoints without any don't have one.
#[derive(Debug)]
pub(super) struct Blockwise {
    pub(super) account: Arc<Account>,
    pub(super) uploads: Uploads,
    pub(super) snapshots: Snapshots,
}

impl Blockwise {
    /// Whether no bytes are charged any more, here or in requests that the application has.
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

    /// Drops unused uploads and snapshots.
    pub(super) fn expire_bodies(&mut self, now: Instant, context: &mut Context<'_>) {
        if let Some(blockwise) = &mut self.blockwise {
            context.counters.uploads_expired += blockwise.uploads.expire(now);
            blockwise.snapshots.expire(now);
            self.free_idle_blockwise();
        }
    }

    /// Frees the memory for bodies if there are none.
    pub(super) fn free_idle_blockwise(&mut self) {
        self.blockwise.take_if(|blockwise| blockwise.is_idle());
    }

    /// When [`expire_bodies`](Self::expire_bodies) is due next.
    pub(super) fn next_body_timeout(&self) -> Option<Instant> {
        let blockwise = self.blockwise.as_ref()?;
        let deadlines = [
            blockwise.uploads.next_timeout(),
            blockwise.snapshots.next_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Bytes charged to this endpoint: of uploads, of snapshots, and of bodies that the application
    /// still holds.
    pub fn body_bytes(&self) -> usize {
        let blockwise = self.blockwise.as_ref();
        blockwise.map_or(0, |blockwise| blockwise.account.held())
    }
}

/// Evicts a value so that the charge may grow to `bytes`: of the largest holder, or else of
/// the endpoint itself. Returns whether something was evicted.
pub(super) fn make_room(
    snapshots: &mut Snapshots,
    charge: &Charge,
    bytes: usize,
    evicted: &mut u64,
) -> bool {
    let of_others = charge.evict_for(bytes);
    *evicted += u64::from(of_others);
    of_others || snapshots.drop_one()
}

/// The response when no memory is left for a body.
pub(super) fn no_room() -> Response {
    let why = "too many bytes of bodies are under way";
    Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(NO_ROOM_MAX_AGE)
}
