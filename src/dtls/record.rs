//! Parses DTLS record and handshake headers, without keys and without state (RFC 6347 §4.1, §4.2.2; RFC 9147 §4).
//!
//! Enough to route a datagram before any engine sees it, to recognise the engine's ServerHello, and to write plaintext
//! alerts. The header of a DTLS 1.2 record has 13 bytes here: connection IDs (RFC 9146) would make it longer, and would be
//! read here first.

/// TLS alert descriptions that we send ourselves (RFC 5246 §7.2.2).
pub(crate) mod alert {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub(crate) const HANDSHAKE_FAILURE: u8 = 40;
    pub(crate) const BAD_CERTIFICATE: u8 = 42;
    pub(crate) const ILLEGAL_PARAMETER: u8 = 47;
    pub(crate) const INTERNAL_ERROR: u8 = 80;
}

pub(super) const HANDSHAKE: u8 = 22;
pub(super) const ALERT: u8 = 21;
pub(super) const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// The random of a ServerHello that is a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
pub(super) const HELLO_RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The kind of a datagram, by its first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatagramKind {
    /// Begins with a ClientHello, or with the first fragment of one.
    ClientHello(ClientHello),
    /// Begins with a later fragment of a ClientHello.
    ClientHelloFragment,
    /// Begins with another record in epoch 0, so unprotected.
    Plaintext,
    /// Begins with a record in a later epoch, or with a DTLS 1.3 unified header.
    Protected,
    Foreign,
}

/// The fields of a ClientHello that routing needs. None is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// The client's random: the same in its hellos without and with a cookie.
    pub random: [u8; 32],
    /// 0 for the first message of a handshake (RFC 6347 §4.2.2), so 1 for a hello with a cookie.
    pub message_sequence: u16,
    /// Cipher suites in the client's order; empty if the fragment ends before them.
    pub cipher_suites: Vec<u16>,
    /// Whether it offers DTLS 1.3 in supported_versions, as far as the fragment shows (RFC 8446 §4.2.1).
    pub offers_13: bool,
}

/// Reads through a slice. No read panics; each returns `None` at the end.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u24(&mut self) -> Option<u32> {
        Some(u32::from(self.u8()?) << 16 | u32::from(self.u16()?))
    }

    fn u48(&mut self) -> Option<u64> {
        Some(u64::from(self.u16()?) << 32 | u64::from(self.u24()?) << 8 | u64::from(self.u8()?))
    }
}

struct Record<'a> {
    content_type: u8,
    epoch: u16,
    sequence: u64,
    fragment: &'a [u8],
}

/// Reads a record with a DTLS 1.2 header.
fn next_record<'a>(cursor: &mut Cursor<'a>) -> Option<Record<'a>> {
    let content_type = cursor.u8().filter(|kind| (20..=26).contains(kind))?;
    // 254.255 is DTLS 1.0, 254.253 is 1.2 and also 1.3.
    cursor.u8().filter(|major| *major == 254)?;
    cursor.u8()?;
    let (epoch, sequence) = (cursor.u16()?, cursor.u48()?);
    let length = cursor.u16()?;
    Some(Record {
        content_type,
        epoch,
        sequence,
        fragment: cursor.take(usize::from(length))?,
    })
}

/// Classifies a datagram by its first record.
pub(crate) fn classify(datagram: &[u8]) -> DatagramKind {
    // RFC 9147 §4: 001CSLEE is a unified header, always protected.
    if datagram.first().is_some_and(|first| first >> 5 == 0b001) {
        return DatagramKind::Protected;
    }
    let Some(record) = next_record(&mut Cursor(datagram)) else {
        return DatagramKind::Foreign;
    };
    if record.epoch != 0 {
        return DatagramKind::Protected;
    }
    let mut fragment = Cursor(record.fragment);
    if record.content_type != HANDSHAKE || fragment.u8() != Some(CLIENT_HELLO) {
        return DatagramKind::Plaintext;
    }
    match client_hello(&mut fragment) {
        Some(hello) => hello,
        None => DatagramKind::Foreign,
    }
}

