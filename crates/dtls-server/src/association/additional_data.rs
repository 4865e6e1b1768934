//! What is authenticated beside the content.

use crate::record::{ContentType, DTLS_1_2};

/// The longest: of a record whose connection ID has 255 bytes.
const MAX: usize = 23 + 255;

/// The additional data of a record, on the stack.
pub(super) struct AdditionalData {
    bytes: [u8; MAX],
    length: usize,
}

impl AdditionalData {
    /// Builds it. `number` is epoch ‖ sequence, `plaintext` the length of what is encrypted.
    ///
    /// ```text
    ///  plain (RFC 5246 §6.2.3.3, RFC 6347 §4.1.2.1)
    ///      number ‖ type ‖ version ‖ length
    ///  tls12_cid (RFC 9146 §5.3)
    ///      ff × 8 ‖ tls12_cid ‖ length of the connection ID ‖ tls12_cid ‖ version ‖ number ‖ connection ID ‖ length
    /// ```
    /// `None`: a length doesn't fit into its field.
    pub(super) fn new(
        number: [u8; 8],
        outer_type: ContentType,
        connection_id: &[u8],
        plaintext: usize,
    ) -> Option<AdditionalData> {
        let mut data = AdditionalData {
            bytes: [0; MAX],
            length: 0,
        };
        let plaintext = u16::try_from(plaintext).ok()?.to_be_bytes();
        let version = DTLS_1_2.to_be_bytes();
        if outer_type == ContentType::TLS12_CID {
            let id_length = u8::try_from(connection_id.len()).ok()?;
            data.push(&[0xff; 8])?;
            data.push(&[outer_type.0, id_length, outer_type.0])?;
            data.push(&version)?;
            data.push(&number)?;
            data.push(connection_id)?;
        } else {
            data.push(&number)?;
            data.push(&[outer_type.0])?;
            data.push(&version)?;
        }
        data.push(&plaintext)?;
        Some(data)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length.checked_add(bytes.len())?;
        let place = self.bytes.get_mut(self.length..end)?;
        place.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    /// Its bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::hex;

    const NUMBER: [u8; 8] = [0, 1, 0, 0, 0, 0, 2, 3];

    /// RFC 5246 §6.2.3.3: seq_num, type, version, length.
    #[test]
    fn of_a_plain_record() {
        let data = AdditionalData::new(NUMBER, ContentType::APPLICATION_DATA, &[], 0x0102);
        let expected = hex("0001000000000203 17 fefd 0102");
        assert_eq!(data.unwrap().as_slice(), expected);
    }

    /// RFC 9146 §5.3: seq_num_placeholder, tls12_cid, cid_length, tls12_cid, version, epoch, sequence_number, cid, length.
    #[test]
    fn of_a_record_with_a_connection_id() {
        let data = AdditionalData::new(NUMBER, ContentType::TLS12_CID, &[0xc1, 0xc2], 0x0102);
        let expected = hex("ffffffffffffffff 19 02 19 fefd 0001 000000000203 c1c2 0102");
        assert_eq!(data.unwrap().as_slice(), expected);
    }

    #[test]
    fn of_the_longest_connection_id() {
        let id = [7; 256];
        let longest = AdditionalData::new(NUMBER, ContentType::TLS12_CID, &id[1..], 65535);
        assert_eq!(longest.unwrap().as_slice().len(), MAX);
        assert!(AdditionalData::new(NUMBER, ContentType::TLS12_CID, &id, 0).is_none());
        assert!(AdditionalData::new(NUMBER, ContentType::ALERT, &[], 65536).is_none());
    }
}
