//! The extensions of a ClientHello. Unknown ones are skipped; one that occurs twice, known or not, is fatal (RFC 5246
//! §7.4.1.4).

mod read;

pub(super) use read::UNCOMPRESSED;

use super::Numbers;
use crate::alert::AlertDescription;
use crate::wire::{Malformed, Reader, Writer, vector8, vector16};

/// The type of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExtensionType(pub u16);

#[expect(
    missing_docs,
    reason = "the names are those of the registry of TLS extensions"
)]
impl ExtensionType {
    pub const SERVER_NAME: ExtensionType = ExtensionType(0);
    pub const MAX_FRAGMENT_LENGTH: ExtensionType = ExtensionType(1);
    pub const SUPPORTED_GROUPS: ExtensionType = ExtensionType(10);
    pub const EC_POINT_FORMATS: ExtensionType = ExtensionType(11);
    pub const SIGNATURE_ALGORITHMS: ExtensionType = ExtensionType(13);
    pub const EXTENDED_MASTER_SECRET: ExtensionType = ExtensionType(23);
    pub const COMPRESS_CERTIFICATE: ExtensionType = ExtensionType(27);
    pub const RECORD_SIZE_LIMIT: ExtensionType = ExtensionType(28);
    pub const SESSION_TICKET: ExtensionType = ExtensionType(35);
    pub const SUPPORTED_VERSIONS: ExtensionType = ExtensionType(43);
    pub const CONNECTION_ID: ExtensionType = ExtensionType(54);
    pub const RETURN_ROUTABILITY_CHECK: ExtensionType = ExtensionType(61);
    pub const RENEGOTIATION_INFO: ExtensionType = ExtensionType(0xff01);
}

/// How long a record's plaintext may be (RFC 6066 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxFragmentLength {
    /// 1: 512 bytes.
    Bytes512,
    /// 2: 1024 bytes.
    Bytes1024,
    /// 3: 2048 bytes.
    Bytes2048,
    /// 4: 4096 bytes.
    Bytes4096,
}

impl MaxFragmentLength {
    /// The length with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<MaxFragmentLength> {
        match number {
            1 => Some(MaxFragmentLength::Bytes512),
            2 => Some(MaxFragmentLength::Bytes1024),
            3 => Some(MaxFragmentLength::Bytes2048),
            4 => Some(MaxFragmentLength::Bytes4096),
            _ => None,
        }
    }

    /// The number in the extension.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            MaxFragmentLength::Bytes512 => 1,
            MaxFragmentLength::Bytes1024 => 2,
            MaxFragmentLength::Bytes2048 => 3,
            MaxFragmentLength::Bytes4096 => 4,
        }
    }

    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u16 {
        match self {
            MaxFragmentLength::Bytes512 => 512,
            MaxFragmentLength::Bytes1024 => 1024,
            MaxFragmentLength::Bytes2048 => 2048,
            MaxFragmentLength::Bytes4096 => 4096,
        }
    }
}

/// The extensions of a ClientHello that matter to this server. `None` and `false`: absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientExtensions<'a> {
    /// The host name, as it is (RFC 6066 §3).
    pub server_name: Option<&'a [u8]>,
    /// RFC 6066 §4.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// Groups, for the key exchange and for the server's certificate (RFC 8422 §5.1.1).
    pub supported_groups: Option<Numbers<'a>>,
    /// Whether point formats were listed; uncompressed is then among them (RFC 8422 §5.1.2).
    pub ec_point_formats: bool,
    /// What the client can verify (RFC 5246 §7.4.1.4.1).
    pub signature_algorithms: Option<Numbers<'a>>,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// The longest plaintext of a record that the client receives: 64 or more (RFC 8449).
    pub record_size_limit: Option<u16>,
    /// A ticket; empty if the client has none and wants one (RFC 5077 §3.2).
    pub session_ticket: Option<&'a [u8]>,
    /// In a TLS 1.2 client it names 1.2 as well (RFC 8446 §4.2.1).
    pub supported_versions: Option<Numbers<'a>>,
    /// What the client's peers shall put into records to it: nothing if it is empty (RFC 9146 §3).
    pub connection_id: Option<&'a [u8]>,
    /// RFC 9853.
    pub return_routability_check: bool,
    /// The verify_data of the handshake that is renegotiated: empty in a first one (RFC 5746 §3.2).
    pub renegotiation_info: Option<&'a [u8]>,
}

