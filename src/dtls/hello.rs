//! A whole ClientHello, as far as it takes to answer it with a cookie and to keep nothing (RFC 6347 §4.2.1,
//! RFC 9147 §5.1).
//!
//! The answer is what the engine would have said, byte for byte: a HelloVerifyRequest, or the HelloRetryRequest that is
//! part of the transcript (RFC 8446 §4.4.1). So when the client returns its cookie, an engine that is first shown the
//! hello before it, which is the same without the cookie, is where it would have been, had it been there all along.
//!
//! Hellos that leave any doubt are not read: those in fragments, those that may change for another reason (no key
//! share of a group of ours, resumption, early data), and those so large that the cookie may not fit beside them. They
//! get an engine, as far as the budget for that goes. Padding may give way to the cookie (RFC 8446 §4.1.2), so the cookie
//! remembers how long the hello was.

mod reply;

pub use reply::before_fragment;

use super::Versions;
use super::cookie::Cookie;
use super::record::{self, Cursor};
use super::supported::Supported;

/// A hello up to this size has room for a cookie in one datagram, whoever sends it: IPv6 carries 1280 bytes everywhere.
const LARGEST: usize = 1100;
/// What comes in one datagram over Ethernet, and any of it may be kept while it waits.
const LARGEST_OF_ALL: usize = 1500;
/// RFC 5246 §7.4.1.2.
const LONGEST_SESSION_ID: u8 = 32;
/// A client that was answered to someone else's hello asks once more; who asks for ever is none.
const MOST_COOKIES: u16 = 3;

/// What a hello says in its field for the version.
const DTLS12: u16 = 0xfefd;
/// DTLS 1.3 in `supported_versions`.
const DTLS13: u16 = 0xfefc;
const NULL_COMPRESSION: u8 = 0;

/// Extensions by their numbers (RFC 8446 §4.2, RFC 7685).
mod extension {
    pub(super) const PADDING: u16 = 21;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    /// RFC 9849.
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const COOKIE: u16 = 44;
    pub(super) const KEY_SHARE: u16 = 51;
}

/// The version a hello leads to, with what its answer says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// DTLS 1.2.
    Dtls12,
    /// DTLS 1.3, with this cipher suite.
    Dtls13(u16),
}

/// A ClientHello that can be answered with a cookie, or returns one.
#[derive(Debug, PartialEq, Eq)]
pub struct StatelessHello<'a> {
    /// Counts the client's messages.
    pub sequence: u16,
    /// The client's random.
    pub random: [u8; 32],
    /// Where it leads.
    pub version: Version,
    /// Empty: none.
    pub cookie: &'a [u8],
    /// Of the message's body.
    pub length: u16,
    /// The message's body, cut where its cookie was: in DTLS 1.2 the field's value, in 1.3 the extension.
    parts: Parts<'a>,
}

#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    /// Version, random, session id.
    head: &'a [u8],
    /// Cipher suites, compression methods.
    middle: &'a [u8],
    has_extensions: bool,
    /// Extensions, without that for the cookie.
    extensions: [&'a [u8]; 2],
}

