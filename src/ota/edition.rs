//! An edition: one content of a package, what is known of it, and which chunks contradict that.

use super::Name;
use super::assignment::{Checksum, Identity};
use super::ids::DownloaderId;
use aws_lc_rs::digest::{self, Context, SHA256};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// How many bytes a probe compares, at most. The size of a chunk is a multiple of it.
pub(crate) const PIECE: u64 = 64;
/// The same, as a length.
pub(crate) const MAX_PIECE_BYTES: usize = 64;

/// Chunks of one edition whose hashes are kept after they were evicted: 256 MiB in chunks of 64 KiB, which is the largest
/// package that ThingsBoard allows over CoAP.
const MAX_HASHES: usize = 4096;
/// The same: a package of more chunks can't be verified.
const MAX_VERIFIED: u64 = 4096;

/// A chunk is not of this edition: ThingsBoard has another content under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contradiction;

/// Who may have the bytes of an edition that is not verified: the device whose token fetched them, or its group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Device(DownloaderId),
    /// Devices that the operator lets share unverified bytes: `package_group` in the registry.
    Group(Arc<str>),
}

/// What a chunk means for the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    /// There are more chunks to hash, or there is no checksum to verify.
    Incomplete,
    /// The whole package has the checksum that the attributes name.
    Match,
    /// The whole package has another checksum. The verification is over.
    Mismatch,
}

/// One content of a package.
#[derive(Debug)]
pub(crate) struct Edition {
    pub name: Name,
    /// What the attributes of its devices name, which may be nothing.
    pub identity: Identity,
    /// Who may have it. `None`: it is verified, and for every device whose attributes name the same.
    owner: Option<Owner>,
    /// Bytes of a chunk.
    chunk: u64,
    salt: u64,
    etag: Option<[u8; 8]>,
    /// The package has at least so many bytes, by its chunks.
    shortest: u64,
    /// The package has at most so many bytes, by a short or empty chunk.
    longest: Option<u64>,
    /// The length that the attributes name. It is dropped if a chunk contradicts it.
    named: Option<u64>,
    /// SHA-256 of each chunk.
    hashes: HashMap<u64, [u8; 32]>,
    head: Option<Bytes>,
    checksum_state: Option<ChecksumState>,
}

/// The checksum of the chunks so far, in order.
struct ChecksumState {
    next: u64,
    context: Context,
    expected: Box<str>,
}

impl Edition {
    /// An edition of which only what the attributes name is known. `chunk`: in bytes. A `salt` other than zero gives it
    /// another ETag than that of an edition of the same name and checksum that was contradicted.
    pub(crate) fn new(
        owner: Owner,
        name: Name,
        identity: Identity,
        chunk: u64,
        salt: u64,
    ) -> Edition {
        let named = identity.size;
        let checksum = identity.checksum.as_ref();
        let checksum_state = checksum.and_then(ChecksumState::new);
        let etag = checksum.map(|checksum| {
            let parts = [&*checksum.algorithm, &*checksum.value].map(str::as_bytes);
            etag(&name, &parts, salt)
        });
        Edition {
            name,
            identity,
            owner: Some(owner),
            chunk,
            salt,
            etag,
            shortest: 0,
            longest: None,
            named,
            hashes: HashMap::new(),
            head: None,
            checksum_state,
        }
    }

    /// From the checksum, if there is one; otherwise from the first chunk, once that is known, and the length that the
    /// attributes name.
    pub(crate) fn etag(&self) -> Option<[u8; 8]> {
        self.etag
    }

    /// Whether there is a byte at this position, if that is known.
    pub(crate) fn contains(&self, position: u64) -> Option<bool> {
        if position < self.shortest {
            return Some(true);
        }
        if self.longest.is_some_and(|longest| longest <= position) {
            return Some(false);
        }
        self.named.map(|named| position < named)
    }

