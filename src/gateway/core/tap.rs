//! Events for the tap: built only if it has a receiver.

use super::Core;
use crate::dtls::{EndReason, Path, SessionId};
use crate::gateway::tap::{DeviceName, Event};
use bytes::Bytes;

impl Core {
    fn name_of(&self, session: SessionId) -> DeviceName {
        Some(self.device_of(session)?.name.clone())
    }

    pub(super) fn established(
        &self,
        session: SessionId,
        path: Path,
        version: &'static str,
    ) -> (DeviceName, Event) {
        let event = Event::Established {
            session,
            address: path.remote,
            version,
        };
        (self.name_of(session), event)
    }

    pub(super) fn ended(&self, session: SessionId, reason: &EndReason) -> (DeviceName, Event) {
        let reason = reason.clone();
        (self.name_of(session), Event::Ended { session, reason })
    }

    pub(super) fn received(&self, session: SessionId, bytes: &[u8]) -> (DeviceName, Event) {
        let event = Event::Received {
            session,
            message: Bytes::copy_from_slice(bytes),
            datagram: self.tap.datagram(),
        };
        (self.name_of(session), event)
    }

    pub(super) fn sent(&self, session: SessionId, bytes: &[u8]) -> (DeviceName, Event) {
        let datagram = self.sessions.dtls.last_transmit();
        let event = Event::Sent {
            session,
            message: Bytes::copy_from_slice(bytes),
            datagram: datagram.map_or(0, |newest| newest.datagram.len()),
        };
        (self.name_of(session), event)
    }
}
