//! What a relay wants done.

use super::command_error::CommandError;
use super::liveness::Observation;
use crate::downlink::{self, Kind};
use crate::dtls::SessionId;
use crate::ota::AssignmentChange;
use crate::upstream::{Error, Rejection};
use bytes::Bytes;

/// Why the gateway ends an observation, and with it the code of the last notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObservationEnd {
    /// Another of the same device has taken its place: 2.02.
    Replaced,
    /// ThingsBoard no longer knows the device's token: 4.01.
    Unauthorized,
    /// The certificate is no longer in the device registry: 4.01.
    Unregistered,
    /// ThingsBoard says the device was deleted: 4.03.
    Forbidden,
    /// The gateway has restarted, and did not store it: 5.03.
    NotRestored,
}

impl ObservationEnd {
    /// What an error of ThingsBoard means for the device as a whole: `None` if it concerns the one request only.
    pub(crate) fn of(error: &Error) -> Option<ObservationEnd> {
        match error {
            Error::Rejected(Rejection::TokenRefused) => Some(ObservationEnd::Unauthorized),
            Error::Rejected(Rejection::Forbidden) => Some(ObservationEnd::Forbidden),
            Error::Rejected(
                Rejection::BadRequest
                | Rejection::NotFound
                | Rejection::TooLarge
                | Rejection::RateLimited
                | Rejection::Unparsable
                | Rejection::Failed
                | Rejection::UnexpectedClientError(_)
                | Rejection::UnexpectedServerError(_),
            )
            | Error::Elapsed
            | Error::Timeout
            | Error::Unreachable
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_) => None,
        }
    }
}

/// What a relay wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RelayEffect {
    /// Change where messages come from.
    Downlink(downlink::Effect),
    /// Read all attributes, and report the answer under this number.
    ReadAttributes(u64),
    /// Send a notification of an observation.
    Notify {
        observation: Observation,
        /// Reported with the notification's delivery.
        number: u64,
        /// JSON.
        payload: Bytes,
    },
    /// Send the last notification of an observation.
    EndObservation(Observation, ObservationEnd),
    /// Send a CoAP ping, to find out whether the device is alive.
    Ping(SessionId),
    /// Reply to the command of this id in the device's place.
    ReplyToCommand(u32, CommandError),
    /// The device may be assigned another package now.
    AssignmentChanged(AssignmentChange),
    /// Log that a message of ThingsBoard was unreadable.
    UnreadableMessage(Kind),
}