impl<'a> ClientExtensions<'a> {
    /// Reads the extensions, without the length in front of them.
    ///
    /// # Errors
    /// The alert that RFC 5246 or the extension's own RFC has for what is wrong with them.
    pub fn parse(extensions: &'a [u8]) -> Result<ClientExtensions<'a>, AlertDescription> {
        let mut found = ClientExtensions::default();
        let mut types = Vec::new();
        let mut reader = Reader::new(extensions);
        while !reader.is_empty() {
            let extension_type = ExtensionType(reader.u16()?);
            let content = reader.vector16()?;
            types.push(extension_type);
            found.read(extension_type, content)?;
        }
        types.sort_unstable();
        match types.is_sorted_by(|one, next| one < next) {
            true => Ok(found),
            false => Err(AlertDescription::DECODE_ERROR),
        }
    }

    /// Appends the extensions that are set, without a length in front of them.
    ///
    /// # Errors
    /// One is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        if let Some(name) = self.server_name {
            let host = [&[read::HOST_NAME], &in_vector16(name)?[..]].concat();
            let names = in_vector16(&host)?;
            extension(buffer, ExtensionType::SERVER_NAME, &names)?;
        }
        if let Some(length) = self.max_fragment_length {
            let number = [length.number()];
            extension(buffer, ExtensionType::MAX_FRAGMENT_LENGTH, &number)?;
        }
        if let Some(groups) = self.supported_groups {
            let groups = in_vector16(groups.as_bytes())?;
            extension(buffer, ExtensionType::SUPPORTED_GROUPS, &groups)?;
        }
        if self.ec_point_formats {
            let formats = [1, UNCOMPRESSED];
            extension(buffer, ExtensionType::EC_POINT_FORMATS, &formats)?;
        }
        if let Some(schemes) = self.signature_algorithms {
            let schemes = in_vector16(schemes.as_bytes())?;
            extension(buffer, ExtensionType::SIGNATURE_ALGORITHMS, &schemes)?;
        }
        if self.extended_master_secret {
            extension(buffer, ExtensionType::EXTENDED_MASTER_SECRET, &[])?;
        }
        if let Some(limit) = self.record_size_limit {
            let limit = limit.to_be_bytes();
            extension(buffer, ExtensionType::RECORD_SIZE_LIMIT, &limit)?;
        }
        if let Some(ticket) = self.session_ticket {
            extension(buffer, ExtensionType::SESSION_TICKET, ticket)?;
        }
        if let Some(versions) = self.supported_versions {
            let versions = in_vector8(versions.as_bytes())?;
            extension(buffer, ExtensionType::SUPPORTED_VERSIONS, &versions)?;
        }
        if let Some(connection_id) = self.connection_id {
            let connection_id = in_vector8(connection_id)?;
            extension(buffer, ExtensionType::CONNECTION_ID, &connection_id)?;
        }
        if self.return_routability_check {
            extension(buffer, ExtensionType::RETURN_ROUTABILITY_CHECK, &[])?;
        }
        if let Some(verify_data) = self.renegotiation_info {
            let verify_data = in_vector8(verify_data)?;
            extension(buffer, ExtensionType::RENEGOTIATION_INFO, &verify_data)?;
        }
        Ok(())
    }
}

/// Appends an extension: its type, the length of its content, and its content.
///
/// # Errors
/// The content is too long.
pub(super) fn extension(
    buffer: &mut Vec<u8>,
    extension_type: ExtensionType,
    content: &[u8],
) -> Result<(), Malformed> {
    buffer.u16(extension_type.0);
    vector16(buffer, |buffer| buffer.bytes(content))
}

/// The bytes with a length of one byte in front.
pub(super) fn in_vector8(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut vector = Vec::new();
    vector8(&mut vector, |vector| vector.bytes(bytes))?;
    Ok(vector)
}

/// The bytes with a length of two bytes in front.
fn in_vector16(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut vector = Vec::new();
    vector16(&mut vector, |vector| vector.bytes(bytes))?;
    Ok(vector)
}
