//! Method and response codes (RFC 7252 §3, §12.1).

use std::fmt;

/// A CoAP code: three bits of class, five of detail, written `c.dd`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

/// Which part of the code registry a code falls into (RFC 7252 §12.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 0.00.
    Empty,
    /// 0.01 to 0.31.
    Request,
    /// 2.xx, 4.xx, 5.xx.
    Response,
    /// Classes 1, 6 and 7 (and 3, which has no codes): messages with these are format errors.
    Reserved,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $class:literal . $detail:literal;)*) => {
        impl Code { $( $(#[$doc])* pub const $name: Code = Code($class << 5 | $detail); )* }
    };
}

codes! {
    /// 0.00
    EMPTY = 0 . 0;
    /// 0.01
    GET = 0 . 1;
    /// 0.02
    POST = 0 . 2;
    /// 2.01
    CREATED = 2 . 1;
    /// 2.02
    DELETED = 2 . 2;
    /// 2.03
    VALID = 2 . 3;
    /// 2.05
    CONTENT = 2 . 5;
    /// 2.31 (RFC 7959 §2.9.1)
    CONTINUE = 2 . 31;
    /// 4.00
    BAD_REQUEST = 4 . 0;
    /// 4.01
    UNAUTHORIZED = 4 . 1;
    /// 4.02
    BAD_OPTION = 4 . 2;
    /// 4.03
    FORBIDDEN = 4 . 3;
    /// 4.04
    NOT_FOUND = 4 . 4;
    /// 4.05
    METHOD_NOT_ALLOWED = 4 . 5;
    /// 4.06
    NOT_ACCEPTABLE = 4 . 6;
    /// 4.08 (RFC 7959 §2.9.2)
    REQUEST_ENTITY_INCOMPLETE = 4 . 8;
    /// 4.12
    PRECONDITION_FAILED = 4 . 12;
    /// 4.13
    REQUEST_ENTITY_TOO_LARGE = 4 . 13;
    /// 4.15
    UNSUPPORTED_CONTENT_FORMAT = 4 . 15;
    /// 4.29 (RFC 8516)
    TOO_MANY_REQUESTS = 4 . 29;
    /// 5.00
    INTERNAL_SERVER_ERROR = 5 . 0;
    /// 5.02
    BAD_GATEWAY = 5 . 2;
    /// 5.03
    SERVICE_UNAVAILABLE = 5 . 3;
    /// 5.04
    GATEWAY_TIMEOUT = 5 . 4;
    /// 5.05
    PROXYING_NOT_SUPPORTED = 5 . 5;
}

impl Code {
    /// The class of this code.
    pub fn class(self) -> Class {
        match (self.0 >> 5, self.0 & 0x1f) {
            (0, 0) => Class::Empty,
            (0, _) => Class::Request,
            (2 | 4 | 5, _) => Class::Response,
            _ => Class::Reserved,
        }
    }

    /// Whether this is a 2.xx.
    pub fn is_success(self) -> bool {
        self.0 >> 5 == 2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 >> 5, self.0 & 0x1f)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_the_rfc_writes_them() {
        assert_eq!(Code::CONTENT.to_string(), "2.05");
        assert_eq!(Code::TOO_MANY_REQUESTS.to_string(), "4.29");
        assert_eq!(Code::CONTENT.0, 0x45);
    }

    #[test]
    fn reserved_classes_are_recognised() {
        assert_eq!(Code(0x00).class(), Class::Empty);
        assert_eq!(Code(0x1f).class(), Class::Request);
        assert_eq!(Code(0x84).class(), Class::Response);
        for reserved in [0x20, 0x60, 0xc0, 0xe1] {
            assert_eq!(Code(reserved).class(), Class::Reserved);
        }
    }
}
