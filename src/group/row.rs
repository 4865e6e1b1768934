//! A session as all gateways of the group read it: with all that belongs to it, as the store has nothing else of it.
//!
//! ```text
//!  form (1) ‖ session: length (4) ‖ bytes ‖ path of its certificate's issuers: length (4) ‖ bytes ‖ its device's relay
//! ```
//!
//! Numbers are big-endian. The session is what the file store has as a row ([`state::session`](crate::state)), with the requests that
//! it remembers. The path is empty if there is none, and so is the relay.

use zeroize::Zeroizing;

/// The form that is written, and the only one that is read.
const FORM: u8 = 1;

/// A session with what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupRow<'a> {
    pub(crate) session: &'a [u8],
    pub(crate) authority_path: &'a [u8],
    pub(crate) relay: &'a [u8],
}

impl<'a> GroupRow<'a> {
    /// `None`: it is too large.
    pub(crate) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let sections = [self.session, self.authority_path, self.relay];
        let capacity =
            (sections.iter()).fold(9, |sum: usize, section| sum.saturating_add(section.len()));
        // As much as is needed, so that it never moves and leaves keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        out.push(FORM);
        for section in [self.session, self.authority_path] {
            let length = u32::try_from(section.len()).ok()?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(section);
        }
        out.extend_from_slice(self.relay);
        Some(out)
    }

    /// `None`: it is cut off, or of another form.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<GroupRow<'a>> {
        let (&[FORM], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (session, rest) = section(rest)?;
        let (authority_path, relay) = section(rest)?;
        Some(GroupRow {
            session,
            authority_path,
            relay,
        })
    }
}

fn section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_and_what_is_cut_off_or_of_another_form_does_not() {
        let row = GroupRow {
            session: b"a session",
            authority_path: b"",
            relay: b"a relay",
        };
        let encoded = row.encode().unwrap();
        assert_eq!(GroupRow::decode(&encoded), Some(row));
        let in_front_of_relay = encoded.len() - row.relay.len();
        for end in 0..in_front_of_relay {
            assert_eq!(GroupRow::decode(&encoded[..end]), None, "{end}");
        }
        let mut other = encoded.to_vec();
        other[0] = 2;
        assert_eq!(GroupRow::decode(&other), None);
        assert_eq!(GroupRow::decode(&[1, 255, 255, 255, 255, 0]), None);
    }
}
