//! Option numbers, Content-Formats, and option values that are numbers (RFC 7252 §3.2, §12.2, §12.3).

use bytes::Bytes;

/// Option numbers.
pub mod number {
    #![allow(missing_docs, reason = "the names are the RFCs'")]
    pub const IF_MATCH: u16 = 1;
    pub const URI_HOST: u16 = 3;
    pub const ETAG: u16 = 4;
    pub const IF_NONE_MATCH: u16 = 5;
    pub const OBSERVE: u16 = 6;
    pub const URI_PORT: u16 = 7;
    pub const URI_PATH: u16 = 11;
    pub const CONTENT_FORMAT: u16 = 12;
    pub const MAX_AGE: u16 = 14;
    pub const URI_QUERY: u16 = 15;
    pub const ACCEPT: u16 = 17;
    pub const BLOCK2: u16 = 23;
    pub const BLOCK1: u16 = 27;
    pub const SIZE2: u16 = 28;
    pub const PROXY_URI: u16 = 35;
    pub const PROXY_SCHEME: u16 = 39;
    pub const SIZE1: u16 = 60;
    pub const ECHO: u16 = 252;
    pub const NO_RESPONSE: u16 = 258;
    pub const REQUEST_TAG: u16 = 292;
}
/// Content-Formats (RFC 7252 §12.3).
pub mod content_format {
    #![allow(missing_docs, reason = "the names are the registry's")]
    pub const TEXT_PLAIN: u16 = 0;
    pub const LINK_FORMAT: u16 = 40;
    pub const OCTET_STREAM: u16 = 42;
    pub const JSON: u16 = 50;
}

/// Reads an option value of the format `uint` (RFC 7252 §3.2): big-endian, leading zeros allowed. Of more than four bytes
/// the last four count.
pub fn decode_unsigned(value: &[u8]) -> u32 {
    value
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Writes a `uint` value (RFC 7252 §3.2): big-endian, without leading zeros.
pub fn encode_unsigned(number: u32) -> Bytes {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Bytes::copy_from_slice(bytes.get(zeros..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_can_be() {
        assert_eq!(&encode_unsigned(0)[..], b"");
        assert_eq!(&encode_unsigned(50)[..], [50]);
        assert_eq!(&encode_unsigned(86_400)[..], [1, 0x51, 0x80]);
    }
}
