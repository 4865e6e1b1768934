//! One content under one name: what is known of it, and what contradicts that.

use super::Name;
use super::assignment::{Checksum, Identity};
use super::readers::ReaderId;
use aws_lc_rs::digest::{self, Context, SHA256};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// Names an edition for as long as the process lives: what is late must not reach its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EditionId(pub u64);

/// What a probe compares, in bytes, at most. Every chunk is a multiple of it.
pub const PIECE: u64 = 64;
/// The same.
pub const LARGEST_PIECE: usize = 64;

/// Chunks of one edition that are recognised once the cache has let go of them: 256 MiB in chunks of 64 KiB, which
/// is as long as ThingsBoard lets packages be over CoAP.
const MOST_RECOGNISED: usize = 4096;
/// The same: no more chunks than that make a whole that can be proven.
const MOST_PROVED: u64 = 4096;

/// A chunk can't be of this edition: ThingsBoard has another content under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction;

/// Whose bytes they are: with whose token they were fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// One device's.
    Reader(ReaderId),
    /// Those of devices that the operator lets share unproven bytes: `package_group` in the registry.
    Group(Arc<str>),
}

/// How far the checksum has come with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proved {
    /// There are more to come, or there is nothing to prove.
    SoFar,
    /// The whole has the checksum that the attributes name.
    Whole,
    /// The whole has another one. Nothing is proved any more.
    Wrong,
}

/// One content under one name.
#[derive(Debug)]
pub struct Edition {
    /// Of the package.
    pub name: Name,
    /// What the attributes of its devices say of it, which may be nothing.
    pub identity: Identity,
    /// Who alone may have it. `None`: it is proven, and for everyone whose attributes say the same.
    owner: Option<Owner>,
    chunk: u64,
    salt: u64,
    etag: Option<[u8; 8]>,
    /// The package is at least this long; so much was seen.
    extent: u64,
    /// The package is at most this long; its end was seen.
    bound: Option<u64>,
    /// What the attributes say. What was seen goes before it.
    said: Option<u64>,
    /// SHA-256 of each chunk.
    seen: HashMap<u64, [u8; 32]>,
    head: Option<Bytes>,
    proof: Option<Proof>,
}

/// The checksum of what came, in order.
struct Proof {
    next: u64,
    context: Context,
    expected: Box<str>,
}

