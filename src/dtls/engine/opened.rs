//! What a record holds once it is decrypted, judged before the engine sees it.
//!
//! The engine queues whatever is authentic and not of use yet, and some of it for ever: content types that the protocol
//! doesn't have, handshake records without a message, application data before the handshake is complete. From outside,
//! DTLS 1.3 shows nothing of that. The ciphers are ours (see `suites`), so they ask here first, and what is refused
//! counts as not decrypted: the engine drops it, and its replay window has not moved.

use crate::dtls::inbound::{self, CERTIFICATE, Fragment, LARGEST_CERTIFICATE_MESSAGE};
use crate::dtls::record::{ALERT, Cursor, HANDSHAKE};
use std::cell::Cell;

const APPLICATION_DATA: u8 = 23;
/// RFC 9147 §7.
const ACK: u8 = 26;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;
/// RFC 8446 §4.6.3, RFC 9147 §8.
const KEY_UPDATE: u8 = 24;
/// A Finished of DTLS 1.2: a header, and 12 bytes (RFC 5246 §7.4.9).
const FINISHED_12: usize = 24;
/// A signature of any kind that the engine verifies, or a hash.
const LONGEST_PROOF: usize = 1024;
/// The engine reads so many messages of a record.
const MOST_FRAGMENTS: usize = 8;
/// Record numbers that one ACK may name: the engine has not sent more at a time.
const LONGEST_ACK: usize = 2 + 16 * 64;

/// Bytes of handshake messages that an engine of DTLS 1.3 may be given: it keeps them several times over.
pub(super) const HANDSHAKE_BYTES: usize = LARGEST_CERTIFICATE_MESSAGE + 2 * LONGEST_PROOF;

thread_local! {
    /// The ledger of the engine that is at work.
    static AT_WORK: Cell<Option<Box<Ledger>>> = const { Cell::new(None) };
}

/// What one server's engine has been given of protected records.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    is_established: bool,
    /// The last record was not authentic, or was refused.
    was_refused: bool,
    /// Handshake fragments of DTLS 1.3, by message and offset, with their lengths.
    fragments: Vec<(u16, usize, usize)>,
    /// The `message_seq` that is due once the handshake is complete.
    next_message: u16,
    /// Why the session can't go on.
    excess: Option<String>,
}

impl Ledger {
    /// The handshake is complete.
    pub(super) fn establish(&mut self) {
        self.is_established = true;
        self.fragments = Vec::new();
    }

    /// Whether the last record was not authentic, or was refused.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.was_refused)
    }

    /// Why the session can't go on, if so.
    pub(super) fn take_excess(&mut self) -> Option<String> {
        self.excess.take()
    }

    /// Records and bytes of handshake messages that the engine may still have queued.
    pub(super) fn queued(&self) -> (usize, usize) {
        let bytes = self.fragments.iter().map(|(_, _, length)| length).sum();
        (self.fragments.len(), bytes)
    }

    fn takes(&mut self, record: &Opened<'_>) -> bool {
        match *record {
            Opened::Dtls12 {
                content_type: APPLICATION_DATA,
                ..
            } => self.is_established,
            Opened::Dtls12 {
                content_type: HANDSHAKE,
                plaintext,
            } => plaintext.len() == FINISHED_12 && plaintext.first() == Some(&FINISHED),
            Opened::Dtls12 {
                content_type,
                plaintext,
            } => content_type == ALERT && plaintext.len() == 2,
            Opened::Dtls13 { plaintext } => {
                let padding = plaintext.iter().rev().take_while(|byte| **byte == 0);
                let length = plaintext.len() - padding.count();
                match plaintext.get(..length).and_then(<[u8]>::split_last) {
                    Some((&APPLICATION_DATA, _)) => self.is_established,
                    Some((&ALERT, alert)) => alert.len() == 2,
                    Some((&ACK, numbers)) => numbers.len() <= LONGEST_ACK,
                    Some((&HANDSHAKE, messages)) => self.takes_messages(messages),
                    _ => false,
                }
            }
        }
    }

    fn takes_messages(&mut self, messages: &[u8]) -> bool {
        let mut cursor = Cursor(messages);
        let mut count = 0;
        while !cursor.0.is_empty() {
            count += 1;
            let fragment = Fragment::read(&mut cursor);
            let is_taken = fragment.is_some_and(|fragment| self.takes_message(&fragment));
            if !is_taken || count > MOST_FRAGMENTS {
                return false;
            }
        }
        count > 0
    }

    fn takes_message(&mut self, fragment: &Fragment<'_>) -> bool {
        let length = fragment.bytes.len();
        if length == 0 {
            return false;
        }
        match fragment.kind {
            KEY_UPDATE => return self.takes_key_update(fragment),
            CERTIFICATE if fragment.total > LARGEST_CERTIFICATE_MESSAGE => {
                self.excess = Some(inbound::too_large(fragment.total));
                return false;
            }
            CERTIFICATE => {}
            CERTIFICATE_VERIFY | FINISHED if fragment.total <= LONGEST_PROOF => {}
            _ => return false,
        }
        if self.is_established {
            // A repetition: the client has not heard our acknowledgement.
            return fragment.message < self.next_message;
        }
        if fragment.kind == FINISHED {
            self.next_message = fragment.message.saturating_add(1);
        }
        let (message, offset) = (fragment.message, fragment.offset);
        let is_known =
            |(number, start, _): &(u16, usize, usize)| (*number, *start) == (message, offset);
        if !self.fragments.iter().any(is_known) {
            self.fragments.push((message, offset, length));
            if self.queued().1 > HANDSHAKE_BYTES {
                self.excess = Some("its handshake messages are too long in all".to_owned());
                return false;
            }
        }
        true
    }

    /// In order: the engine would queue those that are ahead.
    fn takes_key_update(&mut self, fragment: &Fragment<'_>) -> bool {
        let is_whole = (fragment.total, fragment.offset) == (1, 0);
        let is_taken = self.is_established && is_whole && fragment.message <= self.next_message;
        if is_taken && fragment.message == self.next_message {
            self.next_message = self.next_message.saturating_add(1);
        }
        is_taken
    }
}

