//! Reads the options of a request (RFC 7252 §5.4, §5.10; RFC 7641, 7959, 7967, 9175).
//!
//! An option is *recognised* if it is in [`FORMATS`], its value has a permitted length (§5.4.3),
//! and it is not a second one with a number that is not repeatable (§5.4.5). Unrecognised options
//! are ignored if elective and refused if critical (§5.4.1; critical numbers are odd, §5.4.6).

use crate::block::Block;
use crate::body::{Bodies, ETag, Key};
use crate::code::Code;
use crate::message::Message;
use crate::option::{decode_unsigned, number::*};
use crate::request::{Method, Observe, Request};
use bytes::Bytes;

/// Number, shortest value, longest value, repeatable. Options of responses alone are not here: in a
/// request they are unrecognised like any other.
const FORMATS: [(u16, usize, usize, bool); 20] = [
    (IF_MATCH, 0, 8, true),
    (URI_HOST, 1, 255, false),
    (ETAG, 1, 8, true),
    (IF_NONE_MATCH, 0, 0, false),
    (OBSERVE, 0, 3, false),
    (URI_PORT, 0, 2, false),
    (URI_PATH, 0, 255, true),
    (CONTENT_FORMAT, 0, 2, false),
    (MAX_AGE, 0, 4, false),
    (URI_QUERY, 0, 255, true),
    (ACCEPT, 0, 2, false),
    (BLOCK2, 0, 3, false),
    (BLOCK1, 0, 3, false),
    (SIZE2, 0, 4, false),
    (PROXY_URI, 1, 1034, false),
    (PROXY_SCHEME, 1, 255, false),
    (SIZE1, 0, 4, false),
    (ECHO, 1, 40, false),
    (NO_RESPONSE, 0, 1, false),
    (REQUEST_TAG, 0, 8, true),
];

/// Why a request's options are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadOption {
    /// An unrecognised critical option: 4.02 to a Confirmable request; a Non-confirmable one is
    /// rejected in silence (RFC 7252 §5.4.1).
    Critical(u16),
    /// Proxy-Uri or Proxy-Scheme: 5.05 (§5.10.2).
    Proxy,
    /// A Uri-Path or Uri-Query that is not UTF-8 (§5.10.1): 4.00.
    NotUtf8(u16),
    /// A Block option of the reserved size (RFC 7959 §2.2): 4.00.
    ReservedSize(u16),
}

/// A request as one message carries it: its payload may be a block of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The request, whose payload is that of the message.
    pub request: Request,
    /// Block1: which block of the body the payload is (RFC 7959 §2.5).
    pub block1: Option<Block>,
    /// Size1: the size of the whole body in bytes, if the client says so (RFC 7959 §4).
    pub size1: Option<u32>,
    /// Request-Tag: distinguishes bodies for the same resource (RFC 9175 §3).
    pub request_tags: Vec<Bytes>,
    /// Elective options that are not in [`FORMATS`] and belong to the cache key (RFC 7252 §5.4.6).
    pub unknown_cache_keys: Vec<(u16, Bytes)>,
}

impl Received {
    /// Reads the options of a message that carries a request.
    pub fn read(message: Message) -> Result<Received, BadOption> {
        let mut received = Received {
            request: Request::new(Method::from(message.code), message.payload),
            block1: None,
            size1: None,
            request_tags: Vec::new(),
            unknown_cache_keys: Vec::new(),
        };
        let (mut previous, mut bad) = (None, None);
        for (option, value) in &message.options {
            let format = FORMATS.iter().find(|(known, ..)| known == option);
            let recognised = format.is_some_and(|(_, shortest, longest, repeatable)| {
                (*shortest..=*longest).contains(&value.len())
                    && (*repeatable || previous != Some(*option))
            });
            previous = Some(*option);
            if recognised {
                let applied = apply(&mut received, *option, value);
                bad = bad.or(applied.err());
            } else if option & 1 == 1 {
                // §5.4.1, whatever else is wrong with the request.
                return Err(BadOption::Critical(*option));
            } else if format.is_none() && option & 0x1e != 0x1c {
                let unknown = &mut received.unknown_cache_keys;
                unknown.push((*option, value.clone()));
            }
        }
        if let Some(bad) = bad {
            return Err(bad);
        }
        // RFC 7641 §2 defines Observe for GET, and RFC 7252 §5.4 has it ignored in other methods.
        // RFC 7959 §2.6: a request for a later block of a notification has no Observe.
        let request = &mut received.request;
        // RFC 7252 §5.10.8.1: one If-Match that matches is enough. An empty one matches if the
        // resource exists, and all resources here do. One with an ETag would have to be compared
        // with the resource's, which is not known before ThingsBoard has answered: it never matches.
        let mut if_match = message.options.iter().filter(|(n, _)| *n == IF_MATCH);
        let unmatched = |(_, value): &(u16, Bytes)| !value.is_empty();
        request.conditional |= if_match.clone().next().is_some() && if_match.all(unmatched);
        let later = request.block2.is_some_and(|block| block.num() > 0);
        if request.method != Method::Get || later {
            request.observe = None;
        }
        Ok(received)
    }