impl<'a> StatelessHello<'a> {
    /// `None`: it is none, or one that an engine must see.
    pub fn read(datagram: &'a [u8], terms: &Supported) -> Option<StatelessHello<'a>> {
        let (sequence, all) = record::whole_client_hello(datagram)?;
        let mut body = Cursor(all);
        // An engine refuses others, whatever cookie they return (RFC 9147 §5.3 has DTLS 1.3 say this as well).
        if body.u16()? != DTLS12 {
            return None;
        }
        let random = body.take(32)?.try_into().ok()?;
        let session_id = body.u8()?;
        if session_id > LONGEST_SESSION_ID {
            return None;
        }
        body.take(usize::from(session_id))?;
        let head = all.get(..all.len() - body.0.len())?;
        let length = body.u8()?;
        let cookie12 = body.take(usize::from(length))?;
        let rest = body.0;
        let length = body.u16()?;
        let suites = numbers(body.take(usize::from(length))?)?;
        let length = body.u8()?;
        let compression = body.take(usize::from(length))?;
        let middle = rest.get(..rest.len() - body.0.len())?;
        let has_extensions = !body.0.is_empty();
        let block = match body.0 {
            [] => &[],
            _ => {
                let length = body.u16()?;
                body.take(usize::from(length))?
            }
        };
        if !body.0.is_empty() || !compression.contains(&NULL_COMPRESSION) {
            return None;
        }
        let extensions = Extensions::read(block, &terms.groups)?;
        let first_of = |ours: &[u16]| suites.iter().copied().find(|suite| ours.contains(suite));
        let is_13 = extensions.offers_13 && terms.versions != Versions::Only12;
        let (version, cookie) = if is_13 {
            if !cookie12.is_empty() || extensions.may_change || !extensions.has_key_share {
                return None;
            }
            (Version::Dtls13(first_of(&terms.dtls13)?), extensions.cookie)
        } else {
            if terms.versions == Versions::Only13 {
                return None;
            }
            first_of(&terms.dtls12)?;
            (Version::Dtls12, cookie12)
        };
        // With a cookie it is longer than before, and padded or not it waits for its place.
        let largest = match (cookie.is_empty(), extensions.has_padding) {
            (true, false) => LARGEST,
            (true, true) | (false, _) => LARGEST_OF_ALL,
        };
        if datagram.len() > largest {
            return None;
        }
        let expected = match (version, cookie.is_empty()) {
            (Version::Dtls12, true) => 0..=0,
            (Version::Dtls12, false) => 1..=MOST_COOKIES,
            (Version::Dtls13(_), true) => 0..=0,
            (Version::Dtls13(_), false) => 1..=1,
        };
        expected.contains(&sequence).then_some(StatelessHello {
            sequence,
            random,
            version,
            cookie,
            length: u16::try_from(all.len()).ok()?,
            parts: Parts {
                head,
                middle,
                has_extensions,
                extensions: if is_13 {
                    extensions.without_cookie
                } else {
                    [block, &[]]
                },
            },
        })
    }
}

/// The cookie in a first fragment of a DTLS 1.2 hello. A client whose hello just fit into one record sends it in two when
/// there is a cookie in it.
pub fn cookie_of_fragment(datagram: &[u8]) -> Option<(u16, Cookie)> {
    let (sequence, start) = record::first_client_hello_fragment(datagram)?;
    let mut body = Cursor(start);
    let _version_and_random = body.take(2 + 32)?;
    let session_id = body.u8()?;
    body.take(usize::from(session_id))?;
    let length = body.u8()?;
    let cookie = body.take(usize::from(length))?.try_into().ok()?;
    (1..=MOST_COOKIES)
        .contains(&sequence)
        .then_some((sequence, cookie))
}

/// Whether this is the beginning of a hello that takes more than one datagram, or record.
pub fn is_fragmented(datagram: &[u8]) -> bool {
    record::first_client_hello_fragment(datagram).is_some()
}

/// What the extensions say.
struct Extensions<'a> {
    offers_13: bool,
    has_key_share: bool,
    has_padding: bool,
    /// A hello with one of these may differ from the next by more than the cookie (RFC 8446 §4.1.2).
    may_change: bool,
    cookie: &'a [u8],
    without_cookie: [&'a [u8]; 2],
}

impl<'a> Extensions<'a> {
    fn read(block: &'a [u8], groups: &[u16]) -> Option<Extensions<'a>> {
        let mut found = Extensions {
            offers_13: false,
            has_key_share: false,
            has_padding: false,
            may_change: false,
            cookie: &[],
            without_cookie: [block, &[]],
        };
        let mut rest = Cursor(block);
        while !rest.0.is_empty() {
            let before = block.get(..block.len() - rest.0.len())?;
            let number = rest.u16()?;
            let length = rest.u16()?;
            let mut value = Cursor(rest.take(usize::from(length))?);
            match number {
                extension::SUPPORTED_VERSIONS => {
                    let length = value.u8()?;
                    let versions = numbers(value.take(usize::from(length))?)?;
                    found.offers_13 = versions.contains(&DTLS13);
                }
                extension::KEY_SHARE => {
                    let length = value.u16()?;
                    let mut shares = Cursor(value.take(usize::from(length))?);
                    while !shares.0.is_empty() {
                        let group = shares.u16()?;
                        let length = shares.u16()?;
                        shares.take(usize::from(length))?;
                        found.has_key_share |= groups.contains(&group);
                    }
                }
                extension::COOKIE => {
                    let length = value.u16()?;
                    found.cookie = value.take(usize::from(length))?;
                    found.without_cookie = [before, rest.0];
                }
                extension::PADDING => found.has_padding = true,
                extension::PRE_SHARED_KEY
                | extension::EARLY_DATA
                | extension::ENCRYPTED_CLIENT_HELLO => found.may_change = true,
                _ => {}
            }
        }
        Some(found)
    }
}

/// A list of 16-bit numbers; `None` if half of one is left over.
fn numbers(list: &[u8]) -> Option<Vec<u16>> {
    let mut cursor = Cursor(list);
    let all = std::iter::from_fn(|| cursor.u16()).collect();
    cursor.0.is_empty().then_some(all)
}

#[cfg(test)]
pub(super) mod tests;
