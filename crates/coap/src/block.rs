//! The value of a Block option (RFC 7959 §2.2): which part of a body a message carries.

/// Size exponents: a block has 2^(SZX + 4) bytes, 16 to 1024. 7 is reserved.
const LARGEST_SZX: u8 = 6;
/// NUM has 20 bits.
const LARGEST_NUM: u32 = 0x000f_ffff;
/// What a response has beside its payload, at most: header 4, token 8, ETag 1 + 8, Observe 1 + 3,
/// Content-Format 1 + 2, Max-Age 1 + 4, Block2 1 + 3, Block1 1 + 3, Size2 1 + 4, Size1 2 + 4, payload
/// marker 1. Where one is missing, the next may need a byte more, which is less.
pub(crate) const RESPONSE_OVERHEAD: usize = 53;

/// One block of a body: its number, whether more follow, and how large the blocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    num: u32,
    more: bool,
    szx: u8,
}

impl Block {
    /// Block `num` of blocks of 2^(`szx` + 4) bytes; nothing if there is no such block.
    pub fn new(num: u32, more: bool, szx: u8) -> Option<Block> {
        (num <= LARGEST_NUM && szx <= LARGEST_SZX).then_some(Block { num, more, szx })
    }

    /// Bytes of a block of this SZX that is not the last.
    pub fn size_of(szx: u8) -> usize {
        16 << szx.min(LARGEST_SZX)
    }

    /// The block that begins at `offset`; nothing if none of this size does.
    pub fn at(offset: usize, more: bool, szx: u8) -> Option<Block> {
        let size = Self::size_of(szx);
        let num = u32::try_from(offset / size).ok()?;
        offset
            .is_multiple_of(size)
            .then(|| Block::new(num, more, szx))
            .flatten()
    }

    /// Reads an option value. §2.2: the reserved size is an error.
    pub fn decode(value: u32) -> Option<Block> {
        let szx = u8::try_from(value & 0b111).ok()?;
        Block::new(value >> 4, value & 0b1000 != 0, szx)
    }

    /// The option value.
    pub fn encode(self) -> u32 {
        self.num << 4 | u32::from(self.more) << 3 | u32::from(self.szx)
    }

    /// NUM.
    pub fn num(self) -> u32 {
        self.num
    }

    /// M: whether more blocks follow.
    pub fn more(self) -> bool {
        self.more
    }

    /// SZX.
    pub fn szx(self) -> u8 {
        self.szx
    }

    /// Bytes of a block that is not the last.
    pub fn size(self) -> usize {
        Self::size_of(self.szx)
    }

    /// Where in the body it begins, in bytes: what stays the same when the size changes midway.
    pub fn offset(self) -> usize {
        usize::try_from(self.num)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.size())
    }

    /// The same block with M unset.
    pub fn last(self) -> Block {
        Block {
            more: false,
            ..self
        }
    }
}

/// The largest SZX whose blocks fit responses of `max_message` bytes: 1024 bytes, the most a client
/// need expect (RFC 7252 §4.6), or less.
pub fn largest_szx(max_message: usize) -> u8 {
    let room = max_message.saturating_sub(RESPONSE_OVERHEAD);
    let fitting = (0..=LARGEST_SZX)
        .rev()
        .find(|szx| Block::size_of(*szx) <= room);
    fitting.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_num_m_and_szx() {
        // RFC 7959 §3 writes these as 2/1/32, 0/0/16 and 4/0/64.
        for (value, num, more, size) in [
            (0b10_1001, 2, true, 32),
            (0, 0, false, 16),
            (0b100_0010, 4, false, 64),
            (0xff_fff6, 0xf_ffff, false, 1024),
        ] {
            let block = Block::decode(value).unwrap();
            assert_eq!((block.num(), block.more(), block.size()), (num, more, size));
            assert_eq!(block.encode(), value);
        }
    }

    #[test]
    fn the_reserved_size_and_numbers_beyond_twenty_bits_are_no_blocks() {
        assert_eq!(Block::decode(7), None);
        assert_eq!(Block::decode(0xff_ffff), None);
        assert_eq!(Block::new(1 << 20, false, 0), None);
        assert_eq!(Block::new(0, false, 7), None);
        assert_eq!(Block::decode(u32::MAX), None);
    }

    #[test]
    fn an_offset_is_the_same_place_in_every_size_that_divides_it() {
        let block = Block::new(3, true, 6).unwrap();
        assert_eq!(block.offset(), 3072);
        assert_eq!(Block::at(3072, true, 2), Block::new(48, true, 2));
        assert_eq!(Block::at(3072, true, 6), Some(block));
        assert_eq!(Block::at(3080, true, 2), None);
        let far = Block::new(LARGEST_NUM, false, 6).unwrap().offset();
        assert_eq!(Block::at(far, false, 0), None, "NUM would have 26 bits");
    }

    #[test]
    fn blocks_are_as_large_as_messages_allow() {
        assert_eq!(largest_szx(1152), 6);
        assert_eq!(largest_szx(16_384), 6);
        assert_eq!(largest_szx(1024 + RESPONSE_OVERHEAD), 6);
        assert_eq!(largest_szx(1024 + RESPONSE_OVERHEAD - 1), 5);
        assert_eq!(largest_szx(208), 3);
        assert_eq!(largest_szx(0), 0);
    }
}
