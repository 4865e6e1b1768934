//! An endpoint as bytes: see [`crate::export`].

use super::RemoteEndpoint;
use crate::deduplication::Deduplication;
use crate::export::{
    Extent, FORMAT, RestoreError, Restored, get_sequence_number, put_sequence_number,
};
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
/// The export has its messages, and is not its last.
const MESSAGES: u8 = 8;
/// An endpoint before this one may have had relations that it does not know.
const UNUSED_NUMBER: u8 = 16;

impl RemoteEndpoint {
    /// What must outlive the process: Message IDs, observation relations, and the messages remembered for deduplication if the
    /// extent says so.
    ///
    /// An endpoint that rests and does not observe takes four bytes, six with messages. Each relation takes some forty.
    #[must_use]
    pub fn export(&self, now: Instant, extent: Extent) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(FORMAT);
        let flags = [
            (self.message_ids.used_lately(now), USED_LATELY),
            (!self.observations.is_unused(), OBSERVATIONS),
            (extent == Extent::Final, FINAL),
            (extent == Extent::WithMessages, MESSAGES),
            (self.unused_number != 0, UNUSED_NUMBER),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        out.put_u8(set.fold(0, |flags, (_, flag)| flags | flag));
        self.message_ids.export(now, &mut out);
        if self.unused_number != 0 {
            put_sequence_number(&mut out, self.unused_number);
        }
        self.observations.export(now, &mut out);
        if extent != Extent::Running {
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
        let has = |flag| flags & flag != 0;
        let is_known =
            flags & !(USED_LATELY | OBSERVATIONS | FINAL | MESSAGES | UNUSED_NUMBER) == 0;
        if !is_known || has(FINAL) && has(MESSAGES) {
            return Err(RestoreError::Malformed);
        }
        let restored = Restored {
            now,
            since,
            sent_since: !has(FINAL),
        };
        let message_ids = MessageIds::restore(restored, has(USED_LATELY), from)?;
        let unused_number = match has(UNUSED_NUMBER) {
            true => get_sequence_number(restored, from)?,
            false => restored.above(0),
        };
        let observations = match has(OBSERVATIONS) {
            true => Observations::restore(restored, from)?,
            false => Observations::default(),
        };
        let deduplication = match has(FINAL) || has(MESSAGES) {
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
            unused_number,
            ..RemoteEndpoint::new(0)
        })
    }
}
