//! A ClientHello whose first fragment returned a valid cookie.

use super::VerifiedHello;
use crate::message::{Fragment, HandshakeType, Header, fragments};
use crate::reassembly::Reassembly;
use crate::record::{self, ContentType};

/// A ClientHello whose first fragment returned a valid cookie: the address is proven, so that it may be kept. It takes less
/// than 8 KiB. How long it is kept, and how many, is for the user to limit.
#[derive(Debug)]
pub struct FragmentedHello {
    reassembly: Reassembly,
    /// Of the first fragment. The others have the same type, number and total length.
    first: Header,
    record_sequence: u64,
}

impl FragmentedHello {
    pub(super) const fn new(
        reassembly: Reassembly,
        first: Header,
        record_sequence: u64,
    ) -> FragmentedHello {
        FragmentedHello {
            reassembly,
            first,
            record_sequence,
        }
    }

    /// Takes in the fragments of the hello that are in a datagram. `Some`: it is whole now, and this one is of no more use.
    ///
    /// What the cookie is bound to came with the first fragment, and is not replaced by what comes later.
    pub fn insert(&mut self, datagram: &[u8]) -> Option<VerifiedHello> {
        let records = record::records(datagram, 0);
        let plaintext = records
            .filter(|record| record.content_type == ContentType::HANDSHAKE && record.epoch == 0);
        for fragment in plaintext
            .flat_map(|record| fragments(record.fragment))
            .flatten()
        {
            let header = fragment.header;
            let is_of_hello = header.message_type == self.first.message_type
                && header.message_seq == self.first.message_seq
                && header.length == self.first.length;
            if is_of_hello && let Some(later) = behind(&fragment, self.first.fragment_length) {
                self.reassembly.insert(&later, false);
            }
        }
        let message = self.reassembly.take(&[HandshakeType::CLIENT_HELLO])?;
        Some(VerifiedHello {
            message,
            record_sequence: self.record_sequence,
        })
    }
}

/// The part of a fragment behind the first `length` bytes of its message. `None`: it has none.
fn behind<'a>(fragment: &Fragment<'a>, length: u32) -> Option<Fragment<'a>> {
    let skipped = length.saturating_sub(fragment.header.fragment_offset);
    let body = fragment.body.get(usize::try_from(skipped).ok()?..)?;
    let rest = fragment.header.fragment_length.checked_sub(skipped)?;
    let header = Header {
        fragment_offset: fragment.header.fragment_offset.checked_add(skipped)?,
        fragment_length: rest,
        ..fragment.header
    };
    (rest > 0).then_some(Fragment { header, body })
}
