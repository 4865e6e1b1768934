//! What of a datagram reaches a session's engine, record by record (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2).
//!
//! Whoever can send from a client's address can forge plaintext, and the engine believes too much of it: it queues
//! what it can't use yet, keeps the buffers, and stops for good at some of it. So this filter stands before it, pure
//! and without keys, and decides by headers and by how far the session has come:
//!
//! | Phase | what reaches the engine |
//! |---|---|
//! | ClientHello | the one that is due, whole; a short stand-in for a repetition |
//! | flight, DTLS 1.2 | Certificate, ClientKeyExchange, CertificateVerify: each whole, well-formed and when it is due; ChangeCipherSpec after them; then epoch-1 records of a Finished's size; a stand-in for a repeated ClientHello |
//! | flight, DTLS 1.3 | protected records; a stand-in for a repeated ClientHello, no more often than a client repeats it |
//! | session, DTLS 1.2 | epoch 1: application data, and alerts and handshake records no longer than lawful; a stand-in for a repeated flight, until the client has sent application data |
//! | session, DTLS 1.3 | protected records |
//!
//! All else is dropped, and counted. What is ahead of its turn is dropped as well: the client repeats its flight
//! (RFC 6347 §4.2.4), and what is forged ahead of its turn leaves no trace. What can't be told from outside is judged
//! once it is decrypted (`engine::plaintext_filter`).
//!
//! **What remains possible in DTLS 1.2**, because nothing in plaintext is authentic: a forged message that is whole,
//! well-formed, of the type and number that are due, and that arrives before the client's own, is taken for it, and the
//! handshake ends; so does one whose last fragments are forged with the right type, number and length. The forger must
//! know how far the handshake has come. The client begins anew; an established session is never touched. DTLS 1.3
//! protects these messages.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not let through by its name is dropped"
)]

mod pieces;
mod reassembly;
mod syntax;

use super::record::{self, CLIENT_HELLO, HANDSHAKE, alert};
pub(in crate::dtls) use pieces::Fragment;
use pieces::{Piece, Pieces};
pub(in crate::dtls) use reassembly::Reassembly;
use std::time::{Duration, Instant};
pub(in crate::dtls) use syntax::LARGEST_CERTIFICATE_MESSAGE;

/// A ClientHello with key shares of post-quantum groups is less than half of this.
const LARGEST_CLIENT_HELLO: usize = 8 * 1024;
/// A Finished is 24 bytes and an alert 2, and encryption adds up to 24 (RFC 5246 §7.4.9, §7.2).
const LARGEST_CONTROL: usize = 64;
/// Records of one datagram that are given to the engine: each may cost it a decryption.
const MOST_RECORDS: usize = 32;
/// Records and fragments of one datagram that are looked at.
const MOST_PIECES: usize = 256;

/// After a repeated ClientHello of DTLS 1.3 the next one counts after this time, and then after twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);

pub(in crate::dtls) const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
const APPLICATION_DATA: u8 = 23;

/// A client's last flight in DTLS 1.2 (RFC 6347 §4.2.4): what is due, in order, and how long it may be.
const FLIGHT: [(u8, usize); 3] = [
    (CERTIFICATE, LARGEST_CERTIFICATE_MESSAGE),
    (CLIENT_KEY_EXCHANGE, 128),
    (CERTIFICATE_VERIFY, 1024),
];

/// What to do with a piece of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// Give this record to the engine.
    Pass(&'a [u8]),
    /// Give this record, which was made here, to the engine.
    Replace(Vec<u8>),
    /// Give this record, a whole ClientHello, to the engine. What leads to no answer leads nowhere.
    Hello(Vec<u8>),
    /// Give the engine this Certificate message: its number, and its body.
    Certificates(u16, Vec<u8>),
    /// It is kept until its message is whole.
    Buffered,
    /// Drop it.
    Drop,
    /// The session is over: this alert, and why.
    Reject(u8, String),
}

/// The filter of one session.
#[derive(Debug)]
pub struct InboundFilter {
    phase: Phase,
    /// The fatal alert that came in plaintext. It may be forged, so it ends nothing.
    alert: Option<u8>,
}