    /// Identifies the body of which the payload is a block. RFC 9175 §3: two messages belong to one
    /// transfer if they have the same options, apart from those that differ from block to block and
    /// NoCacheKey options. Uri-Host and Uri-Port don't count: the server has one host, and some
    /// clients send them with the first block alone.
    pub(crate) fn upload_key(&self, bodies: &Bodies) -> Key {
        let about = (self.request.content_format, self.request.conditional);
        bodies.key(&(self.download_key(bodies), about))
    }

    /// Identifies the body of the response. Options about the request's body don't count, as a
    /// request for a later block of the response has no body.
    pub(crate) fn download_key(&self, bodies: &Bodies) -> Key {
        let request = &self.request;
        let resource = (request.method, &request.path, &request.query);
        let tags = (&self.request_tags, &self.unknown_cache_keys);
        bodies.key(&(resource, request.accept, tags))
    }
}

/// Whether a message with a request registers an observer (RFC 7641 §3.1). Says so also of a request
/// that is refused for its other options.
pub(crate) fn registers(message: &Message) -> bool {
    let value_of = |number| {
        let mut options = message.options.iter();
        let (_, value) = options.find(|(n, value)| *n == number && value.len() <= 3)?;
        Some(decode_unsigned(value))
    };
    // RFC 7959 §2.6: as in [`Received::read`].
    let later = value_of(BLOCK2).is_some_and(|block| block >> 4 > 0);
    let observe = value_of(OBSERVE).and_then(Observe::from_value);
    message.code == Code::GET && observe == Some(Observe::Register) && !later
}

fn apply(received: &mut Received, option: u16, value: &Bytes) -> Result<(), BadOption> {
    let request = &mut received.request;
    let text = || {
        std::str::from_utf8(value)
            .map(str::to_owned)
            .map_err(|_| BadOption::NotUtf8(option))
    };
    let number = decode_unsigned(value);
    // `FORMATS` limits the numbers that are read as such to two bytes.
    let short = u16::try_from(number).unwrap_or(u16::MAX);
    let block = || Block::decode(number).ok_or(BadOption::ReservedSize(option));
    match option {
        IF_NONE_MATCH => request.conditional = true,
        // RFC 7641 §2: with another value the option is ignored, like any elective one.
        OBSERVE => request.observe = Observe::from_value(number),
        URI_PATH => request.path.push(text()?),
        CONTENT_FORMAT => request.content_format = Some(short),
        URI_QUERY => request.query.push(text()?),
        ACCEPT => request.accept = Some(short),
        ETAG => request.etags.extend(ETag::new(value)),
        BLOCK1 => received.block1 = Some(block()?),
        BLOCK2 => request.block2 = Some(block()?),
        SIZE1 => received.size1 = Some(number),
        // RFC 7959 §4: in a request its value has no meaning.
        SIZE2 => request.size2_wanted = true,
        REQUEST_TAG => received.request_tags.push(value.clone()),
        PROXY_URI | PROXY_SCHEME => return Err(BadOption::Proxy),
        NO_RESPONSE => request.no_response = u8::try_from(number).unwrap_or_default(),
        // `read` looks at all If-Match together.
        IF_MATCH => {}
        // Recognised and ignored: Uri-Host and Uri-Port (the server has one host, whatever the
        // client calls it), Max-Age, Echo.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
