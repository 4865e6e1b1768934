//! One relation as bytes: see [`crate::export`].

use super::{ObservationId, Relation};
use crate::exchange::BlockContext;
use crate::export::{
    RestoreError, Restored, age, get_message, get_sequence_number, get_token, put_message,
    put_sequence_number, put_token,
};
use bytes::{Buf, BufMut};
use std::collections::VecDeque;
use std::time::Instant;

const CONFIRMABLE: u8 = 1;
const NOTIFIED: u8 = 2;
const BLOCKS: u8 = 4;

impl Relation {
    pub(crate) fn export(&self, now: Instant, out: &mut Vec<u8>) {
        out.put_u32(self.id.0);
        put_token(out, self.token);
        let flags = [
            (self.confirmable, CONFIRMABLE),
            (self.notified, NOTIFIED),
            (self.blocks.is_some(), BLOCKS),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        out.put_u8(set.fold(0, |flags, (_, flag)| flags | flag));
        out.put_u32(u32::try_from(age(now, self.confirmed_at)).unwrap_or(u32::MAX));
        put_message(out, self.registered_by);
        put_sequence_number(out, self.next_sequence_number);
        if let Some(blocks) = &self.blocks {
            blocks.export(out);
        }
    }

    pub(crate) fn restore(restored: Restored, from: &mut &[u8]) -> Result<Relation, RestoreError> {
        let id = ObservationId(from.try_get_u32()?);
        let token = get_token(from)?;
        let flags = from.try_get_u8()?;
        if flags & !(CONFIRMABLE | NOTIFIED | BLOCKS) != 0 {
            return Err(RestoreError::Malformed);
        }
        let has = |flag| flags & flag != 0;
        Ok(Relation {
            id,
            token,
            confirmable: has(CONFIRMABLE),
            confirmed_at: restored.at(u64::from(from.try_get_u32()?)),
            registered_by: get_message(from)?,
            // If it was notified after its export, the response to its registration is outdated.
            notified: has(NOTIFIED) || restored.sent_since,
            next_sequence_number: get_sequence_number(restored, from)?,
            blocks: match has(BLOCKS) {
                true => Some(BlockContext::restore(from)?),
                false => None,
            },
            pending: None,
            in_flight: None,
            sent: VecDeque::new(),
        })
    }
}