    /// Its length, if that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.end().or(self.named)
    }

    /// Its length, if its chunks show it.
    pub(crate) fn end(&self) -> Option<u64> {
        self.longest.filter(|longest| *longest == self.shortest)
    }

    /// Its first bytes. The first chunk is fetched before any other, so that there is always something to compare; these bytes
    /// are kept when it is evicted.
    pub(crate) fn head(&self) -> Option<&Bytes> {
        self.head.as_ref()
    }

    /// Who may have it; `None` once it is verified.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Whether only one device may have it.
    pub(crate) fn is_of_one_device(&self) -> bool {
        matches!(self.owner, Some(Owner::Device(_)))
    }

    /// Chunks whose hashes it keeps.
    pub(crate) fn hashes(&self) -> usize {
        self.hashes.len()
    }

    /// Adds a chunk: its hash, and what it shows of the length. It may be short or empty where the package ends.
    pub(crate) fn add_chunk(&mut self, number: u64, bytes: &Bytes) -> Result<(), Contradiction> {
        let start = number.saturating_mul(self.chunk);
        let digest = sha256(bytes);
        if self.owner.is_none() {
            // Every chunk was hashed when it was verified: whoever's token fetches it now, it must be that one.
            return match self.hashes.get(&number) {
                Some(hash) if *hash == digest => Ok(()),
                None if bytes.is_empty() && self.contains(start) == Some(false) => Ok(()),
                Some(_) | None => Err(Contradiction),
            };
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = start.saturating_add(length);
        if length < self.chunk {
            // Past the end ThingsBoard answers with nothing, so an empty chunk shows only that the package is no longer.
            self.longest = Some(self.longest.map_or(end, |longest| longest.min(end)));
        }
        if length > 0 {
            self.shortest = self.shortest.max(end);
        }
        if self.longest.is_some_and(|longest| longest < self.shortest) {
            return Err(Contradiction);
        }
        let fits =
            |named: &u64| self.shortest <= *named && self.longest.is_none_or(|b| *named <= b);
        self.named = self.named.filter(fits);

        if self.hashes.get(&number).is_some_and(|hash| *hash != digest) {
            return Err(Contradiction);
        }
        if self.hashes.len() < MAX_HASHES && !bytes.is_empty() {
            self.hashes.insert(number, digest);
        }
        if number == 0 {
            let head = bytes.get(..MAX_PIECE_BYTES).unwrap_or(bytes);
            self.head = Some(Bytes::copy_from_slice(head));
            let size = format!("{:?}", self.identity.size);
            let first = digest64(&[bytes]);
            self.etag
                .get_or_insert_with(|| etag(&self.name, &[&first, size.as_bytes()], self.salt));
        }
        Ok(())
    }

    /// The number of the chunk to hash next; `None` if there is no checksum to verify.
    pub(crate) fn next_to_verify(&self) -> Option<u64> {
        self.checksum_state.as_ref().map(|state| state.next)
    }

    /// Hashes the next chunk.
    pub(crate) fn verify_next(&mut self, bytes: &[u8]) -> Verification {
        let size = self.size();
        let Some(state) = &mut self.checksum_state else {
            return Verification::Incomplete;
        };
        state.context.update(bytes);
        state.next += 1;
        let reached = state.next.saturating_mul(self.chunk);
        if size.is_none_or(|size| size > reached) {
            // A chunk whose hash is not kept could not be recognised later, so the package can't be shared.
            if state.next >= MAX_VERIFIED {
                self.checksum_state = None;
            }
            return Verification::Incomplete;
        }
        match self
            .checksum_state
            .take()
            .is_some_and(ChecksumState::matches)
        {
            true => Verification::Match,
            false => Verification::Mismatch,
        }
    }

    /// Whether it was contradicted before, under the same name and checksum.
    pub(crate) fn was_contradicted(&self) -> bool {
        self.salt != 0
    }

    /// Ends the verification: the edition stays its owner's.
    pub(crate) fn give_up_verification(&mut self) {
        self.checksum_state = None;
    }

    /// It was verified: it has no owner from now on. Returns the former one.
    pub(crate) fn share(&mut self) -> Option<Owner> {
        // Its length is that of the verified bytes, whatever attributes name.
        (self.longest, self.named, self.checksum_state) = (Some(self.shortest), None, None);
        self.owner.take()
    }
}

impl ChecksumState {
    /// `None` for other algorithms than SHA-2, and for values that no content can have.
    fn new(checksum: &Checksum) -> Option<ChecksumState> {
        let algorithm = match &*checksum.algorithm {
            "SHA256" => &digest::SHA256,
            "SHA384" => &digest::SHA384,
            "SHA512" => &digest::SHA512,
            _ => return None,
        };
        let digits = checksum.value.bytes().filter(u8::is_ascii_hexdigit).count();
        let is_digest = digits == 2 * algorithm.output_len() && digits == checksum.value.len();
        is_digest.then(|| ChecksumState {
            next: 0,
            context: Context::new(algorithm),
            expected: checksum.value.clone(),
        })
    }

    /// Whether all chunks together have the expected checksum.
    fn matches(self) -> bool {
        let digest = self.context.finish();
        let digits: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        *digits == *self.expected
    }
}

impl std::fmt::Debug for ChecksumState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChecksumState")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

fn etag(name: &Name, identity: &[&[u8]], salt: u64) -> [u8; 8] {
    let package = format!("{:?}", name.package);
    let salt = salt.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![
        package.as_bytes(),
        name.title.as_bytes(),
        name.version.as_bytes(),
        &salt,
    ];
    parts.extend(identity);
    digest64(&parts)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&SHA256, bytes);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// The first eight bytes of a SHA-256 over the parts, each with its length in front.
fn digest64(parts: &[&[u8]]) -> [u8; 8] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
