//! The key exchange (RFC 8422 §5.4, §5.7) and its confirmation (RFC 5246 §7.4.9).

use super::HelloRandom;
use crate::wire::{Malformed, Reader, Writer, vector8, vector16};

/// named_curve, the only kind of curve that has not been deprecated (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;

/// The part of a ServerKeyExchange that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerParameters<'a> {
    /// The number of the group.
    pub group: u16,
    /// The server's share: not empty, and at most 255 bytes.
    pub public_key: &'a [u8],
}

impl ServerParameters<'_> {
    /// What the server signs: both randoms and the parameters (RFC 5246 §7.4.3), so that none can be replayed.
    ///
    /// # Errors
    /// The share is too long.
    pub fn signed_content(
        &self,
        client_random: &HelloRandom,
        server_random: &HelloRandom,
    ) -> Result<Vec<u8>, Malformed> {
        let mut content = Vec::with_capacity(256);
        content.bytes(client_random);
        content.bytes(server_random);
        self.write(&mut content)?;
        Ok(content)
    }

    fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.u8(NAMED_CURVE);
        buffer.u16(self.group);
        vector8(buffer, |buffer| buffer.bytes(self.public_key))
    }
}

/// A ServerKeyExchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKeyExchange<'a> {
    /// The server's share.
    pub parameters: ServerParameters<'a>,
    /// The number of the scheme of the signature.
    pub scheme: u16,
    /// The signature over [`ServerParameters::signed_content`].
    pub signature: &'a [u8],
}

impl<'a> ServerKeyExchange<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<ServerKeyExchange<'a>, Malformed> {
        let mut reader = Reader::new(body);
        if reader.u8()? != NAMED_CURVE {
            return Err(Malformed);
        }
        let parameters = ServerParameters {
            group: reader.u16()?,
            public_key: point(&mut reader)?,
        };
        let scheme = reader.u16()?;
        let signature = reader.vector16()?.rest();
        reader.end()?;
        Ok(ServerKeyExchange {
            parameters,
            scheme,
            signature,
        })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// A field is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        self.parameters.write(buffer)?;
        buffer.u16(self.scheme);
        vector16(buffer, |buffer| buffer.bytes(self.signature))
    }
}

/// A ClientKeyExchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKeyExchange<'a> {
    /// The client's share: not empty, and at most 255 bytes.
    pub public_key: &'a [u8],
}

impl<'a> ClientKeyExchange<'a> {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &'a [u8]) -> Result<ClientKeyExchange<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let public_key = point(&mut reader)?;
        reader.end()?;
        Ok(ClientKeyExchange { public_key })
    }

    /// Appends the message's body.
    ///
    /// # Errors
    /// The share is too long.
    pub fn write(&self, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        vector8(buffer, |buffer| buffer.bytes(self.public_key))
    }
}

fn point<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let point = reader.vector8()?.rest();
    match point.is_empty() {
        true => Err(Malformed),
        false => Ok(point),
    }
}

/// A Finished: twelve bytes that only the two peers can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// RFC 5246 §7.4.9.
    pub verify_data: [u8; 12],
}

impl Finished {
    /// Reads the message's body.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(body: &[u8]) -> Result<Finished, Malformed> {
        let mut reader = Reader::new(body);
        let verify_data = reader.array()?;
        reader.end()?;
        Ok(Finished { verify_data })
    }
}
