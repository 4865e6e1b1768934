//! Reads a server's URL: `redis://user:password@host:port/database`, or `rediss://…` for TLS. User, password, port and
//! database may be absent.

use crate::server::{DEFAULT_PORT, Server};
use percent_encoding::percent_decode_str;
use std::fmt;
use url::{Host, ParseError, Url};
use zeroize::Zeroizing;

/// What is wrong with a URL. It has no part of it, as it may have a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// It begins neither with `redis://` nor with `rediss://`.
    Scheme,
    /// There is no host.
    NoHost,
    /// The host is no name and no address.
    Host,
    /// The port is none. A character in the password may be taken for the end of the host.
    Port,
    /// What follows the host is no number of a database.
    Database,
    /// It has a query or a fragment.
    Query,
    /// The user's name or the password is not UTF-8 when it is decoded.
    Encoding,
    /// It can't be read for another reason.
    Malformed(ParseError),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Scheme => f.write_str(
                "it must begin with redis:// or rediss://, as in rediss://user:password@host:6379/0",
            ),
            UrlError::NoHost => f.write_str(
                "it has no host. In a password, / ? # @ and % are written as %2F %3F %23 %40 and %25",
            ),
            UrlError::Host => f.write_str("its host is neither a name nor an address"),
            UrlError::Port => f.write_str(
                "its port is not a number below 65536. In a password, / ? # @ and % are written as %2F %3F %23 %40 and %25",
            ),
            UrlError::Database => f.write_str(
                "what follows its host must be the number of a database, as in /0",
            ),
            UrlError::Query => {
                f.write_str("it has a part after ? or #, of which nothing would be used")
            }
            UrlError::Encoding => {
                f.write_str("its user's name or its password is not UTF-8, once it is decoded")
            }
            UrlError::Malformed(error) => write!(f, "it is malformed: {error}"),
        }
    }
}

impl std::error::Error for UrlError {}

impl Server {
    /// Reads a URL.
    ///
    /// # Errors
    /// It does not name a server. The error has no part of the URL.
    pub fn parse(text: &str) -> Result<Server, UrlError> {
        let is_tls = match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("redis") => false,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("rediss") => true,
            _ => return Err(UrlError::Scheme),
        };
        let url = Url::parse(text).map_err(malformed)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Query);
        }
        let host = match url.host() {
            None | Some(Host::Domain("")) => return Err(UrlError::NoHost),
            // The library leaves percent-encoded bytes in the host of an unknown scheme as they are.
            Some(Host::Domain(name)) if !name.bytes().all(is_of_name) => {
                return Err(UrlError::Host);
            }
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
        };
        let mut server = Server::new(host, url.port().unwrap_or(DEFAULT_PORT), is_tls);
        server.database = match url.path() {
            "" | "/" => 0,
            path => database(path).ok_or(UrlError::Database)?,
        };
        let user = decode(url.username())?;
        server.user = (!user.is_empty()).then(|| user.to_string());
        let password = decode(url.password().unwrap_or_default())?;
        server.password = (!password.is_empty()).then_some(password);
        Ok(server)
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may have more errors, and has words for them"
)]
const fn malformed(error: ParseError) -> UrlError {
    match error {
        ParseError::EmptyHost => UrlError::NoHost,
        ParseError::InvalidPort => UrlError::Port,
        ParseError::InvalidIpv4Address
        | ParseError::InvalidIpv6Address
        | ParseError::InvalidDomainCharacter => UrlError::Host,
        other => UrlError::Malformed(other),
    }
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn database(path: &str) -> Option<u32> {
    let digits = path.strip_prefix('/')?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

fn decode(text: &str) -> Result<Zeroizing<String>, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|decoded| Zeroizing::new(decoded.into_owned()))
        .map_err(|_| UrlError::Encoding)
}

#[cfg(test)]
mod tests;
