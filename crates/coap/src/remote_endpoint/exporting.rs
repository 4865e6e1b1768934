//! An endpoint as bytes: see [`crate::export`].

use super::RemoteEndpoint;
use crate::deduplication::Deduplication;
use crate::export::{FORMAT, RestoreError, Restored};
use crate::message_id::MessageIds;
use crate::observe::Observations;
use bytes::{Buf, BufMut};
use std::time::{Duration, Instant};

/// Message IDs were used within EXCHANGE_LIFETIME.
const USED_LATELY: u8 = 1;
/// There was a relation.
const OBSERVATIONS: u8 = 2;
/// The export is the endpoint's last, and has its messages.
const FINAL: u8 = 4;

impl RemoteEndpoint {
    /// What must outlive the process: Message IDs, observation relations, and if the export is final, which means that
    /// nothing is sent after it, the messages remembered for deduplication.
    ///
    /// An endpoint that rests and does not observe takes four bytes, six if the export is final. Each relation takes some forty.
    #[must_use]
    pub fn export(&self, now: Instant, is_final: bool) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(FORMAT);
        let flags = [
            (self.message_ids.used_lately(now), USED_LATELY),
            (!self.observations.is_unused(), OBSERVATIONS),
            (is_final, FINAL),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        out.put_u8(set.fold(0, |flags, (_, flag)| flags | flag));
        self.message_ids.export(now, &mut out);
        self.observations.export(now, &mut out);
        if is_final {
            let is_open = |key| {
                let mut open = self.exchanges.iter();
                open.any(|exchange| exchange.message == key) || self.is_queued(key)
            };
            self.deduplication.export(now, is_open, &mut out);
        }
        out
    }

    /// An endpoint out of its export, `since` long ago. The ids of its observations are the same. Before it
    /// sends anything, its own export must be stored: restored from the former one again, it would skip to the same numbers.
    ///
    /// # Errors
    /// The bytes are not an export of this format.
    pub fn restore(
        now: Instant,
        since: Duration,
        mut export: &[u8],
    ) -> Result<RemoteEndpoint, RestoreError> {
        let from = &mut export;
        match from.try_get_u8()? {
            FORMAT => {}
            format => return Err(RestoreError::Format(format)),
        }
        let flags = from.try_get_u8()?;
        if flags & !(USED_LATELY | OBSERVATIONS | FINAL) != 0 {
            return Err(RestoreError::Malformed);
        }
        let has = |flag| flags & flag != 0;
        let restored = Restored {
            now,
            since,
            sent_since: !has(FINAL),
        };
        let message_ids = MessageIds::restore(restored, has(USED_LATELY), from)?;
        let observations = match has(OBSERVATIONS) {
            true => Observations::restore(restored, from)?,
            false => Observations::default(),
        };
        let deduplication = match has(FINAL) {
            true => Deduplication::restore(restored, from)?,
            false => Deduplication::default(),
        };
        if from.has_remaining() {
            return Err(RestoreError::Malformed);
        }
        Ok(RemoteEndpoint {
            message_ids,
            observations,
            deduplication,
            ..RemoteEndpoint::new(0)
        })
    }
}
