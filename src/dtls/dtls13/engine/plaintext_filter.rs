//! Filters decrypted records before the engine processes them.
//!
//! The engine queues authentic records that it can't use yet, some of them for ever: unknown content types, handshake
//! records without a message, application data before the handshake is complete. None of that is visible before
//! decryption. The ciphers are ours (see `cached_ciphers`), so they call this filter, and report a rejected record as not
//! authentic: the engine drops it, and does not advance its replay window.
//!
//! A Certificate message that comes in several records, or is long, is put together here. Of these records the
//! engine finds the other messages, or an acknowledgement of nothing; and in one that has room, once the message is whole,
//! what stands in for it (see [`super::stand_in`]). Where no record that is still to come has room, a repetition has.

use super::stand_in::{self, StandIn};
use crate::dtls::dtls13::inbound::{
    self, CERTIFICATE, Fragment, LARGEST_CERTIFICATE_MESSAGE, Reassembly,
};
use crate::dtls::handshakes::Buffered;
use crate::dtls::record::{ALERT, Cursor, HANDSHAKE};
use std::cell::Cell;

const APPLICATION_DATA: u8 = 23;
/// The content type of an ACK (RFC 9147 §7).
const ACK: u8 = 26;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;
/// RFC 8446 §4.6.3, RFC 9147 §8.
const KEY_UPDATE: u8 = 24;
/// The longest CertificateVerify or Finished: a signature that the engine can verify, or a hash.
const LONGEST_PROOF: usize = 1024;
/// Messages of one record that the engine reads.
const MAX_FRAGMENTS: usize = 8;
/// Bytes of an ACK with 64 record numbers: the engine never sends more records at a time.
const LONGEST_ACK: usize = 2 + 16 * 64;

/// A Certificate message up to this length, in at most [`RECORDS_OF_ENGINE`] records, is reassembled by the
/// engine.
const LONGEST_OF_ENGINE: usize = 2 * 1024;
const RECORDS_OF_ENGINE: usize = 3;
/// Out-of-order records that the engine may queue. Any more are rejected, as if lost, so that its queue has room for the
/// record that is due.
const RECORDS_AHEAD: usize = 2;
/// Bytes of handshake messages that the engine may get: it stores them several times.
const HANDSHAKE_BYTES: usize = LONGEST_OF_ENGINE + 2 * LONGEST_PROOF;

thread_local! {
    /// The filter of the engine that is running.
    static ACTIVE: Cell<Option<Box<PlaintextFilter>>> = const { Cell::new(None) };
}

/// The filter of one server's engine, with what the engine has got so far.
#[derive(Debug, Default)]
pub(super) struct PlaintextFilter {
    is_established: bool,
    /// Handshake fragments that the engine has got.
    fragments: Vec<TrackedFragment>,
    /// The `message_seq` that the engine expects next, and how many bytes of that message it has.
    due: Option<(u16, usize)>,
    /// An incomplete Certificate message.
    reassembly: Option<Reassembly>,
    /// Whether the Certificate message is reassembled here; decided by its first fragment.
    is_reassembled_here: Option<bool>,
    /// The message that replaces it, until a record has room for it.
    stand_in: Option<Vec<u8>>,
    /// The `message_seq` that is expected after the handshake.
    next_message: u16,
    /// Why the handshake must fail.
    fatal: Option<String>,
}

/// A fragment that the engine has got.
#[derive(Debug)]
struct TrackedFragment {
    message: u16,
    offset: usize,
    end: usize,
    total: usize,
    /// It is the first fragment of its record.
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

    /// Takes the reason why the handshake must fail, if there is one.
    pub(super) fn take_fatal(&mut self) -> Option<String> {
        self.fatal.take()
    }

