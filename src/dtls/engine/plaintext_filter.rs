//! What a record holds once it is decrypted, judged before the engine sees it.
//!
//! The engine queues whatever is authentic and not of use yet, and some of it for ever: content types that the protocol
//! doesn't have, handshake records without a message, application data before the handshake is complete. From outside,
//! DTLS 1.3 shows nothing of that. The ciphers are ours (see `cached_ciphers`), so they ask here first, and what is refused
//! counts as not decrypted: the engine drops it, and its replay window has not moved.
//!
//! A Certificate message of DTLS 1.3 that comes in several records, or is long, is put together here. Of these records the
//! engine finds the other messages, or an acknowledgement of nothing; and in one that has room, once the message is whole,
//! what stands in for it (see [`super::stand_in`]). Where no record that is still to come has room, a repetition has.

use super::stand_in::{self, StandIn};
use crate::dtls::inbound::{self, CERTIFICATE, Fragment, LARGEST_CERTIFICATE_MESSAGE, Reassembly};
use crate::dtls::record::{ALERT, Cursor, HANDSHAKE};
use std::cell::Cell;

const APPLICATION_DATA: u8 = 23;
/// RFC 9147 §7.
const ACK: u8 = 26;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;
/// RFC 8446 §4.6.3, RFC 9147 §8.
const KEY_UPDATE: u8 = 24;
/// A Finished of DTLS 1.2 (RFC 5246 §7.4.9).
const FINISHED_12: usize = 12;
/// A signature of any kind that the engine verifies, or a hash.
const LONGEST_PROOF: usize = 1024;
/// The engine reads so many messages of a record.
const MOST_FRAGMENTS: usize = 8;
/// Record numbers that one ACK may name: the engine has not sent more at a time.
const LONGEST_ACK: usize = 2 + 16 * 64;

/// A Certificate message of DTLS 1.3 up to this length is the engine's own affair, if it comes in so many records.
const LONGEST_OF_ENGINE: usize = 2 * 1024;
const RECORDS_OF_ENGINE: usize = 3;
/// Records with messages that are ahead of their turn, which the engine queues. What is beyond is taken for lost: beside
/// these, all that is due must have a place in its queue.
const RECORDS_AHEAD: usize = 2;
/// Bytes of handshake messages that an engine of DTLS 1.3 may be given: it keeps them several times over.
const HANDSHAKE_BYTES: usize = LONGEST_OF_ENGINE + 2 * LONGEST_PROOF;

thread_local! {
    /// The ledger of the engine that is at work.
    static AT_WORK: Cell<Option<Box<PlaintextFilter>>> = const { Cell::new(None) };
}

/// What one server's engine has been given of protected records.
#[derive(Debug, Default)]
pub(super) struct PlaintextFilter {
    is_established: bool,
    /// The last record was not authentic, or was refused.
    was_refused: bool,
    /// Handshake fragments of DTLS 1.3 that the engine was given.
    fragments: Vec<TrackedFragment>,
    /// The message that the engine waits for, and how much of it is there.
    due: Option<(u16, usize)>,
    /// A Certificate message of DTLS 1.3 on its way.
    reassembly: Option<Reassembly>,
    /// Whether it is put together here. Its first fragment decides.
    is_gathered: Option<bool>,
    /// What stands in for it, until a record has room.
    stand_in: Option<Vec<u8>>,
    /// The `message_seq` that is due once the handshake is complete.
    next_message: u16,
    /// Why the session can't go on.
    excess: Option<String>,
}

/// A fragment that counts.
#[derive(Debug)]
struct TrackedFragment {
    message: u16,
    offset: usize,
    end: usize,
    total: usize,
    /// It is the first of its record.
    begins_record: bool,
}

impl PlaintextFilter {
    /// The handshake is complete.
    pub(super) fn establish(&mut self) {
        self.is_established = true;
        self.fragments = Vec::new();
        self.reassembly = None;
        self.stand_in = None;
    }

