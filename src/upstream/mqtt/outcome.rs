//! What a PUBACK, an answer, or the end of a connection means for a request, in the errors that the HTTP form gives.

use super::super::{Answer, Error, Rejection};
use super::encode::{Outgoing, Target};
use bytes::Bytes;
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, PubackReasonCode,
};

/// Why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// ThingsBoard does not know the access token, or not any more: the token was changed, or the device was deleted.
    TokenRefused,
    /// Another connection with the same access token was opened.
    Displaced,
    /// The device is over a rate limit; or a package can't be had, or ThingsBoard has failed: it says no more.
    RateLimited,
    /// ThingsBoard accepts no connections now.
    NotServing,
    /// The connection broke, or ThingsBoard has closed it.
    Lost,
    /// Something was not answered, and nothing else came meanwhile.
    Silent,
    /// What came is not what ThingsBoard's MQTT sends.
    Unintelligible(&'static str),
    /// Closed from this side.
    Closed,
}

impl End {
    /// As a metric has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            End::TokenRefused => "token_refused",
            End::Displaced => "displaced",
            End::RateLimited => "rate_limited",
            End::NotServing => "not_serving",
            End::Lost => "lost",
            End::Silent => "silent",
            End::Unintelligible(_) => "unintelligible",
            End::Closed => "closed",
        }
    }

    /// What a refusing CONNACK means.
    pub(super) fn of_connack(code: ConnectReasonCode) -> End {
        match code {
            ConnectReasonCode::BadUserNameOrPassword | ConnectReasonCode::NotAuthorized => {
                End::TokenRefused
            }
            ConnectReasonCode::ConnectionRateExceeded | ConnectReasonCode::QuotaExceeded => {
                End::RateLimited
            }
            ConnectReasonCode::ServerUnavailable
            | ConnectReasonCode::ServerBusy
            | ConnectReasonCode::Banned
            | ConnectReasonCode::UseAnotherServer
            | ConnectReasonCode::ServerMoved => End::NotServing,
            ConnectReasonCode::UnsupportedProtocolVersion => {
                End::Unintelligible("it does not speak MQTT 5")
            }
            ConnectReasonCode::Success
            | ConnectReasonCode::UnspecifiedError
            | ConnectReasonCode::MalformedPacket
            | ConnectReasonCode::ProtocolError
            | ConnectReasonCode::ImplementationSpecificError
            | ConnectReasonCode::ClientIdentifierNotValid
            | ConnectReasonCode::BadAuthenticationMethod
            | ConnectReasonCode::TopicNameInvalid
            | ConnectReasonCode::PacketTooLarge
            | ConnectReasonCode::PayloadFormatInvalid
            | ConnectReasonCode::RetainNotSupported
            | ConnectReasonCode::QosNotSupported => {
                End::Unintelligible("it refuses connections for a reason that ThingsBoard has not")
            }
        }
    }

    /// What a DISCONNECT means. 0x8b comes for bodies that ThingsBoard's conversion fails at, and perhaps when it stops.
    pub(super) fn of_disconnect(code: Option<DisconnectReasonCode>) -> End {
        match code {
            Some(
                DisconnectReasonCode::AdministrativeAction | DisconnectReasonCode::NotAuthorized,
            ) => End::TokenRefused,
            Some(DisconnectReasonCode::SessionTakenOver) => End::Displaced,
            Some(
                DisconnectReasonCode::ImplementationSpecificError
                | DisconnectReasonCode::MessageRateTooHigh
                | DisconnectReasonCode::QuotaExceeded
                | DisconnectReasonCode::ConnectionRateExceeded,
            ) => End::RateLimited,
            Some(DisconnectReasonCode::ServerBusy) => End::NotServing,
            _ => End::Lost,
        }
    }
}

/// What is known about a request when its connection ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) target: Target,
    /// Whether nothing else was sent that has no PUBACK: then it alone can be over the limit.
    pub(super) is_suspect: bool,
    /// Whether ThingsBoard has reported on this connection that a package can't be had.
    pub(super) has_package_error: bool,
}

