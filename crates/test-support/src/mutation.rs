//! Random changes of datagrams.

use fastrand::Rng;

/// Larger than any datagram of the tests, smaller than UDP allows.
const MAX_DATAGRAM: usize = 20_000;

/// Edge cases of parsers.
const EDGES: [u16; 8] = [0, 1, 0x7f, 0xff, 0x100, 0x3fff, 0x4001, 0xffff];

/// One of these datagrams with up to four changes.
pub fn mutated(rng: &mut Rng, datagrams: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = any(rng, datagrams).clone();
    for _ in 0..rng.usize(1..=4) {
        change(rng, &mut bytes, datagrams);
        bytes.truncate(MAX_DATAGRAM);
    }
    bytes
}

fn any<'a>(rng: &mut Rng, datagrams: &'a [Vec<u8>]) -> &'a Vec<u8> {
    &datagrams[rng.usize(..datagrams.len())]
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, datagrams: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.extend(any(rng, datagrams));
        return;
    }
    let (here, there) = (rng.usize(..bytes.len()), rng.usize(..bytes.len()));
    let piece = here.min(there)..here.max(there);
    let edge = EDGES[rng.usize(..EDGES.len())].to_be_bytes();
    match rng.u8(..13) {
        0 => bytes[here] ^= 1 << rng.u8(..8),
        1 => bytes[here] = rng.u8(..),
        2 => bytes.truncate(here),
        3 => bytes.extend((0..rng.usize(..40)).map(|_| rng.u8(..))),
        4 => {
            let other = any(rng, datagrams);
            bytes.truncate(here);
            bytes.extend(&other[rng.usize(..=other.len())..]);
        }
        5 => {
            let copy = bytes[piece].to_vec();
            bytes.splice(here..here, copy);
        }
        6 => drop(bytes.drain(piece)),
        // A length, a number, an offset: most fields have two or three bytes.
        7 => bytes.iter_mut().skip(here).zip(edge).for_each(set),
        // The record's type; its epoch and sequence number; its length.
        8 => bytes[0] = rng.u8(18..28),
        9 => bytes
            .iter_mut()
            .skip(3 + rng.usize(..7))
            .zip(edge)
            .for_each(set),
        10 => bytes.iter_mut().skip(11).zip(edge).for_each(set),
        // The handshake header: type, length, message, offset, fragment's length.
        11 => bytes
            .iter_mut()
            .skip(13 + rng.usize(..11))
            .zip(edge)
            .for_each(set),
        _ => bytes.extend(any(rng, datagrams)),
    }
}

fn set((byte, value): (&mut u8, u8)) {
    *byte = value;
}
