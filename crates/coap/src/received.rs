//! Which options a request may carry, and what each means (RFC 7252 §5.4, §5.10; RFC 7641, 7959,
//! 7967, 9175).
//!
//! An option is *recognised* if it stands in [`FORMATS`], its value has a permitted length (§5.4.3),
//! and it is not a second one of a kind that can't repeat (§5.4.5). What is not recognised is
//! ignored if elective and refused if critical (§5.4.1; critical numbers are odd, §5.4.6).

use crate::block::Block;
use crate::body::{Bodies, ETag, Key};
use crate::message::Message;
use crate::option::{decode_unsigned, number::*};
use crate::request::{Method, Observe, Request};
use bytes::Bytes;

/// Number, shortest value, longest value, may repeat. Options that only responses carry are not
/// here: in a request they are unrecognised like any other.
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
    /// A critical option that is not recognised: 4.02 to a Confirmable request, while a
    /// Non-confirmable one is rejected (RFC 7252 §5.4.1).
    Critical(u16),
    /// Proxy-Uri or Proxy-Scheme: 5.05 (§5.10.2).
    Proxy,
    /// A path or query that is not UTF-8 (§5.10.1): 4.00.
    NotUtf8(u16),
    /// A Block option of the reserved size (RFC 7959 §2.2): 4.00.
    ReservedSize(u16),
}

/// A request as one message carries it: its payload may be one block of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The request.
    pub request: Request,
    /// Which block of the body its payload is (RFC 7959 §2.5).
    pub block1: Option<Block>,
    /// How large the client says the body will be (RFC 7959 §4).
    pub size1: Option<u32>,
    /// What tells it from other bodies for the same resource (RFC 9175 §3).
    pub request_tags: Vec<Bytes>,
}

impl Received {
    /// What its payload is a body for, or a block of one. RFC 9175 §3: two messages are of one
    /// transfer if they have the same options, apart from those that differ from block to block.
    pub(crate) fn upload_key(&self, bodies: &Bodies) -> Key {
        let about = (self.request.content_format, self.request.conditional);
        bodies.key(&(self.download_key(bodies), about))
    }

    /// What its response is a body of, or a block of one. What tells about a body of its own may be
    /// gone by then: that body is.
    pub(crate) fn download_key(&self, bodies: &Bodies) -> Key {
        let request = &self.request;
        let resource = (request.method, &request.path, &request.query);
        bodies.key(&(resource, request.accept, &self.request_tags))
    }
}

/// Reads the options of a message that carries a request.
pub fn read(message: Message) -> Result<Received, BadOption> {
    let mut received = Received {
        request: Request::new(Method::from(message.code), message.payload),
        block1: None,
        size1: None,
        request_tags: Vec::new(),
    };
    let mut previous = None;
    for (option, value) in &message.options {
        let format = FORMATS.iter().find(|(known, ..)| known == option);
        let recognised = format.is_some_and(|(_, shortest, longest, repeatable)| {
            (*shortest..=*longest).contains(&value.len())
                && (*repeatable || previous != Some(*option))
        });
        previous = Some(*option);
        if recognised {
            take(&mut received, *option, value)?;
        } else if option & 1 == 1 {
            return Err(BadOption::Critical(*option));
        }
    }
    // RFC 7959 §2.6: what asks for a later block of a notification has no Observe.
    let request = &mut received.request;
    if request.block2.is_some_and(|block| block.num() > 0) {
        request.observe = None;
    }
    Ok(received)
}

fn take(received: &mut Received, option: u16, value: &Bytes) -> Result<(), BadOption> {
    let request = &mut received.request;
    let text = || {
        std::str::from_utf8(value)
            .map(str::to_owned)
            .map_err(|_| BadOption::NotUtf8(option))
    };
    let number = decode_unsigned(value);
    // The formats above keep two-byte numbers to two bytes, so nothing is cut off here.
    let short = u16::try_from(number).unwrap_or(u16::MAX);
    let block = || Block::decode(number).ok_or(BadOption::ReservedSize(option));
    match option {
        // §5.10.8.1: an empty If-Match is fulfilled by what exists, and all that is served here does.
        IF_MATCH if value.is_empty() => {}
        IF_MATCH | IF_NONE_MATCH => request.conditional = true,
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
        // RFC 7959 §4: in a request its value means nothing.
        SIZE2 => request.size2_wanted = true,
        REQUEST_TAG => received.request_tags.push(value.clone()),
        PROXY_URI | PROXY_SCHEME => return Err(BadOption::Proxy),
        NO_RESPONSE => request.no_response = u8::try_from(number).unwrap_or_default(),
        // Recognised, and without consequence here: Uri-Host and Uri-Port (whatever name the device
        // knows us by is ours), Max-Age, Echo.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