/// The error of a request that was sent, and whose connection has ended. ThingsBoard may have acted upon it.
pub(super) fn ended(end: End, pending: Pending) -> Error {
    let is_chunk = matches!(pending.target, Target::Chunk { .. });
    match end {
        End::TokenRefused => Error::Rejected(Rejection::TokenRefused),
        End::RateLimited if pending.has_package_error && is_chunk => {
            Error::Rejected(Rejection::NotFound)
        }
        End::RateLimited if pending.is_suspect && !pending.has_package_error => {
            Error::Rejected(Rejection::RateLimited)
        }
        End::NotServing => Error::Overloaded,
        End::Silent => Error::Timeout,
        End::Unintelligible(why) => Error::Unintelligible(why),
        End::RateLimited | End::Displaced | End::Lost | End::Closed => Error::Unreachable,
    }
}

/// The error of a request that was not sent, since its connection could not be opened or has ended. `None`: it can be sent on
/// another connection.
pub(super) fn unsent(end: End, was_up: bool) -> Option<Error> {
    match end {
        End::TokenRefused => Some(Error::Rejected(Rejection::TokenRefused)),
        End::RateLimited if !was_up => Some(Error::Rejected(Rejection::RateLimited)),
        End::NotServing => Some(Error::Overloaded),
        End::Unintelligible(why) if !was_up => Some(Error::Unintelligible(why)),
        End::Lost | End::Silent if !was_up => Some(Error::Unreachable),
        // Another attempt would displace the other client.
        End::Displaced => Some(Error::Unreachable),
        End::RateLimited | End::Unintelligible(_) | End::Lost | End::Silent | End::Closed => None,
    }
}

/// What a PUBACK says.
pub(super) fn acknowledged(code: PubackReasonCode) -> Result<(), Error> {
    match code {
        PubackReasonCode::Success | PubackReasonCode::NoMatchingSubscribers => Ok(()),
        PubackReasonCode::PayloadFormatInvalid => Err(Error::Rejected(Rejection::Unparsable)),
        PubackReasonCode::QuotaExceeded => Err(Error::Rejected(Rejection::RateLimited)),
        PubackReasonCode::NotAuthorized => Err(Error::Rejected(Rejection::Forbidden)),
        PubackReasonCode::TopicNameInvalid => {
            Err(Error::Unintelligible("it does not know the topic"))
        }
        PubackReasonCode::UnspecifiedError
        | PubackReasonCode::ImplementationSpecificError
        | PubackReasonCode::PacketIdentifierInUse => Err(Error::Rejected(Rejection::Failed)),
    }
}

