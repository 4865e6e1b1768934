//! Alerts (RFC 5246 §7.2).

use std::fmt;

/// The description of an alert. Those that this server neither sends nor acts upon have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

/// The level of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertLevel {
    /// 1: the session goes on.
    Warning,
    /// 2: the session has ended.
    Fatal,
}

macro_rules! descriptions {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        #[expect(missing_docs, reason = "the names are those of RFC 5246 §7.2 and the registry")]
        impl AlertDescription {
            $(pub const $name: AlertDescription = AlertDescription($number);)*

            /// The name in the registry of TLS alerts, if it has one here.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

descriptions! {
    CLOSE_NOTIFY = 0, "close_notify";
    UNEXPECTED_MESSAGE = 10, "unexpected_message";
    BAD_RECORD_MAC = 20, "bad_record_mac";
    RECORD_OVERFLOW = 22, "record_overflow";
    HANDSHAKE_FAILURE = 40, "handshake_failure";
    BAD_CERTIFICATE = 42, "bad_certificate";
    UNSUPPORTED_CERTIFICATE = 43, "unsupported_certificate";
    CERTIFICATE_REVOKED = 44, "certificate_revoked";
    CERTIFICATE_EXPIRED = 45, "certificate_expired";
    CERTIFICATE_UNKNOWN = 46, "certificate_unknown";
    ILLEGAL_PARAMETER = 47, "illegal_parameter";
    UNKNOWN_CA = 48, "unknown_ca";
    ACCESS_DENIED = 49, "access_denied";
    DECODE_ERROR = 50, "decode_error";
    DECRYPT_ERROR = 51, "decrypt_error";
    PROTOCOL_VERSION = 70, "protocol_version";
    INSUFFICIENT_SECURITY = 71, "insufficient_security";
    INTERNAL_ERROR = 80, "internal_error";
    INAPPROPRIATE_FALLBACK = 86, "inappropriate_fallback";
    USER_CANCELED = 90, "user_canceled";
    NO_RENEGOTIATION = 100, "no_renegotiation";
    UNSUPPORTED_EXTENSION = 110, "unsupported_extension";
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "alert {}", self.0),
        }
    }
}

/// An alert as sent in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// What it means for the session.
    pub level: AlertLevel,
    /// The reason.
    pub description: AlertDescription,
}

impl Alert {
    /// A fatal alert.
    #[must_use]
    pub const fn fatal(description: AlertDescription) -> Alert {
        Alert {
            level: AlertLevel::Fatal,
            description,
        }
    }

    /// An alert that doesn't end the session, or that closes it in order (close_notify, RFC 5246 §7.2.1).
    #[must_use]
    pub const fn warning(description: AlertDescription) -> Alert {
        Alert {
            level: AlertLevel::Warning,
            description,
        }
    }

    /// Reads the content of a record. `None`: it is no alert.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<Alert> {
        let &[level, description] = content else {
            return None;
        };
        let level = match level {
            1 => AlertLevel::Warning,
            2 => AlertLevel::Fatal,
            _ => return None,
        };
        let description = AlertDescription(description);
        Some(Alert { level, description })
    }

    /// The content of its record.
    #[must_use]
    pub fn encode(self) -> [u8; 2] {
        let level = match self.level {
            AlertLevel::Warning => 1,
            AlertLevel::Fatal => 2,
        };
        [level, self.description.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_two_bytes() {
        let alert = Alert::fatal(AlertDescription::HANDSHAKE_FAILURE);
        assert_eq!(alert.encode(), [2, 40]);
        assert_eq!(Alert::parse(&[2, 40]), Some(alert));
        let close = Alert::warning(AlertDescription::CLOSE_NOTIFY);
        assert_eq!(Alert::parse(&[1, 0]), Some(close));
        for malformed in [&[][..], &[2], &[0, 40], &[3, 40], &[2, 40, 0]] {
            assert_eq!(Alert::parse(malformed), None);
        }
    }

    #[test]
    fn unknown_descriptions_are_shown_by_number() {
        assert_eq!(AlertDescription(40).to_string(), "handshake_failure (40)");
        assert_eq!(AlertDescription(255).to_string(), "alert 255");
    }
}
