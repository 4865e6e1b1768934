//! Pieces of what we have, to hold against what ThingsBoard has now.

use super::cache::Key;
use super::edition::{EditionId, PIECE};
use super::packages::Packages;
use bytes::Bytes;

/// A piece of a package that we have.
#[derive(Debug)]
pub struct Sample {
    /// Of this edition.
    pub edition: EditionId,
    /// ThingsBoard's `size` and `chunk` of it.
    pub size: u64,
    /// Counted from zero.
    pub chunk: u64,
    /// What it was.
    pub bytes: Bytes,
}

impl Packages {
    /// A piece of what we have: every other time the end and what is before it, which tells if the package goes on
    /// there now, and any piece by lot otherwise.
    pub(super) fn sample(&mut self, id: EditionId) -> Option<Sample> {
        let end = if self.random.bool() {
            self.piece_at_the_end(id)
        } else {
            None
        };
        let piece = end.or_else(|| self.piece_by_lot(id));
        let (size, offset, bytes) = piece.or_else(|| {
            let head = self.editions.get(id)?.head()?;
            Some((PIECE, 0, head.clone()))
        })?;
        Some(Sample {
            edition: id,
            size,
            chunk: offset / size,
            bytes,
        })
    }

    /// Of the sizes a piece may have the one with the most bytes before the end, where ThingsBoard begins pieces at
    /// multiples of their size.
    fn piece_at_the_end(&self, id: EditionId) -> Option<(u64, u64, Bytes)> {
        let end = self.editions.get(id)?.end()?;
        let sizes = PIECE / 2..=PIECE;
        let size = sizes.max_by_key(|size| end % size)?;
        let offset = end - end % size;
        let bytes = self.cached(id, offset, end)?;
        (!bytes.is_empty()).then_some((size, offset, bytes))
    }

    fn piece_by_lot(&mut self, id: EditionId) -> Option<(u64, u64, Bytes)> {
        let from = self.random.u64(..=self.cache.last_of(id)?);
        let (key, bytes) = self.cache.next_of(id, from)?;
        let length = u64::try_from(bytes.len()).ok()?;
        let begin = key.number * self.chunk;
        let offset = begin + self.random.u64(..length.max(1)) / PIECE * PIECE;
        let piece = self.cached(id, offset, (offset + PIECE).min(begin + length))?;
        Some((PIECE, offset, piece))
    }

    /// Bytes of an edition, if all of them are in the cache.
    fn cached(&self, edition: EditionId, from: u64, to: u64) -> Option<Bytes> {
        let chunk = self.chunk;
        let mut gathered = Vec::new();
        let mut position = from;
        while position < to {
            let number = position / chunk;
            let bytes = self.cache.peek(Key { edition, number })?;
            let start = usize::try_from(position % chunk).ok()?;
            let missing = usize::try_from(to - position).ok()?;
            let part = bytes.get(start..bytes.len().min(start.saturating_add(missing)))?;
            if part.is_empty() {
                return None;
            }
            gathered.extend_from_slice(part);
            position += u64::try_from(part.len()).ok()?;
        }
        Some(gathered.into())
    }
}