    /// Whether the last record was not authentic, or was refused.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.was_refused)
    }

    /// Why the session can't go on, if so.
    pub(super) fn take_excess(&mut self) -> Option<String> {
        self.excess.take()
    }

    /// Bytes of a message that is not whole; then records, and bytes of theirs, that the engine may have queued.
    pub(super) fn held(&self) -> (usize, usize, usize) {
        let gathered = self.reassembly.as_ref().map_or(0, Reassembly::held);
        let lengths = self.fragments.iter().map(|given| given.end - given.offset);
        let bytes = lengths.sum();
        (gathered, self.fragments.len(), bytes)
    }

    /// The length of what the engine may have of a record, which may have changed; `None`: nothing.
    fn takes(&mut self, record: &mut Decrypted<'_>) -> Option<usize> {
        let all = match record {
            Decrypted::Dtls12 { plaintext, .. } | Decrypted::Dtls13 { plaintext } => {
                plaintext.len()
            }
        };
        let is_taken = match record {
            Decrypted::Dtls12 {
                content_type: APPLICATION_DATA,
                ..
            } => self.is_established,
            Decrypted::Dtls12 {
                content_type: HANDSHAKE,
                plaintext,
            } => is_finished_12(plaintext),
            Decrypted::Dtls12 {
                content_type,
                plaintext,
            } => *content_type == ALERT && plaintext.len() == 2,
            Decrypted::Dtls13 { plaintext } => {
                let padding = plaintext.iter().rev().take_while(|byte| **byte == 0);
                let length = all - padding.count();
                match plaintext.get(..length).and_then(<[u8]>::split_last) {
                    Some((&APPLICATION_DATA, _)) => self.is_established,
                    Some((&ALERT, alert)) => alert.len() == 2,
                    Some((&ACK, numbers)) => numbers.len() <= LONGEST_ACK,
                    Some((&HANDSHAKE, _)) => return self.takes_messages(plaintext, length - 1),
                    _ => false,
                }
            }
        };
        is_taken.then_some(all)
    }

    fn takes_messages(&mut self, record: &mut [u8], length: usize) -> Option<usize> {
        let messages = record.get(..length)?;
        let mut others: Vec<u8> = Vec::new();
        let mut has_changed = self.stand_in.is_some();
        let known = self.fragments.len();
        let mut cursor = Cursor(messages);
        let mut count = 0;
        while !cursor.0.is_empty() {
            count += 1;
            let rest = cursor.0;
            let fragment = Fragment::read(&mut cursor).filter(|_| count <= MOST_FRAGMENTS)?;
            if !self.judges(&fragment) {
                return None;
            }
            if self.gathers(&fragment) {
                has_changed = true;
                self.gather(&fragment)?;
            } else {
                self.counts(&fragment, others.is_empty())?;
                others.extend(rest.get(..rest.len() - cursor.0.len())?);
            }
        }
        if count == 0 {
            return None;
        }
        let has_room = |stand_in: &mut Vec<u8>| stand_in.len() + others.len() < record.len();
        let stand_in = self.stand_in.take_if(has_room);
        if self.is_too_far_ahead(known, stand_in.is_some()) {
            self.fragments.truncate(known);
            return None;
        }
        if !has_changed {
            return Some(record.len());
        }
        let mut content = stand_in.unwrap_or_default();
        content.extend(others);
        content.extend::<&[u8]>(if content.is_empty() {
            &[0, 0, ACK]
        } else {
            &[HANDSHAKE]
        });
        record.get_mut(..content.len())?.copy_from_slice(&content);
        Some(content.len())
    }

    /// Whether a fragment is of a message that is put together here.
    fn gathers(&mut self, fragment: &Fragment<'_>) -> bool {
        if fragment.kind != CERTIFICATE || self.is_established {
            return false;
        }
        let records = fragment.total.div_ceil(fragment.bytes.len().max(1));
        *self
            .is_gathered
            .get_or_insert(fragment.total > LONGEST_OF_ENGINE || records > RECORDS_OF_ENGINE)
    }

    fn gather(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        self.due.get_or_insert((fragment.message, 0));
        if stand_in::is_at_work() {
            return Some(());
        }
        if let Some(body) = Reassembly::add(&mut self.reassembly, fragment) {
            let Some((stand_in, message)) = StandIn::new_13(fragment.message, &body) else {
                self.excess = Some("its certificate can't be read".to_owned());
                return None;
            };
            stand_in::put_to_work(Some(Box::new(stand_in)));
            self.stand_in = Some(message);
        }
        Some(())
    }

    /// Keeps account of a fragment that the engine may queue.
    fn counts(&mut self, fragment: &Fragment<'_>, begins_record: bool) -> Option<()> {
        if self.is_established {
            return Some(());
        }
        let (message, offset) = (fragment.message, fragment.offset);
        let end = offset + fragment.bytes.len();
        let is_same =
            |given: &&mut TrackedFragment| (given.message, given.offset) == (message, offset);
        if let Some(known) = self.fragments.iter_mut().find(is_same) {
            known.end = known.end.max(end);
            return Some(());
        }
        // A client's flight has these messages, in this order (RFC 8446 §2).
        let place = match fragment.kind {
            CERTIFICATE => 0,
            CERTIFICATE_VERIFY => 1,
            _ => 2,
        };
        (self.due).get_or_insert((message.saturating_sub(place), 0));
        self.fragments.push(TrackedFragment {
            message,
            offset,
            end,
            total: fragment.total,
            begins_record,
        });
        if self.held().2 > HANDSHAKE_BYTES {
            self.excess = Some("its handshake messages are too long in all".to_owned());
            return None;
        }
        Some(())
    }

    /// Whether a record that is not due must come again: so many are ahead of their turn that the one that is due might
    /// find no place in the engine's queue, which would end the handshake. `known`: fragments before this record.
    fn is_too_far_ahead(&mut self, known: usize, has_certificate: bool) -> bool {
        let Some(due) = &mut self.due else {
            return false;
        };
        let before = *due;
        if has_certificate {
            *due = (due.0.saturating_add(1), 0);
        }
        let covers = |given: &&TrackedFragment, due: (u16, usize)| {
            given.message == due.0 && given.offset <= due.1 && due.1 < given.end
        };
        while let Some(given) = self.fragments.iter().find(|given| covers(given, *due)) {
            due.1 = given.end;
            if due.1 >= given.total {
                let Some(next) = due.0.checked_add(1) else {
                    break;
                };
                *due = (next, 0);
            }
        }
        let due = *due;
        let is_ahead =
            |given: &&TrackedFragment| given.begins_record && (given.message, given.offset) > due;
        let ahead = self.fragments.iter().filter(is_ahead).count();
        due == before && self.fragments.len() > known && ahead > RECORDS_AHEAD
    }

    /// Whether it is lawful at its time.
    fn judges(&mut self, fragment: &Fragment<'_>) -> bool {
        if fragment.bytes.is_empty() {
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

/// Whether a record is a Finished, or a fragment of one: a client that fills its datagrams cuts it where one ends.
fn is_finished_12(plaintext: &[u8]) -> bool {
    let mut cursor = Cursor(plaintext);
    let fragment = Fragment::read(&mut cursor).filter(|_| cursor.0.is_empty());
    fragment.is_some_and(|fragment| {
        (fragment.kind, fragment.total) == (FINISHED, FINISHED_12) && !fragment.bytes.is_empty()
    })
}

/// A decrypted record.
pub(super) enum Decrypted<'a> {
    /// Its type is in the header, and authentic.
    Dtls12 {
        content_type: u8,
        plaintext: &'a mut [u8],
    },
    /// Its type is behind the content, before padding (RFC 9147 §4).
    Dtls13 { plaintext: &'a mut [u8] },
}

/// Until [`take_back`], records are judged by this ledger. Without one, as in a client, all are let through.
pub(super) fn put_to_work(ledger: Option<Box<PlaintextFilter>>) {
    AT_WORK.set(ledger);
}

/// The ledger again.
pub(super) fn take_back() -> Option<Box<PlaintextFilter>> {
    AT_WORK.take()
}

/// A record was not authentic.
pub(super) fn failed() {
    if let Some(mut ledger) = AT_WORK.take() {
        ledger.was_refused = true;
        AT_WORK.set(Some(ledger));
    }
}

/// The length of what the engine may have of this record, which may have changed; `None`: nothing.
pub(super) fn judge(mut record: Decrypted<'_>) -> Option<usize> {
    let Some(mut ledger) = AT_WORK.take() else {
        return Some(match record {
            Decrypted::Dtls12 { plaintext, .. } | Decrypted::Dtls13 { plaintext } => {
                plaintext.len()
            }
        });
    };
    let length = ledger.takes(&mut record);
    ledger.was_refused |= length.is_none();
    AT_WORK.set(Some(ledger));
    length
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

    fn takes(ledger: &mut PlaintextFilter, content: &[u8], content_type: u8) -> bool {
        let plaintext = &mut inner(content, content_type);
        ledger.takes(&mut Decrypted::Dtls13 { plaintext }).is_some()
    }

    #[test]
    fn only_content_types_that_the_protocol_has_are_taken_and_data_after_the_handshake_alone() {
        let mut ledger = PlaintextFilter::default();
        assert!(!takes(&mut ledger, b"data", APPLICATION_DATA));
        ledger.establish();
        for content_type in 0..=255 {
            let is_data = content_type == APPLICATION_DATA;
            assert_eq!(
                takes(&mut ledger, b"data", content_type),
                is_data || content_type == ACK
            );
            let mut of12 = Decrypted::Dtls12 {
                content_type,
                plaintext: &mut b"data".to_owned(),
            };
            assert_eq!(ledger.takes(&mut of12).is_some(), is_data, "{content_type}");
        }
        assert!(takes(&mut ledger, &[1, 0], ALERT));
        let plaintext = &mut [0; 40];
        assert_eq!(ledger.takes(&mut Decrypted::Dtls13 { plaintext }), None);
    }

    #[test]
    fn a_handshake_record_must_consist_of_messages() {
        let mut ledger = PlaintextFilter::default();
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
        assert_eq!(ledger.held(), (0, 1, 40));
    }

    #[test]
    fn certificates_too_large_and_fragments_too_many_end_the_session() {
        let mut ledger = PlaintextFilter::default();
        let large = message(CERTIFICATE, 2, LARGEST_CERTIFICATE_MESSAGE + 1, 0, 9);
        assert!(!takes(&mut ledger, &large, HANDSHAKE));
        assert!(
            ledger
                .take_excess()
                .is_some_and(|why| why.contains("16 KiB"))
        );
        let mut ledger = PlaintextFilter::default();
        let certificate = message(CERTIFICATE, 2, 40, 0, 40);
        assert!(takes(&mut ledger, &certificate, HANDSHAKE));
        let taken = (0..100).take_while(|at| {
            // Overlapping, and so for ever.
            let proof = message(CERTIFICATE_VERIFY, 3, 1000, *at, 500);
            takes(&mut ledger, &proof, HANDSHAKE)
        });
        assert!((4..12).contains(&taken.count()));
        assert!(ledger.take_excess().is_some());
    }

    #[test]
    fn what_is_ahead_of_its_turn_leaves_a_place_for_what_is_due() {
        let mut ledger = PlaintextFilter::default();
        let mut has = |kind, number, total, offset, length| {
            let bytes = message(kind, number, total, offset, length);
            takes(&mut ledger, &bytes, HANDSHAKE)
        };
        assert!(has(FINISHED, 4, 32, 0, 32) && has(CERTIFICATE_VERIFY, 3, 80, 40, 40));
        assert!(!has(CERTIFICATE_VERIFY, 3, 80, 0, 40), "it is the third");
        assert!(has(FINISHED, 4, 32, 0, 32), "a repetition");
        assert!(!has(CERTIFICATE, 2, 600, 200, 200), "ahead");
        for offset in [0, 200, 400] {
            assert!(has(CERTIFICATE, 2, 600, offset, 200), "due: {offset}");
        }
        assert!(has(CERTIFICATE_VERIFY, 3, 80, 0, 40), "due");
    }

    #[test]
    fn a_finished_of_dtls_12_may_come_in_fragments() {
        let takes = |plaintext: &mut [u8]| {
            let content_type = HANDSHAKE;
            let mut record = Decrypted::Dtls12 {
                content_type,
                plaintext,
            };
            PlaintextFilter::default().takes(&mut record).is_some()
        };
        for (offset, length) in [(0, 12), (0, 7), (7, 5)] {
            assert!(takes(&mut message(FINISHED, 5, 12, offset, length)));
        }
        for mut other in [
            message(FINISHED, 5, 12, 0, 0),
            message(FINISHED, 5, 12, 7, 6),
            message(FINISHED, 5, 13, 0, 12),
            message(CERTIFICATE, 5, 12, 0, 12),
            message(FINISHED, 5, 12, 0, 7).repeat(2),
        ] {
            assert!(!takes(&mut other), "{other:?}");
        }
    }

    #[test]
    fn a_key_update_is_taken_in_its_turn() {
        let mut ledger = PlaintextFilter::default();
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
