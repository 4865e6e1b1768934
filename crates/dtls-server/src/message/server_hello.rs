//! What answers a ClientHello: HelloVerifyRequest (RFC 6347 §4.2.1), ServerHello (RFC 5246 §7.4.1.3), and NewSessionTicket
//! (RFC 5077 §3.3), which a ServerHello announces.

use super::HelloRandom;
use super::client_hello::{MAX_SESSION_ID, NULL_COMPRESSION};
use super::extension::{ExtensionType, MaxFragmentLength, UNCOMPRESSED, extension, in_vector8};
use crate::alert::AlertDescription;
use crate::wire::{Malformed, Reader, Writer, vector8, vector16};

/// A HelloVerifyRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloVerifyRequest<'a> {
    /// DTLS 1.0 whatever will be negotiated (RFC 6347 §4.2.1). Clients don't act upon it.
    pub version: u16,
    /// What the client shall return.
    pub cookie: &'a [u8],
}

impl<'a> HelloVerifyRequest<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<HelloVerifyRequest<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let cookie = reader.vector8()?.rest();
        reader.end()?;
        Ok(HelloVerifyRequest { version, cookie })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// The cookie is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.u16(self.version);
        vector8(buffer, |buffer| buffer.bytes(self.cookie))
    }
}

/// A ServerHello. It borrows from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerHello<'a> {
    /// The version that both speak.
    pub version: u16,
    /// The server's random.
    pub random: HelloRandom,
    /// The id of this session. That of the ClientHello: it is resumed. Empty: it can't be.
    pub session_id: &'a [u8],
    /// The cipher suite.
    pub cipher_suite: u16,
    /// The answers to extensions of the ClientHello.
    pub extensions: ServerExtensions<'a>,
}

impl<'a> ServerHello<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed, or has extensions or a compression that this library does not offer.
    pub fn parse(body: &'a [u8]) -> Result<ServerHello<'a>, AlertDescription> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vector8()?.rest();
        if session_id.len() > MAX_SESSION_ID {
            return Err(AlertDescription::DECODE_ERROR);
        }
        let cipher_suite = reader.u16()?;
        if reader.u8()? != NULL_COMPRESSION {
            return Err(AlertDescription::ILLEGAL_PARAMETER);
        }
        let extensions = match reader.is_empty() {
            true => ServerExtensions::default(),
            false => ServerExtensions::parse(reader.vector16()?)?,
        };
        reader.end()?;
        Ok(ServerHello {
            version,
            random,
            session_id,
            cipher_suite,
            extensions,
        })
    }

    /// Appends the message's body. Without extensions, it has no field for them either.
    ///
    /// # Errors
    /// A field is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.u16(self.version);
        buffer.bytes(&self.random);
        vector8(buffer, |buffer| buffer.bytes(self.session_id))?;
        buffer.u16(self.cipher_suite);
        buffer.u8(NULL_COMPRESSION);
        let mut extensions = Vec::new();
        self.extensions.write(&mut extensions)?;
        match extensions.is_empty() {
            true => Ok(()),
            false => vector16(buffer, |buffer| buffer.bytes(&extensions)),
        }
    }
}

/// The extensions of a ServerHello. Each answers one that the client sent (RFC 5246 §7.4.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerExtensions<'a> {
    /// The client has sent it, or its cipher suite (RFC 5746 §3.6).
    pub renegotiation_info: bool,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// Points are uncompressed (RFC 8422 §5.2).
    pub ec_point_formats: bool,
    /// A NewSessionTicket follows (RFC 5077 §3.2).
    pub session_ticket: bool,
    /// RFC 6066 §4.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// The longest plaintext of a record that the server receives (RFC 8449).
    pub record_size_limit: Option<u16>,
    /// What the client shall put into its records: nothing if it is empty (RFC 9146 §3).
    pub connection_id: Option<&'a [u8]>,
    /// RFC 9853.
    pub return_routability_check: bool,
}

impl<'a> ServerExtensions<'a> {
    fn parse(mut reader: Reader<'a>) -> Result<ServerExtensions<'a>, AlertDescription> {
        let mut found = ServerExtensions::default();
        while !reader.is_empty() {
            let extension_type = ExtensionType(reader.u16()?);
            let mut content = reader.vector16()?;
            match extension_type {
                ExtensionType::RENEGOTIATION_INFO => {
                    content.vector8()?.end()?;
                    found.renegotiation_info = true;
                }
                ExtensionType::EXTENDED_MASTER_SECRET => found.extended_master_secret = true,
                ExtensionType::EC_POINT_FORMATS => {
                    found.ec_point_formats = content.vector8()?.rest().contains(&UNCOMPRESSED);
                }
                ExtensionType::SESSION_TICKET => found.session_ticket = true,
                ExtensionType::MAX_FRAGMENT_LENGTH => {
                    let length = MaxFragmentLength::from_number(content.u8()?);
                    found.max_fragment_length =
                        Some(length.ok_or(AlertDescription::ILLEGAL_PARAMETER)?);
                }
                ExtensionType::RECORD_SIZE_LIMIT => found.record_size_limit = Some(content.u16()?),
                ExtensionType::CONNECTION_ID => {
                    found.connection_id = Some(content.vector8()?.rest());
                }
                ExtensionType::RETURN_ROUTABILITY_CHECK => found.return_routability_check = true,
                _ => return Err(AlertDescription::UNSUPPORTED_EXTENSION),
            }
            content.end()?;
        }
        Ok(found)
    }

    fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.renegotiation_info {
            // The verify_data of no handshake before.
            extension(buffer, ExtensionType::RENEGOTIATION_INFO, &[0])?;
        }
        if self.extended_master_secret {
            extension(buffer, ExtensionType::EXTENDED_MASTER_SECRET, &[])?;
        }
        if self.ec_point_formats {
            let formats = [1, UNCOMPRESSED];
            extension(buffer, ExtensionType::EC_POINT_FORMATS, &formats)?;
        }
        if self.session_ticket {
            extension(buffer, ExtensionType::SESSION_TICKET, &[])?;
        }
        if let Some(length) = self.max_fragment_length {
            let number = [length.number()];
            extension(buffer, ExtensionType::MAX_FRAGMENT_LENGTH, &number)?;
        }
        if let Some(limit) = self.record_size_limit {
            let limit = limit.to_be_bytes();
            extension(buffer, ExtensionType::RECORD_SIZE_LIMIT, &limit)?;
        }
        if let Some(connection_id) = self.connection_id {
            let connection_id = in_vector8(connection_id)?;
            extension(buffer, ExtensionType::CONNECTION_ID, &connection_id)?;
        }
        if self.return_routability_check {
            extension(buffer, ExtensionType::RETURN_ROUTABILITY_CHECK, &[])?;
        }
        Ok(())
    }
}

/// A NewSessionTicket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSessionTicket<'a> {
    /// Seconds after which the client may forget it. 0: it is for the client to decide.
    pub lifetime_hint: u32,
    /// The ticket. Empty: the server has none to give after all.
    pub ticket: &'a [u8],
}

impl<'a> NewSessionTicket<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<NewSessionTicket<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let lifetime_hint = u32::from_be_bytes(reader.array()?);
        let ticket = reader.vector16()?.rest();
        reader.end()?;
        Ok(NewSessionTicket {
            lifetime_hint,
            ticket,
        })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// The ticket is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.bytes(&self.lifetime_hint.to_be_bytes());
        vector16(buffer, |buffer| buffer.bytes(self.ticket))
    }
}
