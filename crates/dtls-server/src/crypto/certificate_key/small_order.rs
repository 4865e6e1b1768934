//! Ed25519 keys that are points of small order (RFC 8032 §5.1). Signatures by them can be made by anyone: a multiple of such a
//! point is one of eight. aws-lc takes them.

/// Bytes of a public key.
const LENGTH: usize = 32;

/// All encodings of the eight points, without the sign of x: y is 0, 1, −1, or one of two others. 0 and 1 have a second
/// encoding each, from the field's prime on.
const POINTS: [[u8; LENGTH]; 7] = [
    near_multiple(0, 0, 0),
    near_multiple(1, 0, 0),
    near_multiple(0xec, 0xff, 0x7f),
    near_multiple(0xed, 0xff, 0x7f),
    near_multiple(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// A number close to 0 or to the prime 2^255 − 19: its bytes but the first and the last are the same.
const fn near_multiple(first: u8, middle: u8, last: u8) -> [u8; LENGTH] {
    let mut bytes = [middle; LENGTH];
    let [low, .., high] = &mut bytes;
    *low = first;
    *high = last;
    bytes
}

/// Whether a public key is a point of small order.
pub(super) fn is_small_order(key: &[u8]) -> bool {
    let Some((&last, rest)) = key.split_last() else {
        return false;
    };
    let without_sign = last & 0x7f;
    POINTS
        .iter()
        .any(|point| point.split_last() == Some((&without_sign, rest)))
}
