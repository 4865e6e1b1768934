//! Reads the content of each extension of a ClientHello.

use super::{ClientExtensions, ExtensionType, MaxFragmentLength};
use crate::alert::AlertDescription;
use crate::message::Numbers;
use crate::wire::{Malformed, Reader};

/// A name_type of server_name (RFC 6066 §3).
pub(super) const HOST_NAME: u8 = 0;
/// A point format (RFC 8422 §5.1.2).
pub(in crate::message) const UNCOMPRESSED: u8 = 0;
/// The smallest record_size_limit (RFC 8449 §4).
const MIN_RECORD_SIZE_LIMIT: u16 = 64;

impl<'a> ClientExtensions<'a> {
    /// Reads the content of one extension. What is unknown is skipped.
    pub(super) fn read(
        &mut self,
        extension_type: ExtensionType,
        mut content: Reader<'a>,
    ) -> Result<(), AlertDescription> {
        let content = &mut content;
        match extension_type {
            ExtensionType::SERVER_NAME => self.server_name = server_name(content)?,
            ExtensionType::MAX_FRAGMENT_LENGTH => {
                // RFC 6066 §4: any other value is answered with illegal_parameter.
                let length = MaxFragmentLength::from_number(content.u8()?)
                    .ok_or(AlertDescription::ILLEGAL_PARAMETER)?;
                self.max_fragment_length = Some(length);
            }
            ExtensionType::SUPPORTED_GROUPS => {
                self.supported_groups = Some(Numbers::new(content.vector16()?)?);
            }
            ExtensionType::EC_POINT_FORMATS => {
                // RFC 8422 §5.1.2: a list without the uncompressed format is answered with illegal_parameter.
                if !content.vector8()?.rest().contains(&UNCOMPRESSED) {
                    return Err(AlertDescription::ILLEGAL_PARAMETER);
                }
                self.ec_point_formats = true;
            }
            ExtensionType::SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = Some(Numbers::new(content.vector16()?)?);
            }
            ExtensionType::EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            ExtensionType::COMPRESS_CERTIFICATE => compress_certificate(content)?,
            ExtensionType::RECORD_SIZE_LIMIT => {
                let limit = content.u16()?;
                // RFC 8449 §4: a smaller value is answered with illegal_parameter, a larger one than the protocol's is none.
                if limit < MIN_RECORD_SIZE_LIMIT {
                    return Err(AlertDescription::ILLEGAL_PARAMETER);
                }
                self.record_size_limit = Some(limit);
            }
            ExtensionType::SESSION_TICKET => {
                self.session_ticket = Some(content.take(content.rest().len())?);
            }
            ExtensionType::SUPPORTED_VERSIONS => {
                self.supported_versions = Some(Numbers::new(content.vector8()?)?);
            }
            ExtensionType::CONNECTION_ID => self.connection_id = Some(content.vector8()?.rest()),
            ExtensionType::RETURN_ROUTABILITY_CHECK => self.return_routability_check = true,
            ExtensionType::RENEGOTIATION_INFO => {
                self.renegotiation_info = Some(content.vector8()?.rest());
            }
            _ => return Ok(()),
        }
        Ok(content.end()?)
    }
}

/// The host name, if there is one. Of other kinds of names, each would have such a length too (RFC 6066 §3).
fn server_name<'a>(content: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let mut host_name = None;
    let mut names = content.vector16()?;
    if names.is_empty() {
        return Err(Malformed);
    }
    while !names.is_empty() {
        let name_type = names.u8()?;
        let name = names.vector16()?.rest();
        if name.is_empty() {
            return Err(Malformed);
        }
        // RFC 6066 §3: not more than one name of a type.
        if name_type == HOST_NAME && host_name.replace(name).is_some() {
            return Err(Malformed);
        }
    }
    Ok(host_name)
}

/// Certificates are compressed in TLS 1.3 only (RFC 8879 §3), but a list that names an algorithm twice is wrong anywhere, as
/// BoringSSL has it.
fn compress_certificate(content: &mut Reader<'_>) -> Result<(), Malformed> {
    let algorithms = Numbers::new(content.vector8()?)?;
    let is_twice = |number| algorithms.iter().filter(|other| *other == number).count() > 1;
    match algorithms.iter().any(is_twice) {
        true => Err(Malformed),
        false => Ok(()),
    }
}