    /// What is buffered here, and what the engine may have queued.
    pub(super) fn buffered(&self) -> Buffered {
        let lengths = self.fragments.iter().map(|known| known.end - known.offset);
        Buffered {
            unfinished: self.reassembly.as_ref().map_or(0, Reassembly::held),
            queued_records: self.fragments.len(),
            queued_bytes: lengths.sum(),
        }
    }

    /// Filters a record, and may modify it. Returns its new length; `None` rejects it.
    fn filter(&mut self, plaintext: &mut [u8]) -> Option<usize> {
        // The content type follows the content, before the padding (RFC 9147 §4).
        let padding = plaintext.iter().rev().take_while(|byte| **byte == 0);
        let length = plaintext.len() - padding.count();
        let is_accepted = match plaintext.get(..length).and_then(<[u8]>::split_last) {
            Some((&APPLICATION_DATA, _)) => self.is_established,
            Some((&ALERT, alert)) => alert.len() == 2,
            Some((&ACK, numbers)) => numbers.len() <= LONGEST_ACK,
            Some((&HANDSHAKE, _)) => return self.filter_messages(plaintext, length - 1),
            _ => false,
        };
        is_accepted.then_some(plaintext.len())
    }

    fn filter_messages(&mut self, record: &mut [u8], length: usize) -> Option<usize> {
        let messages = record.get(..length)?;
        let mut others: Vec<u8> = Vec::new();
        let mut has_changed = self.stand_in.is_some();
        let known = self.fragments.len();
        let mut cursor = Cursor(messages);
        let mut count = 0;
        while !cursor.0.is_empty() {
            count += 1;
            let rest = cursor.0;
            let fragment = Fragment::read(&mut cursor).filter(|_| count <= MAX_FRAGMENTS)?;
            if !self.is_acceptable(&fragment) {
                return None;
            }
            if self.should_reassemble(&fragment) {
                has_changed = true;
                self.reassemble(&fragment)?;
            } else {
                self.track(&fragment, others.is_empty())?;
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

    /// Whether a fragment belongs to a message that is reassembled here.
    fn should_reassemble(&mut self, fragment: &Fragment<'_>) -> bool {
        if fragment.kind != CERTIFICATE || self.is_established {
            return false;
        }
        let records = fragment.total.div_ceil(fragment.bytes.len().max(1));
        *self
            .is_reassembled_here
            .get_or_insert(fragment.total > LONGEST_OF_ENGINE || records > RECORDS_OF_ENGINE)
    }

    fn reassemble(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        self.due.get_or_insert((fragment.message, 0));
        if stand_in::is_active() {
            return Some(());
        }
        if let Some(body) = Reassembly::add(&mut self.reassembly, fragment) {
            let Some((stand_in, message)) = StandIn::new(fragment.message, &body) else {
                self.fatal = Some("its certificate can't be read".to_owned());
                return None;
            };
            stand_in::activate(Some(Box::new(stand_in)));
            self.stand_in = Some(message);
        }
        Some(())
    }

    /// Records a fragment that the engine may queue.
    fn track(&mut self, fragment: &Fragment<'_>, begins_record: bool) -> Option<()> {
        if self.is_established {
            return Some(());
        }
        let (message, offset) = (fragment.message, fragment.offset);
        let end = offset + fragment.bytes.len();
        let is_same =
            |known: &&mut TrackedFragment| (known.message, known.offset) == (message, offset);
        if let Some(known) = self.fragments.iter_mut().find(is_same) {
            known.end = known.end.max(end);
            return Some(());
        }
        // The messages of a client's flight, in order (RFC 8446 §2).
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
        if self.buffered().queued_bytes > HANDSHAKE_BYTES {
            self.fatal = Some("its handshake messages are too long in all".to_owned());
            return None;
        }
        Some(())
    }

    /// Whether an out-of-order record must be rejected, because the engine's queue might have no room left for the record
    /// that is due, which would end the handshake. `known`: the number of fragments before this record.
    fn is_too_far_ahead(&mut self, known: usize, has_certificate: bool) -> bool {
        let Some(due) = &mut self.due else {
            return false;
        };
        let before = *due;
        if has_certificate {
            *due = (due.0.saturating_add(1), 0);
        }
        let covers = |known: &&TrackedFragment, due: (u16, usize)| {
            known.message == due.0 && known.offset <= due.1 && due.1 < known.end
        };
        while let Some(known) = self.fragments.iter().find(|known| covers(known, *due)) {
            due.1 = known.end;
            if due.1 >= known.total {
                let Some(next) = due.0.checked_add(1) else {
                    break;
                };
                *due = (next, 0);
            }
        }
        let due = *due;
        let is_ahead =
            |known: &&TrackedFragment| known.begins_record && (known.message, known.offset) > due;
        let ahead = self.fragments.iter().filter(is_ahead).count();
        due == before && self.fragments.len() > known && ahead > RECORDS_AHEAD
    }

    /// Whether a fragment is valid in the current state.
    fn is_acceptable(&mut self, fragment: &Fragment<'_>) -> bool {
        if fragment.bytes.is_empty() {
            return false;
        }
        match fragment.kind {
            KEY_UPDATE => return self.is_key_update_due(fragment),
            CERTIFICATE if fragment.total > LARGEST_CERTIFICATE_MESSAGE => {
                self.fatal = Some(inbound::too_large(fragment.total));
                return false;
            }
            CERTIFICATE => {}
            CERTIFICATE_VERIFY | FINISHED if fragment.total <= LONGEST_PROOF => {}
            _ => return false,
        }
        if self.is_established {
            // A retransmission: the client has not received our ACK.
            return fragment.message < self.next_message;
        }
        if fragment.kind == FINISHED {
            self.next_message = fragment.message.saturating_add(1);
        }
        true
    }

    /// Whether a KeyUpdate is the next message, or a retransmission. The engine would queue those that are out of order.
    fn is_key_update_due(&mut self, fragment: &Fragment<'_>) -> bool {
        let is_whole = (fragment.total, fragment.offset) == (1, 0);
        let is_due = self.is_established && is_whole && fragment.message <= self.next_message;
        if is_due && fragment.message == self.next_message {
            self.next_message = self.next_message.saturating_add(1);
        }
        is_due
    }
}

/// Makes this filter the active one until [`deactivate`]. Without one, all records pass.
pub(super) fn activate(filter: Option<Box<PlaintextFilter>>) {
    ACTIVE.set(filter);
}

/// Takes the active filter back.
pub(super) fn deactivate() -> Option<Box<PlaintextFilter>> {
    ACTIVE.take()
}

/// Applies the active filter to a record, which may be modified. Returns its new length; `None` rejects it.
pub(super) fn filter(plaintext: &mut [u8]) -> Option<usize> {
    let Some(mut filter) = ACTIVE.take() else {
        return Some(plaintext.len());
    };
    let length = filter.filter(plaintext);
    ACTIVE.set(Some(filter));
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(content: &[u8], content_type: u8) -> Vec<u8> {
        [content, &[content_type, 0, 0]].concat()
    }

    fn message(kind: u8, number: u16, total: usize, offset: usize, length: usize) -> Vec<u8> {
        inbound::tests::encoded_fragment(kind, number, total, offset, &vec![7; length])
    }

    fn accepts(filter: &mut PlaintextFilter, content: &[u8], content_type: u8) -> bool {
        filter.filter(&mut inner(content, content_type)).is_some()
    }

    #[test]
    fn only_known_content_types_pass_and_application_data_only_after_the_handshake() {
        let mut filter = PlaintextFilter::default();
        assert!(!accepts(&mut filter, b"data", APPLICATION_DATA));
        filter.establish();
        for content_type in 0..=255 {
            let is_data = content_type == APPLICATION_DATA;
            assert_eq!(
                accepts(&mut filter, b"data", content_type),
                is_data || content_type == ACK
            );
        }
        assert!(accepts(&mut filter, &[1, 0], ALERT));
        assert_eq!(filter.filter(&mut [0; 40]), None);
    }

    #[test]
    fn a_handshake_record_must_consist_of_complete_fragments() {
        let mut filter = PlaintextFilter::default();
        let whole = message(CERTIFICATE, 2, 40, 0, 40);
        assert!(accepts(&mut filter, &whole, HANDSHAKE));
        assert!(accepts(&mut filter, &whole.repeat(8), HANDSHAKE));
        assert!(!accepts(&mut filter, &whole.repeat(9), HANDSHAKE));
        assert!(!accepts(&mut filter, &whole[..40], HANDSHAKE));
        assert!(!accepts(
            &mut filter,
            &message(CERTIFICATE, 2, 40, 0, 0),
            HANDSHAKE
        ));
        assert!(!accepts(&mut filter, &message(1, 2, 40, 0, 40), HANDSHAKE));
        let buffered = filter.buffered();
        assert_eq!((buffered.queued_records, buffered.queued_bytes), (1, 40));
    }

    #[test]
    fn too_large_certificates_and_too_many_fragments_are_fatal() {
        let mut filter = PlaintextFilter::default();
        let large = message(CERTIFICATE, 2, LARGEST_CERTIFICATE_MESSAGE + 1, 0, 9);
        assert!(!accepts(&mut filter, &large, HANDSHAKE));
        assert!(
            filter
                .take_fatal()
                .is_some_and(|why| why.contains("16 KiB"))
        );
        let mut filter = PlaintextFilter::default();
        let certificate = message(CERTIFICATE, 2, 40, 0, 40);
        assert!(accepts(&mut filter, &certificate, HANDSHAKE));
        let accepted_count = (0..100).take_while(|at| {
            // Overlapping fragments without end.
            let proof = message(CERTIFICATE_VERIFY, 3, 1000, *at, 500);
            accepts(&mut filter, &proof, HANDSHAKE)
        });
        assert!((4..12).contains(&accepted_count.count()));
        assert!(filter.take_fatal().is_some());
    }

    #[test]
    fn out_of_order_records_leave_room_for_the_one_that_is_due() {
        let mut filter = PlaintextFilter::default();
        let mut accepted = |kind, number, total, offset, length| {
            let bytes = message(kind, number, total, offset, length);
            accepts(&mut filter, &bytes, HANDSHAKE)
        };
        assert!(accepted(FINISHED, 4, 32, 0, 32) && accepted(CERTIFICATE_VERIFY, 3, 80, 40, 40));
        assert!(
            !accepted(CERTIFICATE_VERIFY, 3, 80, 0, 40),
            "the third out of order"
        );
        assert!(accepted(FINISHED, 4, 32, 0, 32), "a retransmission");
        assert!(!accepted(CERTIFICATE, 2, 600, 200, 200), "out of order");
        for offset in [0, 200, 400] {
            assert!(accepted(CERTIFICATE, 2, 600, offset, 200), "due: {offset}");
        }
        assert!(accepted(CERTIFICATE_VERIFY, 3, 80, 0, 40), "due");
    }

    #[test]
    fn key_updates_are_accepted_in_order() {
        let mut filter = PlaintextFilter::default();
        assert!(accepts(
            &mut filter,
            &message(FINISHED, 4, 32, 0, 32),
            HANDSHAKE
        ));
        filter.establish();
        let update = |number| message(KEY_UPDATE, number, 1, 0, 1);
        assert!(!accepts(&mut filter, &update(6), HANDSHAKE), "out of order");
        assert!(accepts(&mut filter, &update(5), HANDSHAKE));
        assert!(
            accepts(&mut filter, &update(5), HANDSHAKE),
            "a retransmission"
        );
        assert!(accepts(&mut filter, &update(6), HANDSHAKE));
    }
}
