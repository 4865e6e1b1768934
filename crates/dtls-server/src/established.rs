//! What an authentic record of an established session means (RFC 5246 §7.2, RFC 6347 §4.2.4).
//!
//! Nothing in plaintext concerns an established session: what is not authentic is discarded in silence (RFC 6347 §4.1.2.7), and
//! a new handshake from the same address is another session until it is complete (§4.2.8).

use crate::alert::{Alert, AlertDescription, AlertLevel};
use crate::association::{Association, Discard};
use crate::handshake::LastFlight;
use crate::message::{HandshakeType, fragments};
use crate::record::{ContentType, Record};
use crate::routability::{Cookie, PathMessage};

/// What to do after a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// The client has sent this. It has all of the handshake: its [`LastFlight`] can be dropped.
    ApplicationData(Vec<u8>),
    /// The client has repeated its Finished: send these datagrams again.
    Repeat(Vec<Vec<u8>>),
    /// The client asks whether the server receives at its address (RFC 9853): send this at once, to where the record came from.
    /// It counts among what may be sent to an address that is not proven.
    PathChallenge(Vec<u8>),
    /// The client has received a [challenge](Association::challenge) with this cookie. Nothing, if there was none for the address
    /// from which the record came.
    PathResponse(Cookie),
    /// The same, and the client does not use this path any more.
    PathDrop(Cookie),
    /// Send this alert. The session goes on.
    Warn(Vec<u8>),
    /// The session has ended: send this alert if there is one, and drop the association.
    Ended(Reason, Option<Vec<u8>>),
    /// Nothing.
    Nothing,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client has closed it (RFC 5246 §7.2.1).
    CloseNotify,
    /// The client has sent this fatal alert.
    Alert(AlertDescription),
    /// The client has sent a record that is authentic and has no place here.
    Unexpected,
    /// The client has sent an authentic record with more content than was agreed on.
    Overflow,
    /// The client has sent an authentic alert that is malformed.
    Malformed,
}

/// A record that was not discarded.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What to do.
    pub received: Received,
    /// See [`Unprotected::is_newest`](crate::association::Unprotected::is_newest).
    pub is_newest: bool,
}

/// Takes in a record of an established session.
///
/// # Errors
/// The record is discarded, and changes nothing.
pub fn receive(
    association: &mut Association,
    last_flight: Option<&mut LastFlight>,
    record: &Record<'_>,
) -> Result<Incoming, Discard> {
    let unprotected = match association.unprotect(record) {
        Ok(unprotected) => unprotected,
        Err(Discard::Overflow) => {
            let alert = Alert::fatal(AlertDescription::RECORD_OVERFLOW);
            return Ok(Incoming {
                received: Received::Ended(Reason::Overflow, protect(association, alert)),
                is_newest: false,
            });
        }
        Err(discard) => return Err(discard),
    };
    let is_newest = unprotected.is_newest;
    let received = match unprotected.content_type {
        ContentType::APPLICATION_DATA => Received::ApplicationData(unprotected.content),
        ContentType::ALERT => match Alert::parse(&unprotected.content) {
            Some(alert) => receive_alert(association, alert),
            None => {
                let alert = Alert::fatal(AlertDescription::DECODE_ERROR);
                Received::Ended(Reason::Malformed, protect(association, alert))
            }
        },
        ContentType::HANDSHAKE => {
            let datagrams = last_flight.map(|flight| flight.repeat(association, &unprotected));
            match datagrams {
                Some(datagrams) if !datagrams.is_empty() => Received::Repeat(datagrams),
                _ => receive_handshake(association, &unprotected.content),
            }
        }
        // Some send it again, protected, with their last flight.
        ContentType::CHANGE_CIPHER_SPEC => Received::Nothing,
        ContentType::RETURN_ROUTABILITY_CHECK => receive_check(association, &unprotected.content),
        // Unknown types are for versions and extensions that were not negotiated.
        _ => unexpected(association),
    };
    Ok(Incoming {
        received,
        is_newest,
    })
}

fn receive_alert(association: &mut Association, alert: Alert) -> Received {
    match (alert.level, alert.description) {
        (_, AlertDescription::CLOSE_NOTIFY) => {
            let answer = Alert::warning(AlertDescription::CLOSE_NOTIFY);
            Received::Ended(Reason::CloseNotify, protect(association, answer))
        }
        (AlertLevel::Fatal, description) => Received::Ended(Reason::Alert(description), None),
        (AlertLevel::Warning, _) => Received::Nothing,
    }
}

/// A check that is malformed, unknown or was not negotiated is ignored (RFC 9853 §4).
fn receive_check(association: &mut Association, content: &[u8]) -> Received {
    let message = PathMessage::parse(content);
    match message.filter(|_| association.has_return_routability_check()) {
        Some(PathMessage::Challenge(cookie)) => {
            let response = PathMessage::Response(cookie).protect(association);
            response.map_or(Received::Nothing, Received::PathChallenge)
        }
        Some(PathMessage::Response(cookie)) => Received::PathResponse(cookie),
        Some(PathMessage::Drop(cookie)) => Received::PathDrop(cookie),
        None => Received::Nothing,
    }
}

/// Renegotiation is refused, and everything else but a part of a late Finished has no place here.
fn receive_handshake(association: &mut Association, content: &[u8]) -> Received {
    match fragments(content).next() {
        Some(Ok(fragment)) => match fragment.header.message_type {
            HandshakeType::CLIENT_HELLO => {
                let alert = Alert::warning(AlertDescription::NO_RENEGOTIATION);
                protect(association, alert).map_or(Received::Nothing, Received::Warn)
            }
            HandshakeType::FINISHED => Received::Nothing,
            _ => unexpected(association),
        },
        Some(Err(_)) | None => Received::Nothing,
    }
}

fn unexpected(association: &mut Association) -> Received {
    let alert = Alert::fatal(AlertDescription::UNEXPECTED_MESSAGE);
    Received::Ended(Reason::Unexpected, protect(association, alert))
}

/// A datagram with an alert. `None`: the session has no record numbers left.
#[must_use]
pub fn protect(association: &mut Association, alert: Alert) -> Option<Vec<u8>> {
    let mut datagram = Vec::new();
    let content = alert.encode();
    let written = association.protect(ContentType::ALERT, &content, &mut datagram);
    written.is_ok().then_some(datagram)
}
