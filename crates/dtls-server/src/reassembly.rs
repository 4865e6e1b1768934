//! Handshake messages out of fragments (RFC 6347 §4.2.3), by place: each `message_seq` has its own buffers, and each buffer
//! knows which of its bytes are there. Fragments may overlap, come in any order and any number of times.
//!
//! Until the keys are in use, fragments can be forged by everything that can send from the client's address. None of them may
//! end the handshake or stop it, as long as no message is forged that the client could have sent, nor a whole fragment of one
//! that the client sends in fragments:
//!
//! * A fragment of another type or total length than those before it, or with other bytes where they overlap, does not touch
//!   them. It begins a buffer of its own, and the message is taken from the buffer that is complete first. If these get too
//!   many, the one to which nothing was added for longest gives way, and the client's next repetition begins again.
//! * What is ahead of the next message is kept only if a client could send it there, and gives way to everything that is
//!   nearer.
//! * What came as plaintext does not outlive the ChangeCipherSpec ([`Reassembly::discard_plaintext`]).
//!
//! All buffers together have at most [`MAX_BYTES`] bytes, whatever the number of fragments.

mod buffer;

use crate::message::{Fragment, HandshakeType, Header};
use buffer::Buffer;

/// Messages that may be ahead of the next one. A client's flight has four.
pub const MAX_AHEAD: u32 = 6;
/// Bytes of all buffers, their headers and their maps.
pub const MAX_BYTES: usize = 32 * 1024;
/// Bytes of the largest Certificate message: chains of 16 KiB with the lengths in front of 16 certificates.
pub const MAX_CERTIFICATE: usize = 16 * 1024 + 64;

/// Bytes of the largest message of another type: a ClientHello with a ticket and a key share of another version, and a
/// signature by an RSA key of 8192 bits.
const MAX_CLIENT_HELLO: usize = 4 * 1024;
const MAX_SIGNATURE: usize = 2 * 1024;
const MAX_OTHER: usize = 1024;
/// Different messages of one `message_seq` that are kept at a time.
const MAX_VARIANTS: usize = 4;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    header: Header,
    bytes: Vec<u8>,
}

impl Message {
    /// Its type.
    #[must_use]
    pub const fn message_type(&self) -> HandshakeType {
        self.header.message_type
    }

    /// Its number in the handshake.
    #[must_use]
    pub const fn message_seq(&self) -> u16 {
        self.header.message_seq
    }

    /// What comes after its header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(Header::LENGTH..).unwrap_or_default()
    }

    /// The message with its header, as if it had come unfragmented: so it enters the transcript (RFC 6347 §4.2.6).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// It is kept, or was there already. There may be a message to [take](Reassembly::take).
    Kept,
    /// It belongs to a message that was taken before: the peer may have missed the answer to it.
    Repeated,
    /// It is dropped.
    Dropped(Reason),
}

/// Why a fragment was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It ends behind the end of its message.
    Malformed,
    /// It has no byte of a message that has some.
    Empty,
    /// Its message is too far ahead, or of a type that no client sends there.
    Ahead,
    /// Its message is too large for its type, is the next one, and nothing else has come of the next one.
    TooLarge(HandshakeType),
    /// The same, but another message has begun in its place, which goes on.
    Mismatch,
    /// It came as plaintext after the keys had changed.
    Plaintext,
    /// The memory is used up by fragments that are worth more.
    NoRoom,
}

/// The messages of a peer that are not complete, or not taken yet.
#[derive(Debug)]
pub struct Reassembly {
    /// The `message_seq` of the next message: 65,536 after the last one.
    next: u32,
    is_protected: bool,
    buffers: Vec<Buffer>,
    /// Counts fragments, to know which buffer was added to last.
    count: u64,
}

impl Reassembly {
    /// The next message that is taken has this `message_seq`.
    #[must_use]
    pub fn new(next: u16) -> Reassembly {
        Reassembly {
            next: u32::from(next),
            is_protected: false,
            buffers: Vec::new(),
            count: 0,
        }
    }

    /// Bytes of the buffers.
    #[must_use]
    pub fn size(&self) -> usize {
        self.buffers.iter().map(Buffer::size).sum()
    }

