//! Handshake messages (RFC 5246 §7.4, RFC 6347 §4.2.2): their header, and one type for each of them.
//!
//! Each can be read and written, although a server writes one half of them and reads the other: a client, in a test or
//! elsewhere, then has no reading and writing of its own. What is read borrows from the message, so that reading allocates
//! nothing.
//!
//! | Part | Owns |
//! |---|---|
//! | [`client_hello`] | ClientHello |
//! | [`extension`] | its extensions |
//! | [`server_hello`] | HelloVerifyRequest, ServerHello and its extensions, NewSessionTicket |
//! | [`certificate`] | Certificate, CertificateRequest, CertificateVerify |
//! | [`key_exchange`] | ServerKeyExchange, ClientKeyExchange, Finished |

pub mod certificate;
pub mod client_hello;
pub mod extension;
pub mod key_exchange;
pub mod server_hello;

use crate::alert::AlertDescription;
use crate::wire::{Malformed, Reader, Writer};
use std::fmt;

/// Random bytes of a hello (RFC 5246 §7.4.1.2). The first four need not be the time.
pub type HelloRandom = [u8; 32];

/// The type of a handshake message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandshakeType(pub u8);

macro_rules! handshake_types {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        #[expect(missing_docs, reason = "the names are those of RFC 5246 §7.4")]
        impl HandshakeType {
            $(pub const $name: HandshakeType = HandshakeType($number);)*

            /// The name in the registry of TLS handshake types, if it has one here.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

handshake_types! {
    HELLO_REQUEST = 0, "HelloRequest";
    CLIENT_HELLO = 1, "ClientHello";
    SERVER_HELLO = 2, "ServerHello";
    HELLO_VERIFY_REQUEST = 3, "HelloVerifyRequest";
    NEW_SESSION_TICKET = 4, "NewSessionTicket";
    CERTIFICATE = 11, "Certificate";
    SERVER_KEY_EXCHANGE = 12, "ServerKeyExchange";
    CERTIFICATE_REQUEST = 13, "CertificateRequest";
    SERVER_HELLO_DONE = 14, "ServerHelloDone";
    CERTIFICATE_VERIFY = 15, "CertificateVerify";
    CLIENT_KEY_EXCHANGE = 16, "ClientKeyExchange";
    FINISHED = 20, "Finished";
}

impl fmt::Display for HandshakeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "handshake message {}", self.0),
        }
    }
}

impl fmt::Debug for HandshakeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What cannot be read is answered with decode_error (RFC 5246 §7.2.2).
impl From<Malformed> for AlertDescription {
    fn from(_: Malformed) -> AlertDescription {
        AlertDescription::DECODE_ERROR
    }
}

/// The header of each fragment of a handshake message (RFC 6347 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type of the message.
    pub message_type: HandshakeType,
    /// Bytes of the whole message without headers, of which 24 bits count.
    pub length: u32,
    /// The number of the message in its handshake, which a retransmission keeps.
    pub message_seq: u16,
    /// Where the fragment begins in the message.
    pub fragment_offset: u32,
    /// Bytes of the fragment.
    pub fragment_length: u32,
}

impl Header {
    /// Bytes of a header.
    pub const LENGTH: usize = 12;

    /// Reads a header.
    ///
    /// # Errors
    /// There are fewer than twelve bytes.
    pub fn read(reader: &mut Reader<'_>) -> Result<Header, Malformed> {
        Ok(Header {
            message_type: HandshakeType(reader.u8()?),
            length: reader.u24()?,
            message_seq: reader.u16()?,
            fragment_offset: reader.u24()?,
            fragment_length: reader.u24()?,
        })
    }

    /// Appends the header.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        buffer.u8(self.message_type.0);
        buffer.u24(self.length);
        buffer.u16(self.message_seq);
        buffer.u24(self.fragment_offset);
        buffer.u24(self.fragment_length);
    }
}

/// A fragment of a handshake message, which may be all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Its header.
    pub header: Header,
    /// Its part of the message: as many bytes as the header's `fragment_length` says.
    pub body: &'a [u8],
}

impl Fragment<'_> {
    /// Whether it is the whole message.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.header.fragment_offset == 0 && self.header.fragment_length == self.header.length
    }
}

/// The fragments in a record's content, one after the other. Ends after the first that cannot be read.
pub fn fragments(content: &[u8]) -> impl Iterator<Item = Result<Fragment<'_>, Malformed>> {
    let mut reader = Reader::new(content);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || reader.is_empty() {
            return None;
        }
        let fragment = fragment(&mut reader);
        failed = fragment.is_err();
        Some(fragment)
    })
}

fn fragment<'a>(reader: &mut Reader<'a>) -> Result<Fragment<'a>, Malformed> {
    let header = Header::read(reader)?;
    let length = usize::try_from(header.fragment_length).map_err(|_| Malformed)?;
    let body = reader.take(length)?;
    Ok(Fragment { header, body })
}

/// A message as if it were not fragmented: so it enters the transcript (RFC 6347 §4.2.6), and so it is cut into fragments.
///
/// # Errors
/// The body has 2^24 bytes or more.
pub fn whole(
    message_type: HandshakeType,
    message_seq: u16,
    body: &[u8],
) -> Result<Vec<u8>, Malformed> {
    let length = u32::try_from(body.len()).map_err(|_| Malformed)?;
    if length >= 1 << 24 {
        return Err(Malformed);
    }
    let header = Header {
        message_type,
        length,
        message_seq,
        fragment_offset: 0,
        fragment_length: length,
    };
    let mut message = Vec::with_capacity(Header::LENGTH.saturating_add(body.len()));
    header.write(&mut message);
    message.bytes(body);
    Ok(message)
}

/// A list of uint16s of a message: cipher suites, groups, schemes, versions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers<'a>(&'a [[u8; 2]]);

impl<'a> Numbers<'a> {
    /// Takes all of a vector. It has one number at least.
    ///
    /// # Errors
    /// It has none, or an odd number of bytes.
    pub fn new(vector: Reader<'a>) -> Result<Numbers<'a>, Malformed> {
        match vector.rest().as_chunks() {
            (numbers, []) if !numbers.is_empty() => Ok(Numbers(numbers)),
            _ => Err(Malformed),
        }
    }

    /// The numbers, in the sender's order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.iter().map(|&bytes| u16::from_be_bytes(bytes))
    }

    /// Whether this number is in it.
    #[must_use]
    pub fn contains(&self, number: u16) -> bool {
        self.iter().any(|other| other == number)
    }

    /// Its bytes, without a length.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0.as_flattened()
    }
}

impl fmt::Debug for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|number| format!("{number:#06x}")))
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
