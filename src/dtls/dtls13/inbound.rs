//! The filter in front of a session's engine: which records of a datagram reach it (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2).
//!
//! Anyone who can send from a client's address can forge plaintext, and the engine trusts it too much: it queues what it
//! can't use yet, keeps the buffers, and fails for good on some of it. This filter has no keys, and decides by headers and
//! by the phase of the session:
//!
//! | Phase | what reaches the engine |
//! |---|---|
//! | ClientHello | the one that is due, complete; a short substitute for a repeated one |
//! | flight, DTLS 1.2 | Certificate, ClientKeyExchange, CertificateVerify: each complete, well-formed and in order; ChangeCipherSpec after them; then epoch-1 records of a Finished's size; a substitute for a repeated ClientHello |
//! | flight, DTLS 1.3 | protected records; a substitute for a repeated ClientHello, no more often than a client repeats it |
//! | session, DTLS 1.2 | epoch 1: application data, and alerts and handshake records of valid lengths; a substitute for a repeated flight, until the client has sent application data |
//! | session, DTLS 1.3 | protected records |
//!
//! Everything else is dropped and counted. Messages that are out of order are dropped as well: the client repeats its flight
//! (RFC 6347 §4.2.4), and forged ones have no effect. Encrypted content is filtered once it is decrypted
//! (`engine::plaintext_filter`).
//!
//! **What remains possible in DTLS 1.2**, because plaintext is not authenticated: a forged message that is complete and
//! well-formed, has the expected type and number, and arrives before the client's own makes the handshake fail; so do forged
//! last fragments with the right type, number and length. The forger must know the state of the handshake. The client starts
//! again; an established session is never affected. DTLS 1.3 encrypts these messages.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything that is not accepted explicitly is dropped"
)]

mod pieces;
mod reassembly;
mod syntax;

use crate::dtls::record::{self, CLIENT_HELLO, HANDSHAKE, alert};
pub(in crate::dtls) use pieces::Fragment;
use pieces::{Piece, Pieces};
pub(in crate::dtls) use reassembly::Reassembly;
use std::time::{Duration, Instant};
pub(in crate::dtls) use syntax::LARGEST_CERTIFICATE_MESSAGE;

/// Most bytes of a ClientHello: one with key shares of post-quantum groups has less than half of this.
const LARGEST_CLIENT_HELLO: usize = 8 * 1024;
/// Most bytes of an encrypted Finished or alert: they have 24 and 2 bytes, and encryption adds up to 24 (RFC 5246 §7.4.9,
/// §7.2).
const LARGEST_CONTROL: usize = 64;
/// Records of one datagram that are passed to the engine: each may cost a decryption.
const MAX_RECORDS: usize = 32;
/// Records and fragments of one datagram that are parsed.
const MAX_PIECES: usize = 256;

/// How long repeated ClientHellos of DTLS 1.3 are ignored after the first one; then twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(1);

pub(in crate::dtls) const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
const APPLICATION_DATA: u8 = 23;

/// A client's last flight in DTLS 1.2 (RFC 6347 §4.2.4): its messages in order, with their longest lengths.
const FLIGHT: [(u8, usize); 3] = [
    (CERTIFICATE, LARGEST_CERTIFICATE_MESSAGE),
    (CLIENT_KEY_EXCHANGE, 128),
    (CERTIFICATE_VERIFY, 1024),
];

/// What to do with a piece of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dtls) enum Verdict<'a> {
    /// Pass this record to the engine.
    Pass(&'a [u8]),
    /// Pass this record, which was made here, to the engine.
    Replace(Vec<u8>),
    /// Pass this record, a complete ClientHello, to the engine. If the engine ignores it, the handshake has failed.
    Hello(Vec<u8>),
    /// Pass this Certificate message to the engine: its `message_seq` and body.
    Certificates(u16, Vec<u8>),
    /// It is buffered until its message is complete.
    Buffered,
    Drop,
    /// End the session, with this alert and reason.
    Reject(u8, String),
}

/// The filter of one session.
#[derive(Debug)]
pub(crate) struct InboundFilter {
    phase: Phase,
    /// The fatal alert that was received in plaintext. It may be forged, so it ends nothing.
    alert: Option<u8>,
}

