//! The outer syntax of a client's handshake messages in DTLS 1.2 (RFC 5246 §7.4.6 to §7.4.8).
//!
//! The engine ignores a message that it can't parse and expects it again, while this filter would expect the next one. So
//! malformed messages must not reach the engine.

use crate::dtls::record::Cursor;

/// Most bytes of a Certificate message: 16 KiB of certificates, with the length of the list and of each.
pub(in crate::dtls) const LARGEST_CERTIFICATE_MESSAGE: usize = 16 * 1024 + 3 + 3 * MAX_CERTIFICATES;
/// Most certificates in it: more than any chain from a leaf to its root has.
pub(super) const MAX_CERTIFICATES: usize = 10;

/// The number of certificates in a Certificate message; `None` if it is malformed.
pub(super) fn certificates(body: &[u8]) -> Option<usize> {
    let mut cursor = Cursor(body);
    let length = usize::try_from(cursor.u24()?).ok()?;
    if cursor.0.len() != length {
        return None;
    }
    let mut count = 0;
    while !cursor.0.is_empty() {
        let length = usize::try_from(cursor.u24()?).ok()?;
        cursor.take(length)?;
        count += 1;
    }
    Some(count)
}

/// A public key of one of our groups: X25519, or an uncompressed point of P-256 or P-384 (RFC 8422 §5.4.1).
pub(super) fn is_client_key_exchange(body: &[u8]) -> bool {
    match body {
        [32, key @ ..] => key.len() == 32,
        [length @ (65 | 97), point @ ..] => {
            point.len() == usize::from(*length) && point.first() == Some(&4)
        }
        _ => false,
    }
}

/// An algorithm, and a signature with its length.
pub(super) fn is_certificate_verify(body: &[u8]) -> bool {
    let mut cursor = Cursor(body);
    let length = cursor.take(2).and_then(|_| cursor.u16());
    length.is_some_and(|length| length > 0 && cursor.0.len() == usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_counted_and_every_other_length_is_malformed() {
        assert_eq!(certificates(&[0, 0, 0]), Some(0));
        let two = [0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 1, 3];
        assert_eq!(certificates(&two), Some(2));
        for length in 0..two.len() {
            assert_eq!(certificates(&two[..length]), None, "{length}");
        }
        assert_eq!(certificates(&[&two[..], &[0]].concat()), None);
    }

    #[test]
    fn keys_and_signatures_have_exact_lengths() {
        let point = |length: u8| [vec![length, 4], vec![1; usize::from(length) - 1]].concat();
        for length in [65, 97] {
            assert!(is_client_key_exchange(&point(length)));
            assert!(!is_client_key_exchange(&point(length)[..64]));
        }
        assert!(is_client_key_exchange(&[vec![32], vec![1; 32]].concat()));
        assert!(!is_client_key_exchange(&[]) && !is_client_key_exchange(&point(40)));
        assert!(is_certificate_verify(&[4, 3, 0, 2, 1, 1]));
        for wrong in [
            &[][..],
            &[4, 3, 0, 0],
            &[4, 3, 0, 2, 1],
            &[4, 3, 0, 1, 1, 1],
        ] {
            assert!(!is_certificate_verify(wrong), "{wrong:?}");
        }
    }
}
