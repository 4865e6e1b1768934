//! Tickets (RFC 5077): what a session is resumed by is with the client, encrypted, and the server keeps nothing.
//!
//! ```text
//!  ticket   name of the key (16) ‖ number (8) ‖ encrypted state ‖ tag (16)
//!  state    format (1) ‖ suite (2) ‖ flags (1) ‖ issued (8) ‖ master secret (48) ‖ length (2) ‖ peer
//! ```
//! A ticket is valid for a lifetime, which begins with the full handshake: a resumption renews neither it nor the client's
//! authentication. Keys are random, are this process's own, and rotate: one issues tickets for one lifetime, then opens them for
//! another one, and is overwritten. With each key tickets are numbered, and the number is the nonce.
//!
//! A ticket can't be taken back. So it has what the user knows its client by (`peer`: the fingerprints of its certificates and
//! the end of their validity, for instance), and **the user judges the client again** before it resumes. Only sessions with an
//! extended master secret get a ticket, as others are not bound to their certificates (RFC 7627 §5.4).

use super::Session;
use crate::crypto::aead::{Cipher, Keys};
use crate::crypto::key_schedule::{MASTER_SECRET, MasterSecret};
use crate::crypto::random::{Random, Unavailable};
use crate::suite::{Aead, CipherSuite};
use crate::wire::{Malformed, Reader, Writer, vector16};
use std::fmt;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The most bytes by which a user knows a client. A hello with a ticket should still be one datagram.
pub const MAX_PEER: usize = 512;
/// The most bytes of any ticket that is sent. A client has to put it into its hello.
pub const MAX_TICKET: usize = 1024;

/// Encrypts tickets.
const AEAD: Aead = Aead::Aes256Gcm;
/// Bytes of a key's name (RFC 5077 §4).
const NAME: usize = 16;
/// Bytes in front of what is encrypted.
const HEADER: usize = NAME + 8;
/// Bytes of a state without its peer.
const STATE: usize = 1 + 2 + 1 + 8 + MASTER_SECRET + 2;
/// Bytes of a tag, or more.
const TAG: usize = 16;

/// The format of the state that is written, and the only one that is read.
const FORMAT: u8 = 1;
/// The flag of the extended master secret, which every session here has.
const EXTENDED_MASTER_SECRET: u8 = 1;

const _: () = assert!(HEADER + STATE + MAX_PEER + TAG <= MAX_TICKET);

/// A ticket as it is sent to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its bytes, at most [`MAX_TICKET`].
    pub bytes: Vec<u8>,
    /// Seconds after which the client may forget it.
    pub lifetime_hint: u32,
}

/// What was in a ticket.
#[derive(Debug)]
pub struct Opened {
    /// The session. It has no id.
    pub session: Session,
    /// What the user knew its client by, when the ticket was issued.
    pub peer: Vec<u8>,
}

/// Issues and opens tickets.
pub struct Tickets {
    lifetime: Duration,
    start: Instant,
    current: Key,
    /// Only opens.
    previous: Option<Key>,
}

struct Key {
    name: [u8; NAME],
    keys: Keys,
    since: Instant,
    /// The number of its next ticket.
    next: u64,
}

impl Key {
    fn generate(random: &mut dyn Random, now: Instant) -> Result<Key, Unavailable> {
        let mut name = [0; NAME];
        random.fill(&mut name)?;
        let mut key = Zeroizing::new(vec![0; AEAD.key_length()]);
        random.fill(&mut key)?;
        let mut iv = Zeroizing::new(vec![0; AEAD.iv_length()]);
        random.fill(&mut iv)?;
        Ok(Key {
            name,
            // A key of zeros is refused: no generator yields it.
            keys: Keys::new(AEAD, &key, &iv).ok_or(Unavailable)?,
            since: now,
            next: 0,
        })
    }
}