/// Whether a datagram begins with a protected record of DTLS 1.2.
pub(crate) fn is_protected12(datagram: &[u8]) -> bool {
    next_record(&mut Cursor(datagram)).is_some_and(|record| record.epoch != 0)
}

/// Whether a datagram is one record with one handshake message, or one fragment, and nothing else.
pub(crate) fn is_single_message(datagram: &[u8]) -> bool {
    let mut cursor = Cursor(datagram);
    let Some(record) = next_record(&mut cursor) else {
        return false;
    };
    let mut fragment = Cursor(record.fragment);
    // Type, length, message number and offset come before the length of the piece.
    let header = fragment.take(9).and_then(|_| fragment.u24());
    let is_all = |length| usize::try_from(length).is_ok_and(|length| length == fragment.0.len());
    record.content_type == HANDSHAKE && cursor.0.is_empty() && header.is_some_and(is_all)
}

/// An unfragmented ClientHello alone in its datagram: its `message_seq` and its body.
pub(super) fn whole_client_hello(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (length, sequence, body) = client_hello_start(datagram)?;
    (length == body.len() && is_single_message(datagram)).then_some((sequence, body))
}

/// The first fragment of a fragmented ClientHello: its `message_seq` and the beginning of its body.
pub(super) fn first_client_hello_fragment(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (length, sequence, start) = client_hello_start(datagram)?;
    (start.len() < length).then_some((sequence, start))
}

/// The length of a ClientHello's body, its `message_seq`, and the beginning of the body in the first record.
fn client_hello_start(datagram: &[u8]) -> Option<(usize, u16, &[u8])> {
    let record = next_record(&mut Cursor(datagram))?;
    let mut fragment = Cursor(record.fragment);
    let kind = fragment.u8()?;
    let (length, sequence) = (fragment.u24()?, fragment.u16()?);
    let (offset, here) = (fragment.u24()?, fragment.u24()?);
    let start = fragment.take(usize::try_from(here).ok()?)?;
    let begins = record.content_type == HANDSHAKE
        && record.epoch == 0
        && (kind, offset) == (CLIENT_HELLO, 0);
    begins.then_some((usize::try_from(length).ok()?, sequence, start))
}

/// Reads a handshake message of type ClientHello after its type (RFC 6347 §4.2.2, RFC 5246 §7.4.1.2).
fn client_hello(fragment: &mut Cursor<'_>) -> Option<DatagramKind> {
    let _length = fragment.u24()?;
    let message_sequence = fragment.u16()?;
    let fragment_offset = fragment.u24()?;
    let _fragment_length = fragment.u24()?;
    if fragment_offset != 0 {
        return Some(DatagramKind::ClientHelloFragment);
    }
    let _version = fragment.u16()?;
    let random = fragment.take(32)?.try_into().ok()?;
    let cipher_suites = cipher_suites(fragment).unwrap_or_default();
    let offers_13 = offers_13(fragment).unwrap_or_default();
    Some(DatagramKind::ClientHello(ClientHello {
        random,
        message_sequence,
        cipher_suites,
        offers_13,
    }))
}

/// Looks for supported_versions in what follows the cipher suites. `None`: it is not there.
fn offers_13(fragment: &mut Cursor<'_>) -> Option<bool> {
    const SUPPORTED_VERSIONS: u16 = 43;
    const DTLS_1_3: [u8; 2] = [0xfe, 0xfc];
    let compression = fragment.u8()?;
    fragment.take(usize::from(compression))?;
    let _length = fragment.u16()?;
    loop {
        let number = fragment.u16()?;
        let length = fragment.u16()?;
        let value = fragment.take(usize::from(length))?;
        if number == SUPPORTED_VERSIONS {
            let versions = value.get(1..)?;
            return Some(versions.chunks_exact(2).any(|version| version == DTLS_1_3));
        }
    }
}

fn cipher_suites(fragment: &mut Cursor<'_>) -> Option<Vec<u16>> {
    let session_id = fragment.u8()?;
    fragment.take(usize::from(session_id))?;
    let cookie = fragment.u8()?;
    fragment.take(usize::from(cookie))?;
    let length = fragment.u16()?;
    let mut suites = Cursor(fragment.take(usize::from(length))?);
    Some(std::iter::from_fn(|| suites.u16()).collect())
}

