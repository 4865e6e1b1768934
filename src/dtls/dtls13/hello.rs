//! Parses an unfragmented ClientHello, to answer it with a cookie and without state (RFC 9147 §5.1).
//!
//! The reply is the engine's, byte for byte: the HelloRetryRequest that is part of the transcript (RFC 8446 §4.4.1). When the client returns its cookie, a new engine first gets the previous hello, which is the same
//! without the cookie, and is then in the state that it would have had if it had existed all along.
//!
//! Hellos that leave any doubt are not parsed: fragmented ones, those whose next one may differ for another reason (no key
//! share of a group of ours, resumption, early data), and those so large that the cookie may not fit beside them. They need
//! an engine, within a tighter limit. Padding may be shortened by the cookie (RFC 8446 §4.1.2), so the cookie contains the
//! hello's length.

mod reply;

use super::supported::Supported;
use crate::dtls::record::{self, Cursor};

/// A hello up to this size has room for a cookie in one datagram, whoever sends it: IPv6 carries 1280 bytes everywhere.
const LARGEST: usize = 1100;
/// The largest hello with padding or with a cookie: one datagram over Ethernet. It may be stored while it is pending.
const LARGEST_OF_ALL: usize = 1500;
/// RFC 5246 §7.4.1.2.
const LONGEST_SESSION_ID: u8 = 32;

/// `legacy_version` of a hello.
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

/// An unfragmented ClientHello that can be answered with a cookie, or returns one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StatelessHello<'a> {
    /// The `message_seq`.
    pub sequence: u16,
    pub random: [u8; 32],
    /// The cipher suite that would be negotiated.
    pub suite: u16,
    /// The cookie that it returns; empty if it has none.
    pub cookie: &'a [u8],
    /// The length of the message's body.
    pub length: u16,
    /// The message's body without the extension with its cookie.
    parts: Parts<'a>,
}

#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    /// Version, random, session id.
    head: &'a [u8],
    /// Cipher suites, compression methods.
    middle: &'a [u8],
    has_extensions: bool,
    /// Extensions before and after that with the cookie.
    extensions: [&'a [u8]; 2],
}

impl<'a> StatelessHello<'a> {
    /// Parses a datagram. `None`: it is not a ClientHello, or one that needs an engine.
    pub(crate) fn parse(datagram: &'a [u8], supported: &Supported) -> Option<StatelessHello<'a>> {
        let (sequence, all) = record::whole_client_hello(datagram)?;
        let mut body = Cursor(all);
        // An engine rejects other versions (RFC 9147 §5.3: DTLS 1.3 has the same value here).
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
        let extensions = Extensions::read(block, &supported.groups)?;
        let is_ours = |suite: &u16| supported.suites.contains(suite);
        let suite = suites.into_iter().find(is_ours)?;
        let cookie = extensions.cookie;
        // Not the field of DTLS 1.2 (RFC 9147 §5.3).
        let has_other_cookie = !cookie12.is_empty();
        if !extensions.offers_13
            || has_other_cookie
            || extensions.may_change
            || !extensions.has_key_share
        {
            return None;
        }
        // With a cookie it is longer than before, and it is stored until its handshake starts.
        let largest = match (cookie.is_empty(), extensions.has_padding) {
            (true, false) => LARGEST,
            (true, true) | (false, _) => LARGEST_OF_ALL,
        };
        if datagram.len() > largest {
            return None;
        }
        let expected = u16::from(!cookie.is_empty());
        (sequence == expected).then_some(StatelessHello {
            sequence,
            random,
            suite,
            cookie,
            length: u16::try_from(all.len()).ok()?,
            parts: Parts {
                head,
                middle,
                has_extensions,
                extensions: extensions.without_cookie,
            },
        })
    }
}

/// Whether this is the first fragment of a hello that has others.
pub(crate) fn is_fragmented(datagram: &[u8]) -> bool {
    record::first_client_hello_fragment(datagram).is_some()
}

/// The extensions that matter here.
struct Extensions<'a> {
    offers_13: bool,
    has_key_share: bool,
    has_padding: bool,
    /// Has an extension by which the next hello may differ in more than the cookie (RFC 8446 §4.1.2).
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

/// A list of 16-bit numbers; `None` if its length is odd.
fn numbers(list: &[u8]) -> Option<Vec<u16>> {
    let mut cursor = Cursor(list);
    let all = std::iter::from_fn(|| cursor.u16()).collect();
    cursor.0.is_empty().then_some(all)
}

#[cfg(test)]
pub(in crate::dtls) mod tests;
