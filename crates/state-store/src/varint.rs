//! Numbers in as few bytes as they need: seven bits in each, the lowest first, and the eighth set where more follow (LEB128).

/// Bytes of the longest.
pub(crate) const MAX: usize = 10;

/// Writes a number behind what is there.
pub(crate) fn put(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Takes a number from the front. `None`: it is cut off, has more than 64 bits, or more bytes than it needs.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << shift;
        if shifted >> shift != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            let is_shortest = bits != 0 || shift == 0;
            return is_shortest.then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let mut random = fastrand::Rng::with_seed(1);
        let random = (0..10_000).map(|_| random.u64(..) >> random.u32(..64));
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]);
        for number in random.chain(edges).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert!(bytes.len() <= MAX);
            for end in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..end]), None, "{number} {end}");
            }
            bytes.push(7);
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(number));
            assert_eq!(rest, [7]);
        }
    }

    #[test]
    fn the_bytes_of_a_number_are_the_shortest() {
        let bytes = |number| {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            bytes
        };
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(0x7f), [0x7f]);
        assert_eq!(bytes(0x80), [0x80, 1]);
        assert_eq!(bytes(u64::MAX), [[0xff; 9].as_slice(), &[1]].concat());
        for malformed in [
            &[0x80, 0][..],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[],
        ] {
            assert_eq!(take(&mut &*malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn arbitrary_bytes_that_are_read_are_written_the_same() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..100_000 {
            let bytes: Vec<u8> = (0..random.usize(..12)).map(|_| random.u8(..)).collect();
            let mut rest = bytes.as_slice();
            if let Some(number) = take(&mut rest) {
                let mut again = Vec::new();
                put(&mut again, number);
                assert_eq!([&again, rest].concat(), bytes);
            }
        }
    }
}
