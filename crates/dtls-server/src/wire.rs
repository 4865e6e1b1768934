//! Reading and writing of the presentation language (RFC 5246 §4): big-endian numbers and vectors with a length in front.

/// The bytes are not what the format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub struct Malformed;

/// Reads fields from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the slice's beginning.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads `length` bytes.
    ///
    /// # Errors
    /// There are fewer. This holds for all methods that read.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads as many bytes as the array has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Reads a uint8.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    /// Reads a uint16.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a uint24.
    pub fn u24(&mut self) -> Result<u32, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// Reads a uint48.
    pub fn u48(&mut self) -> Result<u64, Malformed> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Reads a vector with a length of one byte.
    pub fn vector8(&mut self) -> Result<Reader<'a>, Malformed> {
        let length = self.u8()?;
        self.take(usize::from(length)).map(Reader)
    }

    /// Reads a vector with a length of two bytes.
    pub fn vector16(&mut self) -> Result<Reader<'a>, Malformed> {
        let length = self.u16()?;
        self.take(usize::from(length)).map(Reader)
    }

    /// Reads a vector with a length of three bytes.
    pub fn vector24(&mut self) -> Result<Reader<'a>, Malformed> {
        let length = usize::try_from(self.u24()?).map_err(|_| Malformed)?;
        self.take(length).map(Reader)
    }

    /// Reads uint16s until nothing is left.
    pub fn all_u16(&mut self) -> Result<Vec<u16>, Malformed> {
        if !self.0.len().is_multiple_of(2) {
            return Err(Malformed);
        }
        let mut numbers = Vec::with_capacity(self.0.len() / 2);
        while !self.is_empty() {
            numbers.push(self.u16()?);
        }
        Ok(numbers)
    }

    /// Checks that everything has been read.
    pub fn end(&self) -> Result<(), Malformed> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Malformed),
        }
    }
}

/// Appends fields to a buffer.
pub trait Writer {
    /// Appends bytes as they are.
    fn bytes(&mut self, bytes: &[u8]);

    /// Appends a uint8.
    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Appends a uint16.
    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends the low 24 bits.
    fn u24(&mut self, value: u32) {
        let [_, low @ ..] = value.to_be_bytes();
        self.bytes(&low);
    }

    /// Appends the low 48 bits.
    fn u48(&mut self, value: u64) {
        let [_, _, low @ ..] = value.to_be_bytes();
        self.bytes(&low);
    }
}

impl Writer for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends a vector with a length of one byte, whose content `write` appends.
///
/// # Errors
/// The content is too long for its length field, which holds for the other two as well. The buffer is then of no use.
pub fn vector8(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Malformed> {
    vector::<1>(buffer, write)
}

/// Appends a vector with a length of two bytes.
pub fn vector16(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Malformed> {
    vector::<2>(buffer, write)
}

/// Appends a vector with a length of three bytes.
pub fn vector24(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Malformed> {
    vector::<3>(buffer, write)
}

fn vector<const N: usize>(
    buffer: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Malformed> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; N]);
    let content = buffer.len();
    write(buffer);
    let length = buffer.len().checked_sub(content).ok_or(Malformed)?;
    let length = u64::try_from(length).map_err(|_| Malformed)?.to_be_bytes();
    let (high, low) = length
        .split_at_checked(length.len().saturating_sub(N))
        .ok_or(Malformed)?;
    if high.iter().any(|&byte| byte != 0) {
        return Err(Malformed);
    }
    let field = buffer.get_mut(start..content).ok_or(Malformed)?;
    field.copy_from_slice(low);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian() {
        let mut buffer = Vec::new();
        buffer.u8(1);
        buffer.u16(0x0203);
        buffer.u24(0xff04_0506);
        buffer.u48(0xffff_0708_090a_0b0c);
        assert_eq!(buffer, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let mut reader = Reader::new(&buffer);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u24(), Ok(0x0004_0506));
        assert_eq!(reader.u48(), Ok(0x0708_090a_0b0c));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.u8(), Err(Malformed));
    }

    #[test]
    fn a_vector_has_its_length_in_front() {
        let mut buffer = vec![9];
        vector16(&mut buffer, |buffer| buffer.bytes(&[1, 2, 3])).unwrap();
        vector8(&mut buffer, |_| {}).unwrap();
        vector24(&mut buffer, |buffer| buffer.u8(4)).unwrap();
        assert_eq!(buffer, [9, 0, 3, 1, 2, 3, 0, 0, 0, 1, 4]);
        let mut reader = Reader::new(&buffer);
        assert_eq!(reader.u8(), Ok(9));
        assert_eq!(reader.vector16().unwrap().rest(), [1, 2, 3]);
        assert!(reader.vector8().unwrap().is_empty());
        assert_eq!(reader.vector24().unwrap().rest(), [4]);
        assert!(Reader::new(&[2, 1]).vector8().is_err());
        assert!(Reader::new(&[1, 2, 3]).all_u16().is_err());
    }

    #[test]
    fn content_that_is_too_long_is_refused() {
        let long = [0; 256];
        assert!(vector8(&mut Vec::new(), |buffer| buffer.bytes(&long)).is_err());
        assert!(vector8(&mut Vec::new(), |buffer| buffer.bytes(&long[1..])).is_ok());
    }
}
