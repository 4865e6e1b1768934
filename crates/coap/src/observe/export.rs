//! Observation relations as bytes: see [`crate::export`].

use super::relation::Relation;
use super::{Ended, History, MAX_ENDED, MAX_OBSERVATIONS, Observations};
use crate::export::{
    RestoreError, Restored, get_sequence_number, get_token, put_sequence_number, put_token,
};
use bytes::{Buf, BufMut};
use std::time::Instant;

impl Observations {
    /// Whether there was a relation ever.
    pub(crate) fn is_unused(&self) -> bool {
        self.history.is_none()
    }

    /// Writes the relations, and what outlives them. Notifications are left out.
    pub(crate) fn export(&self, now: Instant, out: &mut Vec<u8>) {
        let Some(history) = &self.history else {
            return;
        };
        out.put_u32(history.next_id);
        put_count(out, history.ended.0.len());
        for (token, number) in &history.ended.0 {
            put_token(out, *token);
            put_sequence_number(out, *number);
        }
        put_count(out, self.relations.len());
        for relation in self.relations.iter() {
            relation.export(now, out);
        }
    }

    pub(crate) fn restore(
        restored: Restored,
        from: &mut &[u8],
    ) -> Result<Observations, RestoreError> {
        let next_id = from.try_get_u32()?;
        let mut ended = Ended::default();
        for _ in 0..get_count(from, MAX_ENDED)? {
            let token = get_token(from)?;
            ended.add(token, get_sequence_number(restored, from)?);
        }
        let mut observations = Observations::default();
        for _ in 0..get_count(from, MAX_OBSERVATIONS)? {
            let relation = Relation::restore(restored, from)?;
            let is_known = observations.of_token(&relation.token()).is_some();
            let has_id = |one: &Relation| one.id() == relation.id();
            // Ids are given in order, and none twice.
            let is_later = relation.id().0.wrapping_sub(next_id) < 1 << 31;
            if is_known || is_later || observations.relations.iter().any(has_id) {
                return Err(RestoreError::Malformed);
            }
            observations.relations.push(relation);
        }
        observations.history = Some(Box::new(History {
            next_id,
            ended,
            bucket_full_at: None,
        }));
        Ok(observations)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // Four at most.
    out.put_u8(u8::try_from(count).unwrap_or(u8::MAX));
}

fn get_count(from: &mut &[u8], most: usize) -> Result<usize, RestoreError> {
    let count = usize::from(from.try_get_u8()?);
    match count <= most {
        true => Ok(count),
        false => Err(RestoreError::Malformed),
    }
}