/// A decrypted record.
pub(super) enum Opened<'a> {
    /// Its type is in the header, and authentic.
    Dtls12 {
        content_type: u8,
        plaintext: &'a [u8],
    },
    /// Its type is behind the content, before padding (RFC 9147 §4).
    Dtls13 { plaintext: &'a [u8] },
}

/// Until [`take_back`], records are judged by this ledger. Without one, as in a client, all are let through.
pub(super) fn put_to_work(ledger: Option<Box<Ledger>>) {
    AT_WORK.set(ledger);
}

/// The ledger again.
pub(super) fn take_back() -> Option<Box<Ledger>> {
    AT_WORK.take()
}

/// Whether the engine may have this record. `None`: it was not authentic.
pub(super) fn judge(record: Option<&Opened<'_>>) -> bool {
    let Some(mut ledger) = AT_WORK.take() else {
        return true;
    };
    let is_taken = record.is_some_and(|record| ledger.takes(record));
    ledger.was_refused |= !is_taken;
    AT_WORK.set(Some(ledger));
    is_taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(content: &[u8], content_type: u8) -> Vec<u8> {
        [content, &[content_type, 0, 0]].concat()
    }

    fn message(kind: u8, number: u8, total: usize, offset: usize, length: usize) -> Vec<u8> {
        let u24 = |number: usize| u32::try_from(number).unwrap().to_be_bytes()[1..].to_vec();
        let head = [
            vec![kind],
            u24(total),
            vec![0, number],
            u24(offset),
            u24(length),
        ]
        .concat();
        [head, vec![7; length]].concat()
    }

    fn takes(ledger: &mut Ledger, content: &[u8], content_type: u8) -> bool {
        let plaintext = &inner(content, content_type);
        ledger.takes(&Opened::Dtls13 { plaintext })
    }

    #[test]
    fn only_content_types_that_the_protocol_has_are_taken_and_data_after_the_handshake_alone() {
        let mut ledger = Ledger::default();
        assert!(!takes(&mut ledger, b"data", APPLICATION_DATA));
        ledger.establish();
        for content_type in 0..=255 {
            let is_data = content_type == APPLICATION_DATA;
            assert_eq!(
                takes(&mut ledger, b"data", content_type),
                is_data || content_type == ACK
            );
            let plaintext = b"data".as_slice();
            let of12 = Opened::Dtls12 {
                content_type,
                plaintext,
            };
            assert_eq!(ledger.takes(&of12), is_data, "{content_type}");
        }
        assert!(takes(&mut ledger, &[1, 0], ALERT));
        assert!(!ledger.takes(&Opened::Dtls13 {
            plaintext: &[0; 40]
        }));
    }

    #[test]
    fn a_handshake_record_must_consist_of_messages() {
        let mut ledger = Ledger::default();
        let whole = message(CERTIFICATE, 2, 40, 0, 40);
        assert!(takes(&mut ledger, &whole, HANDSHAKE));
        assert!(takes(&mut ledger, &whole.repeat(8), HANDSHAKE));
        assert!(!takes(&mut ledger, &whole.repeat(9), HANDSHAKE));
        assert!(!takes(&mut ledger, &whole[..40], HANDSHAKE));
        assert!(!takes(
            &mut ledger,
            &message(CERTIFICATE, 2, 40, 0, 0),
            HANDSHAKE
        ));
        assert!(!takes(&mut ledger, &message(1, 2, 40, 0, 40), HANDSHAKE));
        assert_eq!(ledger.queued(), (1, 40));
    }

    #[test]
    fn certificates_too_large_and_fragments_too_many_end_the_session() {
        let mut ledger = Ledger::default();
        let large = message(CERTIFICATE, 2, LARGEST_CERTIFICATE_MESSAGE + 1, 0, 9);
        assert!(!takes(&mut ledger, &large, HANDSHAKE));
        assert!(
            ledger
                .take_excess()
                .is_some_and(|why| why.contains("16 KiB"))
        );
        let mut ledger = Ledger::default();
        let taken = (0..100).take_while(|at| {
            // Overlapping, and so for ever.
            takes(
                &mut ledger,
                &message(CERTIFICATE, 2, 16_000, *at, 1000),
                HANDSHAKE,
            )
        });
        assert!((16..20).contains(&taken.count()));
        assert!(ledger.take_excess().is_some());
    }

    #[test]
    fn a_key_update_is_taken_in_its_turn() {
        let mut ledger = Ledger::default();
        assert!(takes(
            &mut ledger,
            &message(FINISHED, 4, 32, 0, 32),
            HANDSHAKE
        ));
        ledger.establish();
        let update = |number| message(KEY_UPDATE, number, 1, 0, 1);
        assert!(!takes(&mut ledger, &update(6), HANDSHAKE), "ahead");
        assert!(takes(&mut ledger, &update(5), HANDSHAKE));
        assert!(takes(&mut ledger, &update(5), HANDSHAKE), "a repetition");
        assert!(takes(&mut ledger, &update(6), HANDSHAKE));
    }
}