#[derive(Debug)]
enum Phase {
    Hello {
        /// The `message_seq` of the ClientHello that is due.
        due: u16,
        reassembly: Option<Box<Reassembly>>,
    },
    Flight12(Box<Flight>),
    Flight13(Box<Flight13>),
    Session12 {
        first: u16,
        /// The client has sent application data, so it has our last flight.
        is_confirmed: bool,
    },
    Session13,
}

/// The client's last flight in DTLS 1.2, on its way.
#[derive(Debug)]
struct Flight {
    /// The `message_seq` of its first message.
    first: u16,
    /// How many of [`FLIGHT`] the engine has.
    taken: usize,
    reassembly: Option<Reassembly>,
    has_changed_cipher: bool,
    /// The length of a Certificate message that is too large, and in how many datagrams it was announced.
    too_large: Option<(usize, u8)>,
    /// Whether this datagram has announced it already.
    is_announced: bool,
}

/// The client's last flight in DTLS 1.3. For each repeated ClientHello the engine repeats its own flight at once, and it
/// does so eight times in all, by its timer or not. So hellos count as often as a client repeats them (RFC 9147 §5.8.2): at
/// once, after one second, two, four, and so on. However many are forged, the flight is repeated until the deadline.
#[derive(Debug)]
struct Flight13 {
    /// The `message_seq` of its first message.
    first: u16,
    /// When a repeated hello counts again.
    counts_from: Option<Instant>,
    wait: Duration,
}

/// Whether a piece is for the engine at all, for the bound on how many are.
impl Verdict<'_> {
    fn is_for_engine(&self) -> bool {
        !matches!(self, Verdict::Buffered | Verdict::Drop)
    }
}

impl InboundFilter {
    /// For a client whose engine has seen so many of its ClientHellos.
    pub fn new(hellos: u16) -> InboundFilter {
        InboundFilter {
            phase: Phase::Hello {
                due: hellos,
                reassembly: None,
            },
            alert: None,
        }
    }

    /// The next piece of a datagram that is not to be dropped, and how many were before it.
    pub(super) fn next<'a>(&mut self, datagram: &mut Datagram<'a>) -> Option<Verdict<'a>> {
        if datagram.is_new {
            datagram.is_new = false;
            if let Phase::Flight12(flight) = &mut self.phase {
                flight.is_announced = false;
            }
        }
        while datagram.given < MOST_RECORDS && datagram.seen < MOST_PIECES {
            let piece = datagram.pieces.next()?;
            datagram.seen += 1;
            let taken = self.take(datagram.now, &piece);
            if taken.is_for_engine() {
                datagram.given += 1;
                return Some(taken);
            }
            datagram.dropped += u64::from(taken == Verdict::Drop);
        }
        None
    }

    fn take<'a>(&mut self, now: Instant, piece: &Piece<'a>) -> Verdict<'a> {
        if let Piece::Alert {
            is_fatal: true,
            description,
        } = piece
        {
            self.alert = Some(*description);
        }
        match &mut self.phase {
            Phase::Hello { due, reassembly } => match piece {
                Piece::Fragment(fragment) => hello(*due, reassembly, fragment),
                _ => Verdict::Drop,
            },
            Phase::Flight12(flight) => flight.take(piece),
            Phase::Flight13(flight) => match piece {
                Piece::Fragment(fragment) => flight.repeated_hello(now, fragment),
                Piece::Protected13(record) => Verdict::Pass(record),
                _ => Verdict::Drop,
            },
            Phase::Session12 {
                first,
                is_confirmed,
            } => match piece {
                Piece::Fragment(fragment) if !*is_confirmed => repeated_flight(*first, fragment),
                Piece::Protected12 {
                    content_type,
                    epoch: 1,
                    record,
                } if *content_type == APPLICATION_DATA || is_control(*content_type, record) => {
                    Verdict::Pass(record)
                }
                _ => Verdict::Drop,
            },
            Phase::Session13 => match piece {
                Piece::Protected13(record) => Verdict::Pass(record),
                _ => Verdict::Drop,
            },
        }
    }

    /// The engine has answered the ClientHello that was due, and wants another.
    pub(super) fn hello_answered(&mut self) {
        if let Phase::Hello { due, .. } = &mut self.phase {
            *due = due.saturating_add(1);
        }
    }

    /// The engine has answered a ClientHello by a ServerHello: what is due next is the client's flight.
    pub(super) fn proven(&mut self, is_13: bool) {
        if let Phase::Hello { due, .. } = &self.phase {
            let first = due.saturating_add(1);
            self.phase = if is_13 {
                Phase::Flight13(Box::new(Flight13 {
                    first,
                    counts_from: None,
                    wait: FIRST_WAIT,
                }))
            } else {
                Phase::Flight12(Box::new(Flight {
                    first,
                    taken: 0,
                    reassembly: None,
                    has_changed_cipher: false,
                    too_large: None,
                    is_announced: false,
                }))
            };
        }
    }

    /// The handshake is complete; what served it is freed.
    pub(super) fn established(&mut self) {
        self.alert = None;
        self.phase = match &self.phase {
            Phase::Flight12(flight) => Phase::Session12 {
                first: flight.first,
                is_confirmed: false,
            },
            Phase::Hello { .. }
            | Phase::Flight13(_)
            | Phase::Session12 { .. }
            | Phase::Session13 => Phase::Session13,
        };
    }

    /// Application data came: the client has our last flight, and a plaintext repetition of its own is not its own.
    pub(super) fn confirmed(&mut self) {
        if let Phase::Session12 { is_confirmed, .. } = &mut self.phase {
            *is_confirmed = true;
        }
    }

    /// The fatal alert that came in plaintext during the handshake.
    pub(super) fn alert(&self) -> Option<u8> {
        self.alert
    }

    /// Bytes of unfinished messages.
    pub(super) fn held(&self) -> usize {
        match &self.phase {
            Phase::Hello { reassembly, .. } => reassembly.as_ref().map_or(0, |it| it.held()),
            Phase::Flight12(flight) => flight.reassembly.as_ref().map_or(0, Reassembly::held),
            Phase::Flight13(_) | Phase::Session12 { .. } | Phase::Session13 => 0,
        }
    }
}