impl Tickets {
    /// Issues tickets that are valid for `lifetime`.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new(
        random: &mut dyn Random,
        now: Instant,
        lifetime: Duration,
    ) -> Result<Tickets, Unavailable> {
        Ok(Tickets {
            lifetime,
            start: now,
            current: Key::generate(random, now)?,
            previous: None,
        })
    }

    /// A ticket for a session of the client that the user knows by `peer`. `None`: there is none, as `peer` is longer than
    /// [`MAX_PEER`], there are no random bytes for a new key, or the cryptographic library failed.
    pub fn seal(
        &mut self,
        now: Instant,
        session: &Session,
        peer: &[u8],
        random: &mut dyn Random,
    ) -> Option<Ticket> {
        if peer.len() > MAX_PEER {
            return None;
        }
        if now.saturating_duration_since(self.current.since) >= self.lifetime {
            let fresh = Key::generate(random, now).ok()?;
            self.previous = Some(std::mem::replace(&mut self.current, fresh));
        }
        let issued = self.age(now);
        let key = &mut self.current;
        let number = key.next.to_be_bytes();
        // Used, even if what follows fails.
        key.next = key.next.checked_add(1)?;
        // It never moves, and leaves no secret behind.
        let mut bytes = Vec::with_capacity(MAX_TICKET);
        bytes.bytes(&key.name);
        bytes.bytes(&number);
        bytes.u8(FORMAT);
        bytes.u16(session.suite().number());
        bytes.u8(EXTENDED_MASTER_SECRET);
        bytes.bytes(&issued.to_be_bytes());
        bytes.bytes(session.master_secret().as_bytes());
        vector16(&mut bytes, |bytes| bytes.bytes(peer)).ok()?;
        let header = [&key.name[..], &number].concat();
        let cipher = Cipher::new(AEAD, &key.keys).ok()?;
        let nonce = key.keys.nonce(AEAD, number);
        cipher.seal(nonce, &header, &mut bytes, HEADER).ok()?;
        bytes.shrink_to_fit();
        Some(Ticket {
            bytes,
            lifetime_hint: u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX),
        })
    }

    /// What is in a ticket. `None`: it is none of ours, was changed, is expired, or its key is gone. The client gets a full
    /// handshake, and no alert (RFC 5077 §3.1).
    #[must_use]
    pub fn open(&self, now: Instant, ticket: &[u8]) -> Option<Opened> {
        if ticket.len() > MAX_TICKET {
            return None;
        }
        let (header, state) = ticket.split_at_checked(HEADER)?;
        let (name, number) = header.split_at_checked(NAME)?;
        let keys = [Some(&self.current), self.previous.as_ref()];
        let key = keys.into_iter().flatten().find(|key| key.name == name)?;
        let nonce = key.keys.nonce(AEAD, number.try_into().ok()?);
        let mut state = Zeroizing::new(state.to_vec());
        let cipher = Cipher::new(AEAD, &key.keys).ok()?;
        cipher.open(nonce, header, &mut state).ok()?;
        let (issued, opened) = read(&state).ok()?;
        let age = Duration::from_millis(self.age(now).saturating_sub(issued));
        (age < self.lifetime).then_some(opened)
    }

    /// Milliseconds since the beginning.
    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.start);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

/// When it was issued, and what it is.
fn read(state: &[u8]) -> Result<(u64, Opened), Malformed> {
    let mut reader = Reader::new(state);
    if reader.u8()? != FORMAT {
        return Err(Malformed);
    }
    let suite = CipherSuite::from_number(reader.u16()?).ok_or(Malformed)?;
    if reader.u8()? != EXTENDED_MASTER_SECRET {
        return Err(Malformed);
    }
    let issued = u64::from_be_bytes(reader.array()?);
    let secret = Zeroizing::new(reader.array()?);
    let master_secret = MasterSecret::from_bytes(&secret).ok_or(Malformed)?;
    let peer = reader.vector16()?.rest().to_vec();
    reader.end()?;
    let session = Session::new(Vec::new(), suite, master_secret);
    Ok((issued, Opened { session, peer }))
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