    /// Takes in a fragment, which was protected or is plaintext.
    pub fn insert(&mut self, fragment: &Fragment<'_>, is_protected: bool) -> Insertion {
        let header = fragment.header;
        let end = header.fragment_offset.checked_add(header.fragment_length);
        if end.is_none_or(|end| end > header.length) {
            return Insertion::Dropped(Reason::Malformed);
        }
        if fragment.body.is_empty() && header.length > 0 {
            return Insertion::Dropped(Reason::Empty);
        }
        let Some(distance) = u32::from(header.message_seq).checked_sub(self.next) else {
            return Insertion::Repeated;
        };
        if self.is_protected && !is_protected {
            return Insertion::Dropped(Reason::Plaintext);
        }
        let is_ahead = distance > 0;
        if distance > MAX_AHEAD || is_ahead && !may_be_ahead(header.message_type) {
            return Insertion::Dropped(Reason::Ahead);
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if length > max_length(header.message_type) {
            let has_begun = |buffer: &Buffer| buffer.message_seq() == header.message_seq;
            return Insertion::Dropped(match self.buffers.iter().any(has_begun) {
                _ if is_ahead => Reason::Ahead,
                true => Reason::Mismatch,
                false => Reason::TooLarge(header.message_type),
            });
        }
        self.count = self.count.saturating_add(1);
        // It may go on what the client has sent as well as what was forged. Unless it goes on something that nothing contradicts,
        // it may also be the first one of the client's.
        let (mut is_kept, mut begins) = (false, true);
        let same = self
            .buffers
            .iter_mut()
            .filter(|buffer| buffer.is_of(&header));
        for buffer in same {
            if buffer.insert(fragment, is_ahead, self.count) {
                is_kept = true;
                begins &= buffer.is_contradicted();
            }
        }
        if !begins {
            return Insertion::Kept;
        }
        let buffer = Buffer::new(fragment, length, is_ahead, self.count);
        if self.make_room(&buffer) {
            self.buffers.push(buffer);
            return Insertion::Kept;
        }
        match is_kept {
            true => Insertion::Kept,
            false => Insertion::Dropped(Reason::NoRoom),
        }
    }

    /// Takes the next message if it is complete. One of an `expected` type comes before any other.
    ///
    /// One of a type that is not expected is taken only if it came in its turn. What came ahead of its turn may be forged, and
    /// the client's may follow.
    pub fn take(&mut self, expected: &[HandshakeType]) -> Option<Message> {
        let next = self.next;
        let is_expected = |buffer: &Buffer| expected.contains(&buffer.header().message_type);
        let is_next = |buffer: &Buffer| u32::from(buffer.message_seq()) == next;
        let complete = self.buffers.iter().enumerate();
        let complete = complete.filter(|(_, buffer)| is_next(buffer) && buffer.is_complete());
        let worth_taking =
            complete.filter(|(_, buffer)| is_expected(buffer) || !buffer.came_ahead());
        let (place, _) =
            worth_taking.max_by_key(|(_, buffer)| (is_expected(buffer), buffer.preference()))?;
        let buffer = self.buffers.swap_remove(place);
        self.buffers.retain(|other| !is_next(other));
        self.next = next.saturating_add(1);
        let header = buffer.header();
        let bytes = buffer.into_bytes();
        Some(Message { header, bytes })
    }

    /// Forgets what came as plaintext, and takes in no more of it: a ChangeCipherSpec came in its turn.
    pub fn discard_plaintext(&mut self) {
        self.is_protected = true;
        self.buffers.clear();
    }

    /// Evicts buffers that are worth less than the new one until it fits. Evicts nothing if it can't fit.
    fn make_room(&mut self, new: &Buffer) -> bool {
        let worth = new.worth();
        let better = self.buffers.iter().filter(|buffer| buffer.worth() > worth);
        let better: usize = better.map(Buffer::size).sum();
        if better.saturating_add(new.size()) > MAX_BYTES {
            return false;
        }
        // None of its own `message_seq` is better: it is the newest.
        let is_variant = |buffer: &Buffer| buffer.message_seq() == new.message_seq();
        while self
            .buffers
            .iter()
            .filter(|other| is_variant(other))
            .count()
            >= MAX_VARIANTS
        {
            self.evict(is_variant);
        }
        while self.size().saturating_add(new.size()) > MAX_BYTES {
            self.evict(|_| true);
        }
        true
    }

    /// Removes the buffer that is worth least of those that are `among`.
    fn evict(&mut self, among: impl Fn(&Buffer) -> bool) {
        let candidates = self.buffers.iter().enumerate();
        let candidates = candidates.filter(|(_, buffer)| among(buffer));
        if let Some((place, _)) = candidates.min_by_key(|(_, buffer)| buffer.worth()) {
            self.buffers.swap_remove(place);
        }
    }
}

/// What a client sends after its hello. A ClientHello begins a handshake, and so is never ahead.
fn may_be_ahead(message_type: HandshakeType) -> bool {
    matches!(
        message_type,
        HandshakeType::CERTIFICATE
            | HandshakeType::CLIENT_KEY_EXCHANGE
            | HandshakeType::CERTIFICATE_VERIFY
    )
}

fn max_length(message_type: HandshakeType) -> usize {
    match message_type {
        HandshakeType::CERTIFICATE => MAX_CERTIFICATE,
        HandshakeType::CLIENT_HELLO => MAX_CLIENT_HELLO,
        HandshakeType::CERTIFICATE_VERIFY => MAX_SIGNATURE,
        _ => MAX_OTHER,
    }
}

#[cfg(test)]
mod tests;