#[derive(Debug)]
enum Phase {
    Hello {
        /// The `message_seq` of the ClientHello that is due.
        due: u16,
        reassembly: Option<Box<Reassembly>>,
    },
    Flight12(Box<Flight12>),
    Flight13(Box<Flight13>),
    Session12 {
        first: u16,
        /// The client has sent application data, so it has received our last flight.
        is_confirmed: bool,
    },
    Session13,
}

/// The client's last flight in DTLS 1.2, as far as it was received.
#[derive(Debug)]
struct Flight12 {
    /// The `message_seq` of its first message.
    first: u16,
    /// How many messages of [`FLIGHT`] the engine has.
    passed: usize,
    reassembly: Option<Reassembly>,
    has_changed_cipher: bool,
    /// The length of a Certificate message that is too large, and how many datagrams had it.
    too_large: Option<(usize, u8)>,
    /// Whether the current datagram has been counted for it.
    is_counted: bool,
}

/// The client's last flight in DTLS 1.3. The engine retransmits its own flight for each repeated ClientHello, and eight times
/// in all, including those by its timer. So repeated hellos are accepted only as often as a client sends them (RFC 9147
/// §5.8.2): at once, after one second, two, four, and so on. Forged ones can't exhaust the retransmissions before the
/// deadline.
#[derive(Debug)]
struct Flight13 {
    /// The `message_seq` of its first message.
    first: u16,
    /// When a repeated hello is accepted again.
    accepts_from: Option<Instant>,
    wait: Duration,
}

impl Verdict<'_> {
    /// Whether anything is passed to the engine; bounded by [`MAX_RECORDS`].
    fn is_for_engine(&self) -> bool {
        !matches!(self, Verdict::Buffered | Verdict::Drop)
    }
}

impl InboundFilter {
    /// For a client whose engine has processed this many ClientHellos.
    pub(crate) fn new(hellos: u16) -> InboundFilter {
        InboundFilter {
            phase: Phase::Hello {
                due: hellos,
                reassembly: None,
            },
            alert: None,
        }
    }

    /// The verdict on the next piece of a datagram that is for the engine.
    pub(in crate::dtls) fn next<'a>(&mut self, datagram: &mut Datagram<'a>) -> Option<Verdict<'a>> {
        if datagram.is_new {
            datagram.is_new = false;
            if let Phase::Flight12(flight) = &mut self.phase {
                flight.is_counted = false;
            }
        }
        while datagram.passed < MAX_RECORDS && datagram.parsed < MAX_PIECES {
            let piece = datagram.pieces.next()?;
            datagram.parsed += 1;
            let verdict = self.judge(datagram.now, &piece);
            if verdict.is_for_engine() {
                datagram.passed += 1;
                return Some(verdict);
            }
            datagram.dropped += u64::from(verdict == Verdict::Drop);
        }
        None
    }

    fn judge<'a>(&mut self, now: Instant, piece: &Piece<'a>) -> Verdict<'a> {
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
            Phase::Flight12(flight) => flight.judge(piece),
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

    /// The engine has replied to the ClientHello that was due, and expects another.
    pub(in crate::dtls) fn hello_answered(&mut self) {
        if let Phase::Hello { due, .. } = &mut self.phase {
            *due = due.saturating_add(1);
        }
    }

    /// The engine has replied with a ServerHello: the client's flight is expected next.
    pub(in crate::dtls) fn proven(&mut self, is_13: bool) {
        if let Phase::Hello { due, .. } = &self.phase {
            let first = due.saturating_add(1);
            self.phase = if is_13 {
                Phase::Flight13(Box::new(Flight13 {
                    first,
                    accepts_from: None,
                    wait: FIRST_WAIT,
                }))
            } else {
                Phase::Flight12(Box::new(Flight12 {
                    first,
                    passed: 0,
                    reassembly: None,
                    has_changed_cipher: false,
                    too_large: None,
                    is_counted: false,
                }))
            };
        }
    }

    /// The handshake is complete. Frees its buffers.
    pub(in crate::dtls) fn established(&mut self) {
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

    /// Application data was received: the client has our last flight, so a plaintext repetition of its own flight is forged.
    pub(in crate::dtls) fn confirmed(&mut self) {
        if let Phase::Session12 { is_confirmed, .. } = &mut self.phase {
            *is_confirmed = true;
        }
    }

    /// The fatal alert that was received in plaintext during the handshake.
    pub(in crate::dtls) fn alert(&self) -> Option<u8> {
        self.alert
    }

    /// Bytes of incomplete messages.
    pub(in crate::dtls) fn buffered(&self) -> usize {
        match &self.phase {
            Phase::Hello { reassembly, .. } => reassembly.as_ref().map_or(0, |it| it.held()),
            Phase::Flight12(flight) => flight.reassembly.as_ref().map_or(0, Reassembly::held),
            Phase::Flight13(_) | Phase::Session12 { .. } | Phase::Session13 => 0,
        }
    }
}

