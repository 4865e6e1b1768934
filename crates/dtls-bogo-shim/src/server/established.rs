//! Datagrams of an established session.

use super::Event;
use crate::failure::Failure;
use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::association::{Association, Discard};
use dtls_server::established::{self, Incoming, Reason, Received};
use dtls_server::handshake::LastFlight;
use dtls_server::record::records;

pub(super) fn receive(
    association: &mut Association,
    mut last_flight: Option<&mut LastFlight>,
    datagram: &[u8],
) -> Vec<Event> {
    let mut events = Vec::new();
    for record in records(datagram, 0) {
        let incoming = established::receive(association, last_flight.as_deref_mut(), &record);
        let received = match incoming {
            Ok(Incoming { received, .. }) => received,
            Err(Discard::Failed) => {
                events.push(Event::Failed(Failure::failed(Discard::Failed.to_string())));
                continue;
            }
            Err(_) => continue,
        };
        match received {
            Received::ApplicationData(data) => events.push(Event::ApplicationData(data)),
            Received::Repeat(datagrams) => {
                events.extend(datagrams.into_iter().map(Event::Transmit));
            }
            Received::Warn(datagram) => {
                events.push(Event::Transmit(datagram));
                // The session could go on, but the runner expects it to end.
                let alert = Alert::fatal(AlertDescription::UNEXPECTED_MESSAGE);
                let alert = established::protect(association, alert);
                events.extend(alert.map(Event::Transmit));
                events.push(Event::Failed(Failure::failed(":UNEXPECTED_RECORD:")));
            }
            Received::Ended(Reason::CloseNotify, _) => events.push(Event::CloseNotify),
            Received::Ended(reason, alert) => {
                events.extend(alert.map(Event::Transmit));
                events.push(Event::Failed(Failure::failed(format!("{reason:?}"))));
            }
            // Not negotiated, as there are no connection IDs.
            Received::PathChallenge(_) | Received::PathResponse(_) | Received::PathDrop(_) => {}
            Received::Nothing => {}
        }
    }
    events
}