/// What an outbound datagram of the engine shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outbound {
    /// It contains a ServerHello that is not a HelloRetryRequest: the engine has accepted the cookie.
    pub beyond_cookie: bool,
    /// The cipher suite of this ServerHello.
    pub cipher_suite: Option<u16>,
    /// One more than the highest sequence number of its epoch-0 records.
    pub next_plaintext_sequence: Option<u64>,
}

/// Parses an outbound datagram of the engine.
pub(crate) fn inspect_outbound(datagram: &[u8]) -> Outbound {
    let mut outbound = Outbound::default();
    let mut cursor = Cursor(datagram);
    while let Some(record) = next_record(&mut cursor) {
        if record.epoch != 0 {
            continue;
        }
        outbound.next_plaintext_sequence = outbound
            .next_plaintext_sequence
            .max(Some(record.sequence + 1));
        // Type, then 11 bytes of handshake header and two of version before the random.
        let mut fragment = Cursor(record.fragment);
        if record.content_type == HANDSHAKE && fragment.u8() == Some(SERVER_HELLO) {
            let random = fragment.take(13).and_then(|_| fragment.take(32));
            if random.is_some_and(|random| random != HELLO_RETRY_RANDOM) {
                outbound.beyond_cookie = true;
                outbound.cipher_suite = chosen_suite(&mut fragment);
            }
        }
    }
    outbound
}

/// Reads the cipher suite after a ServerHello's random (RFC 5246 §7.4.1.3, and RFC 9147 §5.4 for DTLS 1.3).
fn chosen_suite(fragment: &mut Cursor<'_>) -> Option<u16> {
    let session_id = fragment.u8()?;
    fragment.take(usize::from(session_id))?;
    fragment.u16()
}

/// A fatal alert in a plaintext record (RFC 5246 §7.2, RFC 6347 §4.1).
pub(crate) fn fatal_alert(sequence: u64, description: u8) -> Vec<u8> {
    let mut record = vec![ALERT, 254, 253, 0, 0];
    record.extend(sequence.to_be_bytes().iter().skip(2));
    record.extend([0, 2, 2, description]);
    record
}