impl Flight13 {
    fn repeated_hello<'a>(&mut self, now: Instant, fragment: &Fragment<'_>) -> Verdict<'a> {
        let taken = repeated_hello(self.first, fragment);
        if taken.is_for_engine() {
            if self.counts_from.is_some_and(|from| now < from) {
                return Verdict::Drop;
            }
            self.counts_from = now.checked_add(self.wait);
            self.wait = self.wait.saturating_mul(2);
        }
        taken
    }
}

impl Flight {
    fn take<'a>(&mut self, piece: &Piece<'a>) -> Verdict<'a> {
        match piece {
            Piece::Fragment(fragment) => self.fragment(fragment),
            Piece::ChangeCipherSpec(record)
                if self.taken == FLIGHT.len() && !self.has_changed_cipher =>
            {
                self.has_changed_cipher = true;
                Verdict::Pass(record)
            }
            Piece::Protected12 {
                content_type,
                epoch: 1,
                record,
            } if self.has_changed_cipher && is_control(*content_type, record) => {
                Verdict::Pass(record)
            }
            _ => Verdict::Drop,
        }
    }

    fn fragment<'a>(&mut self, fragment: &Fragment<'_>) -> Verdict<'a> {
        let due = u16::try_from(self.taken).map(|taken| self.first.saturating_add(taken));
        let Some((kind, longest)) = FLIGHT.get(self.taken).copied() else {
            return repeated_hello(self.first, fragment);
        };
        if due != Ok(fragment.message) || fragment.kind != kind {
            return repeated_hello(self.first, fragment);
        }
        if fragment.total > longest {
            return self.too_large(fragment);
        }
        self.too_large = None;
        let Some(body) = Reassembly::add(&mut self.reassembly, fragment) else {
            return Verdict::Buffered;
        };
        let is_well_formed = match kind {
            CERTIFICATE => match syntax::certificates(&body) {
                Some(count) if count > syntax::MOST_CERTIFICATES => {
                    return Verdict::Reject(
                        alert::BAD_CERTIFICATE,
                        format!(
                            "it shows {count} certificates; {} may be shown",
                            syntax::MOST_CERTIFICATES
                        ),
                    );
                }
                count => count.is_some(),
            },
            CLIENT_KEY_EXCHANGE => syntax::is_client_key_exchange(&body),
            _ => syntax::is_certificate_verify(&body),
        };
        if !is_well_formed {
            return Verdict::Drop;
        }
        self.taken += 1;
        if kind == CERTIFICATE {
            return Verdict::Certificates(fragment.message, body);
        }
        Verdict::Replace(message(kind, fragment.message, &body))
    }

    /// A Certificate message that is too large ends the handshake once two datagrams have said so: one may be forged.
    fn too_large<'a>(&mut self, fragment: &Fragment<'_>) -> Verdict<'a> {
        if fragment.kind != CERTIFICATE || self.is_announced {
            return Verdict::Drop;
        }
        self.is_announced = true;
        let before = self
            .too_large
            .filter(|(total, _)| *total == fragment.total)
            .map_or(0, |(_, datagrams)| datagrams);
        self.too_large = Some((fragment.total, before.saturating_add(1)));
        if before == 0 {
            return Verdict::Drop;
        }
        Verdict::Reject(alert::BAD_CERTIFICATE, too_large(fragment.total))
    }
}

