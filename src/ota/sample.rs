//! Which bytes of a cached edition are compared with what ThingsBoard has now.

use super::chunk_cache::ChunkCache;
use super::edition::PIECE;
use super::editions::Editions;
use super::ids::{ChunkKey, EditionId};
use bytes::Bytes;

/// A piece of an edition, to be compared with the same piece in ThingsBoard.
#[derive(Debug)]
pub(crate) struct Sample {
    pub edition: EditionId,
    /// ThingsBoard's `size` of the piece, in bytes.
    pub size: u64,
    /// ThingsBoard's `chunk`: the piece begins at its product with `size`.
    pub chunk: u64,
    /// The piece as it is cached.
    pub bytes: Bytes,
}

pub(crate) struct Sampler<'a> {
    pub editions: &'a Editions,
    pub cache: &'a ChunkCache,
    /// Bytes of a chunk.
    pub chunk: u64,
    pub random: &'a mut fastrand::Rng,
}

impl Sampler<'_> {
    /// A piece of what is cached: every other time the last bytes and the end, which shows whether the package is longer now,
    /// and a random piece otherwise.
    pub(crate) fn sample(&mut self, id: EditionId) -> Option<Sample> {
        let end = if self.random.bool() {
            self.last_piece(id)
        } else {
            None
        };
        let piece = end.or_else(|| self.random_piece(id));
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

    /// The piece that the package ends in. Pieces begin at multiples of their size, so the size is chosen that leaves the
    /// most bytes before the end.
    fn last_piece(&self, id: EditionId) -> Option<(u64, u64, Bytes)> {
        let end = self.editions.get(id)?.end()?;
        let sizes = PIECE / 2..=PIECE;
        let size = sizes.max_by_key(|size| end % size)?;
        let offset = end - end % size;
        let bytes = self.cached(id, offset, end)?;
        (!bytes.is_empty()).then_some((size, offset, bytes))
    }

    fn random_piece(&mut self, id: EditionId) -> Option<(u64, u64, Bytes)> {
        let from = self.random.u64(..=self.cache.last_of(id)?);
        let (key, bytes) = self.cache.next_of(id, from)?;
        let length = u64::try_from(bytes.len()).ok()?;
        let begin = key.number * self.chunk;
        let offset = begin + self.random.u64(..length.max(1)) / PIECE * PIECE;
        let piece = self.cached(id, offset, (offset + PIECE).min(begin + length))?;
        Some((PIECE, offset, piece))
    }

    /// Bytes of an edition, if all of them are cached.
    fn cached(&self, edition: EditionId, from: u64, to: u64) -> Option<Bytes> {
        let chunk = self.chunk;
        let mut gathered = Vec::new();
        let mut position = from;
        while position < to {
            let number = position / chunk;
            let bytes = self.cache.peek(ChunkKey { edition, number })?;
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