/// The name of a cipher suite that a CoAP device is likely to offer; the number of any other.
pub(crate) fn cipher_suite_name(suite: u16) -> String {
    let name = match suite {
        0x00ff => "EMPTY_RENEGOTIATION_INFO_SCSV",
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0x1304 => "TLS_AES_128_CCM_SHA256",
        0x1305 => "TLS_AES_128_CCM_8_SHA256",
        0xc023 => "ECDHE_ECDSA_AES_128_CBC_SHA256",
        0xc02b => "ECDHE_ECDSA_AES_128_GCM_SHA256",
        0xc02c => "ECDHE_ECDSA_AES_256_GCM_SHA384",
        0xc02f => "ECDHE_RSA_AES_128_GCM_SHA256",
        0xc030 => "ECDHE_RSA_AES_256_GCM_SHA384",
        0xc0a8 => "PSK_AES_128_CCM_8",
        0xc0ac => "ECDHE_ECDSA_AES_128_CCM",
        0xc0ae => "ECDHE_ECDSA_AES_128_CCM_8",
        0xc0af => "ECDHE_ECDSA_AES_256_CCM_8",
        0xcca9 => "ECDHE_ECDSA_CHACHA20_POLY1305_SHA256",
        _ => return format!("0x{suite:04x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content_type: u8, epoch: u8, fragment: &[u8]) -> Vec<u8> {
        let mut bytes = vec![content_type, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 5];
        bytes.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
        bytes.extend(fragment);
        bytes
    }

    fn hello(kind: u8, offset: u8, cookie: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 80, 0, 0, 0, 0, offset, 0, 0, 80, 254, 253];
        bytes.extend([7; 32]);
        bytes.push(0);
        bytes.push(u8::try_from(cookie.len()).unwrap());
        bytes.extend(cookie);
        bytes.extend([0, 4, 0xc0, 0xae, 0x13, 0x01, 1, 0]);
        bytes
    }

    #[test]
    fn a_client_hello_shows_its_random_and_suites() {
        let datagram = record(22, 0, &hello(1, 0, &[1, 2]));
        let DatagramKind::ClientHello(hello) = classify(&datagram) else {
            panic!("not a hello")
        };
        assert_eq!(hello.random, [7; 32]);
        assert_eq!(hello.message_sequence, 0);
        assert_eq!(hello.cipher_suites, [0xc0ae, 0x1301]);
        assert_eq!(
            cipher_suite_name(hello.cipher_suites[0]),
            "ECDHE_ECDSA_AES_128_CCM_8"
        );
    }

    #[test]
    fn datagrams_are_classified_by_their_first_record() {
        assert_eq!(
            classify(&record(22, 0, &hello(1, 9, &[]))),
            DatagramKind::ClientHelloFragment
        );
        assert_eq!(classify(&record(22, 0, &[11, 0])), DatagramKind::Plaintext);
        assert_eq!(classify(&record(21, 0, &[2, 40])), DatagramKind::Plaintext);
        assert_eq!(classify(&record(23, 1, &[0; 30])), DatagramKind::Protected);
        assert_eq!(classify(&[0x2f, 1, 2]), DatagramKind::Protected);
        assert_eq!(classify(b"GET / HTTP/1.1"), DatagramKind::Foreign);
        assert_eq!(classify(&[]), DatagramKind::Foreign);
    }

    #[test]
    fn only_a_datagram_with_one_message_is_a_single_message() {
        let message = [11, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 3, 7, 7, 7];
        let one = record(22, 0, &message);
        assert!(is_single_message(&one));
        assert!(!is_single_message(&[one.clone(), one.clone()].concat()));
        assert!(!is_single_message(&one[..one.len() - 1]));
        assert!(!is_single_message(&record(22, 0, &message.repeat(2))));
        assert!(!is_single_message(&record(23, 0, &message)));
        assert!(!is_single_message(&[]));
    }

    #[test]
    fn a_truncated_hello_neither_panics_nor_is_taken_for_a_complete_one() {
        let datagram = record(22, 0, &hello(1, 0, &[1, 2]));
        for length in 0..datagram.len() {
            assert_eq!(
                classify(&datagram[..length]),
                DatagramKind::Foreign,
                "{length}"
            );
        }
    }

    #[test]
    fn a_hello_retry_request_does_not_go_beyond_the_cookie() {
        let server_hello = record(22, 0, &hello(2, 0, &[]));
        assert!(inspect_outbound(&server_hello).beyond_cookie);
        let mut retry = hello(2, 0, &[]);
        retry[14..46].copy_from_slice(&HELLO_RETRY_RANDOM);
        assert!(!inspect_outbound(&record(22, 0, &retry)).beyond_cookie);
        let verify = record(22, 0, &hello(3, 0, &[]));
        assert!(!inspect_outbound(&verify).beyond_cookie);
        assert_eq!(inspect_outbound(&verify).next_plaintext_sequence, Some(6));
    }

    #[test]
    fn the_cipher_suite_is_read_from_a_complete_server_hello() {
        for session_id in [&[][..], &[9; 32]] {
            let mut message = vec![2, 0, 0, 80, 0, 1, 0, 0, 0, 0, 0, 80, 254, 253];
            message.extend([7; 32]);
            message.push(u8::try_from(session_id.len()).unwrap());
            message.extend(session_id);
            message.extend([0xc0, 0x2b]);
            let suite = |bytes: &[u8]| inspect_outbound(&record(22, 0, bytes)).cipher_suite;
            assert_eq!(suite(&message), Some(0xc02b));
            assert_eq!(suite(&message[..message.len() - 1]), None);
        }
    }

    #[test]
    fn an_alert_is_a_record_of_fifteen_bytes() {
        let alert = fatal_alert(0x0102_0304, 48);
        assert_eq!(alert, [21, 254, 253, 0, 0, 0, 0, 1, 2, 3, 4, 0, 2, 2, 48]);
        assert_eq!(classify(&alert), DatagramKind::Plaintext);
    }
}
