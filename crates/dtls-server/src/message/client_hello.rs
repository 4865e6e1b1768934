//! ClientHello (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1).

use super::extension::ClientExtensions;
use super::{HelloRandom, Numbers};
use crate::alert::AlertDescription;
use crate::wire::{Malformed, Reader, Writer, vector8, vector16};

/// The longest session id.
pub const MAX_SESSION_ID: usize = 32;
/// "I know secure renegotiation" as a cipher suite (RFC 5746 §3.3).
pub const EMPTY_RENEGOTIATION_INFO_SCSV: u16 = 0x00ff;
/// "I tried a newer version before" as a cipher suite (RFC 7507).
pub const FALLBACK_SCSV: u16 = 0x5600;
/// No compression, the only method there is (RFC 5246 §6.1).
pub const NULL_COMPRESSION: u8 = 0;

/// A ClientHello. It borrows from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The newest version of the client. Newer versions have smaller numbers.
    pub version: u16,
    /// The client's random: the same with and without a cookie.
    pub random: HelloRandom,
    /// The session to resume, up to [`MAX_SESSION_ID`] bytes. Empty: none.
    pub session_id: &'a [u8],
    /// The cookie. Empty: none.
    pub cookie: &'a [u8],
    /// The cipher suites, in the client's order.
    pub cipher_suites: Numbers<'a>,
    /// The compression methods.
    pub compression_methods: &'a [u8],
    /// The extensions as they are. `None`: the field is absent.
    pub extensions: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    /// Reads the message's body. The extensions are not read yet.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<ClientHello<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let hello = ClientHello::parse_start(&mut reader)?;
        if reader.is_empty() {
            return Ok(hello);
        }
        let extensions = Some(reader.vector16()?.rest());
        reader.end()?;
        Ok(ClientHello {
            extensions,
            ..hello
        })
    }

    /// Reads everything in front of the extensions, which is what a cookie is bound to.
    ///
    /// # Errors
    /// It is malformed, or ends before.
    pub fn parse_start(reader: &mut Reader<'a>) -> Result<ClientHello<'a>, Malformed> {
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vector8()?.rest();
        if session_id.len() > MAX_SESSION_ID {
            return Err(Malformed);
        }
        let cookie = reader.vector8()?.rest();
        let cipher_suites = Numbers::new(reader.vector16()?)?;
        let compression_methods = reader.vector8()?.rest();
        if compression_methods.is_empty() {
            return Err(Malformed);
        }
        Ok(ClientHello {
            version,
            random,
            session_id,
            cookie,
            cipher_suites,
            compression_methods,
            extensions: None,
        })
    }

    /// Reads the extensions.
    ///
    /// # Errors
    /// The alert that RFC 5246 or the extension's own RFC has for what is wrong with them.
    pub fn client_extensions(&self) -> Result<ClientExtensions<'a>, AlertDescription> {
        ClientExtensions::parse(self.extensions.unwrap_or_default())
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// A field is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.u16(self.version);
        buffer.bytes(&self.random);
        vector8(buffer, |buffer| buffer.bytes(self.session_id))?;
        vector8(buffer, |buffer| buffer.bytes(self.cookie))?;
        vector16(buffer, |buffer| buffer.bytes(self.cipher_suites.as_bytes()))?;
        vector8(buffer, |buffer| buffer.bytes(self.compression_methods))?;
        if let Some(extensions) = self.extensions {
            vector16(buffer, |buffer| buffer.bytes(extensions))?;
        }
        Ok(())
    }
}