/// Why a Certificate message of so many bytes is refused.
pub(in crate::dtls) fn too_large(length: usize) -> String {
    format!("its certificates are too large: {length} bytes; 16 KiB may be shown")
}

/// One datagram on its way through the filter.
pub(super) struct Datagram<'a> {
    now: Instant,
    pieces: Pieces<'a>,
    is_new: bool,
    given: usize,
    seen: usize,
    /// Pieces that were dropped.
    pub(super) dropped: u64,
}

impl<'a> Datagram<'a> {
    pub(super) fn of(now: Instant, datagram: &'a [u8]) -> Datagram<'a> {
        Datagram {
            now,
            pieces: Pieces::of(datagram),
            is_new: true,
            given: 0,
            seen: 0,
            dropped: 0,
        }
    }
}

fn hello<'a>(
    due: u16,
    place: &mut Option<Box<Reassembly>>,
    fragment: &Fragment<'_>,
) -> Verdict<'a> {
    if fragment.kind != CLIENT_HELLO || fragment.message != due {
        return repeated_hello(due, fragment);
    }
    if fragment.total > LARGEST_CLIENT_HELLO {
        return Verdict::Drop;
    }
    let mut reassembly = place.take().map(|reassembly| *reassembly);
    let whole = Reassembly::add(&mut reassembly, fragment);
    *place = reassembly.map(Box::new);
    whole.map_or(Verdict::Buffered, |body| {
        Verdict::Hello(message(CLIENT_HELLO, fragment.message, &body))
    })
}

/// A ClientHello from before this number has the engine repeat its flight. It reads no more of it than the header, so
/// one byte stands for it: what comes may be large, and the engine keeps buffers.
fn repeated_hello<'a>(number: u16, fragment: &Fragment<'_>) -> Verdict<'a> {
    let is_one = fragment.kind == CLIENT_HELLO && fragment.message < number;
    if is_one && fragment.offset == 0 {
        Verdict::Replace(message(CLIENT_HELLO, fragment.message, &[0]))
    } else {
        Verdict::Drop
    }
}

/// Any message of the client's last flight has the engine repeat its own (RFC 6347 §4.2.4), which does that for a
/// ClientKeyExchange alone.
fn repeated_flight<'a>(first: u16, fragment: &Fragment<'_>) -> Verdict<'a> {
    let place = fragment.message.checked_sub(first).map(usize::from);
    let expected = place.and_then(|place| FLIGHT.get(place));
    if fragment.offset == 0 && expected.is_some_and(|(kind, _)| *kind == fragment.kind) {
        Verdict::Replace(message(CLIENT_KEY_EXCHANGE, fragment.message, &[]))
    } else {
        Verdict::Drop
    }
}

/// Whether a record in epoch 1 of DTLS 1.2 may be a Finished or an alert.
fn is_control(content_type: u8, record: &[u8]) -> bool {
    matches!(content_type, record::ALERT | HANDSHAKE) && Piece::length(record) <= LARGEST_CONTROL
}

/// One plaintext record with one whole handshake message. Its record number means nothing to the engine.
pub(in crate::dtls) fn message(kind: u8, number: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let size = u16::try_from(12 + body.len()).unwrap_or_default();
    let mut record = Vec::with_capacity(25 + body.len());
    record.extend([HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0]);
    record.extend(size.to_be_bytes());
    record.push(kind);
    record.extend(length.iter().skip(1));
    record.extend(number.to_be_bytes());
    record.extend([0, 0, 0]);
    record.extend(length.iter().skip(1));
    record.extend(body);
    record
}

#[cfg(test)]
mod tests;
