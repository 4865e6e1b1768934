//! A flight of messages: sent as a whole, and sent again as a whole (RFC 6347 §4.2.4).

use crate::association::{Association, ProtectError};
use crate::fragment::{Datagrams, RecordLimits};
use crate::record::{ContentType, DTLS_1_2, MAX_CONTENT, MAX_SEQUENCE, write_plaintext};
use std::time::{Duration, Instant};

/// Bytes that a plaintext record has besides its content.
pub(super) const PLAINTEXT_OVERHEAD: usize = 13;
/// The content of a ChangeCipherSpec (RFC 5246 §7.1).
pub(super) const CHANGE_CIPHER_SPEC: [u8; 1] = [1];
/// After so many retransmissions without an answer, datagrams may be too large for the path.
const RETRANSMISSIONS_UNTIL_SMALL: u32 = 2;

/// A part of a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A whole message with its header, in plaintext.
    Message(Vec<u8>),
    /// What follows is protected.
    ChangeCipherSpec,
    /// A whole message with its header, protected.
    Protected(Vec<u8>),
}

/// Writes records: numbers those of epoch 0 itself, and leaves those of epoch 1 to the association.
#[derive(Debug)]
pub(super) struct RecordWriter {
    /// Of the next record of epoch 0.
    plaintext_number: u64,
    /// Bytes of content in a plaintext record (RFC 6066 §4).
    plaintext_limit: usize,
    /// Bytes of a datagram.
    mtu: usize,
}

/// No more records can be written. The handshake ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl RecordWriter {
    pub(super) const fn new(plaintext_number: u64, mtu: usize) -> RecordWriter {
        RecordWriter {
            plaintext_number,
            plaintext_limit: MAX_CONTENT,
            mtu,
        }
    }

    /// Sets how many bytes of content a plaintext record may have, and makes datagrams shorter if they are longer than this.
    pub(super) fn limit(&mut self, plaintext: usize, datagram: usize) {
        self.plaintext_limit = plaintext;
        self.mtu = self.mtu.min(datagram);
    }

    /// Appends a plaintext record.
    pub(super) fn plaintext(
        &mut self,
        content_type: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Exhausted> {
        let number = self.plaintext_number;
        if number > MAX_SEQUENCE {
            return Err(Exhausted);
        }
        self.plaintext_number = number.saturating_add(1);
        write_plaintext(out, content_type, DTLS_1_2, number, content).map_err(|_| Exhausted)
    }

    const fn plaintext_limits(&self) -> RecordLimits {
        RecordLimits {
            content: self.plaintext_limit,
            overhead: PLAINTEXT_OVERHEAD,
        }
    }

    /// Writes a flight as datagrams, with new record numbers.
    pub(super) fn datagrams(
        &mut self,
        items: &[Item],
        mut association: Option<&mut Association>,
        is_small: bool,
    ) -> Result<Vec<Vec<u8>>, Exhausted> {
        let mut datagrams = match is_small {
            true => Datagrams::small(self.mtu),
            false => Datagrams::new(self.mtu),
        };
        let plaintext_limits = self.plaintext_limits();
        for item in items {
            match item {
                Item::Message(message) => {
                    datagrams.push_message(message, plaintext_limits, |kind, content, out| {
                        self.plaintext(kind, content, out)
                    })?;
                }
                Item::ChangeCipherSpec => {
                    let content = &CHANGE_CIPHER_SPEC;
                    let kind = ContentType::CHANGE_CIPHER_SPEC;
                    datagrams.push_record(
                        kind,
                        content,
                        plaintext_limits,
                        |kind, content, out| self.plaintext(kind, content, out),
                    )?;
                }
                Item::Protected(message) => {
                    let association = association.as_deref_mut().ok_or(Exhausted)?;
                    let limits = RecordLimits {
                        content: association.max_content(),
                        overhead: association.overhead(),
                    };
                    datagrams.push_message(message, limits, |kind, content, out| {
                        association
                            .protect(kind, content, out)
                            .map_err(|_: ProtectError| Exhausted)
                    })?;
                }
            }
        }
        Ok(datagrams.finish())
    }
}

/// The flight that was sent last, and when it is due again.
#[derive(Debug, Default)]
pub(super) struct Flight {
    items: Vec<Item>,
    timer: Option<Timer>,
}

/// The timeout of a flight (RFC 6347 §4.2.4.1).
#[derive(Debug, Clone, Copy)]
struct Timer {
    due: Instant,
    timeout: Duration,
    retransmissions: u32,
}

impl Flight {
    /// A flight that is sent now. `timeout`: until it is sent again, if it has to be answered.
    pub(super) fn new(items: Vec<Item>, now: Instant, timeout: Option<Duration>) -> Flight {
        Flight {
            items,
            timer: timeout.and_then(|timeout| {
                Some(Timer {
                    due: now.checked_add(timeout)?,
                    timeout,
                    retransmissions: 0,
                })
            }),
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// When it is due again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.timer.map(|timer| timer.due)
    }

    /// Whether the next transmission is in small datagrams.
    pub(super) fn is_small(&self) -> bool {
        self.timer
            .is_some_and(|timer| timer.retransmissions > RETRANSMISSIONS_UNTIL_SMALL)
    }

    /// Starts the next timeout, twice as long, if it is due. Returns whether the flight is to be sent again.
    pub(super) fn is_due(&mut self, now: Instant, largest: Duration) -> bool {
        let Some(timer) = &mut self.timer else {
            return false;
        };
        if timer.due > now {
            return false;
        }
        timer.timeout = timer.timeout.saturating_mul(2).min(largest);
        timer.retransmissions = timer.retransmissions.saturating_add(1);
        match now.checked_add(timer.timeout) {
            Some(due) => timer.due = due,
            None => self.timer = None,
        }
        true
    }
}
