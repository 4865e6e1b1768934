//! The filter in front of an engine of DTLS 1.3: which records of a datagram reach it (RFC 9147 §4.5.2).
//!
//! Anyone who can send from a client's address can forge plaintext, and the engine trusts it too much: it queues what it
//! can't use yet, keeps the buffers, and fails for good on some of it. This filter has no keys, and decides by headers and
//! by the phase of the session:
//!
//! | Phase | what reaches the engine |
//! |---|---|
//! | ClientHello | the one that is due, complete; a short substitute for a repeated one |
//! | flight | protected records; a substitute for a repeated ClientHello, no more often than a client repeats it |
//! | session | protected records |
//!
//! Everything else is dropped and counted. Encrypted content is filtered once it is decrypted (`engine::plaintext_filter`).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything that is not accepted explicitly is dropped"
)]

mod pieces;
mod reassembly;

use crate::dtls::record::{CLIENT_HELLO, HANDSHAKE};
pub(in crate::dtls) use pieces::Fragment;
use pieces::{Piece, Pieces};
pub(in crate::dtls) use reassembly::Reassembly;
use std::time::{Duration, Instant};

/// Most bytes of a ClientHello: one with key shares of post-quantum groups has less than half of this.
const LARGEST_CLIENT_HELLO: usize = 8 * 1024;
/// Records of one datagram that are passed to the engine: each may cost a decryption.
const MAX_RECORDS: usize = 32;
/// Records and fragments of one datagram that are parsed.
const MAX_PIECES: usize = 256;

/// How long repeated ClientHellos of DTLS 1.3 are ignored after the first one; then twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(1);

pub(in crate::dtls) const CERTIFICATE: u8 = 11;
/// Most bytes of a Certificate message: 16 KiB of certificates, with the lengths of the list and of ten certificates.
pub(in crate::dtls) const LARGEST_CERTIFICATE_MESSAGE: usize = 16 * 1024 + 3 + 3 * 10;

/// What to do with a piece of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dtls) enum Verdict<'a> {
    /// Pass this record to the engine.
    Pass(&'a [u8]),
    /// Pass this record, which was made here, to the engine.
    Replace(Vec<u8>),
    /// Pass this record, a complete ClientHello, to the engine. If the engine ignores it, the handshake has failed.
    Hello(Vec<u8>),
    /// It is buffered until its message is complete.
    Buffered,
    Drop,
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
    Flight(Box<Flight>),
    Session,
}

/// The client's last flight. The engine retransmits its own flight for each repeated ClientHello, and eight times
/// in all, including those by its timer. So repeated hellos are accepted only as often as a client sends them (RFC 9147
/// §5.8.2): at once, after one second, two, four, and so on. Forged ones can't exhaust the retransmissions before the
/// deadline.
#[derive(Debug)]
struct Flight {
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
            Phase::Flight(flight) => match piece {
                Piece::Fragment(fragment) => flight.repeated_hello(now, fragment),
                Piece::Protected(record) => Verdict::Pass(record),
                _ => Verdict::Drop,
            },
            Phase::Session => match piece {
                Piece::Protected(record) => Verdict::Pass(record),
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
    pub(in crate::dtls) fn proven(&mut self) {
        if let Phase::Hello { due, .. } = &self.phase {
            self.phase = Phase::Flight(Box::new(Flight {
                first: due.saturating_add(1),
                accepts_from: None,
                wait: FIRST_WAIT,
            }));
        }
    }

    /// The handshake is complete. Frees its buffers.
    pub(in crate::dtls) fn established(&mut self) {
        self.alert = None;
        self.phase = Phase::Session;
    }

    /// The fatal alert that was received in plaintext during the handshake.
    pub(in crate::dtls) fn alert(&self) -> Option<u8> {
        self.alert
    }

    /// Bytes of incomplete messages.
    pub(in crate::dtls) fn buffered(&self) -> usize {
        match &self.phase {
            Phase::Hello { reassembly, .. } => reassembly.as_ref().map_or(0, |it| it.held()),
            Phase::Flight(_) | Phase::Session => 0,
        }
    }
}

impl Flight {
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

/// Why a Certificate message of this length is rejected.
pub(in crate::dtls) fn too_large(length: usize) -> String {
    format!("the client's certificates are too large: {length} bytes; at most 16 KiB are accepted")
}

/// A datagram in the filter.
pub(in crate::dtls) struct Datagram<'a> {
    now: Instant,
    pieces: Pieces<'a>,
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