impl Flight13 {
    fn repeated_hello<'a>(&mut self, now: Instant, fragment: &Fragment<'_>) -> Verdict<'a> {
        let verdict = repeated_hello(self.first, fragment);
        if verdict.is_for_engine() {
            if self.accepts_from.is_some_and(|from| now < from) {
                return Verdict::Drop;
            }
            self.accepts_from = now.checked_add(self.wait);
            self.wait = self.wait.saturating_mul(2);
        }
        verdict
    }
}

impl Flight12 {
    fn judge<'a>(&mut self, piece: &Piece<'a>) -> Verdict<'a> {
        match piece {
            Piece::Fragment(fragment) => self.fragment(fragment),
            Piece::ChangeCipherSpec(record)
                if self.passed == FLIGHT.len() && !self.has_changed_cipher =>
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
        let due = u16::try_from(self.passed).map(|passed| self.first.saturating_add(passed));
        let Some((kind, longest)) = FLIGHT.get(self.passed).copied() else {
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
                Some(count) if count > syntax::MAX_CERTIFICATES => {
                    return Verdict::Reject(
                        alert::BAD_CERTIFICATE,
                        format!(
                            "the client sent {count} certificates; at most {} are accepted",
                            syntax::MAX_CERTIFICATES
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
        self.passed += 1;
        if kind == CERTIFICATE {
            return Verdict::Certificates(fragment.message, body);
        }
        Verdict::Replace(message(kind, fragment.message, &body))
    }

    /// A Certificate message that is too large ends the handshake once two datagrams have its length: one may be forged.
    fn too_large<'a>(&mut self, fragment: &Fragment<'_>) -> Verdict<'a> {
        if fragment.kind != CERTIFICATE || self.is_counted {
            return Verdict::Drop;
        }
        self.is_counted = true;
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

/// Why a Certificate message of this length is rejected.
pub(in crate::dtls) fn too_large(length: usize) -> String {
    format!("the client's certificates are too large: {length} bytes; at most 16 KiB are accepted")
}

/// A datagram in the filter.
pub(in crate::dtls) struct Datagram<'a> {
    now: Instant,
    pieces: Pieces<'a>,
    is_new: bool,
    passed: usize,
    parsed: usize,
    /// Pieces that were dropped.
    pub(in crate::dtls) dropped: u64,
}

impl<'a> Datagram<'a> {
    pub(in crate::dtls) fn of(now: Instant, datagram: &'a [u8]) -> Datagram<'a> {
        Datagram {
            now,
            pieces: Pieces::of(datagram),
            is_new: true,
            passed: 0,
            parsed: 0,
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

/// A ClientHello before this `message_seq` makes the engine retransmit its flight. The engine reads its header only, so its
/// body is replaced by one byte: the original may be large, and the engine keeps buffers.
fn repeated_hello<'a>(number: u16, fragment: &Fragment<'_>) -> Verdict<'a> {
    let is_one = fragment.kind == CLIENT_HELLO && fragment.message < number;
    if is_one && fragment.offset == 0 {
        Verdict::Replace(message(CLIENT_HELLO, fragment.message, &[0]))
    } else {
        Verdict::Drop
    }
}

/// Any message of the client's last flight must make the engine retransmit its own (RFC 6347 §4.2.4). It does so for a
/// ClientKeyExchange only, so that is substituted.
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

/// A plaintext record with one unfragmented handshake message. The engine ignores its record number.
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
pub(in crate::dtls) mod tests;