impl Edition {
    /// Nothing is known of it but what the attributes of a device say. `chunk`: in bytes. A `salt` that is not
    /// zero tells its ETag from that of an edition that had the same name and checksum and was contradicted.
    pub fn new(owner: Owner, name: Name, identity: Identity, chunk: u64, salt: u64) -> Edition {
        let said = identity.size;
        let checksum = identity.checksum.as_ref();
        let proof = checksum.and_then(Proof::new);
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
            extent: 0,
            bound: None,
            said,
            seen: HashMap::new(),
            head: None,
            proof,
        }
    }

    /// Follows the content: from the checksum where there is one, else from the first chunk, once that is known,
    /// and the length that the attributes say.
    pub fn etag(&self) -> Option<[u8; 8]> {
        self.etag
    }

    /// Whether there is a byte at this position, if that is known.
    pub fn reaches(&self, position: u64) -> Option<bool> {
        if position < self.extent {
            return Some(true);
        }
        if self.bound.is_some_and(|bound| bound <= position) {
            return Some(false);
        }
        self.said.map(|said| position < said)
    }

    /// How long it is, if that is known.
    pub fn size(&self) -> Option<u64> {
        self.end().or(self.said)
    }

    /// Where it ends, if that was seen.
    pub fn end(&self) -> Option<u64> {
        self.bound.filter(|bound| *bound == self.extent)
    }

    /// Its first bytes, once it has begun: with its first chunk, before any other, so that there is always
    /// something to hold others against. It stays when the cache lets go of the chunk.
    pub fn head(&self) -> Option<&Bytes> {
        self.head.as_ref()
    }

    /// Who alone may have it; `None` once it is proven.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Whether its chunks are one device's alone.
    pub fn is_of_one_reader(&self) -> bool {
        matches!(self.owner, Some(Owner::Reader(_)))
    }

    /// Chunks that it recognises.
    pub fn recognised(&self) -> usize {
        self.seen.len()
    }

    /// A chunk of it, by number. It may be short or empty where the package ends.
    pub fn take(&mut self, number: u64, bytes: &Bytes) -> Result<(), Contradiction> {
        let start = number.saturating_mul(self.chunk);
        let digest = sha256(bytes);
        if self.owner.is_none() {
            // Every chunk was seen when it was proven. Whoever it comes from now, it is that one or nothing.
            return match self.seen.get(&number) {
                Some(seen) if *seen == digest => Ok(()),
                None if bytes.is_empty() && self.reaches(start) == Some(false) => Ok(()),
                Some(_) | None => Err(Contradiction),
            };
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = start.saturating_add(length);
        if length < self.chunk {
            // Past the end ThingsBoard gives nothing, so an empty chunk only says that it is no longer.
            self.bound = Some(self.bound.map_or(end, |bound| bound.min(end)));
        }
        if length > 0 {
            self.extent = self.extent.max(end);
        }
        if self.bound.is_some_and(|bound| bound < self.extent) {
            return Err(Contradiction);
        }
        let fits = |said: &u64| self.extent <= *said && self.bound.is_none_or(|b| *said <= b);
        self.said = self.said.filter(fits);

        if self.seen.get(&number).is_some_and(|seen| *seen != digest) {
            return Err(Contradiction);
        }
        if self.seen.len() < MOST_RECOGNISED && !bytes.is_empty() {
            self.seen.insert(number, digest);
        }
        if number == 0 {
            let head = bytes.get(..LARGEST_PIECE).unwrap_or(bytes);
            self.head = Some(Bytes::copy_from_slice(head));
            let size = format!("{:?}", self.identity.size);
            let first = digest64(&[bytes]);
            self.etag
                .get_or_insert_with(|| etag(&self.name, &[&first, size.as_bytes()], self.salt));
        }
        Ok(())
    }

    /// The chunk that the proof of the checksum goes on with.
    pub fn next_to_prove(&self) -> Option<u64> {
        self.proof.as_ref().map(|proof| proof.next)
    }

    /// Goes on with the proof.
    pub fn prove(&mut self, bytes: &[u8]) -> Proved {
        let size = self.size();
        let Some(proof) = &mut self.proof else {
            return Proved::SoFar;
        };
        proof.context.update(bytes);
        proof.next += 1;
        let reached = proof.next.saturating_mul(self.chunk);
        if size.is_none_or(|size| size > reached) {
            // What can't be recognised later can't be shared, so there is no use in proving it.
            if proof.next >= MOST_PROVED {
                self.proof = None;
            }
            return Proved::SoFar;
        }
        match self.proof.take().is_some_and(Proof::holds) {
            true => Proved::Whole,
            false => Proved::Wrong,
        }
    }

    /// Whether it was contradicted before, under the same name and checksum.
    pub fn is_salted(&self) -> bool {
        self.salt != 0
    }

    /// Nothing is proved any more: it stays its owner's.
    pub fn give_up_proof(&mut self) {
        self.proof = None;
    }

    /// All of it was hashed to the checksum that its attributes name: from now on it is nobody's own. Gives its
    /// former owner.
    pub fn share(&mut self) -> Option<Owner> {
        // What was proven ends where it was seen to end, whatever else is said.
        (self.bound, self.said, self.proof) = (Some(self.extent), None, None);
        self.owner.take()
    }
}

impl Proof {
    /// Nothing for checksums that prove nothing, or that no content can have.
    fn new(checksum: &Checksum) -> Option<Proof> {
        let algorithm = match &*checksum.algorithm {
            "SHA256" => &digest::SHA256,
            "SHA384" => &digest::SHA384,
            "SHA512" => &digest::SHA512,
            _ => return None,
        };
        let digits = checksum.value.bytes().filter(u8::is_ascii_hexdigit).count();
        let is_digest = digits == 2 * algorithm.output_len() && digits == checksum.value.len();
        is_digest.then(|| Proof {
            next: 0,
            context: Context::new(algorithm),
            expected: checksum.value.clone(),
        })
    }

    fn holds(self) -> bool {
        let digest = self.context.finish();
        let digits: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        *digits == *self.expected
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof")
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

/// The first eight bytes of a SHA-256 over parts, told apart by their lengths.
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
