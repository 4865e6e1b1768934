//! The server's last flight, which is sent again when the client's Finished comes again (RFC 6347 §4.2.4).

use super::flight::{Item, RecordWriter};
use crate::association::{Association, Unprotected};
use crate::message::{Fragment, HandshakeType, fragments};
use crate::reassembly::Message;
use crate::record::ContentType;
use std::time::Duration;

/// ChangeCipherSpec and Finished, for as long as the client may have missed them: until its first application data, or for
/// [`LIFETIME`](LastFlight::LIFETIME).
#[derive(Debug)]
pub struct LastFlight {
    items: Vec<Item>,
    writer: RecordWriter,
    /// The client's Finished, without its header.
    finished: Vec<u8>,
    /// Its number.
    message_seq: u16,
}

impl LastFlight {
    /// How long a client may repeat its Finished: twice the longest lifetime of a segment (RFC 6347 §4.2.4).
    pub const LIFETIME: Duration = Duration::from_secs(240);

    pub(super) fn new(items: Vec<Item>, writer: RecordWriter, finished: &Message) -> LastFlight {
        LastFlight {
            items,
            writer,
            finished: finished.body().to_vec(),
            message_seq: finished.message_seq(),
        }
    }

    /// The datagrams to send if this authentic record repeats the client's Finished. Otherwise there are none.
    pub fn repeat(
        &mut self,
        association: &mut Association,
        received: &Unprotected,
    ) -> Vec<Vec<u8>> {
        if received.content_type != ContentType::HANDSHAKE {
            return Vec::new();
        }
        let mut repeated = fragments(&received.content).map_while(Result::ok);
        // Its end, so that one that comes in fragments is answered once.
        if !repeated.any(|fragment| self.is_end_of_finished(&fragment)) {
            return Vec::new();
        }
        // A session whose numbers have run out is of no use anyway.
        let datagrams = self.writer.datagrams(&self.items, Some(association), false);
        datagrams.unwrap_or_default()
    }

    /// A second Finished with other content is no repetition.
    fn is_end_of_finished(&self, fragment: &Fragment<'_>) -> bool {
        let header = fragment.header;
        let end = usize::try_from(header.fragment_offset)
            .ok()
            .and_then(|offset| self.finished.get(offset..));
        header.message_type == HandshakeType::FINISHED
            && header.message_seq == self.message_seq
            && usize::try_from(header.length).is_ok_and(|length| length == self.finished.len())
            && !fragment.body.is_empty()
            && end == Some(fragment.body)
    }
}