/// What an answer says.
pub(super) fn answered(outgoing: &Outgoing, payload: &[u8]) -> Result<Answer, Error> {
    if payload.len() > outgoing.largest_answer {
        return Err(Error::Unintelligible("its body is too large"));
    }
    let text = payload.trim_ascii();
    // The rule chain has not answered within ThingsBoard's limit.
    if outgoing.target == Target::ClientRpc && text == br#"{"error":"timeout"}"# {
        return Err(Error::Timeout);
    }
    // So ThingsBoard answers a provision request that it can't read.
    if outgoing.target == Target::Provision && text.is_empty() {
        return Err(Error::Rejected(Rejection::BadRequest));
    }
    let body = Bytes::copy_from_slice(payload);
    Ok(Answer { body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Operation, Package};

    #[test]
    fn a_request_in_flight_gets_the_answer_that_its_fate_deserves() {
        let chunk = Target::Chunk {
            package: Package::Firmware,
            chunk: 0,
        };
        let fate = |end, target, is_suspect, has_package_error| {
            let pending = Pending {
                target,
                is_suspect,
                has_package_error,
            };
            ended(end, pending)
        };
        let rejected = Error::Rejected;
        for (end, target, is_suspect, has_package_error, expected) in [
            (
                End::Lost,
                Target::Telemetry,
                true,
                false,
                Error::Unreachable,
            ),
            (
                End::Displaced,
                Target::Telemetry,
                true,
                false,
                Error::Unreachable,
            ),
            (
                End::Closed,
                Target::Telemetry,
                true,
                false,
                Error::Unreachable,
            ),
            (End::Silent, Target::Telemetry, true, false, Error::Timeout),
            (
                End::RateLimited,
                Target::Telemetry,
                true,
                false,
                rejected(Rejection::RateLimited),
            ),
            (
                End::RateLimited,
                Target::Telemetry,
                false,
                false,
                Error::Unreachable,
            ),
            (
                End::RateLimited,
                Target::Telemetry,
                true,
                true,
                Error::Unreachable,
            ),
            (
                End::RateLimited,
                chunk,
                true,
                true,
                rejected(Rejection::NotFound),
            ),
            (
                End::RateLimited,
                chunk,
                false,
                true,
                rejected(Rejection::NotFound),
            ),
            (
                End::TokenRefused,
                Target::Telemetry,
                false,
                false,
                rejected(Rejection::TokenRefused),
            ),
        ] {
            assert_eq!(
                fate(end, target, is_suspect, has_package_error),
                expected,
                "{end:?} {target:?} {is_suspect} {has_package_error}"
            );
        }
    }

    #[test]
    fn what_was_not_sent_is_sent_again_if_the_connection_had_worked() {
        for end in [End::Lost, End::Silent, End::RateLimited, End::Closed] {
            assert_eq!(unsent(end, true), None, "{end:?}");
        }
        for end in [End::Lost, End::Silent, End::NotServing, End::Displaced] {
            assert!(unsent(end, false).is_some(), "{end:?}");
        }
        assert_eq!(
            unsent(End::RateLimited, false),
            Some(Error::Rejected(Rejection::RateLimited))
        );
    }

    #[test]
    fn codes_mean_what_a_live_server_was_seen_to_mean_by_them() {
        use ConnectReasonCode as Connect;
        use DisconnectReasonCode as Disconnect;
        assert_eq!(
            End::of_connack(Connect::BadUserNameOrPassword),
            End::TokenRefused
        );
        assert_eq!(
            End::of_connack(Connect::ConnectionRateExceeded),
            End::RateLimited
        );
        for (code, end) in [
            (Disconnect::AdministrativeAction, End::TokenRefused),
            (Disconnect::SessionTakenOver, End::Displaced),
            (Disconnect::ImplementationSpecificError, End::RateLimited),
            (Disconnect::MessageRateTooHigh, End::RateLimited),
            (Disconnect::ServerShuttingDown, End::Lost),
        ] {
            assert_eq!(End::of_disconnect(Some(code)), end);
        }
        assert_eq!(End::of_disconnect(None), End::Lost);
        assert_eq!(acknowledged(PubackReasonCode::Success), Ok(()));
        assert_eq!(
            acknowledged(PubackReasonCode::PayloadFormatInvalid),
            Err(Error::Rejected(Rejection::Unparsable))
        );
    }

    #[test]
    fn an_answer_is_bounded_and_a_silent_rule_chain_is_a_timeout() {
        let rpc = Outgoing::new(&Operation::CallRpc("{method:m}".into())).unwrap();
        assert_eq!(
            answered(&rpc, br#"{"error":"timeout"}"#),
            Err(Error::Timeout)
        );
        assert!(answered(&rpc, br#"{"error":"other"}"#).is_ok());
        let chunk = Outgoing::new(&Operation::GetPackage {
            package: Package::Firmware,
            title: "t".into(),
            version: "v".into(),
            size: 4,
            chunk: 0,
        })
        .unwrap();
        assert_eq!(answered(&chunk, b"").unwrap().body, Bytes::new());
        assert_eq!(answered(&chunk, b"1234").unwrap().body.len(), 4);
        assert!(matches!(
            answered(&chunk, b"12345"),
            Err(Error::Unintelligible(_))
        ));
    }
}
